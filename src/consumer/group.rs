//! One group's run: its deliveries in order, turn by turn, and what becomes of them when a turn fails.
//!
//! A failure stops this group only. Who is charged for it: a delivery whose turn failed by itself, never one that waited
//! behind it, and nobody for an outage.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, field::display, info, info_span, warn};
use uuid::Uuid;

use super::{control::Control, done::Done, told::given_up};
use crate::{
    alert,
    breaker::Breaker,
    pipeline::{Failure, Pipeline, Work},
    queue::{BATCH, DeadLetterReason, Delivery, QueueError, Receipt},
};

/// A call of the loop itself may take this long at the end, past the drain time.
pub(super) const LAST_CALL: Duration = Duration::from_secs(5);

/// Pauses between tries within one receipt: short ones, that spare most failures a trip through the queue.
const RETRIES: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(250), Duration::from_secs(1)];

/// A delivery received more often than this is charged before its turn, so that one which kills the process is charged too.
const SUSPECT_AFTER: u32 = 3;

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

/// How a group's run ended.
pub(super) struct Ran {
    pub(super) group: String,
    pub(super) received: usize,
    pub(super) bytes: usize,
}

impl Ran {
    pub(super) fn of(group: String, deliveries: &[Delivery]) -> Self {
        let bytes = deliveries.iter().map(|delivery| delivery.body.len()).sum();
        Self { group, received: deliveries.len(), bytes }
    }
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
    /// Runs a group's deliveries. Whatever happens in there, the group goes on afterwards, and so does the daemon.
    pub(super) async fn run_to_the_end(&self, deliveries: Vec<Delivery>, stop: CancellationToken) {
        let held: Vec<Receipt> = deliveries.iter().map(|delivery| delivery.receipt.clone()).collect();
        let pause = deliveries.first().map_or(Duration::ZERO, |head| pause(head, head.receive_count));
        if AssertUnwindSafe(self.run(deliveries, stop)).catch_unwind().await.is_err() {
            error!(deliveries = held.len(), "a group's run panicked; the group waits");
            self.release(held, pause).await;
        }
    }

    async fn run(&self, deliveries: Vec<Delivery>, stop: CancellationToken) {
        let mut works: Vec<Work> = deliveries.into_iter().map(|delivery| self.pipeline.read(delivery)).collect();
        while !works.is_empty() {
            if stop.is_cancelled() {
                self.release(receipts(&works), Duration::ZERO).await;
                break;
            }
            let trace = works[0].trace.map(display);
            let span = info_span!("turn", sqs.message_id = works[0].delivery.message_id, trace_id = trace);
            match self.step(&works, &stop).instrument(span).await {
                Verdict::Settled(settled) => drop(works.drain(..settled)),
                Verdict::Release(pause) => {
                    warn!(pause_secs = pause.as_secs(), deliveries = works.len(), "the group waits");
                    self.release(receipts(&works), pause).await;
                    break;
                }
                Verdict::Abandon => {
                    warn!(deliveries = works.len(), "a lease was lost: the group is left to whoever holds it now");
                    self.pipeline.counters.leases_lost.add(works.len());
                    works.iter().for_each(|work| self.pipeline.leases.drop_lease(&work.delivery.receipt));
                    break;
                }
            }
        }
    }

    /// What becomes of the head, and of those that share its turn.
    async fn step(&self, works: &[Work], stop: &CancellationToken) -> Verdict {
        let told = match self.control.current().await {
            Ok(told) => told,
            Err(failure) => return self.judge(&works[0], Failed::uncharged(failure.into())).await,
        };
        if told.controls.pause.is_some() {
            return self.wait(&works[0].delivery, stop).await;
        }
        if let Some(verdict) = self.parked(works, &told).await {
            return verdict;
        }
        match self.turn(works, stop).await {
            Ok(settled) => Verdict::Settled(settled),
            Err(failed) => self.judge(&works[0], failed).await,
        }
    }

    /// One turn, with its tries. What was applied and could not be deleted is remembered, so as not to run again.
    async fn turn(&self, works: &[Work], stop: &CancellationToken) -> Result<usize, Failed> {
        let head = &works[0].delivery;
        if self.done.contains(&head.message_id) {
            return self.pipeline.ack(&works[..1]).await.map(|()| 1).map_err(Failed::uncharged);
        }
        let mut attempts = None;
        let mut works = works;
        if head.receive_count > SUSPECT_AFTER {
            works = &works[..1];
            let charged = self.charge(head, 1).await.map_err(Failed::uncharged)?;
            attempts = Some(charged);
            // one that kills the process never gets as far as failing: charged before, it has
            if charged > self.max_attempts || (charged > 1 && self.wish(head).await.is_some()) {
                return Err(Failed { failure: Failure::Exhausted, attempts });
            }
        }
        let (mut pauses, mut applied, begun) = (RETRIES.into_iter().take(self.retries), 0, Instant::now());
        loop {
            let failure = match self.attempt(works, applied).await {
                Ok(settled) => {
                    // what could not be decoded never got as far as the hot store
                    if works[0].event.is_ok() && self.hot.succeeded() {
                        info!("the hot store is back");
                    }
                    return Ok(settled);
                }
                Err(failure) => failure,
            };
            let again = failure.may_pass() && !self.hot.is_open() && !stop.is_cancelled();
            let Some(pause) = pauses.next().filter(|_| again) else {
                if attempts.is_some() && failure.is_lapse() && begun.elapsed() < self.pipeline.leases.longest() {
                    // charged beforehand: whoever lived on and lost the lease all the same was frozen or starved, not killed
                    let _ = self.charge(head, -1).await;
                }
                return Err(Failed { failure, attempts });
            };
            if failure.is_outage_of_hot() {
                self.hot_failed(&failure);
            }
            match &failure {
                Failure::Unacked { applied: durable, .. } => applied = *durable,
                // by itself from now on: a run must not be judged by what stands behind its head
                _ => works = &works[..1],
            }
            sleep(pause).await;
        }
    }

    /// One try of a turn; of its delete alone once `applied` of its deliveries are durable (facts F6: deleting again is harmless).
    async fn attempt(&self, works: &[Work], applied: usize) -> Result<usize, Failure> {
        let turn = async {
            match applied {
                0 => self.pipeline.turn(works).await,
                applied => self.pipeline.ack(&works[..applied]).await.map(|()| applied),
            }
        };
        let begun = Instant::now();
        let turn = AssertUnwindSafe(turn).catch_unwind().await.unwrap_or(Err(Failure::Panicked));
        self.pipeline.counters.turn_duration.record(begun.elapsed());
        if let Err(Failure::Unacked { applied, .. }) = &turn {
            works[..*applied].iter().for_each(|work| self.done.insert(&work.delivery.message_id));
        }
        turn
    }

    fn hot_failed(&self, failure: &Failure) {
        if self.hot.failed() {
            warn!(error = %failure, "the hot store is away: polling stops until it answers again");
        }
    }

    async fn judge(&self, work: &Work, failed: Failed) -> Verdict {
        let (head, Failed { failure, attempts }) = (&work.delivery, failed);
        if failure.is_outage_of_hot() {
            self.hot_failed(&failure);
        }
        if failure.is_lapse() {
            return Verdict::Abandon;
        }
        warn!(error = %failure, sqs.message_id = head.message_id, "turn failed");
        if !failure.is_outage_of_hot() && !matches!(failure, Failure::Unacked { .. }) && self.is_given_up(head).await {
            let reason = format!("given up at an operator's word: {failure}");
            return self.bury(work, alert::SKIPPED, reason, self.max_attempts).await;
        }
        if failure.is_outage() {
            if attempts.is_some() {
                // it was charged beforehand, and is not to blame
                let _ = self.charge(head, -1).await;
            }
            return Verdict::Release(pause(head, head.receive_count));
        }
        let attempts = match attempts {
            Some(attempts) => attempts,
            None => match self.charge(head, 1).await {
                Ok(attempts) => attempts,
                Err(_) => return Verdict::Release(pause(head, head.receive_count)),
            },
        };
        if attempts < self.max_attempts {
            return Verdict::Release(pause(head, attempts));
        }
        if let Some(verdict) = self.park(work, &failure, attempts).await {
            return verdict;
        }
        error!(sqs.message_id = head.message_id, attempts, error = %failure, "a delivery is given up: it failed too often");
        self.bury(work, alert::EXHAUSTED, given_up(&failure, attempts), attempts).await
    }

    /// A delivery that failed too often is kept, with the reason, out of the group's way.
    async fn bury(&self, work: &Work, code: &str, reason: String, attempts: u32) -> Verdict {
        match self.pipeline.bury(work, &DeadLetterReason { code: code.to_owned(), field: None, reason }).await {
            Ok(()) => Verdict::Settled(1),
            Err(Failure::LeaseLost) => Verdict::Abandon,
            Err(_) => Verdict::Release(pause(&work.delivery, attempts)),
        }
    }

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

/// A turn that did not end, and what its head had been charged before.
struct Failed {
    failure: Failure,
    attempts: Option<u32>,
}

impl Failed {
    fn uncharged(failure: Failure) -> Self {
        Self { failure, attempts: None }
    }
}

fn receipts(works: &[Work]) -> Vec<Receipt> {
    works.iter().map(|work| work.delivery.receipt.clone()).collect()
}

/// How long a failed head waits: 4, 8, 16 … 900 seconds with the `times` so far, ±50 %, spread by its own receipt.
pub(super) fn pause(head: &Delivery, times: u32) -> Duration {
    let base = 2u64.saturating_pow(times.min(16) + 1).clamp(4, 900);
    let spread = Uuid::new_v5(&Uuid::NAMESPACE_OID, head.receipt.0.as_bytes()).as_u64_pair().1 % 1000;
    Duration::from_millis(base * (500 + spread))
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
