//! `cargo xtask dist`: the static binary that users get.

use std::path::PathBuf;

use crate::error::Error;
use crate::program::cargo;
use crate::workspace::Workspace;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Builds it and prints where it lies and how large it is.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Error> {
    let binary = build(workspace)?;
    let bytes = fs_err::metadata(&binary)?.len();
    println!("{}: {:.2} MiB ({bytes} bytes)", workspace.short(&binary), bytes as f64 / f64::from(1 << 20));
    Ok(())
}

/// Builds it: no shared library needed, fat LTO, a few minutes.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf, Error> {
    cargo()
        .args(["build", "--locked", "--package", "testbox", "--profile", "dist", "--target", TARGET])
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .dir(&workspace.root)
        .stream()?;
    Ok(workspace.target.join(TARGET).join("dist/testbox"))
}
