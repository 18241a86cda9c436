//! Debian's packages, unpacked into a folder, with the settings that apt has on this machine.

use std::path::Path;

use crate::error::Error;
use crate::program::Program;

/// Where packages come from on a machine that is no Debian.
const MIRROR: &str = "http://deb.debian.org/debian";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// mmdebstrap for these packages of `suite` and all that they need, unpacked into `into`.
///
/// It runs in a mount namespace of its own, so that a kill leaves no mount behind.
pub(crate) fn unpack(
    suite: &str,
    variant: &str,
    packages: &[&str],
    into: &Path,
    work: &Path,
) -> Result<Program, Error> {
    let settings = work.join("apt.conf");
    fs_err::write(&settings, settings_of_host()?)?;
    Ok(Program::new("unshare")
        .args(["--mount", "mmdebstrap", "--quiet", "--components=main", "--format=directory"])
        .args(["--skip=cleanup/reproducible", "--dpkgopt=force-unsafe-io"])
        .arg(format!("--variant={variant}"))
        .arg(format!("--include={}", packages.join(",")))
        .arg(format!("--keyring={KEYRING}"))
        .arg(format!("--aptopt={}", settings.display()))
        .arg("--aptopt=APT::Install-Recommends \"false\"")
        .arg(suite)
        .arg(into)
        .arg(mirror()?))
}

/// How this machine fetches: proxies, certificates, checks.
fn settings_of_host() -> Result<String, Error> {
    let all = Program::new("apt-config").arg("dump").stdout()?;
    let fetching = all.lines().filter(|line| line.starts_with("Acquire::") && !line.contains("IndexTargets"));
    Ok(fetching.map(|line| format!("{line}\n")).collect())
}

/// The Debian mirror that apt uses here.
fn mirror() -> Result<String, Error> {
    let format = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)";
    let targets =
        Program::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]).stdout()?;
    let mirror = targets.lines().find_map(mirror_of);
    Ok(mirror.unwrap_or(MIRROR).to_owned())
}

fn mirror_of(target: &str) -> Option<&str> {
    let mut words = target.splitn(4, ' ');
    let is_main = words.next() == Some("Debian") && words.next() == Some("main");
    let codename = words.next()?;
    words.next().filter(|_| is_main && !codename.contains("security"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_that_of_the_main_archive() {
        assert_eq!(mirror_of("Debian main bookworm http://mirror/debian/"), Some("http://mirror/debian/"));
        assert_eq!(mirror_of("Debian main bookworm-security http://mirror/debian-security/"), None);
        assert_eq!(mirror_of("Debian contrib bookworm http://mirror/debian/"), None);
        assert_eq!(mirror_of("Ubuntu main noble http://mirror/ubuntu/"), None);
        assert_eq!(mirror_of(""), None);
    }
}
