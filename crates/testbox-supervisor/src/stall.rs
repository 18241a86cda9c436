//! Standstill: most of the time nothing of the box can run for want of memory. Pure.
//!
//! The kernel does not kill whoever still finds a page to drop, and reads it again at once: such a box makes no progress,
//! and would look like a slow one.

use std::time::{Duration, Instant};

/// So long is looked back; as the windows of the kernel's own triggers (accounting/psi.rst).
const WINDOW: Duration = Duration::from_secs(2);

/// The sum of the box's stalls at the beginning of a window.
pub(crate) struct Stall {
    since: Instant,
    before_ms: u64,
    stands_still: bool,
}

impl Stall {
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, before_ms: 0, stands_still: false }
    }

    /// A window has passed, and it is time for a look at the sum.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= WINDOW
    }

    /// Takes the sum, in milliseconds; true when the box, which went on before, stood still for half of the time since
    /// the last look.
    pub(crate) fn sample(&mut self, now: Instant, sum_ms: u64) -> bool {
        let stalled = Duration::from_millis(sum_ms.saturating_sub(self.before_ms));
        let stood_still = self.stands_still;
        self.stands_still = stalled >= now.saturating_duration_since(self.since) / 2;
        (self.since, self.before_ms) = (now, sum_ms);
        self.stands_still && !stood_still
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_is_told_when_it_begins() {
        let (start, mut stall) = (Instant::now(), Stall::new(Instant::now()));
        let mut told = vec![];
        // Half of the time from 2 s to 6 s, less until 8 s, all of it until 10 s.
        for (at_ms, sum_ms) in [(2_000, 900), (4_000, 1_900), (6_000, 3_000), (8_000, 3_500), (10_000, 5_500)] {
            let now = start + Duration::from_millis(at_ms);
            assert!(!stall.is_due(now - Duration::from_millis(10)) && stall.is_due(now + Duration::from_millis(10)));
            told.extend(stall.sample(now, sum_ms).then_some(at_ms));
        }
        assert_eq!(told, [4_000, 10_000]);
    }

    #[test]
    fn a_look_that_comes_late_is_measured_by_its_own_time() {
        let (start, mut stall) = (Instant::now(), Stall::new(Instant::now()));
        assert!(!stall.sample(start + Duration::from_secs(30), 2_000), "testbox itself was suspended");
    }
}
