//! What the kernel counted for a box: cheap samples while it runs, all counters at its end.

use testbox_model::{CpuEvidence, IoEvidence, MemoryEvidence, PidsEvidence, StallEvidence};

/// One cheap look at a running box; `None` where no hierarchy counts it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in use in bytes, page cache included.
    pub memory_bytes: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// CPU time used so far, in milliseconds.
    pub cpu_ms: Option<u64>,
}

/// Everything that the kernel counted for a box, in the words of the model.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counters {
    /// Limit, peak, out-of-memory kills and hits of the limit; `largest` stays empty here.
    pub memory: MemoryEvidence,
    /// Limit, peak and refused forks.
    pub pids: PidsEvidence,
    /// Used and throttled time.
    pub cpu: CpuEvidence,
    /// Bytes read and written; `None` where no hierarchy counts them.
    pub io: IoEvidence,
    /// Time without progress.
    pub stalled: StallEvidence,
}
