//! `cargo xtask dist`: what users get: the static binary, a Debian package, a wheel, and the checksums of all.

mod deb;
mod elf;
mod wheel;

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::Error;
use crate::program::{Program, cargo};
use crate::workspace::Workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The version of all packages: that of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The file with the checksums, as `sha256sum --check` reads it.
pub(crate) const SUMS: &str = "SHA256SUMS";

/// Options of `dist`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Also make a Debian package; its maintainer is who DEBFULLNAME and DEBEMAIL name, where they are set
    #[arg(long)]
    pub(crate) deb: bool,
    /// Also make a wheel for pip and uv
    #[arg(long)]
    pub(crate) wheel: bool,
    /// Package this static binary instead of building one
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
    /// The folder for all files [default: dist in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// What a package is made of.
struct Parts<'a> {
    workspace: &'a Workspace,
    /// The static binary.
    binary: &'a Path,
    /// Where packages go.
    out: &'a Path,
    /// The time that all files get, in seconds since the epoch.
    epoch: u64,
}

/// Makes everything that was asked for and prints where it lies and how large it is.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<(), Error> {
    for file in make(workspace, options)? {
        let bytes = fs_err::metadata(&file)?.len();
        println!("{}: {:.2} MiB ({bytes} bytes)", workspace.short(&file), bytes as f64 / f64::from(1 << 20));
    }
    Ok(())
}

/// Makes everything that was asked for; the binary first, the checksums last.
pub(crate) fn make(workspace: &Workspace, options: &Options) -> Result<Vec<PathBuf>, Error> {
    let built = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(workspace)?,
    };
    elf::check_static(&built)?;
    let out = options.out.clone().unwrap_or_else(|| workspace.target.join("dist"));
    fs_err::create_dir_all(&out)?;
    let binary = out.join(format!("testbox-{VERSION}-{TARGET}"));
    fs_err::copy(&built, &binary)?;
    let parts = Parts { workspace, binary: &binary, out: &out, epoch: epoch(workspace)? };
    let mut files = vec![binary.clone()];
    if options.deb {
        files.push(deb::make(&parts)?);
    }
    if options.wheel {
        files.push(wheel::make(&parts)?);
    }
    files.push(checksums(&out, &files)?);
    Ok(files)
}

/// How it is linked: no shared library is needed, and nothing is relocated, which would cost each start a quarter of a
/// millisecond of page faults.
const FLAGS: &str = "-C target-feature=+crt-static -C relocation-model=static";

/// Builds it: with fat LTO, a few minutes.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    cargo()
        .args(["build", "--locked", "--package", "testbox", "--profile", "dist", "--target", TARGET])
        .env("RUSTFLAGS", FLAGS)
        .dir(&workspace.root)
        .stream()?;
    Ok(workspace.target.join(TARGET).join("dist/testbox"))
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), else the time of the commit, so that a commit gives the same packages.
fn epoch(workspace: &Workspace) -> Result<u64, Error> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => Program::new("git").args(["log", "-1", "--format=%ct"]).dir(&workspace.root).stdout()?,
    };
    text.trim().parse().map_err(|_| Error::Value { what: "SOURCE_DATE_EPOCH", value: text.trim().to_owned() })
}

fn checksums(out: &Path, files: &[PathBuf]) -> Result<PathBuf, Error> {
    let mut text = String::new();
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        text.push_str(&format!("{:x}  {name}\n", Sha256::digest(fs_err::read(file)?)));
    }
    let path = out.join(SUMS);
    fs_err::write(&path, text)?;
    Ok(path)
}
