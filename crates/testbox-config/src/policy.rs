//! Policies: named, commented files of defaults; three are compiled in.

use std::path::Path;

use testbox_model::Origin;

use crate::anchor::{Base, Tilde};
use crate::element::{self, NameOrFile};
use crate::place::Given;
use crate::project::Project;
use crate::project_file::read_regular;
use crate::slot::{Raw, RawItem};
use crate::toml_source::{Kind, Source};
use crate::{ConfigError, Layer};

/// The policy that holds where none is named, and that says every key.
pub(crate) const DEFAULT: &str = "default";

/// The policies that are compiled in, as the build script read them.
const BUILTIN: &[Builtin] = include!(concat!(env!("OUT_DIR"), "/policies.rs"));

/// A policy that is compiled in.
struct Builtin {
    name: &'static str,
    /// Its file, for people.
    text: &'static str,
    /// What the file says.
    entries: &'static [Entry],
}

/// What a policy says for one key.
struct Entry {
    key: &'static str,
    items: &'static [&'static str],
    is_list: bool,
}

/// The names of the policies that are compiled in.
pub fn policy_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|builtin| builtin.name)
}

/// The text of a policy that is compiled in.
pub fn policy_text(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|builtin| builtin.name == name).map(|builtin| builtin.text)
}

/// The default policy: what holds where nobody says anything.
///
/// # Errors
/// None but faults of testbox: the default policy is compiled in and tested.
pub fn defaults() -> Result<Layer, ConfigError> {
    builtin(DEFAULT)
}

/// The settings of the policy, standing on those of the default policy. Its relative paths are the project's.
pub(crate) fn load(
    chosen: Option<&Given<'_, NameOrFile>>,
    project: &Project,
    home: Option<&Path>,
) -> Result<Layer, ConfigError> {
    let base = defaults()?;
    let layer = match chosen {
        None => base,
        Some(given) => read(given)?.instead_of(base),
    };
    layer.anchored(Base { folder: &project.root, tilde: Tilde::Home(home) })
}

fn read(given: &Given<'_, NameOrFile>) -> Result<Layer, ConfigError> {
    match given.value() {
        NameOrFile::Name(name) if policy_text(name).is_some() => builtin(name),
        NameOrFile::Name(name) => {
            let names: Vec<&str> = policy_names().collect();
            Err(ConfigError::value(given.place(), element::unknown("policy", name, &names)))
        }
        NameOrFile::File(path) if path.symlink_metadata().is_err() => {
            Err(ConfigError::PathMissing { place: given.place(), path: path.clone() })
        }
        NameOrFile::File(path) => {
            let text = read_regular(path)?;
            Ok(Source { kind: Kind::PolicyFile(path), text: &text }.read(&[])?.unwrap_or_default())
        }
    }
}

fn builtin(name: &str) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    let origin = Origin::Policy(name.to_owned());
    for entry in BUILTIN.iter().filter(|builtin| builtin.name == name).flat_map(|builtin| builtin.entries) {
        let item = |text: &&str| RawItem { text: (*text).to_owned(), origin: origin.clone() };
        let items = entry.items.iter().map(item).collect();
        layer.set(entry.key, Raw { origin: origin.clone(), items, is_list: entry.is_list })?;
    }
    Ok(layer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Scope;

    fn said(name: &str) -> Vec<&'static str> {
        let layer = builtin(name).unwrap();
        Layer::KEYS.iter().map(|key| key.name).filter(|key| layer.text(key).is_some()).collect()
    }

    #[test]
    fn the_default_policy_says_every_key_that_a_policy_may_say() {
        let keys = Layer::KEYS.iter().filter(|key| key.scope != Scope::Project);
        assert_eq!(said(DEFAULT), keys.map(|key| key.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_compiled_policy_says_what_its_file_says() {
        for name in policy_names() {
            let kind = Kind::PolicyFile(Path::new(name));
            let file = Source { kind, text: policy_text(name).unwrap() }.read(&[]).unwrap().unwrap();
            let compiled = builtin(name).unwrap();
            assert!(file.quota.is_none());
            for key in Layer::KEYS {
                assert_eq!(compiled.text(key.name), file.text(key.name), "policy {name}, {}", key.name);
            }
        }
    }

    #[test]
    fn the_other_policies_say_only_what_differs() {
        let default = builtin(DEFAULT).unwrap();
        for name in ["strict", "open"] {
            let policy = builtin(name).unwrap();
            assert!(!said(name).is_empty());
            for key in said(name) {
                assert_ne!(policy.text(key), default.text(key), "policy {name} repeats {key} of the default");
            }
        }
    }

    #[test]
    fn no_policy_passes_secrets_by_name_but_the_open_one() {
        for name in [DEFAULT, "strict"] {
            let env = builtin(name).unwrap().instead_of(builtin(DEFAULT).unwrap()).text("env").unwrap();
            for word in env.split(' ') {
                assert!(
                    word != "*" && !["TOKEN", "SECRET", "KEY", "PASS"].iter().any(|bad| word.contains(bad)),
                    "{word}"
                );
            }
        }
    }
}
