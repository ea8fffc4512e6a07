//! One group's run: its deliveries in order, turn by turn, and what becomes of them when a turn fails.
//!
//! A failure stops this group only. Who is charged for it: a delivery whose turn failed by itself, never one that waited
//! behind it, and nobody for an outage.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, field::display, info, info_span, warn};

use super::runner::{RETRIES, Runner, Verdict, given_up, pause};
use crate::{
    alert,
    pipeline::{Failure, Work},
    queue::{DeadLetterReason, Delivery, Receipt},
};

/// A delivery received more often than this is charged before its turn, so that one which kills the process is charged too.
const SUSPECT_AFTER: u32 = 3;

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
