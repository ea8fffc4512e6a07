//! One long poll, and its name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::queue::{Asked, Delivery, Inbox, Leases, QueueError};

/// Names of this process's polls: each its own, and the same again when an answer was lost.
pub(super) struct Attempts {
    instance: Uuid,
    polls: AtomicU64,
}

impl Attempts {
    pub(super) fn of(instance: Uuid) -> Self {
        Self { instance, polls: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> Uuid {
        let poll = self.polls.fetch_add(1, Ordering::Relaxed);
        Uuid::new_v5(&self.instance, &poll.to_be_bytes())
    }
}

/// What one poll brought, and when it was asked for.
pub(super) type Received = (Asked, Vec<Delivery>);

/// Polls. An answer lost on the way is asked for again by the same attempt id, else its groups stay hidden (fact F8). What AWS
/// refuses had no answer to lose.
///
/// Once a stop was asked for it does not wait again: what the lost answer brought is given back, and nothing more is wanted.
pub(super) async fn poll(
    inbox: Arc<Inbox>,
    leases: Arc<Leases>,
    attempt: Uuid,
    wait: Duration,
    stop: CancellationToken,
) -> Result<Received, QueueError> {
    let mut tries = 0;
    loop {
        let wait = if stop.is_cancelled() { Duration::ZERO } else { wait };
        let asked = leases.ask(wait);
        match inbox.edge().receive(attempt, wait).await {
            Err(failure) if tries < TRIES && !failure.is_denied() => {
                tries += 1;
                debug!(error = %failure, "receive failed; asking again for the same deliveries");
                sleep(jittered(FIRST_PAUSE, tries, attempt)).await;
            }
            received => return received.map(|deliveries| (asked, deliveries)),
        }
    }
}

/// Tries after the first of one poll.
const TRIES: u32 = 3;

/// Pauses after failures in a row: up to 200 ms, 400 ms … 20 s.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The shortest pause when AWS refuses: rights and credentials are not mended in milliseconds.
const DENIED_PAUSE: Duration = Duration::from_secs(5);

/// Anything up to `first` doubled for each of `times` but the first: full jitter, spread by an id.
fn jittered(first: Duration, times: u32, spread: Uuid) -> Duration {
    let most = first.saturating_mul(2u32.saturating_pow(times.saturating_sub(1))).min(LONGEST_PAUSE);
    let spread = Uuid::new_v5(&spread, &times.to_be_bytes()).as_u64_pair().1 % 1_000;
    most.mul_f64((spread + 1) as f64 / 1_000.0)
}

/// When to poll again after polls that failed.
#[derive(Default)]
pub(super) struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// A poll failed, all its tries included. Returns the pause that this begins; polls that fail during one begin none.
    pub(super) fn failed(&mut self, failure: &QueueError, spread: Uuid) -> Option<Duration> {
        if !self.is_over() {
            return None;
        }
        self.failures += 1;
        let pause = match failure.is_denied() {
            true => DENIED_PAUSE + jittered(DENIED_PAUSE, self.failures, spread),
            false => jittered(FIRST_PAUSE, self.failures, spread),
        };
        let pause = pause.min(LONGEST_PAUSE);
        self.until = Some(Instant::now() + pause);
        Some(pause)
    }

    /// Whether polls have failed since the last that did not.
    pub(super) fn is_on(&self) -> bool {
        self.failures > 0
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// Returns when the pause is over.
    pub(super) async fn over(&self) {
        if let Some(until) = self.until {
            sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(failure: &QueueError, seed: u128) -> Vec<Duration> {
        let mut backoff = Backoff::default();
        let mut pauses = Vec::new();
        for n in 0..40 {
            pauses.extend(backoff.failed(failure, Uuid::from_u128(seed * 1_000 + n)));
            assert_eq!(backoff.failed(failure, Uuid::nil()), None, "one pause at a time");
            backoff.until = None;
        }
        pauses
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_from_200_ms_to_20_s_with_full_jitter_and_from_5_s_when_aws_refuses() {
        let away = QueueError::Unavailable("ServiceUnavailable".into());
        let denied = QueueError::Unavailable("AccessDenied".into());
        let mut longest = Duration::ZERO;
        for seed in 0..50 {
            let of = pauses(&away, seed);
            assert!(of[0] <= FIRST_PAUSE && of[1] <= FIRST_PAUSE * 2 && of[2] <= FIRST_PAUSE * 4);
            assert!(of.iter().all(|pause| !pause.is_zero() && *pause <= LONGEST_PAUSE));
            assert!(of.iter().skip(7).any(|pause| *pause < LONGEST_PAUSE / 2), "jitter is full");
            longest = of.into_iter().fold(longest, Duration::max);
            assert!(pauses(&denied, seed).iter().all(|pause| (DENIED_PAUSE..=LONGEST_PAUSE).contains(pause)));
        }
        assert!(longest > LONGEST_PAUSE * 9 / 10);
    }
}
