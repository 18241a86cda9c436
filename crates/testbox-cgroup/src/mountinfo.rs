//! Parses `/proc/self/mountinfo` for cgroup mounts; it knows nothing else about mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A mounted cgroup file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CgroupMount {
    /// The group that is mounted, as this process's cgroup namespace names it; `/` is the namespace's own root.
    pub(crate) root: String,
    /// Where.
    pub(crate) mount_point: PathBuf,
    /// Nothing can be changed there.
    pub(crate) read_only: bool,
    /// It is the unified hierarchy.
    pub(crate) unified: bool,
    /// The options of the file system; for v1 they name the controllers.
    pub(crate) options: Vec<String>,
}

/// The visible cgroup mounts, in the order of the table; of several mounts on one directory the last counts.
///
/// # Errors
/// The line that is not of the kernel's form.
pub(crate) fn parse(text: &str) -> Result<Vec<CgroupMount>, String> {
    let mut mounts: Vec<(PathBuf, Option<CgroupMount>)> = Vec::new();
    for line in text.lines() {
        let (mount_point, mount) = parse_line(line).ok_or_else(|| line.to_owned())?;
        mounts.retain(|(earlier, _)| *earlier != mount_point);
        mounts.push((mount_point, mount));
    }
    Ok(mounts.into_iter().filter_map(|(_, mount)| mount).collect())
}

/// `36 35 98:0 /root /mount/point rw,noatime master:1 - type source super,options`
fn parse_line(line: &str) -> Option<(PathBuf, Option<CgroupMount>)> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(3);
    let (root, mount_point, flags) = (mount.next()?, mount.next()?, mount.next()?);
    let mut file_system = file_system.split(' ');
    let kind = file_system.next()?;
    let options: Vec<String> = file_system.nth(1)?.split(',').map(str::to_owned).collect();
    let mount_point = PathBuf::from(OsString::from_vec(unescape(mount_point)));
    let is_cgroup = matches!(kind, "cgroup" | "cgroup2");
    let mount = is_cgroup.then(|| CgroupMount {
        root: String::from_utf8_lossy(&unescape(root)).into_owned(),
        mount_point: mount_point.clone(),
        read_only: flags.split(',').any(|flag| flag == "ro") || options.iter().any(|option| option == "ro"),
        unified: kind == "cgroup2",
        options,
    });
    Some((mount_point, mount))
}

/// The kernel writes blank, tab, newline, backslash and `#` as a backslash and three octal digits.
fn unescape(text: &str) -> Vec<u8> {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while at < bytes.len() {
        match octal(&bytes[at..]) {
            Some(byte) => {
                out.push(byte);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    out
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = bytes.get(..4)? else { return None };
    digits.iter().try_fold(0u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
23 27 0:22 / /sys rw,relatime - sysfs sysfs rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/ab /sys/fs/cgroup/memory ro,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn only_cgroup_mounts_are_taken() {
        let mounts = parse(HYBRID).unwrap();
        let seen: Vec<_> = mounts.iter().map(|mount| (mount.root.as_str(), mount.unified, mount.read_only)).collect();
        assert_eq!(seen, [("/", false, false), ("/docker/ab", false, true), ("/", true, false)]);
        assert_eq!(mounts[0].options, ["rw", "cpu", "cpuacct"]);
    }

    #[test]
    fn octal_escapes_are_undone() {
        let line = r"35 31 0:32 /a\134b /mnt/with\040blank\011and\012lines rw - cgroup2 none rw";
        let mounts = parse(line).unwrap();
        assert_eq!(mounts[0].mount_point, PathBuf::from("/mnt/with blank\tand\nlines"));
        assert_eq!(mounts[0].root, r"/a\b");
        assert_eq!(unescape(r"\04x\999\777\"), br"\04x\999\777\");
    }

    #[test]
    fn a_mount_over_another_hides_it() {
        let text = "1 0 0:1 / /c rw - cgroup2 cgroup2 rw\n2 1 0:2 / /c rw - tmpfs tmpfs rw\n";
        assert_eq!(parse(text).unwrap(), []);
    }

    #[test]
    fn a_line_of_another_form_is_named() {
        assert_eq!(parse("1 0 0:1 / /c rw cgroup2").unwrap_err(), "1 0 0:1 / /c rw cgroup2");
    }
}
