//! The packages: built from the static binary, looked into, installed into folders of their own, and run from there.

use std::path::{Path, PathBuf};

use crate::cache::{Cache, is_root};
use crate::dist::{self, Options, SUMS, VERSION};
use crate::error::Error;
use crate::program::Program;
use crate::setup;
use crate::test::checks::{self, Check, Tools, Unmet, expect, program};
use crate::test::part::{Context, Outcome};
use crate::workspace::Workspace;

/// What was built, and where there is room.
struct Built<'a> {
    workspace: &'a Workspace,
    tools: Tools,
    out: PathBuf,
    deb: PathBuf,
    wheel: PathBuf,
}

/// The checks, cheap ones first.
fn all<'a>() -> [Check<Built<'a>>; 7] {
    [
        Check { name: "checksums", unmet: |_| program("sha256sum"), run: checksums },
        Check { name: "the same parts give the same packages", unmet: |_| program("dpkg-deb"), run: reproducible },
        Check { name: "files of the Debian package", unmet: |_| program("dpkg-deb"), run: deb_files },
        Check { name: "the Debian package is installed, runs and is removed", unmet: dpkg_as_root, run: deb_installed },
        Check { name: "lintian finds no error", unmet: |_| program("lintian"), run: lintian },
        Check { name: "pip installs the wheel", unmet: |_| program("python3"), run: wheel_by_pip },
        Check { name: "uv runs the wheel", unmet: |built| built.tools.unmet("uv"), run: wheel_by_uv },
    ]
}

/// Builds all packages and does the checks.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let workspace = context.workspace;
    if let Some(Unmet { need, why }) = program("dpkg-deb") {
        let why = format!("packages are built on Debian and its descendants: {why}");
        return Ok(if checks::is_a_must(need) { Outcome::failed(why) } else { Outcome::not_run(why) });
    }
    let out = Cache::open(workspace)?.fresh("packages")?;
    let binary = std::env::var_os("TESTBOX_TEST_STATIC").map(PathBuf::from);
    let files = dist::make(workspace, &Options { deb: true, wheel: true, binary, out: Some(out.clone()) })?;
    let ending = |ending: &str| {
        let found = files.iter().find(|file| file.to_string_lossy().ends_with(ending)).cloned();
        found.ok_or_else(|| Error::NotAsExpected { complaint: format!("no {ending} among {files:?}") })
    };
    let built = Built { workspace, tools: Tools::of(workspace), deb: ending(".deb")?, wheel: ending(".whl")?, out };
    Ok(checks::run(&all(), &built))
}

fn checksums(built: &Built<'_>) -> Result<(), Error> {
    Program::new("sha256sum").args(["--check", "--strict", SUMS]).dir(&built.out).stdout().map(drop)
}

fn reproducible(built: &Built<'_>) -> Result<(), Error> {
    let out = built.out.join("again");
    let binary = Some(built.out.join(format!("testbox-{VERSION}-x86_64-unknown-linux-gnu")));
    dist::make(built.workspace, &Options { deb: true, wheel: true, binary, out: Some(out.clone()) })?;
    let sums = |folder: &Path| fs_err::read_to_string(folder.join(SUMS));
    let (first, second) = (sums(&built.out)?, sums(&out)?);
    expect(first == second, || format!("first:\n{first}second:\n{second}"))
}

fn deb_files(built: &Built<'_>) -> Result<(), Error> {
    let listed = Program::new("dpkg-deb").arg("--contents").arg(&built.deb).stdout()?;
    for path in [
        "usr/bin/testbox",
        "usr/share/man/man1/testbox.1.gz",
        "usr/share/man/man1/testbox-run.1.gz",
        "usr/share/bash-completion/completions/testbox",
        "usr/share/zsh/vendor-completions/_testbox",
        "usr/share/fish/vendor_completions.d/testbox.fish",
        "usr/share/testbox/apparmor/testbox",
        "usr/share/doc/testbox/copyright",
    ] {
        expect(listed.lines().any(|line| line.ends_with(&format!(" ./{path}"))), || format!("no {path} in\n{listed}"))?;
    }
    let odd = listed.lines().find(|line| {
        let plain = ["drwxr-xr-x root/root", "-rw-r--r-- root/root"].iter().any(|start| line.starts_with(start));
        let program = line.starts_with("-rwxr-xr-x root/root") && line.ends_with(" ./usr/bin/testbox");
        !(plain || program)
    });
    expect(odd.is_none(), || format!("unexpected owner or mode: {odd:?}"))?;
    let version = Program::new("dpkg-deb").arg("--field").arg(&built.deb).arg("Version").stdout()?;
    expect(version.trim() == VERSION, || format!("the package's version is {version}"))
}

fn dpkg_as_root(_: &Built<'_>) -> Option<Unmet> {
    let not_root = || (!is_root()).then(|| Unmet { need: "root", why: "not root".to_owned() });
    program("dpkg").or_else(not_root)
}

/// Into a root of its own, once on a system whose AppArmor knows the profile's rule and once on one without.
fn deb_installed(built: &Built<'_>) -> Result<(), Error> {
    for has_apparmor in [false, true] {
        let root = built.out.join(format!("root-{has_apparmor}"));
        let profile = root.join("etc/apparmor.d/testbox");
        fs_err::create_dir_all(root.join("var/lib/dpkg/updates"))?;
        fs_err::write(root.join("var/lib/dpkg/status"), "")?;
        if has_apparmor {
            fs_err::create_dir_all(root.join("etc/apparmor.d/abi"))?;
            fs_err::write(root.join("etc/apparmor.d/abi/4.0"), "")?;
        }
        let dpkg = || {
            let log = format!("--log={}", root.join("dpkg.log").display());
            Program::new("dpkg").arg(format!("--root={}", root.display())).args(["--force-script-chrootless", &log])
        };
        dpkg().arg("--install").arg(&built.deb).stdout()?;
        let version = Program::new(root.join("usr/bin/testbox")).clean_env().arg("--version").stdout()?;
        expect(version == format!("testbox {VERSION}\n"), || format!("it says `{version}`"))?;
        expect(profile.exists() == has_apparmor, || format!("{} exists: {}", profile.display(), !has_apparmor))?;
        dpkg().args(["--remove", "testbox"]).stdout()?;
        for left in [root.join("usr/bin/testbox"), profile] {
            expect(!left.exists(), || format!("{} is left after the removal", left.display()))?;
        }
    }
    Ok(())
}

fn lintian(built: &Built<'_>) -> Result<(), Error> {
    let lintian = Program::new("lintian").args(["--fail-on", "error", "--allow-root", "--tag-display-limit", "0"]);
    lintian.arg(&built.deb).stdout().map(drop)
}

fn wheel_by_pip(built: &Built<'_>) -> Result<(), Error> {
    let venv = built.out.join("venv");
    let python = setup::python((3, 8))?;
    Program::new(python).args(["-m", "venv"]).arg(&venv).stdout()?;
    let pip = || {
        let pip =
            Program::new(venv.join("bin/python")).args(["-m", "pip", "--no-input", "--disable-pip-version-check"]);
        pip.env("PIP_ROOT_USER_ACTION", "ignore")
    };
    pip().args(["install", "--quiet", "--no-index"]).arg(&built.wheel).stdout()?;
    let version = Program::new(venv.join("bin/testbox")).clean_env().arg("--version").stdout()?;
    expect(version == format!("testbox {VERSION}\n"), || format!("it says `{version}`"))?;
    pip().arg("check").stdout()?;
    pip().args(["uninstall", "--quiet", "--yes", "testbox"]).stdout()?;
    expect(!venv.join("bin/testbox").exists(), || "the program is left after `pip uninstall`".to_owned())
}

fn wheel_by_uv(built: &Built<'_>) -> Result<(), Error> {
    let cache = built.out.join("uv-cache");
    let run = built.tools.program("uv")?.args(["tool", "run", "--offline", "--no-config", "--cache-dir"]).arg(cache);
    let version = run.arg("--from").arg(&built.wheel).args(["testbox", "--version"]).clean_env().stdout()?;
    expect(version == format!("testbox {VERSION}\n"), || format!("it says `{version}`"))
}
