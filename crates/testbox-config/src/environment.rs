//! The environment: `TESTBOX_*` variables into a layer. They set limits, times, how tests are
//! divided, and reports, never a wall.

use std::ffi::{OsStr, OsString};

use testbox_model::Origin;

use crate::layer::{Key, Scope};
use crate::slot::{Raw, RawItem};
use crate::{ConfigError, Layer};

/// Set inside every box, to its identifier: testbox knows by it that it runs in a box.
pub const INSIDE_VARIABLE: &str = "TESTBOX_BOX";

const PREFIX: &str = "TESTBOX_";

/// Names that belong to testbox's own tests.
const TEST_PREFIX: &str = "TESTBOX_TEST_";

/// The settings in the environment. An empty value counts as not set.
pub(crate) fn read(environment: &[(OsString, OsString)]) -> Result<Layer, ConfigError> {
    let mut layer = Layer::default();
    for (name, value) in environment {
        let name = name.to_string_lossy();
        if is_ours(&name) {
            set(&mut layer, &name, value)?;
        }
    }
    Ok(layer)
}

fn is_ours(name: &str) -> bool {
    name.starts_with(PREFIX) && !name.starts_with(TEST_PREFIX) && name != INSIDE_VARIABLE
}

fn set(layer: &mut Layer, name: &str, value: &OsStr) -> Result<(), ConfigError> {
    let Some(key) = Layer::KEYS.iter().find(|key| key.variable() == name) else { return Err(unknown(name)) };
    if key.scope != Scope::Anywhere {
        return Err(ConfigError::RefusedVariable { name: name.to_owned(), key: key.name });
    }
    let text = value.to_str().ok_or_else(|| ConfigError::NonUtf8Variable {
        name: name.to_owned(),
        value: value.to_string_lossy().into_owned(),
    })?;
    if text.is_empty() {
        return Ok(());
    }
    let origin = Origin::Environment(name.to_owned());
    let items = vec![RawItem { text: text.to_owned(), origin: origin.clone() }];
    layer.set(key.name, Raw { origin, items, is_list: false }).map(drop)
}

fn unknown(name: &str) -> ConfigError {
    let names: Vec<String> =
        Layer::KEYS.iter().filter(|key| key.scope == Scope::Anywhere).map(|key| Key::variable(*key)).collect();
    let nearest = testbox_model::nearest(&name.to_uppercase(), names.iter().map(String::as_str)).map(str::to_owned);
    ConfigError::UnknownVariable { name: name.to_owned(), nearest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, value: &str) -> Result<Layer, ConfigError> {
        read(&[(name.into(), value.into())])
    }

    #[test]
    fn limits_times_and_reports_are_read() {
        let layer = layer("TESTBOX_IO_READ", "10M").unwrap();
        assert_eq!(layer.io_read.unwrap().origin, Origin::Environment("TESTBOX_IO_READ".to_owned()));
    }

    #[test]
    fn walls_are_refused() {
        for name in [
            "POLICY",
            "SECCOMP",
            "ALLOW_DEGRADED",
            "NET",
            "RO",
            "RW",
            "HIDE",
            "WRITE",
            "ENV",
            "OUTPUT",
            "CWD",
            "TTY",
            "RAW_OUTPUT",
        ] {
            let error = layer(&format!("TESTBOX_{name}"), "x").unwrap_err();
            assert!(matches!(error, ConfigError::RefusedVariable { .. }), "{name}");
            assert!(error.hint().unwrap().contains("--"), "{name}");
        }
    }

    #[test]
    fn unknown_names_and_wrong_values_are_errors() {
        let error = layer("TESTBOX_MEMROY", "1G").unwrap_err().to_string();
        assert_eq!(error, "unknown environment variable `TESTBOX_MEMROY`; did you mean `TESTBOX_MEMORY`?");
        let error = layer("TESTBOX_MEMORY", "lots").unwrap_err().to_string();
        assert!(error.starts_with("`TESTBOX_MEMORY`: `lots` is not a size"), "{error}");
    }

    #[test]
    fn other_names_and_empty_values_are_no_matter() {
        for (name, value) in [
            ("TESTBOX_TEST_MUST", "root"),
            ("TESTBOX_BOX", "testbox-1-2-3"),
            ("TESTBOXES", "x"),
            ("HOME", "/"),
            ("TESTBOX_MEMORY", ""),
        ] {
            assert!(layer(name, value).unwrap().memory.is_none(), "{name}");
        }
    }
}
