//! How the tests of a pytest run are divided, limited and told: the part of the plan that only pytest has.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::{Bytes, Duration, Origin, Setting};

/// How pytest's tests are run.
#[derive(Debug, Clone, Serialize)]
pub struct Testing {
    /// Which tests share a worker process.
    pub isolate: Setting<Isolate>,
    /// Workers at once; at least 1.
    pub jobs: Setting<u32>,
    /// Memory of a worker that runs one test, in bytes. `None`: what the box has left.
    pub test_memory: Setting<Option<Bytes>>,
    /// Memory of a worker that runs one file, in bytes. `None`: what the box has left.
    pub file_memory: Setting<Option<Bytes>>,
    /// Wall time of configuration and collection together.
    pub collect_timeout: Setting<Option<Duration>>,
    /// Wall time of one test's setup and call together.
    pub test_timeout: Setting<Option<Duration>>,
    /// Wall time of one test's teardown.
    pub teardown_timeout: Setting<Option<Duration>>,
    /// The run ends after so many killed workers; at least 1.
    pub max_kills: Setting<u32>,
    /// A killed test is tried again, alone, so many times at most.
    pub retry_killed: Setting<u32>,
    /// Rows of the table of the tests that used most memory; 0: no table.
    pub memories: Setting<u32>,
    /// Limits of some tests, the most specific first: node ids before markers before paths, longer patterns before shorter
    /// ones. Of several that match a test, each value is that of the first one that has it.
    pub quotas: Setting<Vec<Quota>>,
}

/// Which tests share a worker process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolate {
    /// No worker at all: pytest runs them itself, and a kill ends the run.
    None,
    /// One worker for all; after a kill the rest goes on file by file.
    Session,
    /// A worker for each file.
    File,
    /// A worker for so many tests; at least 1.
    Tests(u32),
}

/// Limits of some tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quota {
    /// Which tests.
    #[serde(flatten)]
    pub of: QuotaOf,
    /// Memory of their worker, in bytes.
    pub memory_bytes: Option<Bytes>,
    /// Wall time of setup and call together.
    pub timeout: Option<Duration>,
    /// Processes and threads of their worker.
    pub pids: Option<u64>,
    /// Which of them share a worker.
    pub isolate: Option<Isolate>,
    /// Where it comes from.
    pub origin: Origin,
    /// Files of the project that a path quota matches, where somebody asked (`--dry-run`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
}

/// The tests that a quota is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "pattern", rename_all = "kebab-case")]
pub enum QuotaOf {
    /// Tests in files of this glob, relative to pytest's rootdir.
    Path(String),
    /// Tests with this marker.
    Marker(String),
    /// The test of this node id, or the tests below it: `tests/test_a.py::TestB`.
    Node(String),
}

/// A word that is no isolation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected session, file, test, none, or a number of tests from 1 to {}", Isolate::MOST)]
pub struct IsolateError;

impl Isolate {
    /// The most tests that can be asked to share a worker by number.
    pub const MOST: u32 = 1_000_000;
    /// The words.
    pub const WORDS: [&str; 4] = ["session", "file", "test", "none"];
}

impl FromStr for Isolate {
    type Err = IsolateError;

    fn from_str(text: &str) -> Result<Self, IsolateError> {
        match text {
            "none" => Ok(Self::None),
            "session" => Ok(Self::Session),
            "file" => Ok(Self::File),
            "test" => Ok(Self::Tests(1)),
            _ => {
                let number = text.parse().ok().filter(|number| (1..=Self::MOST).contains(number));
                number.map(Self::Tests).ok_or(IsolateError)
            }
        }
    }
}

impl fmt::Display for Isolate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Session => f.write_str("session"),
            Self::File => f.write_str("file"),
            Self::Tests(1) => f.write_str("test"),
            Self::Tests(number) => write!(f, "{number}"),
        }
    }
}

impl Serialize for Isolate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl QuotaOf {
    /// The pattern.
    pub fn pattern(&self) -> &str {
        match self {
            Self::Path(pattern) | Self::Marker(pattern) | Self::Node(pattern) => pattern,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn isolation_is_read_as_it_is_written() {
        for text in ["none", "session", "file", "test", "7"] {
            assert_eq!(text.parse::<Isolate>().unwrap().to_string(), text);
        }
        assert_eq!("1".parse(), Ok(Isolate::Tests(1)));
        for text in ["", "0", "-1", "tests", "1000001", "1.5"] {
            assert_eq!(text.parse::<Isolate>(), Err(IsolateError), "{text}");
        }
    }
}
