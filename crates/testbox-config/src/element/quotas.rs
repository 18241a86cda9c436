//! `quota`: limits of some tests, by path, marker or node id.

use std::cmp::Reverse;

use globset::GlobBuilder;
use testbox_model::{Duration, Isolate, Origin, Quota, QuotaOf, Setting, Size, UnitError};

use super::worker::Room;
use super::{joined, times};
use crate::place::{Given, Place, given};
use crate::slot::{One, Raw, Slot};
use crate::typed::wrong;
use crate::{ConfigError, Count, Isolation};

/// Limits of some tests, as typed.
#[derive(Debug, Clone)]
pub struct QuotaEntry {
    /// Which tests.
    pub of: QuotaOf,
    /// Where it is.
    pub origin: Origin,
    memory: One<Size>,
    timeout: One<Duration>,
    pids: One<Count>,
    isolate: One<Isolation>,
}

const PATHS: &str = "globs relative to pytest's rootdir like `tests/e2e/**`, with `*`, `**`, `?` and `[...]`, \
                     not absolute and without `..`";
const NODES: &str =
    "node ids like `tests/test_a.py::TestB` or `tests/test_a.py::test_c[1]`, relative to pytest's rootdir";

impl QuotaEntry {
    /// The keys of a quota.
    pub(crate) const KEYS: [&str; 4] = ["memory", "timeout", "pids", "isolate"];

    pub(crate) fn new(of: QuotaOf, origin: Origin) -> Self {
        Self { of, origin, memory: None, timeout: None, pids: None, isolate: None }
    }

    /// Sets `key` to what was typed; `false` if a quota has no such key.
    pub(crate) fn set(&mut self, key: &str, raw: Raw) -> Result<bool, ConfigError> {
        match key {
            "memory" => self.memory.fill("memory", raw)?,
            "timeout" => self.timeout.fill("timeout", raw)?,
            "pids" => self.pids.fill("pids", raw)?,
            "isolate" => self.isolate.fill("isolate", raw)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn resolve(&self, room: &Room<'_>) -> Result<Quota, ConfigError> {
        if self.memory.is_none() && self.timeout.is_none() && self.pids.is_none() && self.isolate.is_none() {
            let place = Place::new(self.origin.clone(), "quota");
            return Err(ConfigError::EmptyQuota { place, pattern: self.of.pattern().to_owned() });
        }
        Ok(Quota {
            of: self.of.clone(),
            memory_bytes: each("memory", &self.memory, |memory| room.memory(memory, *memory.value()))?,
            timeout: each("timeout", &self.timeout, |timeout| timeout_within(room, timeout))?,
            pids: each("pids", &self.pids, |pids| room.pids(pids, pids.value().0))?,
            isolate: each("isolate", &self.isolate, isolate)?,
            origin: self.origin.clone(),
            files: None,
        })
    }
}

/// All quotas, the most specific first: node ids before markers before paths, longer patterns before shorter ones.
pub(super) fn resolve(room: &Room<'_>) -> Result<Setting<Vec<Quota>>, ConfigError> {
    let entries = room.layer.quota.iter().flatten();
    let mut quotas = entries.map(|entry| entry.resolve(room)).collect::<Result<Vec<_>, _>>()?;
    quotas.sort_by_cached_key(|quota| {
        let pattern = quota.of.pattern();
        (kind(&quota.of), Reverse(pattern.chars().count()), pattern.to_owned())
    });
    let mut origins: Vec<Origin> = Vec::new();
    for quota in &quotas {
        if !origins.contains(&quota.origin) {
            origins.push(quota.origin.clone());
        }
    }
    Ok(Setting::new(quotas, joined(origins)))
}

fn kind(of: &QuotaOf) -> u8 {
    match of {
        QuotaOf::Node(_) => 0,
        QuotaOf::Marker(_) => 1,
        QuotaOf::Path(_) => 2,
    }
}

fn each<T, U>(
    key: &'static str,
    slot: &One<T>,
    resolve: impl Fn(&Given<'_, T>) -> Result<U, ConfigError>,
) -> Result<Option<U>, ConfigError> {
    slot.as_ref().map(|setting| resolve(&Given { key, setting })).transpose()
}

fn timeout_within(room: &Room<'_>, timeout: &Given<'_, Duration>) -> Result<Duration, ConfigError> {
    let whole = given("timeout", &room.layer.timeout)?;
    times::within(&whole, timeout, *timeout.value(), "the run would end before")?;
    Ok(*timeout.value())
}

/// Without a worker there is nobody who could be limited.
fn isolate(isolate: &Given<'_, Isolation>) -> Result<Isolate, ConfigError> {
    match isolate.value().0 {
        Isolate::None => {
            let accepted = "session, file, test, and numbers of tests";
            let problem = wrong(isolate.text(), "division of the tests of a quota", accepted, Some("session"));
            Err(ConfigError::value(isolate.place(), problem))
        }
        division => Ok(division),
    }
}

/// The tests that a key of the quota table is for: a node id has `::`, everything else is a glob of paths.
pub(crate) fn of_key(text: &str) -> Result<QuotaOf, UnitError> {
    match text.split_once("::") {
        Some((path, rest)) if is_inside(path) && !rest.is_empty() => Ok(QuotaOf::Node(text.to_owned())),
        Some(_) => Err(wrong(text, "node id", NODES, None)),
        None => path(text),
    }
}

fn path(text: &str) -> Result<QuotaOf, UnitError> {
    // Braces, backslashes and `**` beside other letters mean different things to different readers of globs.
    let ambiguous = |part: &str| part.contains(['{', '}', '\\']) || (part.contains("**") && part != "**");
    if !is_inside(text) || text.split('/').any(ambiguous) {
        let plain = text.trim_start_matches("./").trim_end_matches('/');
        return Err(wrong(
            text,
            "glob of tests",
            PATHS,
            Some(plain).filter(|plain| *plain != text && is_inside(plain)),
        ));
    }
    match GlobBuilder::new(text).literal_separator(true).build() {
        Ok(_) => Ok(QuotaOf::Path(text.to_owned())),
        Err(error) => Err(wrong(text, "glob of tests", format!("{PATHS} ({})", error.kind()), None)),
    }
}

fn is_inside(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.contains('\0') && path.split('/').all(plain)
}

/// The tests with this marker.
pub(crate) fn of_marker(name: &str) -> Result<QuotaOf, UnitError> {
    let starts = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if starts && name.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Ok(QuotaOf::Marker(name.to_owned()));
    }
    Err(wrong(name, "marker", "names as behind `pytest.mark.`, like `slow`", None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_which_tests() {
        for (text, expected) in [
            ("tests/e2e/**", QuotaOf::Path("tests/e2e/**".into())),
            ("test_[ab]?.py", QuotaOf::Path("test_[ab]?.py".into())),
            ("tests/test_a.py::TestB", QuotaOf::Node("tests/test_a.py::TestB".into())),
            ("t.py::test[/x::{}\\ ]", QuotaOf::Node("t.py::test[/x::{}\\ ]".into())),
        ] {
            assert_eq!(of_key(text), Ok(expected), "{text}");
        }
        for text in
            ["", "/a", "../a", "a/../b", "a//b", "a/", "a[", "{a,b}", "a\\b", "a**", "::x", "a.py::", "/a.py::x", "a\0"]
        {
            assert!(of_key(text).is_err(), "{text}");
        }
        assert_eq!(of_key("./tests/**").unwrap_err().nearest.as_deref(), Some("tests/**"));
        assert_eq!(of_key("tests/").unwrap_err().nearest.as_deref(), Some("tests"));
    }

    #[test]
    fn markers_are_names() {
        assert_eq!(of_marker("memory_intensive"), Ok(QuotaOf::Marker("memory_intensive".into())));
        for name in ["", "1st", "a-b", "a b", "a.b"] {
            assert!(of_marker(name).is_err(), "{name}");
        }
    }
}
