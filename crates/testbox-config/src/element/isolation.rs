//! `isolate`: which tests share a worker, as typed, and as other values imply it.

use std::cmp::Reverse;
use std::str::FromStr;

use testbox_model::{Isolate, Origin, Setting, UnitError};

use super::strength;
use crate::place::{Given, given};
use crate::typed::wrong;
use crate::{Auto, ConfigError, Layer};

/// Which tests share a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolation(
    /// The division.
    pub Isolate,
);

impl FromStr for Isolation {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse().map(Self).map_err(|_| {
            let accepted = format!("{}, and numbers of tests from 1 to {}", Isolate::WORDS.join(", "), Isolate::MOST);
            wrong(text, "division of tests", accepted, nearest(text).as_deref())
        })
    }
}

fn nearest(text: &str) -> Option<String> {
    match text.parse::<u64>() {
        Ok(0) => Some("test".to_owned()),
        Ok(_) => Some(Isolate::MOST.to_string()),
        Err(_) => testbox_model::nearest(text, Isolate::WORDS).map(str::to_owned),
    }
}

/// What asks for a division of the tests: `isolate` itself, or a value that only some divisions can serve.
struct Wish {
    key: &'static str,
    /// As errors show it: `--test-memory 1G`.
    stated: String,
    origin: Origin,
    division: Isolate,
    /// Any other division with workers serves it as well.
    any: bool,
}

/// The division that the strongest source asks for: by name, or by a value that only some divisions can serve.
///
/// `by_quota` are the divisions of some tests, which may serve such a value as well.
///
/// # Errors
/// Two wishes of one source that cannot both be met.
pub(super) fn resolve(layer: &Layer, by_quota: &[Isolate]) -> Result<Setting<Isolate>, ConfigError> {
    let isolate = given("isolate", &layer.isolate)?;
    let named = isolate.value().0;
    let mut wishes = vec![wish(&isolate, named)];
    wishes.extend(implied(layer)?);
    // Of equals the first one: a name before what is implied, the finer division before the coarser one.
    let strongest = wishes.iter().map(|wish| strength(&wish.origin)).max().unwrap_or(0);
    let mut equals = wishes.iter().filter(|wish| strength(&wish.origin) == strongest);
    let Some(winner) = equals.next() else { return Ok(isolate.resolved(named)) };
    // Whom any worker serves chooses only where nobody else has chosen one.
    let mut ranked: Vec<&Wish> = wishes.iter().collect();
    ranked.sort_by_key(|wish| (wish.any, Reverse(strength(&wish.origin))));
    let served = ranked.into_iter().find(|wish| meets(winner.key, wish.division)).unwrap_or(winner);
    let result = match served.key {
        "isolate" => isolate.resolved(named),
        _ => Setting::new(served.division, Origin::Implied(by(served))),
    };
    let unmet = |wish: &&Wish| !meets(wish.key, result.value) && !by_quota.iter().any(|quota| meets(wish.key, *quota));
    match equals.find(unmet) {
        None => Ok(result),
        Some(unmet) => Err(ConfigError::Contradiction {
            first: unmet.stated.clone(),
            second: winner.stated.clone(),
            why: "no worker would be of use to both",
            fix: format!("`{}` needs {}; leave one of the two out", unmet.key, needs(unmet.key)),
        }),
    }
}

/// Values that only some divisions can serve, the finest first.
fn implied(layer: &Layer) -> Result<Vec<Wish>, ConfigError> {
    let mut wishes = Vec::new();
    for (key, slot, division) in
        [("test-memory", &layer.test_memory, Isolate::Tests(1)), ("file-memory", &layer.file_memory, Isolate::File)]
    {
        let memory = given(key, slot)?;
        wishes.extend(memory.value().0.map(|_| wish(&memory, division)));
    }
    let jobs = given("jobs", &layer.jobs)?;
    let several = !matches!(jobs.value(), Auto::Value(count) if count.0 <= 1);
    wishes.extend(several.then(|| wish_for_any(&jobs)));
    for (key, slot) in [("test-timeout", &layer.test_timeout), ("teardown-timeout", &layer.teardown_timeout)] {
        let timeout = given(key, slot)?;
        wishes.extend(timeout.value().0.map(|_| wish_for_any(&timeout)));
    }
    Ok(wishes)
}

fn wish<T>(given: &Given<'_, T>, division: Isolate) -> Wish {
    Wish { key: given.key, stated: given.with_value(), origin: given.setting.origin.clone(), division, any: false }
}

fn wish_for_any<T>(given: &Given<'_, T>) -> Wish {
    Wish { any: true, ..wish(given, Isolate::Session) }
}

/// Can workers of this `division` serve the value of `key`?
pub(crate) fn meets(key: &str, division: Isolate) -> bool {
    match key {
        "test-memory" => division == Isolate::Tests(1),
        "file-memory" => division == Isolate::File,
        "isolate" => true,
        _ => division != Isolate::None,
    }
}

fn needs(key: &str) -> &'static str {
    match key {
        "test-memory" => "`--isolate test`",
        "file-memory" => "`--isolate file`",
        _ => "a worker, which `--isolate none` takes away",
    }
}

/// `flag --jobs`, `jobs of testbox.toml:3`.
fn by(wish: &Wish) -> String {
    match &wish.origin {
        origin @ (Origin::Flag(_) | Origin::Environment(_)) => origin.to_string(),
        origin => format!("{} of {origin}", wish.key),
    }
}
