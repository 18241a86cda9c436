//! How pytest's tests are divided and limited.

use testbox_model::{Duration, Isolate, Setting, Testing};

use crate::element::joined;

/// The defaults.
pub(crate) fn resolve() -> Testing {
    fn default<T>(value: T) -> Setting<T> {
        Setting::new(value, joined(vec![]))
    }
    Testing {
        isolate: default(Isolate::Session),
        jobs: default(1),
        test_memory: default(None),
        file_memory: default(None),
        collect_timeout: default(Some(Duration::from_secs(300))),
        test_timeout: default(None),
        teardown_timeout: default(None),
        max_kills: default(10),
        retry_killed: default(0),
        memories: default(0),
        quotas: default(vec![]),
    }
}
