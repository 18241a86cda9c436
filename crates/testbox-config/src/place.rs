//! Where a value was typed, as errors show it: `--memory`, `TESTBOX_MEMORY`, `testbox.toml:3: memory`.

use std::fmt;

use testbox_model::{Origin, Setting};

use crate::{ConfigError, One, Typed};

/// A key, and where it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where.
    pub origin: Origin,
    /// The key, as in files.
    pub key: &'static str,
}

/// One value that was given, with its key: what resolving starts from.
#[derive(Debug)]
pub(crate) struct Given<'a, T> {
    pub(crate) key: &'static str,
    pub(crate) setting: &'a Setting<Typed<T>>,
}

impl Place {
    /// A key typed there.
    pub fn new(origin: Origin, key: &'static str) -> Self {
        Self { origin, key }
    }

    /// The value with its place: `--memory 64G`, `testbox.toml:3: memory = 64G`.
    pub fn with_value(&self, text: &str) -> String {
        match &self.origin {
            Origin::Flag(flag) => format!("`{flag} {text}`"),
            Origin::Environment(name) => format!("`{name}={text}`"),
            other => format!("{}: `{} = {text}`", file(other), self.key),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Flag(name) | Origin::Environment(name) => write!(f, "`{name}`"),
            other => write!(f, "{}: `{}`", file(other), self.key),
        }
    }
}

fn file(origin: &Origin) -> String {
    match origin {
        Origin::Policy(name) => format!("policy `{name}`"),
        other => other.to_string(),
    }
}

/// The value of a key that some layer must have given; the default policy gives all of these.
pub(crate) fn given<'a, T>(key: &'static str, slot: &'a One<T>) -> Result<Given<'a, T>, ConfigError> {
    slot.as_ref().map(|setting| Given { key, setting }).ok_or(ConfigError::Incomplete { key })
}

impl<'a, T> Given<'a, T> {
    pub(crate) fn value(&self) -> &'a T {
        &self.setting.value.value
    }

    pub(crate) fn text(&self) -> &'a str {
        &self.setting.value.text
    }

    pub(crate) fn place(&self) -> Place {
        Place::new(self.setting.origin.clone(), self.key)
    }

    /// `--memory 64G`.
    pub(crate) fn with_value(&self) -> String {
        self.place().with_value(self.text())
    }

    /// What was resolved from it, from the same origin.
    pub(crate) fn resolved<U>(&self, value: U) -> Setting<U> {
        Setting::new(value, self.setting.origin.clone())
    }
}
