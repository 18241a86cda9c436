//! Compiles the built-in policies once, so that no start of a box reads their TOML.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The built-in policies.
const POLICIES: [&str; 3] = ["default", "strict", "open"];

fn main() -> Result<(), Box<dyn Error>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policies");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let mut compiled = String::from("&[\n");
    for name in POLICIES {
        let file = source.join(name).with_extension("toml");
        println!("cargo::rerun-if-changed={}", file.display());
        let entries =
            entries(&fs_err::read_to_string(&file)?).map_err(|error| format!("{}: {error}", file.display()))?;
        let path = file.canonicalize()?;
        writeln!(compiled, "Builtin {{ name: {name:?}, text: include_str!({path:?}), entries: &[\n{entries}] }},")?;
    }
    compiled.push_str("]\n");
    fs_err::write(out.join("policies.rs"), compiled)?;
    Ok(())
}

/// An expression for each key of a policy.
fn entries(text: &str) -> Result<String, Box<dyn Error>> {
    let mut entries = String::new();
    for (key, value) in &text.parse::<Table>()? {
        let (items, is_list) = match value {
            Value::Array(items) => (items.as_slice(), true),
            value => (std::slice::from_ref(value), false),
        };
        let items = items.iter().map(|item| typed(key, item)).collect::<Result<Vec<_>, _>>()?;
        writeln!(entries, "    Entry {{ key: {key:?}, items: &{items:?}, is_list: {is_list} }},")?;
    }
    Ok(entries)
}

/// A value as it is typed on a command line.
fn typed(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Boolean(switch) => Ok(switch.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => Err(format!("`{key}` has no built-in form")),
    }
}
