//! The record of a run: the one input of every report.

use serde::Serialize;

use crate::{Evidence, ExitCode, ProjectView, RunPlan, WallReport};

/// Version of the schema of `testbox.json`; it grows with every incompatible change.
pub const SCHEMA_VERSION: u32 = 2;

/// Plan, walls, evidence and timeline of one run.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// Identifier of the box: `testbox-<boot>-<pid>-<start>`.
    pub box_id: String,
    /// Start of the run, seconds since the epoch.
    pub started_at: u64,
    /// Wall time from launch to the last process gone, in milliseconds.
    pub duration_ms: u64,
    /// What was asked for.
    pub plan: RunPlan,
    /// What was enforced of it.
    pub walls: Vec<WallReport>,
    /// How the box saw the project.
    pub view: ProjectView,
    /// What was seen.
    pub evidence: Evidence,
    /// Memory, pids and CPU over time.
    pub timeline: Timeline,
    /// Files carried out of the project's view, relative to the project.
    pub carried_out: Vec<String>,
    /// What went wrong beside the run and must be told: an output that could not be carried out.
    pub warnings: Vec<String>,
}

/// A bounded series of samples.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timeline {
    /// Milliseconds between samples; doubles when the series is thinned.
    pub interval_ms: u64,
    /// The samples, in ascending order of time.
    pub samples: Vec<Sample>,
}

/// One look at the box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Milliseconds since the start.
    pub at_ms: u64,
    /// Memory in use.
    pub memory_bytes: u64,
    /// Processes and threads.
    pub pids: u64,
    /// CPU time used so far.
    pub cpu_ms: u64,
}

/// Something that testbox could not do, ready to be told: message, causes, and the exact fix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Operation, object and value: `cannot set the memory limit of 512 MiB on <path>`.
    pub message: String,
    /// The chain of causes, outermost first.
    pub causes: Vec<String>,
    /// What to do.
    pub hint: Option<String>,
    /// How testbox exits.
    pub exit_code: ExitCode,
}

impl Timeline {
    /// Samples kept at most.
    pub const CAPACITY: usize = 2048;

    /// An empty series with this distance between samples.
    pub fn new(interval_ms: u64) -> Self {
        Self { interval_ms, samples: Vec::new() }
    }

    /// Takes a sample if it is due; thins the series by half when it is full.
    pub fn push(&mut self, sample: Sample) {
        let due = self.samples.last().is_none_or(|last| sample.at_ms >= last.at_ms + self.interval_ms * 9 / 10);
        if !due {
            return;
        }
        if self.samples.len() == Self::CAPACITY {
            let mut index = 0;
            self.samples.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.interval_ms *= 2;
        }
        self.samples.push(sample);
    }
}

impl Fault {
    /// The error and its chain of sources, with exit code 125.
    pub fn new(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source()).map(ToString::to_string).collect();
        Self { message: error.to_string(), causes, hint, exit_code: ExitCode::Fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_stays_bounded_and_keeps_the_whole_span() {
        let mut timeline = Timeline::new(100);
        for tick in 0..100_000u64 {
            timeline.push(Sample { at_ms: tick * 100, memory_bytes: tick, pids: 1, cpu_ms: tick });
        }
        assert!(timeline.samples.len() <= Timeline::CAPACITY);
        assert_eq!(timeline.samples[0].at_ms, 0);
        assert!(timeline.samples.last().unwrap().at_ms > 9_900_000);
        assert!(timeline.samples.is_sorted_by_key(|sample| sample.at_ms));
    }
}
