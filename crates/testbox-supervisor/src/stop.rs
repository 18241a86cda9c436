//! How a run is stopped: asked first, killed when the grace period is over. Pure; the loop carries out the orders.

use std::time::{Duration, Instant};

use testbox_model::{Stop, StopCause};

const SIGTERM: i32 = 15;

/// What the loop has to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing.
    Nothing,
    /// Send this signal, and SIGCONT, to the command.
    Ask(i32),
    /// The end of init, and of the box with it.
    Kill,
}

pub(crate) struct Stopper {
    grace: Duration,
    stop: Option<Stop>,
    kill_at: Option<Instant>,
}

impl Stopper {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, stop: None, kill_at: None }
    }

    /// A reason to stop came up. The first one counts; an interrupt during a stop shortens the grace period to nothing.
    pub(crate) fn request(&mut self, cause: StopCause, now: Instant, at_ms: u64) -> Order {
        if self.killed() {
            return Order::Nothing;
        }
        let order = match (&self.stop, order_of(&cause)) {
            (None, order) => order,
            (Some(_), Order::Kill) => Order::Kill,
            (Some(_), _) if matches!(cause, StopCause::Interrupted { .. }) => Order::Kill,
            (Some(_), _) => Order::Nothing,
        };
        self.stop.get_or_insert(Stop { cause, at_ms, killed: false });
        match order {
            Order::Ask(_) => self.kill_at = Some(now + self.grace),
            Order::Kill => self.mark_killed(),
            Order::Nothing => {}
        }
        order
    }

    /// Is the grace period over?
    pub(crate) fn on_time(&mut self, now: Instant) -> Order {
        if self.kill_at.is_none_or(|at| now < at) {
            return Order::Nothing;
        }
        self.mark_killed();
        Order::Kill
    }

    /// The end of the grace period, if one runs.
    pub(crate) fn kill_at(&self) -> Option<Instant> {
        self.kill_at
    }

    pub(crate) fn stop(&self) -> Option<&Stop> {
        self.stop.as_ref()
    }

    pub(crate) fn killed(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.killed)
    }

    /// Testbox itself was suspended for so long.
    pub(crate) fn shift(&mut self, by: Duration) {
        self.kill_at = self.kill_at.map(|at| at + by);
    }

    fn mark_killed(&mut self) {
        self.kill_at = None;
        if let Some(stop) = &mut self.stop {
            stop.killed = true;
        }
    }
}

/// What harms the host with every further moment gets no grace.
fn order_of(cause: &StopCause) -> Order {
    match cause {
        StopCause::ForkStorm | StopCause::MemoryWatchdog | StopCause::Fault { .. } => Order::Kill,
        StopCause::Interrupted { signal } => Order::Ask(i32::from(*signal)),
        StopCause::Timeout | StopCause::CollectTimeout | StopCause::IdleTimeout | StopCause::OutputLimit => {
            Order::Ask(SIGTERM)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(2);

    #[test]
    fn a_timeout_asks_and_kills_when_the_grace_is_over() {
        let (mut stopper, start) = (Stopper::new(GRACE), Instant::now());
        assert_eq!(stopper.on_time(start), Order::Nothing);
        assert_eq!(stopper.request(StopCause::Timeout, start, 5), Order::Ask(15));
        assert_eq!(stopper.request(StopCause::OutputLimit, start, 6), Order::Nothing, "the first cause counts");
        assert_eq!(stopper.on_time(start + GRACE / 2), Order::Nothing);
        assert_eq!(stopper.on_time(start + GRACE), Order::Kill);
        assert_eq!(stopper.on_time(start + GRACE * 2), Order::Nothing, "killed once");
        assert_eq!(stopper.stop(), Some(&Stop { cause: StopCause::Timeout, at_ms: 5, killed: true }));
    }

    #[test]
    fn a_second_interrupt_kills_at_once() {
        let (mut stopper, start) = (Stopper::new(GRACE), Instant::now());
        assert_eq!(stopper.request(StopCause::Interrupted { signal: 2 }, start, 1), Order::Ask(2));
        assert_eq!(stopper.request(StopCause::Interrupted { signal: 15 }, start, 2), Order::Kill);
        assert_eq!(stopper.request(StopCause::Interrupted { signal: 2 }, start, 3), Order::Nothing);
        let stop = Stop { cause: StopCause::Interrupted { signal: 2 }, at_ms: 1, killed: true };
        assert_eq!(stopper.stop(), Some(&stop));
    }

    #[test]
    fn storms_get_no_grace_even_during_one() {
        let (mut stopper, start) = (Stopper::new(GRACE), Instant::now());
        assert_eq!(stopper.request(StopCause::ForkStorm, start, 1), Order::Kill);
        let mut stopper = Stopper::new(GRACE);
        assert_eq!(stopper.request(StopCause::Timeout, start, 1), Order::Ask(15));
        assert_eq!(stopper.request(StopCause::MemoryWatchdog, start, 2), Order::Kill);
        assert_eq!(stopper.stop().map(|stop| stop.cause.clone()), Some(StopCause::Timeout));
    }

    #[test]
    fn a_suspension_does_not_eat_the_grace() {
        let (mut stopper, start) = (Stopper::new(GRACE), Instant::now());
        stopper.request(StopCause::Timeout, start, 1);
        stopper.shift(Duration::from_secs(100));
        assert_eq!(stopper.on_time(start + GRACE), Order::Nothing);
        assert_eq!(stopper.kill_at(), Some(start + GRACE + Duration::from_secs(100)));
    }
}
