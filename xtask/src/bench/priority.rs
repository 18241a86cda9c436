//! Real-time priority, so that whatever else the machine does delays no side of a ratio.

use crate::program::Program;

/// The lowest priorities of SCHED_FIFO are above every ordinary process (sched(7)).
const PRIORITY: &str = "1";

/// As long as this lives, this thread and all that it starts run at real-time priority, where that is allowed.
pub(crate) struct Priority {
    raised: bool,
}

impl Priority {
    /// Raises it, or leaves it as it is where this user may not.
    pub(crate) fn raise() -> Self {
        Self { raised: change(&["--fifo", "--pid", PRIORITY]) }
    }

    /// For the reader of the numbers.
    pub(crate) fn shown(&self) -> &'static str {
        if self.raised { "at real-time priority" } else { "at ordinary priority: load shows" }
    }
}

impl Drop for Priority {
    fn drop(&mut self) {
        if self.raised {
            change(&["--other", "--pid", "0"]);
        }
    }
}

fn change(flags: &[&str]) -> bool {
    let changed = Program::new("chrt").args(flags).arg(std::process::id().to_string()).capture();
    changed.is_ok_and(|ended| ended.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_raised_is_lowered_again() {
        let policy = || Program::new("chrt").arg("--pid").arg(std::process::id().to_string()).stdout().unwrap();
        let before = policy();
        let priority = Priority::raise();
        assert_eq!(priority.raised, policy().contains("SCHED_FIFO"));
        drop(priority);
        assert_eq!(policy(), before);
    }
}
