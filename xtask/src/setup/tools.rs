//! Programs that come from the distribution's packages.

use std::path::{Path, PathBuf};

use crate::cache::is_root;
use crate::error::Error;
use crate::program::Program;
use crate::setup::say;

/// A program, the package that has it, and what it is for.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

/// What setup, demo, test and bench need.
pub(crate) const ALWAYS: [Tool; 7] = [
    Tool { program: "cc", package: "gcc", why: "links Rust programs" },
    Tool { program: "timeout", package: "coreutils", why: "the outer time limit of each part of the tests" },
    Tool { program: "setpriv", package: "util-linux", why: "runs the ordinary user's half of tests and benchmark" },
    Tool { program: "python3", package: "python3", why: "runs the sample and the twin projects" },
    Tool { program: "bwrap", package: "bubblewrap", why: "the yardstick of the benchmark" },
    Tool {
        program: "fuse-overlayfs",
        package: "fuse-overlayfs",
        why: "shows projects of which the kernel makes no overlay",
    },
    Tool { program: "runc", package: "runc", why: "runs exported bundles unchanged, in tests and benchmark" },
];

/// What the guest needs beside them.
pub(crate) const FOR_THE_GUEST: [Tool; 2] = [
    Tool { program: "mmdebstrap", package: "mmdebstrap", why: "unpacks the guest's Debian" },
    Tool { program: "mke2fs", package: "e2fsprogs", why: "makes the guest's disk" },
];

/// Says what is there; installs what is missing if that is wanted and possible.
pub(crate) fn check(tools: &[Tool], install: bool) -> Result<(), Error> {
    let (found, missing): (Vec<&Tool>, Vec<&Tool>) = tools.iter().partition(|tool| find(tool.program).is_some());
    for tool in found {
        say("tools", &format!("{}: found", tool.program));
    }
    for tool in &missing {
        say("tools", &format!("{}: missing ({})", tool.program, tool.why));
    }
    let packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    if missing.is_empty() || (install && apt_install(&packages)?) {
        return Ok(());
    }
    let missing = missing.iter().map(|tool| format!("{} ({})", tool.program, tool.why)).collect();
    Err(Error::MissingPrograms { missing, packages: packages.into_iter().map(str::to_owned).collect() })
}

/// Installs packages by apt-get; `false` if this is not root or not such a system.
pub(crate) fn apt_install(packages: &[&str]) -> Result<bool, Error> {
    if !is_root() || find("apt-get").is_none() {
        return Ok(false);
    }
    say("tools", &format!("apt-get install {}", packages.join(" ")));
    if apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat()).is_err() {
        apt_get(&["update"])?;
        apt_get(&[&["install", "-y", "--no-install-recommends"], packages].concat())?;
    }
    Ok(true)
}

fn apt_get(args: &[&str]) -> Result<(), Error> {
    Program::new("apt-get").arg("-qq").args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout().map(drop)
}

/// Where a program lies: in PATH, or in the folders of administrators' programs that PATH often lacks.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from)).collect();
    dirs.iter().map(|dir| dir.join(program)).find(|file| Path::is_file(file))
}
