//! The built-in policies, compiled by the build script and embedded.

use super::error::SeccompError;
use super::policy::{Filter, Policy};

/// A built-in policy.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// Its name.
    pub(crate) name: &'static str,
    /// The built-in policy below it.
    pub(crate) extends: Option<&'static str>,
    /// Its source.
    pub(crate) json: &'static str,
    /// The programs of its filters and of those below it.
    pub(crate) programs: &'static [&'static [u8]],
}

impl Builtin {
    /// All of them, each after the one that it extends.
    pub(crate) const ALL: &[Self] = include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

    /// The policy of this name.
    pub(crate) fn find(name: &str) -> Result<&'static Self, SeccompError> {
        let found = Self::ALL.iter().find(|builtin| builtin.name == name);
        found.ok_or_else(|| SeccompError::Unknown { name: name.to_owned() })
    }

    /// Its filters, those of the policies below it first.
    pub(crate) fn filters(&self) -> Result<Vec<Filter>, SeccompError> {
        let mut filters = self.extends.map_or(Ok(Vec::new()), |name| Self::find(name)?.filters())?;
        filters.extend(self.policy()?.filters.into_iter().map(|(_, filter)| filter));
        Ok(filters)
    }

    /// Its source, read.
    pub(crate) fn policy(&self) -> Result<Policy, SeccompError> {
        let origin = || format!("{} (built in)", self.name);
        Policy::parse(self.json).map_err(|source| SeccompError::Parse { origin: origin(), source })
    }
}
