//! Rules about what this project depends on: few packages, none below a safe version, a reason for each.

use std::path::Path;

use serde::Deserialize;

use crate::error::Error;
use crate::test::part::{Context, Outcome};
use crate::workspace::Metadata;

/// Packages in the lock file; libcontainer alone brings about 100.
const MAX_PACKAGES: usize = 250;

/// Packages that guard a wall, with the oldest version that is safe to use and why. Advisory databases do not know all.
const MINIMUM_VERSIONS: [(&str, (u64, u64, u64), &str); 4] = [
    (
        "libcontainer",
        (0, 5, 7),
        "CVE-2025-62161, CVE-2025-62596: masked paths and sysctl files by a verified descriptor",
    ),
    ("libcgroups", (0, 5, 7), "released together with libcontainer"),
    ("tar", (0, 4, 45), "entries that lead out of the folder"),
    ("rustix", (0, 38, 19), "unbounded memory while reading a directory"),
];

/// `Cargo.lock`, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: String,
}

/// Checks all rules.
pub(crate) fn run(context: &Context<'_>) -> Result<Outcome, Error> {
    let root = &context.workspace.root;
    let lock = Lock::read(root)?;
    let mut complaints = lock.complaints();
    let manifest = fs_err::read_to_string(root.join("Cargo.toml"))?;
    complaints
        .extend(without_reason(&manifest).map(|name| format!("Cargo.toml: `{name}` has no comment with its reason")));
    complaints.extend(own_versions(&context.workspace.metadata()?)?);
    Ok(Outcome::complaints(&complaints))
}

impl Lock {
    /// The lock file of the workspace.
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let path = root.join("Cargo.lock");
        let text = fs_err::read_to_string(&path)?;
        toml::from_str(&text).map_err(|source| Error::Toml { path, source })
    }

    /// Number of packages.
    pub(crate) fn len(&self) -> usize {
        self.package.len()
    }

    /// Names that are there in more than one version.
    pub(crate) fn duplicates(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.package.iter().map(|package| package.name.as_str()).collect();
        names.sort_unstable();
        let mut twice: Vec<&str> = names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        twice.dedup();
        twice
    }

    fn complaints(&self) -> Vec<String> {
        let mut complaints = vec![];
        if self.len() > MAX_PACKAGES {
            complaints.push(format!("Cargo.lock has {} packages, more than {MAX_PACKAGES}", self.len()));
        }
        for (name, oldest, why) in MINIMUM_VERSIONS {
            for package in self.package.iter().filter(|package| package.name == name) {
                if version(&package.version) < oldest {
                    let (major, minor, patch) = oldest;
                    let found = &package.version;
                    complaints.push(format!("{name} {found} is older than {major}.{minor}.{patch}: {why}"));
                }
            }
        }
        complaints
    }
}

/// Dependencies of the workspace that no comment stands above, alone or as the head of a block.
fn without_reason(manifest: &str) -> impl Iterator<Item = &str> {
    let lines = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    let mut explained = false;
    lines.take_while(|line| !line.starts_with('[')).filter_map(move |line| {
        explained = line.starts_with('#') || (explained && !line.trim().is_empty());
        let name = line.split_once('=').map(|(name, _)| name.trim());
        name.filter(|_| !explained && !line.starts_with('#'))
    })
}

/// Dependencies that a member pins itself instead of saying `workspace = true`.
fn own_versions(metadata: &Metadata) -> Result<Vec<String>, Error> {
    let mut complaints = vec![];
    for member in metadata.members() {
        let path = &member.manifest_path;
        let text = fs_err::read_to_string(path)?;
        let manifest: toml::Table =
            toml::from_str(&text).map_err(|source| Error::Toml { path: path.clone(), source })?;
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest.get(section).and_then(toml::Value::as_table);
            let own = table.into_iter().flatten().filter(|(_, value)| value.get("workspace").is_none());
            complaints.extend(own.map(|(name, _)| format!("{}: `{name}` needs `workspace = true`", member.name)));
        }
    }
    Ok(complaints)
}

fn version(text: &str) -> (u64, u64, u64) {
    let mut numbers = text.split(['.', '-', '+']).map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let package =
            packages.iter().map(|(name, version)| Locked { name: (*name).into(), version: (*version).into() });
        Lock { package: package.collect() }
    }

    #[test]
    fn old_versions_of_guarded_packages_are_refused_even_beside_newer_ones() {
        let complaints = lock(&[("tar", "0.4.44"), ("tar", "0.4.45"), ("libcontainer", "0.5.10")]).complaints();
        assert_eq!(complaints, ["tar 0.4.44 is older than 0.4.45: entries that lead out of the folder"]);
    }

    #[test]
    fn a_lock_file_that_grows_is_refused() {
        assert!(lock(&[("x", "1.0.0"); 251]).complaints()[0].contains("251 packages"));
        assert_eq!(lock(&[("a", "1.0.0"), ("b", "1.0.0"), ("a", "2.0.0")]).duplicates(), ["a"]);
    }

    #[test]
    fn every_dependency_needs_a_reason_above_it() {
        let manifest = "[workspace.dependencies]\n# Why a and b.\na = \"1\"\nb = \"1\"\n\nc = \"1\"\n[other]\nd = 1\n";
        assert_eq!(without_reason(manifest).collect::<Vec<_>>(), ["c"]);
    }
}
