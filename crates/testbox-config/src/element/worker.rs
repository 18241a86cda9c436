//! What one worker may have of its box: the bounds that `test-memory`, `file-memory` and quotas share.

use testbox_model::{Bytes, Limits, Size};

use super::range::{MIB, Range, Unit};
use crate::place::{Given, given};
use crate::{Auto, ConfigError, Layer, Machine};

/// Below this no interpreter goes on after a fork.
const LEAST_BYTES: u64 = 16 * MIB;

/// The box that workers run in.
pub(super) struct Room<'a> {
    pub(super) layer: &'a Layer,
    pub(super) machine: &'a Machine,
    pub(super) limits: &'a Limits,
}

impl Room<'_> {
    /// The memory of a worker.
    pub(super) fn memory<T>(&self, memory: &Given<'_, T>, size: Size) -> Result<Bytes, ConfigError> {
        let most = self.limits.memory_bytes.value;
        let bytes = size.of(self.machine.memory_total_bytes);
        if bytes > most.0 {
            let fix = format!("give at most the {most} of `memory`, or raise that");
            return Err(contradiction(memory, self.memory_as_stated()?, fix));
        }
        let range = Range { least: LEAST_BYTES, most: most.0, bound: "the memory limit", unit: Unit::Bytes };
        range.check(memory, bytes).map(Bytes)
    }

    /// The processes and threads of a worker.
    pub(super) fn pids<T>(&self, pids: &Given<'_, T>, count: u64) -> Result<u64, ConfigError> {
        let most = self.limits.pids.value;
        if count > most {
            let stated = given("pids", &self.layer.pids)?.with_value();
            let fix = format!("give at most the {most} of `pids`, or raise that");
            return Err(contradiction(pids, stated, fix));
        }
        Range { least: 1, most, bound: "the limit of pids", unit: Unit::Count }.check(pids, count)
    }

    /// `--memory 2G`; what is derived from the machine with the result.
    fn memory_as_stated(&self) -> Result<String, ConfigError> {
        let typed = given("memory", &self.layer.memory)?;
        let memory = &self.limits.memory_bytes;
        Ok(match typed.value() {
            Auto::Value(_) => typed.with_value(),
            Auto::Auto => format!("`memory = {}` ({})", memory.value, memory.origin),
        })
    }
}

fn contradiction<T>(given: &Given<'_, T>, second: String, fix: String) -> ConfigError {
    ConfigError::Contradiction { first: given.with_value(), second, why: "a worker has no more than its box", fix }
}
