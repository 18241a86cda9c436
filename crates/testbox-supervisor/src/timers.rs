//! The clocks of a run: its time limit and its idle time. Pure; `now` is always an argument.

use std::time::{Duration, Instant};

use testbox_model::{StopCause, Times};

/// CPU use below this share of the time since the last activity is idling.
const IDLE_CPU_SHARE: u32 = 100;
/// CPU time that is never activity, in milliseconds: wake-ups of the command and of init.
const IDLE_CPU_MS: u64 = 10;
/// So long before a timeout its end counts as close.
const CLOSE: Duration = Duration::from_millis(250);

/// All spans of time that the loop itself keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// With processes left behind: output that pauses for so long is over.
    pub(crate) linger_quiet: Duration,
    /// With processes left behind: their output is waited for so long.
    pub(crate) linger: Duration,
    /// A killed init is waited for so long.
    pub(crate) death_patience: Duration,
    /// At the end a reader that takes nothing is waited for so long.
    pub(crate) flush_patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            linger_quiet: Duration::from_millis(20),
            linger: Duration::from_millis(200),
            death_patience: Duration::from_secs(10),
            flush_patience: Duration::from_secs(10),
        }
    }
}

/// The run's time limit and idle time.
pub(crate) struct Timers {
    started: Instant,
    run_out: Instant,
    idle: Option<Idle>,
}

struct Idle {
    limit: Duration,
    since: Instant,
    base_cpu_ms: u64,
    last_cpu_ms: u64,
}

impl Timers {
    pub(crate) fn new(started: Instant, times: &Times, now: Instant) -> Self {
        let idle = times.idle_timeout.value.map(|limit| Idle {
            limit: limit.into(),
            since: now,
            base_cpu_ms: 0,
            last_cpu_ms: 0,
        });
        Self { started, run_out: started + Duration::from(times.timeout.value), idle }
    }

    /// Milliseconds since the start.
    pub(crate) fn at_ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// The command did something, or waits for its reader.
    pub(crate) fn active(&mut self, now: Instant) {
        if let Some(idle) = &mut self.idle {
            idle.since = now;
            idle.base_cpu_ms = idle.last_cpu_ms;
        }
    }

    /// The box has used so much CPU time.
    pub(crate) fn cpu(&mut self, now: Instant, cpu_ms: u64) {
        if let Some(idle) = &mut self.idle {
            idle.last_cpu_ms = cpu_ms;
            if idle.is_busy(now) {
                self.active(now);
            }
        }
    }

    /// The timeout that is over.
    pub(crate) fn over(&self, now: Instant) -> Option<StopCause> {
        if now >= self.run_out {
            return Some(StopCause::Timeout);
        }
        self.idle.as_ref().filter(|idle| now >= idle.since + idle.limit).map(|_| StopCause::IdleTimeout)
    }

    /// A timeout will be over soon: the last chance to ask the command where it is.
    pub(crate) fn is_close(&self, now: Instant) -> bool {
        now + CLOSE >= self.deadline()
    }

    /// When to look again: shortly before the deadline, then at it.
    pub(crate) fn next(&self, now: Instant) -> Instant {
        let deadline = self.deadline();
        deadline.checked_sub(CLOSE).filter(|close| now < *close).unwrap_or(deadline)
    }

    /// When a timeout is over.
    pub(crate) fn deadline(&self) -> Instant {
        let idle = self.idle.as_ref().map(|idle| idle.since + idle.limit);
        idle.map_or(self.run_out, |idle| idle.min(self.run_out))
    }

    /// Testbox itself was suspended for so long.
    pub(crate) fn shift(&mut self, by: Duration) {
        self.run_out += by;
        if let Some(idle) = &mut self.idle {
            idle.since += by;
        }
    }
}

impl Idle {
    fn is_busy(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since) / IDLE_CPU_SHARE;
        let used_ms = self.last_cpu_ms.saturating_sub(self.base_cpu_ms);
        used_ms > IDLE_CPU_MS && u128::from(used_ms) > elapsed.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use testbox_model::{Duration as Span, Origin, Setting};

    use super::*;

    fn timers(start: Instant, timeout_s: u64, idle_s: Option<u64>) -> Timers {
        fn set<T>(value: T) -> Setting<T> {
            Setting::new(value, Origin::Policy("test".to_owned()))
        }
        let times = Times {
            timeout: set(Span::from_secs(timeout_s)),
            idle_timeout: set(idle_s.map(Span::from_secs)),
            grace: set(Span::from_secs(2)),
        };
        Timers::new(start, &times, start)
    }

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_run_ends_at_its_limit_and_not_before() {
        let start = Instant::now();
        let mut timers = timers(start, 30, None);
        assert_eq!(timers.over(start + secs(29)), None);
        assert_eq!(timers.over(start + secs(30)), Some(StopCause::Timeout));
        timers.shift(secs(100));
        assert_eq!(timers.over(start + secs(129)), None);
        assert_eq!(timers.at_ms(start + secs(130)), 130_000);
    }

    #[test]
    fn sleeping_is_idle_and_computing_is_not() {
        let start = Instant::now();
        let mut sleeper = timers(start, 1000, Some(10));
        let mut worker = timers(start, 1000, Some(10));
        let mut ticker = timers(start, 1000, Some(10));
        let mut over = [None; 3];
        for tenth in 1..=300u32 {
            let now = start + Duration::from_millis(100) * tenth;
            sleeper.cpu(now, 3);
            worker.cpu(now, u64::from(tenth) * 50);
            ticker.cpu(now, u64::from(tenth) / 2);
            for (seen, timers) in over.iter_mut().zip([&sleeper, &worker, &ticker]) {
                *seen = seen.or(timers.over(now).map(|_| tenth));
            }
        }
        assert_eq!(over, [Some(100), None, Some(100)], "half a percent of CPU is idling");
    }

    #[test]
    fn output_is_activity() {
        let start = Instant::now();
        let mut timers = timers(start, 1000, Some(10));
        timers.active(start + secs(9));
        assert_eq!(timers.over(start + secs(18)), None);
        assert_eq!(timers.deadline(), start + secs(19));
        assert_eq!(timers.over(start + secs(19)), Some(StopCause::IdleTimeout));
    }
}
