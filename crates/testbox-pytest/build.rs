//! Lists the plugin's files, so that a new one cannot be forgotten.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    // Asked when this runs, not when it was compiled: a target folder may serve more than one checkout.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("CARGO_MANIFEST_DIR is not set")?;
    let python = Path::new(&manifest).join("python");
    let folder = python.join("testbox_plugin");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs_err::read_dir(&folder)? {
        files.push(entry?.path());
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in files {
        let name = path.strip_prefix(&python)?.to_str().ok_or("a file name that is no text")?;
        let path = path.to_str().ok_or("a path that is no text")?;
        writeln!(list, "({name:?}, include_str!({path:?})),")?;
    }
    list.push_str("]\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs_err::write(out.join("plugin.rs"), list)?;
    Ok(())
}
