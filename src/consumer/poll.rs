//! One long poll, and its name.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::sleep;
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

/// Polls. An answer lost on the way is asked for again by the same attempt id, else its groups stay hidden (fact F8).
///
/// Once a stop was asked for it does not wait again: what the lost answer brought is given back, and nothing more is wanted.
pub(super) async fn poll(
    inbox: Arc<Inbox>,
    leases: Arc<Leases>,
    attempt: Uuid,
    wait: Duration,
    stop: CancellationToken,
) -> Result<Received, QueueError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(20))
        .with_max_times(3)
        .with_jitter_seed(attempt.as_u64_pair().1)
        .with_jitter();
    let mut pauses = pauses.build();
    loop {
        let wait = if stop.is_cancelled() { Duration::ZERO } else { wait };
        let asked = leases.ask(wait);
        match inbox.edge().receive(attempt, wait).await {
            Err(failure) => match pauses.next() {
                Some(pause) => {
                    debug!(error = %failure, "receive failed; asking again for the same deliveries");
                    sleep(pause).await;
                }
                None => return Err(failure),
            },
            Ok(deliveries) => return Ok((asked, deliveries)),
        }
    }
}
