//! `verbosity`, `no-color`, `tty`, `raw-output`: how the run appears on the terminal.

use std::ffi::OsString;
use std::str::FromStr;

use testbox_model::{Origin, Setting, Terminal, UnitError};

use crate::place::given;
use crate::slot::One;
use crate::typed::wrong;
use crate::{ConfigError, Layer, Switch};

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
    let verbosity = given("verbosity", &layer.verbosity)?;
    Ok(Terminal {
        verbosity: verbosity.resolved(verbosity.value().0),
        color: color(layer, environment)?,
        tty: switch("tty", &layer.tty)?,
        raw_output: switch("raw-output", &layer.raw_output)?,
    })
}

fn color(layer: &Layer, environment: &[(OsString, OsString)]) -> Result<Setting<bool>, ConfigError> {
    let Setting { value: no_color, origin } = switch("no-color", &layer.no_color)?;
    let asked = environment.iter().any(|(name, value)| name == "NO_COLOR" && !value.is_empty());
    Ok(match asked && !no_color {
        true => Setting::new(false, Origin::Environment("NO_COLOR".to_owned())),
        false => Setting::new(!no_color, origin),
    })
}

fn switch(key: &'static str, slot: &One<Switch>) -> Result<Setting<bool>, ConfigError> {
    let switch = given(key, slot)?;
    Ok(switch.resolved(switch.value().0))
}

/// The word for a level; what is beyond the loudest word is as loud.
pub(crate) fn verbosity_word(level: i8) -> &'static str {
    WORDS.into_iter().rev().find(|(_, least)| level >= *least).map_or(WORDS[0].0, |(word, _)| word)
}
