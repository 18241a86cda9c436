//! The Debian package, put together by dpkg-deb: binary, man pages, completions, and the AppArmor profile, which the
//! package's own script installs where AppArmor knows the rule in it.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{Parts, VERSION};
use crate::error::Error;
use crate::program::Program;

const PROGRAM: u32 = 0o755;
const FILE: u32 = 0o644;
/// Shells, and where each looks for completions of packages.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/testbox"),
    ("zsh", "usr/share/zsh/vendor-completions/_testbox"),
    ("fish", "usr/share/fish/vendor_completions.d/testbox.fish"),
];
/// Scripts of the package, from `images/deb`.
const SCRIPTS: [&str; 2] = ["postinst", "prerm"];

/// Writes it; the same parts give the same bytes.
pub(super) fn make(parts: &Parts<'_>) -> Result<PathBuf, Error> {
    let tree = Tree(parts.out.join("deb-tree"));
    if tree.0.exists() {
        fs_err::remove_dir_all(&tree.0)?;
    }
    let images = parts.workspace.root.join("images");
    tree.put("usr/bin/testbox", PROGRAM, &fs_err::read(parts.binary)?)?;
    man_pages(parts, &tree)?;
    for (shell, path) in COMPLETIONS {
        let text = Program::new(parts.binary).args(["completions", shell]).stdout()?;
        tree.put(path, FILE, text.as_bytes())?;
    }
    tree.copy(&images.join("apparmor/testbox"), "usr/share/testbox/apparmor/testbox", FILE)?;
    tree.copy(&images.join("deb/lintian-overrides"), "usr/share/lintian/overrides/testbox", FILE)?;
    tree.put("usr/share/doc/testbox/copyright", FILE, copyright(parts)?.as_bytes())?;
    tree.put("usr/share/doc/testbox/changelog.gz", FILE, &gzipped(changelog(parts)?.as_bytes())?)?;
    tree.put("DEBIAN/md5sums", FILE, md5sums(&tree)?.as_bytes())?;
    for script in SCRIPTS {
        tree.copy(&images.join("deb").join(script), &format!("DEBIAN/{script}"), PROGRAM)?;
    }
    tree.put("DEBIAN/control", FILE, control(parts, &tree)?.as_bytes())?;
    let package = parts.out.join(format!("testbox_{VERSION}_amd64.deb"));
    let built = Program::new("dpkg-deb").args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree.0).arg(&package);
    built.env("SOURCE_DATE_EPOCH", parts.epoch.to_string()).stdout()?;
    fs_err::remove_dir_all(&tree.0)?;
    Ok(package)
}

/// The package's files, as they will be installed.
struct Tree(PathBuf);

impl Tree {
    fn put(&self, path: &str, mode: u32, bytes: &[u8]) -> Result<(), Error> {
        let path = self.0.join(path);
        let folder = path.parent().unwrap_or(&self.0);
        fs_err::create_dir_all(folder)?;
        fs_err::write(&path, bytes)?;
        fs_err::set_permissions(&path, PermissionsExt::from_mode(mode))?;
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&self.0)) {
            fs_err::set_permissions(folder, PermissionsExt::from_mode(PROGRAM))?;
        }
        Ok(())
    }

    fn copy(&self, from: &Path, path: &str, mode: u32) -> Result<(), Error> {
        self.put(path, mode, &fs_err::read(from)?)
    }
}

fn man_pages(parts: &Parts<'_>, tree: &Tree) -> Result<(), Error> {
    let plain = parts.out.join("man-pages");
    Program::new(parts.binary).arg("man").arg(&plain).stdout()?;
    for page in fs_err::read_dir(&plain)? {
        let page = page?;
        let name = format!("usr/share/man/man1/{}.gz", page.file_name().to_string_lossy());
        tree.put(&name, FILE, &gzipped(&fs_err::read(page.path())?)?)?;
    }
    Ok(fs_err::remove_dir_all(&plain)?)
}

/// Without a name and a time in its header.
fn gzipped(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

/// The licence up to the text that every Debian has; Debian wants a year beside the name.
fn copyright(parts: &Parts<'_>) -> Result<String, Error> {
    let license = fs_err::read_to_string(parts.workspace.root.join("LICENSE"))?;
    let without_apache = license.rsplit_once("---").map_or(license.as_str(), |(before, _)| before);
    let dated = without_apache
        .trim_end_matches('-')
        .trim_end()
        .replace("(c) The", &format!("(c) {} The", date(parts, "+%Y")?.trim()));
    Ok(format!("{dated}\n\nThe Apache License, Version 2.0, is in /usr/share/common-licenses/Apache-2.0.\n"))
}

/// The time of all files, in one of the forms of date(1).
fn date(parts: &Parts<'_>, form: &str) -> Result<String, Error> {
    let at = format!("@{}", parts.epoch);
    Program::new("date").args([form, "--utc", "--date", &at]).env("LC_ALL", "C").stdout()
}

/// What debsums compares installed files with.
fn md5sums(tree: &Tree) -> Result<String, Error> {
    let mut files = files_below(&tree.0)?;
    files.sort();
    let names = files.iter().filter_map(|file| file.strip_prefix(&tree.0).ok());
    Program::new("md5sum").args(names).dir(&tree.0).stdout()
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => files.extend(files_below(&entry.path())?),
            false => files.push(entry.path()),
        }
    }
    Ok(files)
}

fn control(parts: &Parts<'_>, tree: &Tree) -> Result<String, Error> {
    let form = fs_err::read_to_string(parts.workspace.root.join("images/deb/control"))?;
    let fields = [("@VERSION@", VERSION), ("@MAINTAINER@", &maintainer()), ("@KIB@", &size_kib(&tree.0)?.to_string())];
    Ok(fields.iter().fold(form, |form, (field, value)| form.replace(field, value)))
}

/// Who answers for a package is whoever builds it, and says so as Debian's own tools are told. The project has no address:
/// without a word of the builder a reserved one stands there, which nobody can mistake for a real one.
fn maintainer() -> String {
    let said = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name = said("DEBFULLNAME").unwrap_or_else(|| "The testbox contributors".to_owned());
    format!("{name} <{}>", said("DEBEMAIL").as_deref().unwrap_or("contributors@testbox.invalid"))
}

/// The form that Debian wants; what changed stands in the project's own changelog.
fn changelog(parts: &Parts<'_>) -> Result<String, Error> {
    Ok(format!(
        "testbox ({VERSION}) unstable; urgency=medium\n\n  * Version {VERSION} of testbox.\n\n \
         -- {}  {}",
        maintainer(),
        date(parts, "--rfc-email")?
    ))
}

/// What the files take on a disk, as Debian counts it: each in whole KiB.
fn size_kib(folder: &Path) -> Result<u64, Error> {
    let mut kib = 0;
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        kib += match entry.file_type()?.is_dir() {
            true => 1 + size_kib(&entry.path())?,
            false => entry.metadata()?.len().div_ceil(1024),
        };
    }
    Ok(kib)
}
