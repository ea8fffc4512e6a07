//! A circuit breaker: after some failures in a row nothing is asked of a dependency for a while, then one caller asks for all.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// The first pause once open; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: how late a recovery is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The breaker of one dependency.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    pause: Duration,
}

impl Breaker {
    /// Whether the dependency may be asked now; if not, how long to wait. Once the pause is over, whoever asks first is the
    /// probe, and all others wait for another pause.
    ///
    /// # Errors
    /// It is open: the time until the next probe.
    pub fn admit(&self) -> Result<(), Duration> {
        let now = Instant::now();
        match &mut self.lock().open {
            Some(open) if now < open.until => Err(open.until - now),
            Some(open) => {
                open.until = now + open.pause;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// How long it stays open; `None` when it is closed, or due for a probe.
    pub fn open_for(&self) -> Option<Duration> {
        let now = Instant::now();
        self.lock().open.as_ref().and_then(|open| open.until.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Whether it is open or waits for a probe's outcome.
    pub fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    /// The dependency did what it was asked. Returns whether this closed an open breaker.
    pub fn succeeded(&self) -> bool {
        let mut state = self.lock();
        state.failures = 0;
        state.open.take().is_some()
    }

    /// The dependency was unavailable. Returns whether this opened a closed breaker.
    pub fn failed(&self) -> bool {
        let now = Instant::now();
        let mut state = self.lock();
        state.failures += 1;
        let failures = state.failures;
        match &mut state.open {
            Some(open) if now < open.until => false, // asked before it opened
            Some(open) => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.until = now + open.pause;
                false
            }
            None if failures >= FAILURES => {
                state.open = Some(Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE });
                true
            }
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        assert_eq!((0..FAILURES).map(|_| breaker.failed()).filter(|opened| *opened).count(), 1);
        breaker
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_and_one_success_between_them_does_not() {
        let breaker = Breaker::default();
        for n in 1..FAILURES * 3 {
            if n % FAILURES == 0 {
                breaker.succeeded();
            } else {
                breaker.failed();
            }
            assert_eq!(breaker.admit(), Ok(()));
        }
        assert!(opened().admit().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_pause_one_caller_probes_and_its_success_closes_it() {
        let breaker = opened();
        tokio::time::advance(FIRST_PAUSE).await;
        assert_eq!(breaker.admit(), Ok(()));
        assert!(breaker.admit().is_err(), "the others wait for the probe");
        assert!(breaker.succeeded());
        assert_eq!(breaker.admit(), Ok(()));
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn each_failed_probe_doubles_the_pause_up_to_the_longest() {
        let breaker = opened();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let pause = breaker.admit().expect_err("open");
            pauses.push(pause);
            tokio::time::advance(pause).await;
            assert_eq!(breaker.admit(), Ok(()));
            tokio::time::advance(FIRST_PAUSE.max(breaker.open_for().unwrap_or_default())).await;
            breaker.failed();
        }
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(pauses.last(), Some(&LONGEST_PAUSE));
    }
}
