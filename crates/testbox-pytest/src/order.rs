//! What testbox says to the plugin: the same frames as [`crate::Frame`]s, without a number. Descriptors travel with the
//! first byte of their frame.

use serde::{Serialize, Serializer};
use testbox_model::{Isolate, Quota, QuotaOf, Testing};

/// An order or an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "kebab-case")]
pub enum Order {
    /// To the first frame: how the tests shall be run. With the pipe of the controller's stack dumps.
    Welcome {
        /// Descriptors that come with it.
        fds: usize,
        /// The part of the plan that the plugin must know.
        settings: Box<Settings>,
    },
    /// A worker's slot: descriptors to join it, the pipe of its stack dumps, and one for each gauge, in this order.
    Slot {
        /// The worker.
        w: u32,
        /// Descriptors that come with it.
        fds: usize,
        /// How many of them are to join.
        join: usize,
        /// Names of the gauges.
        gauges: Vec<&'static str>,
        /// The slot's memory limit in bytes; `None`: there is no group.
        memory: Option<u64>,
    },
    /// The worker is in its slot and may begin.
    Go {
        /// The worker.
        w: u32,
    },
    /// There is no slot; the run ends.
    Refused {
        /// The worker.
        w: u32,
        /// Why.
        why: String,
    },
    /// Where workers have no group: send this signal to the worker.
    Signal {
        /// The worker.
        w: u32,
        /// The signal's number.
        signal: i32,
    },
    /// What kernel and clocks say about a worker that ended.
    Diagnosis {
        /// The worker.
        w: u32,
        /// Why it ended: `none`, `memory`, `pids`, `timeout`, `crashed`, `silent`.
        kind: &'static str,
        /// In a sentence.
        summary: String,
        /// Where it was: calls, the innermost first.
        stack: Vec<String>,
        /// Processes that it left behind, killed now.
        left: Vec<String>,
    },
}

/// The part of the plan that the plugin must know. Sizes in bytes, times in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settings {
    /// Which tests share a worker.
    #[serde(serialize_with = "isolate")]
    pub isolate: Isolate,
    /// Workers at once.
    pub jobs: u32,
    /// Memory of a worker with one test.
    pub test_memory: Option<u64>,
    /// Memory of a worker with one file.
    pub file_memory: Option<u64>,
    /// Memory of the box.
    pub memory_limit: u64,
    /// Processes and threads of the box.
    pub pids_limit: u64,
    /// Wall time of setup and call of a test.
    pub test_timeout_ms: Option<u64>,
    /// Wall time of the teardown of a test.
    pub teardown_timeout_ms: Option<u64>,
    /// Killed workers after which the session ends.
    pub max_kills: u32,
    /// Further attempts of a killed test.
    pub retry_killed: u32,
    /// Workers have groups of their own.
    pub grouped: bool,
    /// Limits of some tests.
    pub quotas: Vec<QuotaSetting>,
}

/// Limits of some tests.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuotaSetting {
    /// Which.
    #[serde(flatten)]
    pub of: QuotaOf,
    /// Memory of their worker.
    pub memory: Option<u64>,
    /// Wall time of setup and call.
    pub timeout_ms: Option<u64>,
    /// Processes and threads of their worker.
    pub pids: Option<u64>,
    /// Which of them share a worker.
    #[serde(serialize_with = "maybe_isolate")]
    pub isolate: Option<Isolate>,
}

impl Settings {
    /// The settings of a plan, in a box of `memory_limit` bytes and `pids_limit` processes.
    pub fn of(testing: &Testing, memory_limit: u64, pids_limit: u64, grouped: bool) -> Self {
        let ms = |span: Option<testbox_model::Duration>| span.map(testbox_model::Duration::as_ms);
        Self {
            isolate: testing.isolate.value,
            jobs: testing.jobs.value,
            test_memory: testing.test_memory.value.map(|bytes| bytes.0),
            file_memory: testing.file_memory.value.map(|bytes| bytes.0),
            memory_limit,
            pids_limit,
            test_timeout_ms: ms(testing.test_timeout.value),
            teardown_timeout_ms: ms(testing.teardown_timeout.value),
            max_kills: testing.max_kills.value,
            retry_killed: testing.retry_killed.value,
            grouped,
            quotas: testing.quotas.value.iter().map(QuotaSetting::of).collect(),
        }
    }
}

impl QuotaSetting {
    fn of(quota: &Quota) -> Self {
        Self {
            of: quota.of.clone(),
            memory: quota.memory_bytes.map(|bytes| bytes.0),
            timeout_ms: quota.timeout.map(testbox_model::Duration::as_ms),
            pids: quota.pids,
            isolate: quota.isolate,
        }
    }
}

impl Order {
    /// The frame: its length (four bytes, little endian) and its JSON.
    pub fn frame(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        [&length.to_le_bytes()[..], &body].concat()
    }
}

/// Numbers as numbers: the plugin need not parse words.
fn isolate<S: Serializer>(isolate: &Isolate, serializer: S) -> Result<S::Ok, S::Error> {
    match isolate {
        Isolate::Tests(number) if *number > 1 => serializer.serialize_u32(*number),
        word => serializer.collect_str(word),
    }
}

fn maybe_isolate<S: Serializer>(value: &Option<Isolate>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => isolate(value, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use testbox_model::sample::plan;

    use super::*;

    #[test]
    fn the_plugin_gets_plain_words_and_numbers() {
        let mut testing = plan().testing;
        testing.isolate.value = Isolate::Tests(3);
        testing.quotas.value = vec![Quota {
            of: QuotaOf::Marker("heavy".to_owned()),
            memory_bytes: Some(testbox_model::Bytes(5)),
            timeout: Some(testbox_model::Duration::from_secs(2)),
            pids: None,
            isolate: Some(Isolate::Tests(1)),
            files: None,
            origin: testbox_model::Origin::Flag("x".to_owned()),
        }];
        let settings = Box::new(Settings::of(&testing, 100, 7, true));
        let frame = Order::Welcome { fds: 1, settings }.frame();
        let json: serde_json::Value = serde_json::from_slice(&frame[4..]).unwrap();
        assert_eq!(u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize, frame.len() - 4);
        assert_eq!((json["t"].as_str(), json["fds"].as_u64()), (Some("welcome"), Some(1)));
        let expected = serde_json::json!({
            "isolate": 3, "jobs": 1, "test_memory": null, "file_memory": null, "memory_limit": 100, "pids_limit": 7,
            "test_timeout_ms": null, "teardown_timeout_ms": null, "max_kills": 10, "retry_killed": 0, "grouped": true,
            "quotas": [{"kind": "marker", "pattern": "heavy", "memory": 5, "timeout_ms": 2000, "pids": null, "isolate": "test"}],
        });
        assert_eq!(json["settings"], expected);
    }
}
