//! `verbosity`, `no-color`, `tty`, `raw-output`: how the run appears on the terminal.

use std::ffi::OsString;
use std::str::FromStr;

use testbox_model::{Terminal, UnitError};

use crate::place::given;
use crate::typed::wrong;
use crate::{ConfigError, Layer};

/// How much testbox says: -1 quiet, 0 normal, 1 verbose, 2 debug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbosity(
    /// The level.
    pub i8,
);

const WORDS: [(&str, i8); 4] = [("quiet", -1), ("normal", 0), ("verbose", 1), ("debug", 2)];

impl FromStr for Verbosity {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let level = WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, level)| Self(level));
        level.ok_or_else(|| {
            let words = WORDS.map(|(word, _)| word);
            wrong(text, "verbosity", words.join(", "), testbox_model::nearest(text, words))
        })
    }
}

/// How the run appears; `environment` is asked for `NO_COLOR` (<https://no-color.org>).
pub(crate) fn resolve(layer: &Layer, environment: &[(OsString, OsString)]) -> Result<Terminal, ConfigError> {
    let no_color = environment.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    Ok(Terminal {
        verbosity: given("verbosity", &layer.verbosity)?.value().0,
        color: !no_color && !given("no-color", &layer.no_color)?.value().0,
        tty: given("tty", &layer.tty)?.value().0,
        raw_output: given("raw-output", &layer.raw_output)?.value().0,
    })
}
