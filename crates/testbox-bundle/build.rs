//! Compiles the seccomp policies and the image's lists once, so that no start of a box pays for it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The same sources that compile a user's policy, so that both are read and compiled alike.
#[path = "src/seccomp"]
mod seccomp {
    pub(crate) mod policy;
    pub(crate) mod program;
    pub(crate) mod table;
}

use seccomp::policy::{Filter, Policy};
use seccomp::program;

/// The lists of the root file system.
const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images/base.toml");
/// Each after the one that it extends.
const POLICIES: [&str; 3] = ["open", "default", "strict"];

/// The filters of each policy, after those of the policies below it.
type Known = BTreeMap<&'static str, Vec<Filter>>;

fn main() -> Result<(), Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies/seccomp");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut known = Known::new();
    let mut list = String::from("&[\n");
    for name in POLICIES {
        let json = fs_err::read_to_string(source.join(name).with_extension("json"))?;
        let policy = Policy::parse(&json).map_err(|error| format!("policies/seccomp/{name}.json: {error}"))?;
        let extends = policy.extends.clone();
        let filters = stack(policy, &known)?;
        writeln!(list, "Builtin {{ name: {name:?}, extends: {extends:?}, json: {json:?},")?;
        writeln!(list, "programs: {} }},", write_programs(name, &filters, &out)?)?;
        known.insert(name, filters);
    }
    list.push_str("]\n");
    fs_err::write(out.join("builtin.rs"), list)?;
    compile_image(&out)?;
    tell_cargo(&source);
    Ok(())
}

/// The filters of a policy, after those of the policies below it.
fn stack(policy: Policy, known: &Known) -> Result<Vec<Filter>, Box<dyn Error>> {
    let mut filters = match policy.extends {
        Some(name) => {
            known.get(name.as_str()).ok_or_else(|| format!("`{name}` is not a policy before this one"))?.clone()
        }
        None => Vec::new(),
    };
    filters.extend(policy.filters.into_iter().map(|(_, filter)| filter));
    Ok(filters)
}

/// Writes the programs of a policy to files; returns the expression that includes them.
fn write_programs(name: &str, filters: &[Filter], out: &Path) -> Result<String, Box<dyn Error>> {
    let mut list = String::from("&[");
    for (position, program) in program::compile(filters)?.iter().enumerate() {
        let path = out.join(format!("{name}.{position}.bpf"));
        fs_err::write(&path, program)?;
        write!(list, "include_bytes!({path:?}), ")?;
    }
    list.push(']');
    Ok(list)
}

/// The same values in a form that is read five times as fast.
fn compile_image(out: &Path) -> Result<(), Box<dyn Error>> {
    let image: toml::Table = fs_err::read_to_string(IMAGE)?.parse()?;
    Ok(fs_err::write(out.join("image.json"), serde_json::to_vec(&image)?)?)
}

fn tell_cargo(source: &Path) {
    println!("cargo::rerun-if-changed={IMAGE}");
    for watched in ["build.rs", "src/seccomp/policy.rs", "src/seccomp/program.rs", "src/seccomp/table.rs"] {
        println!("cargo::rerun-if-changed={watched}");
    }
    println!("cargo::rerun-if-changed={}", source.display());
}
