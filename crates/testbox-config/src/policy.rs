//! Policies: named, commented files of defaults; three are compiled in.

use std::path::Path;

use crate::anchor::{Base, Tilde};
use crate::element::{self, NameOrFile};
use crate::place::Given;
use crate::project::Project;
use crate::project_file::read_regular;
use crate::toml_source::{Kind, Source};
use crate::{ConfigError, Layer};

/// The policy that holds where none is named, and that says every key.
pub(crate) const DEFAULT: &str = "default";

/// The policies that are compiled in: name and text.
pub const POLICIES: [(&str, &str); 3] = [
    (DEFAULT, include_str!("../../../policies/default.toml")),
    ("strict", include_str!("../../../policies/strict.toml")),
    ("open", include_str!("../../../policies/open.toml")),
];

/// The text of a policy that is compiled in.
pub fn policy_text(name: &str) -> Option<&'static str> {
    POLICIES.into_iter().find(|(other, _)| *other == name).map(|(_, text)| text)
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
            let names = POLICIES.map(|(name, _)| name);
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
    let text = policy_text(name).unwrap_or_default();
    Ok(Source { kind: Kind::Policy(name), text }.read(&[])?.unwrap_or_default())
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
