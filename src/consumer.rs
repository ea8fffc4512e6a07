//! The inbound loop: long polls in, groups in order and side by side, and a way to stop.
//!
//! Knows groups, permits and leases; knows nothing of what a delivery says.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::{FutureExt, future::join_all};
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, field::display, info, info_span, warn};
use uuid::Uuid;

use crate::{
    counters::Counters,
    pipeline::{Failure, Pipeline, Work},
    queue::{BATCH, Delivery, Inbox, Leases, QueueError, Receipt},
};

/// Largest delivery (SQS's limit); what a poll may bring is reserved before it starts.
const LARGEST_DELIVERY: usize = 1_048_576;

/// How often held leases are looked at.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A call of the loop itself may take this long at the end, past the drain time.
const LAST_CALL: Duration = Duration::from_secs(5);

/// How much the consumer takes on at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a poll waits for deliveries.
    pub wait: Duration,
    /// Polls at once, at most; one while the queue is quiet.
    pub pollers: usize,
    /// Deliveries held, at most.
    pub deliveries: usize,
    /// Bytes of deliveries held, at most.
    pub bytes: usize,
    /// How long running turns may take to end once a stop was asked for.
    pub drain: Duration,
}

/// The inbound loop.
pub struct Consumer {
    pipeline: Arc<Pipeline>,
    inbox: Arc<Inbox>,
    leases: Arc<Leases>,
    counters: Arc<Counters>,
    limits: Limits,
    attempts: Attempts,
}

/// Names of this process's polls: each its own, and the same again when an answer was lost.
struct Attempts {
    instance: Uuid,
    polls: AtomicU64,
}

impl Attempts {
    fn next(&self) -> Uuid {
        let poll = self.polls.fetch_add(1, Ordering::Relaxed);
        Uuid::new_v5(&self.instance, &poll.to_be_bytes())
    }
}

/// What is held right now.
#[derive(Default)]
struct Held {
    /// Deliveries waiting for their group's turn to end. A group is in here while it runs.
    groups: BTreeMap<String, VecDeque<Delivery>>,
    deliveries: usize,
    bytes: usize,
}

/// How a group's run ended.
struct Ran {
    group: String,
    received: usize,
    bytes: usize,
}

type Polls = JoinSet<Result<Vec<Delivery>, QueueError>>;

impl Consumer {
    /// A consumer that runs `pipeline`; `instance` tells this process's polls from all others.
    pub fn new(pipeline: Arc<Pipeline>, limits: Limits, instance: Uuid) -> Self {
        Self {
            inbox: pipeline.inbox.clone(),
            leases: pipeline.leases.clone(),
            counters: pipeline.counters.clone(),
            pipeline,
            limits,
            attempts: Attempts { instance, polls: AtomicU64::new(0) },
        }
    }

    /// Runs until `stop`, then drains: no new poll, open polls return, running turns end, the rest is given back.
    pub async fn run(&self, stop: CancellationToken) {
        let mut held = Held::default();
        let mut polls: Polls = JoinSet::new();
        let mut runs: JoinSet<Ran> = JoinSet::new();
        let mut pollers = 1;
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            while polls.len() < pollers && self.has_room(&held, polls.len() + 1) {
                polls.spawn(poll(self.inbox.clone(), self.attempts.next(), self.limits.wait));
            }
            self.show(&held, polls.len(), runs.len());
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ran) = runs.join_next() => self.after(ran.ok(), &mut held, &mut runs, &stop),
                Some(polled) = polls.join_next() => match polled {
                    Ok(Ok(deliveries)) => {
                        pollers = match deliveries.len() {
                            0 => 1,
                            BATCH => (pollers + 1).min(self.limits.pollers),
                            _ => pollers,
                        };
                        self.take(deliveries, &mut held, &mut runs, &stop);
                    }
                    Ok(Err(failure)) => warn!(error = %failure, "receive failed; polling goes on after a pause"),
                    Err(failure) => error!(error = %failure, "a poll ended abnormally"),
                },
                _ = heartbeat.tick() => self.extend().await,
            }
        }
        self.drain(held, polls, runs, heartbeat).await;
    }

    /// One step: receives once and handles what came, to the end. Returns how many deliveries that were.
    ///
    /// # Errors
    /// The receive failed.
    pub async fn poll_once(&self) -> Result<usize, QueueError> {
        let deliveries = self.inbox.edge().receive(self.attempts.next(), Duration::ZERO).await?;
        let received = deliveries.len();
        let (mut held, mut runs, stop) = (Held::default(), JoinSet::new(), CancellationToken::new());
        self.take(deliveries, &mut held, &mut runs, &stop);
        while let Some(ran) = runs.join_next().await {
            self.after(ran.ok(), &mut held, &mut runs, &stop);
        }
        Ok(received)
    }

    /// A round of the loop: it turns, and this is what it holds.
    fn show(&self, held: &Held, polls: usize, runs: usize) {
        let counters = &self.counters;
        counters.rounds.add(1);
        counters.deliveries_held.set(held.deliveries);
        counters.bytes_held.set(held.bytes);
        counters.groups_running.set(runs);
        counters.pollers.set(polls);
    }

    /// Whether `polls` full receives would still be within the limits.
    fn has_room(&self, held: &Held, polls: usize) -> bool {
        held.deliveries + polls * BATCH <= self.limits.deliveries
            && held.bytes + polls * BATCH * LARGEST_DELIVERY <= self.limits.bytes
    }

    /// Hands deliveries to their groups, and starts the groups that do not run.
    fn take(&self, deliveries: Vec<Delivery>, held: &mut Held, runs: &mut JoinSet<Ran>, stop: &CancellationToken) {
        if deliveries.is_empty() {
            return;
        }
        self.counters.receives.add(1);
        self.counters.deliveries.add(deliveries.len());
        let mut idle = Vec::new();
        for delivery in deliveries {
            self.leases.take(delivery.receipt.clone());
            held.deliveries += 1;
            held.bytes += delivery.body.len();
            let group = delivery.group_id.clone();
            held.groups
                .entry(group.clone())
                .or_insert_with(|| {
                    idle.push(group);
                    VecDeque::new()
                })
                .push_back(delivery);
        }
        for group in idle {
            self.start(group, held, runs, stop);
        }
    }

    /// Starts a group with all that waits for it; forgets it when nothing does.
    fn start(&self, group: String, held: &mut Held, runs: &mut JoinSet<Ran>, stop: &CancellationToken) {
        match held.groups.get_mut(&group).map(std::mem::take) {
            Some(waiting) if !waiting.is_empty() => {
                let mut deliveries = Vec::from(waiting);
                deliveries.sort_by_key(|delivery| delivery.sequence);
                let (pipeline, stop) = (self.pipeline.clone(), stop.clone());
                runs.spawn(run_group(pipeline, group, deliveries, stop));
            }
            _ => {
                held.groups.remove(&group);
            }
        }
    }

    fn after(&self, ran: Option<Ran>, held: &mut Held, runs: &mut JoinSet<Ran>, stop: &CancellationToken) {
        let Some(ran) = ran else { return };
        held.deliveries -= ran.received;
        held.bytes -= ran.bytes;
        self.start(ran.group, held, runs, stop);
    }

    /// Extends every lease that is half over, held back only by the service's batch size.
    async fn extend(&self) {
        let asked_at = Instant::now();
        let wanted = self.leases.to_extend();
        let calls = wanted.chunks(BATCH).map(|batch| async move {
            let entries = batch.iter().map(|receipt| (receipt.clone(), self.leases.visibility())).collect();
            for (receipt, extended) in batch.iter().zip(self.inbox.edge().hide(entries).await) {
                match extended {
                    Ok(()) => self.leases.extended(receipt, asked_at),
                    Err(QueueError::LeaseLost) => self.leases.drop_lease(receipt),
                    Err(failure) => warn!(error = %failure, "a lease could not be extended"),
                }
            }
        });
        join_all(calls).await;
    }

    async fn drain(
        &self,
        mut held: Held,
        mut polls: Polls,
        mut runs: JoinSet<Ran>,
        mut heartbeat: tokio::time::Interval,
    ) {
        info!(held = held.deliveries, polls = polls.len(), "stopping: no new polls");
        // a poll that is cut off may still take deliveries, and hide them: let each return
        let mut late = Vec::new();
        let until = Instant::now() + self.limits.drain.max(self.limits.wait) + LAST_CALL;
        while !(polls.is_empty() && runs.is_empty()) {
            self.show(&held, polls.len(), runs.len());
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(until) => break,
                Some(polled) = polls.join_next() => if let Ok(Ok(deliveries)) = polled { late.extend(deliveries) },
                Some(_) = runs.join_next() => {}
                _ = heartbeat.tick() => self.extend().await,
            }
        }
        let unfinished = runs.len();
        runs.shutdown().await;
        late.extend(std::mem::take(&mut held.groups).into_values().flatten());
        let mut groups: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
        for delivery in late {
            groups.entry(delivery.group_id.clone()).or_default().push(delivery);
        }
        for (_, mut deliveries) in groups {
            deliveries.sort_by_key(|delivery| delivery.sequence);
            let receipts = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
            release(&self.pipeline, receipts, Duration::ZERO).await;
        }
        let cut_off = self.leases.held();
        if !cut_off.is_empty() {
            release(&self.pipeline, cut_off, Duration::ZERO).await;
        }
        self.show(&Held::default(), 0, 0);
        info!(unfinished, "stopped");
    }
}

/// One long poll. An answer lost on the way is asked for again by the same attempt id, else its groups stay hidden (fact F8).
async fn poll(inbox: Arc<Inbox>, attempt: Uuid, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(20))
        .with_max_times(3)
        .with_jitter_seed(attempt.as_u64_pair().1)
        .with_jitter();
    let mut pauses = pauses.build();
    loop {
        match inbox.edge().receive(attempt, wait).await {
            Err(failure) => match pauses.next() {
                Some(pause) => {
                    debug!(error = %failure, "receive failed; asking again for the same deliveries");
                    sleep(pause).await;
                }
                None => return Err(failure),
            },
            received => return received,
        }
    }
}

/// Handles a group's deliveries in order, turn by turn. A failure stops this group only, and gives back what is left.
async fn run_group(pipeline: Arc<Pipeline>, group: String, deliveries: Vec<Delivery>, stop: CancellationToken) -> Ran {
    let received = deliveries.len();
    let bytes = deliveries.iter().map(|delivery| delivery.body.len()).sum();
    let mut works: Vec<Work> = deliveries.into_iter().map(Work::from).collect();
    while !works.is_empty() {
        if stop.is_cancelled() {
            release(&pipeline, receipts(&works), Duration::ZERO).await;
            break;
        }
        let trace = works[0].trace.map(display);
        let span = info_span!("turn", sqs.message_id = works[0].delivery.message_id, trace_id = trace);
        let begun = Instant::now();
        let turn = AssertUnwindSafe(pipeline.turn(&works).instrument(span)).catch_unwind().await;
        pipeline.counters.turn_duration.record(begun.elapsed());
        match turn {
            Ok(Ok(settled)) => drop(works.drain(..settled)),
            Ok(Err(Failure::LeaseLost)) => {
                warn!(deliveries = works.len(), "a lease was lost: the group is left to whoever holds it now");
                pipeline.counters.leases_lost.add(works.len());
                works.iter().for_each(|work| pipeline.leases.drop_lease(&work.delivery.receipt));
                break;
            }
            Ok(Err(failure)) => {
                let pause = pause(&works[0].delivery);
                warn!(error = %failure, pause_secs = pause.as_secs(), deliveries = works.len(), "turn failed; the group waits");
                release(&pipeline, receipts(&works), pause).await;
                break;
            }
            Err(_panic) => {
                let pause = pause(&works[0].delivery);
                error!(pause_secs = pause.as_secs(), deliveries = works.len(), "turn panicked; the group waits");
                release(&pipeline, receipts(&works), pause).await;
                break;
            }
        }
    }
    Ran { group, received, bytes }
}

fn receipts(works: &[Work]) -> Vec<Receipt> {
    works.iter().map(|work| work.delivery.receipt.clone()).collect()
}

/// Gives deliveries of one group back: the head after `pause`, the rest at once. The hidden head holds the group (fact F2).
///
/// All in one call: an emulator or a service that sees them one by one may hand out a later one first.
async fn release(pipeline: &Pipeline, receipts: Vec<Receipt>, pause: Duration) {
    pipeline.counters.released.add(receipts.len());
    // beyond one batch the last go first, so that the head is never visible before those behind it
    let mut hidden: Vec<(Receipt, Duration)> = receipts
        .into_iter()
        .enumerate()
        .map(|(n, receipt)| (receipt, if n == 0 { pause } else { Duration::ZERO }))
        .collect();
    while !hidden.is_empty() {
        let batch = hidden.split_off((hidden.len() - 1) / BATCH * BATCH);
        batch.iter().for_each(|(receipt, _)| pipeline.leases.drop_lease(receipt));
        match timeout(LAST_CALL, pipeline.inbox.edge().hide(batch)).await {
            Ok(results) => {
                for failure in results.into_iter().filter_map(Result::err).filter(|e| *e != QueueError::LeaseLost) {
                    warn!(error = %failure, "a delivery could not be given back; it returns when its visibility ends");
                }
            }
            Err(_) => warn!("deliveries could not be given back in time; they return when their visibility ends"),
        }
    }
}

/// How long a failed head waits: 4, 8, 16 … 900 seconds by receipts so far, ±50 %, spread by the message's own id.
fn pause(head: &Delivery) -> Duration {
    let base = 2u64.saturating_pow(head.receive_count.min(16) + 1).clamp(4, 900);
    let spread = Uuid::new_v5(&Uuid::NAMESPACE_OID, head.receipt.0.as_bytes()).as_u64_pair().1 % 1000;
    Duration::from_millis(base * (500 + spread))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Sequence;

    #[test]
    fn a_failing_head_waits_longer_each_time_and_never_longer_than_sqs_likes() {
        let pause_at = |receive_count| {
            pause(&Delivery {
                message_id: "m".into(),
                receipt: Receipt("r".into()),
                group_id: "g".into(),
                sequence: Sequence(1),
                sent_at: chrono::DateTime::UNIX_EPOCH,
                receive_count,
                body: "".into(),
                attributes: Default::default(),
            })
        };
        let pauses: Vec<Duration> = (1..=100).map(pause_at).collect();
        assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(pauses[0] >= Duration::from_secs(2) && pauses[99] <= Duration::from_secs(1350));
    }
}
