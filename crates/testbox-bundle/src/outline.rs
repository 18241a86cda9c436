//! What of a bundle has to be known outside of the process that builds its box.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::bundle::Bundle;

/// A bundle without what only the box itself is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outline {
    /// testbox's pytest plugin is part of it, and its socket has to be passed.
    pub plugin: bool,
    /// How many seccomp filters are loaded.
    pub filters: usize,
    /// As [`Bundle::must_stay_absent`].
    pub must_stay_absent: Vec<PathBuf>,
    /// As [`Bundle::notes`].
    pub notes: Vec<String>,
}

impl Outline {
    /// The outline of this bundle.
    pub fn of(bundle: &Bundle) -> Self {
        Self {
            plugin: bundle.process.plugin,
            filters: bundle.filters.len(),
            must_stay_absent: bundle.must_stay_absent.clone(),
            notes: bundle.notes.clone(),
        }
    }
}
