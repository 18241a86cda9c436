//! The clock of a test. Pure; `now` is always an argument.

use std::time::{Duration, Instant};

/// So long before the end of its time a test is asked where it is.
pub(super) const CLOSE: Duration = Duration::from_millis(250);

/// The time that the running test of a worker has left.
#[derive(Debug, Default)]
pub(super) struct Clock {
    running: Option<Limit>,
    /// Of the teardown that is to come.
    teardown: Option<Duration>,
}

/// A limit of time that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    /// When it is over.
    pub(super) at: Instant,
    /// How much time there was.
    pub(super) span: Duration,
    /// It is that of the teardown, else that of setup and call.
    pub(super) teardown: bool,
    /// Whether the test was asked where it is.
    asked: bool,
}

impl Clock {
    /// A test begins, with its setup. One that begins inside of another gets no more time than that had left.
    pub(super) fn start(&mut self, now: Instant, timeout_ms: Option<u64>, teardown_ms: Option<u64>) {
        let limit = timeout_ms.and_then(|ms| Limit::new(now, ms, false));
        self.running = [self.running, limit].into_iter().flatten().min_by_key(|limit| limit.at);
        self.teardown = teardown_ms.map(Duration::from_millis);
    }

    /// Its teardown begins: once a test.
    pub(super) fn teardown(&mut self, now: Instant) {
        let Some(span) = self.teardown.take() else {
            // Setup and call are over; a second teardown changes nothing.
            self.running = self.running.filter(|limit| limit.teardown);
            return;
        };
        self.running = u64::try_from(span.as_millis()).ok().and_then(|ms| Limit::new(now, ms, true));
    }

    /// It is over.
    pub(super) fn stop(&mut self) {
        *self = Self::default();
    }

    /// When something is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let limit = self.running?;
        let close = limit.at.checked_sub(CLOSE).filter(|_| !limit.asked);
        Some(close.unwrap_or(limit.at))
    }

    /// True once, when the time is nearly over.
    pub(super) fn is_close(&mut self, now: Instant) -> bool {
        match &mut self.running {
            Some(limit) if !limit.asked && now + CLOSE >= limit.at => {
                limit.asked = true;
                true
            }
            _ => false,
        }
    }

    /// The limit that is over.
    pub(super) fn over(&self, now: Instant) -> Option<Limit> {
        self.running.filter(|limit| now >= limit.at)
    }

    /// Testbox itself was suspended for so long.
    pub(super) fn shift(&mut self, by: Duration) {
        if let Some(limit) = &mut self.running {
            limit.at = limit.at.checked_add(by).unwrap_or(limit.at);
        }
    }
}

impl Limit {
    /// `None`: so far away that no clock reaches it.
    fn new(now: Instant, ms: u64, teardown: bool) -> Option<Self> {
        let span = Duration::from_millis(ms);
        Some(Self { at: now.checked_add(span)?, span, teardown, asked: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn setup_and_call_share_a_limit_and_the_teardown_has_its_own() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        clock.start(start, Some(1000), Some(500));
        assert_eq!(clock.next(), Some(start + ms(750)));
        assert!(!clock.is_close(start + ms(749)));
        assert!(clock.is_close(start + ms(750)) && !clock.is_close(start + ms(751)), "asked once");
        assert_eq!(clock.next(), Some(start + ms(1000)));
        assert_eq!(clock.over(start + ms(999)), None);
        assert!(!clock.over(start + ms(1000)).unwrap().teardown);
        clock.teardown(start + ms(900));
        let limit = clock.over(start + ms(1400)).unwrap();
        assert!(limit.teardown && limit.span == ms(500));
        clock.teardown(start + ms(1300));
        assert!(clock.over(start + ms(1400)).is_some(), "a second teardown buys no time");
        clock.stop();
        assert_eq!((clock.next(), clock.over(start + ms(99_999))), (None, None));
    }

    #[test]
    fn a_test_inside_of_a_test_buys_no_time() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        clock.start(start, Some(1000), None);
        clock.start(start + ms(900), Some(60_000), None);
        assert!(clock.over(start + ms(1000)).is_some());
        clock.start(start + ms(950), None, None);
        assert!(clock.over(start + ms(1000)).is_some());
        clock.teardown(start + ms(960));
        assert_eq!(clock.over(start + ms(5000)), None, "no limit for the teardown");
    }

    #[test]
    fn a_limit_beyond_all_clocks_is_none() {
        let (mut clock, start) = (Clock::default(), Instant::now());
        clock.start(start, Some(u64::MAX), Some(u64::MAX));
        clock.is_close(start);
        clock.shift(Duration::MAX);
        clock.teardown(start);
        assert_eq!(clock.over(start + Duration::from_secs(1 << 30)), None);
        clock.start(start, Some(0), Some(0));
        assert!(clock.over(start).is_some());
    }
}
