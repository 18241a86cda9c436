//! Fork storms: the limit of processes stays reached and forks fail without a pause. Pure.

use std::time::{Duration, Instant};

/// A storm lasts at least so long.
const WINDOW: Duration = Duration::from_secs(2);
/// Refusals that pause for longer than this are no storm.
const PAUSE: Duration = Duration::from_millis(250);

/// The window in which forks have been failing.
pub(crate) struct Storm {
    limit: u64,
    refused: u64,
    since: Option<Instant>,
    last_refusal: Option<Instant>,
}

impl Storm {
    /// `limit`: processes and threads allowed.
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, refused: 0, since: None, last_refusal: None }
    }

    /// Takes a sample; true when a storm is proven.
    pub(crate) fn sample(&mut self, now: Instant, pids: u64, refused: u64) -> bool {
        let grew = refused > self.refused;
        self.refused = refused;
        if grew {
            self.last_refusal = Some(now);
            self.since.get_or_insert(now);
        }
        if self.paused(now) || !self.near_limit(pids) {
            self.since = None;
        }
        grew && self.since.is_some_and(|since| now.saturating_duration_since(since) >= WINDOW)
    }

    /// Half of the time that proves a storm has passed: who forks must say now where it is, as a storm leaves it little
    /// CPU time for an answer.
    pub(crate) fn is_likely(&self, now: Instant) -> bool {
        self.is_on(now) && self.since.is_some_and(|since| now.saturating_duration_since(since) >= WINDOW / 2)
    }

    /// Whether forks fail just now, at the limit: a storm, perhaps.
    pub(crate) fn is_on(&self, now: Instant) -> bool {
        !self.paused(now) && self.since.is_some()
    }

    fn paused(&self, now: Instant) -> bool {
        self.last_refusal.is_none_or(|last| now.saturating_duration_since(last) > PAUSE)
    }

    /// A tenth below the limit is still at it: processes of a storm die and are born between two samples.
    fn near_limit(&self, pids: u64) -> bool {
        pids.saturating_mul(10) >= self.limit.saturating_mul(9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds one sample each 100 ms; the tenth of a second in which a storm was proven.
    fn storm_at(samples: impl Iterator<Item = (u64, u64)>) -> Option<usize> {
        let (start, mut storm) = (Instant::now(), Storm::new(100));
        samples
            .enumerate()
            .find(|(tenth, (pids, refused))| {
                storm.sample(start + Duration::from_millis(100) * u32::try_from(*tenth).unwrap(), *pids, *refused)
            })
            .map(|(tenth, _)| tenth)
    }

    #[test]
    fn a_bomb_is_a_storm_after_two_seconds() {
        assert_eq!(storm_at((0..100).map(|n| (100 - n % 5, (n + 1) * 50))), Some(20));
    }

    #[test]
    fn a_storm_is_likely_a_second_before_it_is_proven() {
        let (start, mut storm) = (Instant::now(), Storm::new(100));
        for (tenth, likely) in [(0, false), (9, false), (10, true), (19, true)] {
            let now = start + Duration::from_millis(100) * tenth;
            (storm.since, storm.last_refusal) = (Some(start), Some(now));
            assert!(!storm.sample(now, 100, u64::from(tenth) + 1));
            assert_eq!((storm.is_on(now), storm.is_likely(now)), (true, likely), "after {tenth} tenths");
        }
        let later = start + Duration::from_millis(2200);
        assert!(!storm.is_on(later) && !storm.is_likely(later), "forks have not failed for a while");
    }

    #[test]
    fn a_full_pool_that_waits_is_none() {
        assert_eq!(storm_at((0..1000).map(|_| (100, 7))), None);
    }

    #[test]
    fn retries_with_pauses_are_none() {
        assert_eq!(storm_at((0..1000).map(|n| (100, n / 10))), None);
    }

    #[test]
    fn a_burst_that_ends_is_none() {
        let samples = (0..1000u64).map(|n| if n % 30 < 15 { (100, n) } else { (10, n - n % 15) });
        assert_eq!(storm_at(samples), None);
    }
}
