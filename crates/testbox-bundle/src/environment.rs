//! The environment of the command: rules over the caller's variables, then what the box itself says.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use testbox_model::{EnvRule, RunPlan};

use crate::host::Host;
use crate::python::Python;

const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// The whole environment, sorted by name. Weakest first: defaults, passed variables, what the box says, `NAME=VALUE` rules.
pub(crate) fn build(
    plan: &RunPlan,
    host: &Host,
    python: &Python,
    home: &Path,
    user: &str,
) -> Vec<(OsString, OsString)> {
    let mut variables: BTreeMap<OsString, OsString> = BTreeMap::new();
    variables.insert("LANG".into(), "C.UTF-8".into());
    variables.insert("TERM".into(), host.env("TERM").unwrap_or(OsStr::new("dumb")).to_owned());
    variables.extend(passed(plan, host));
    for (name, value) in [("USER", user), ("LOGNAME", user), ("SHELL", "/bin/sh"), ("TMPDIR", "/tmp")] {
        variables.insert(name.into(), value.into());
    }
    variables.insert("HOME".into(), home.into());
    variables.insert("PATH".into(), path(&python.bin_folders));
    for name in ["VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME"] {
        variables.remove(OsStr::new(name));
    }
    variables.extend(python.variables.iter().map(|(name, path)| (OsString::from(name), path.into())));
    for rule in &plan.env.value {
        if let EnvRule::Set { name, value } = rule {
            variables.insert(name.into(), value.into());
        }
    }
    variables.insert("TESTBOX_BOX".into(), "1".into());
    variables.into_iter().collect()
}

/// The PYTHONPATH that the command will get.
pub(crate) fn python_path(plan: &RunPlan, host: &Host) -> Option<OsString> {
    let set = plan.env.value.iter().rev().find_map(|rule| match rule {
        EnvRule::Set { name, value } if name == "PYTHONPATH" => Some(OsString::from(value)),
        _ => None,
    });
    set.or_else(|| passed(plan, host).find(|(name, _)| name == "PYTHONPATH").map(|(_, value)| value))
}

/// The caller's variables that a rule passes.
fn passed(plan: &RunPlan, host: &Host) -> impl Iterator<Item = (OsString, OsString)> {
    let rules = plan.env.value.iter().filter_map(|rule| match rule {
        EnvRule::Pass(pattern) => Some(pattern.as_str()),
        EnvRule::Set { .. } => None,
    });
    let rules: Vec<&str> = rules.collect();
    let matching = host.environment.iter().filter(move |(name, _)| rules.iter().any(|rule| matches(rule, name)));
    matching.cloned()
}

/// `NAME`, or `PREFIX*`.
fn matches(rule: &str, name: &OsStr) -> bool {
    match rule.strip_suffix('*') {
        Some(prefix) => name.as_bytes().starts_with(prefix.as_bytes()),
        None => name == rule,
    }
}

fn path(first: &[PathBuf]) -> OsString {
    let mut path = OsString::new();
    for folder in first.iter().filter(|folder| !folder.as_os_str().as_bytes().contains(&b':')) {
        path.push(folder);
        path.push(":");
    }
    path.push(SYSTEM_PATH);
    path
}
