//! What groups run with, and what may become of a delivery in hand whoever decides it: charged, or given back.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;
use uuid::Uuid;

use super::{control::Control, done::Done};
use crate::{
    breaker::Breaker,
    pipeline::{Failure, Pipeline},
    queue::{BATCH, Delivery, QueueError, Receipt},
};

/// A call of the loop itself may take this long at the end, past the drain time.
pub(super) const LAST_CALL: Duration = Duration::from_secs(5);

/// Pauses between tries within one receipt: short ones, that spare most failures a trip through the queue.
pub(super) const RETRIES: [Duration; 3] =
    [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// A count of attempts outlives whatever it counts: 14 days in the queue, and a day.
const ATTEMPTS_KEPT: TimeDelta = TimeDelta::days(15);

/// What groups run with.
pub(super) struct Runner {
    pub(super) pipeline: Arc<Pipeline>,
    /// The breaker of the hot store; while it is open, nothing is polled.
    pub(super) hot: Arc<Breaker>,
    pub(super) done: Done,
    /// What all replicas are told.
    pub(super) control: Arc<Control>,
    /// Event types whose exhaustion parks their group.
    pub(super) parks: BTreeSet<String>,
    /// Failed attempts after which a delivery is dead.
    pub(super) max_attempts: u32,
    /// Tries within one receipt after the first.
    pub(super) retries: usize,
}

/// What a step of a group's run means for it.
pub(super) enum Verdict {
    /// So many are settled; the group goes on.
    Settled(usize),
    /// Leave everything to whoever holds the deliveries now.
    Abandon,
    /// Give everything back, the head after this long.
    Release(Duration),
}

impl Runner {
    pub(super) async fn charge(&self, delivery: &Delivery, attempts: i32) -> Result<u32, Failure> {
        let until = delivery.sent_at + ATTEMPTS_KEPT;
        Ok(self.pipeline.hot.charge(&delivery.message_id, attempts, until).await?)
    }

    /// Gives deliveries of one group back: the head after `pause`, the rest at once. The hidden head holds the group (fact F2).
    ///
    /// All in one call: an emulator or a service that sees them one by one may hand out a later one first.
    pub(super) async fn release(&self, receipts: Vec<Receipt>, pause: Duration) {
        self.pipeline.counters.released.add(receipts.len());
        // beyond one batch the last go first, so that the head is never visible before those behind it
        let hide = |(n, receipt)| (receipt, if n == 0 { pause } else { Duration::ZERO });
        let mut hidden: Vec<(Receipt, Duration)> = receipts.into_iter().enumerate().map(hide).collect();
        while !hidden.is_empty() {
            let batch = hidden.split_off((hidden.len() - 1) / BATCH * BATCH);
            self.give_back(batch).await;
        }
    }

    /// Hides what belongs to one call. What the queue did not do is asked for again, and nothing else: not what it did, and not
    /// what is no longer ours.
    async fn give_back(&self, mut batch: Vec<(Receipt, Duration)>) {
        let (begun, mut pauses, leases) = (Instant::now(), RETRIES.into_iter(), &self.pipeline.leases);
        batch.iter().for_each(|(receipt, _)| leases.leave(receipt));
        loop {
            let asked = timeout(LAST_CALL, self.pipeline.inbox.edge().hide(batch.clone())).await;
            let unanswered = |_| vec![Err(QueueError::Unavailable("no answer in time".into())); batch.len()];
            let results = asked.unwrap_or_else(unanswered);
            let again = |(entry, result): ((Receipt, Duration), _)| match result {
                Ok(()) | Err(QueueError::LeaseLost) => {
                    leases.drop_lease(&entry.0);
                    None
                }
                Err(failure) => Some((entry, failure)),
            };
            let failed: Vec<_> = batch.into_iter().zip(results).filter_map(again).collect();
            let Some((_, failure)) = failed.first() else { return };
            match pauses.next().filter(|_| begun.elapsed() <= LAST_CALL + RETRIES[0]) {
                Some(pause) => sleep(pause).await,
                None => {
                    let left = failed.len();
                    failed.iter().for_each(|((receipt, _), _)| leases.drop_lease(receipt));
                    warn!(error = %failure, left, "deliveries could not be given back; they return when their visibility ends");
                    return;
                }
            }
            batch = failed.into_iter().map(|(entry, _)| entry).collect();
        }
    }
}

/// How long a failed head waits: 4, 8, 16 … 900 seconds with the `times` so far, ±50 %, spread by its own receipt.
pub(super) fn pause(head: &Delivery, times: u32) -> Duration {
    let base = 2u64.saturating_pow(times.min(16) + 1).clamp(4, 900);
    let spread = Uuid::new_v5(&Uuid::NAMESPACE_OID, head.receipt.0.as_bytes()).as_u64_pair().1 % 1000;
    Duration::from_millis(base * (500 + spread))
}

/// The reason of a dead letter that failed too often.
pub(super) fn given_up(failure: &Failure, attempts: u32) -> String {
    format!("given up after failed attempt {attempts}: {failure}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Sequence;

    #[test]
    fn a_failing_head_waits_longer_each_time_and_never_longer_than_sqs_likes() {
        let head = Delivery {
            message_id: "m".into(),
            receipt: Receipt("r".into()),
            group_id: "g".into(),
            sequence: Sequence(1),
            sent_at: chrono::DateTime::UNIX_EPOCH,
            receive_count: 1,
            body: "".into(),
            attributes: Default::default(),
        };
        let pauses: Vec<Duration> = (1..=100).map(|times| pause(&head, times)).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(pauses[0] >= Duration::from_secs(2) && pauses[99] <= Duration::from_secs(1350));
    }
}
