//! The inbound loop: long polls in, groups in order and side by side, and a way to stop.
//!
//! Knows groups, permits and leases; knows nothing of what a delivery says.

mod control;
mod done;
mod group;
mod poll;
mod runner;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use self::{
    control::Control,
    done::Done,
    group::Ran,
    poll::{Attempts, Backoff, Received, poll},
    runner::{LAST_CALL, Runner},
};
use crate::{
    breaker::Breaker,
    counters::Counters,
    pipeline::Pipeline,
    queue::{BATCH, Delivery, Inbox, Leases, QueueError},
};

/// Largest delivery (SQS's limit); what a poll may bring is reserved before it starts.
const LARGEST_DELIVERY: usize = 1_048_576;

/// How often held leases are looked at, at the most seldom.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// And at least so many times in a lease.
const HEARTBEATS: u32 = 8;

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
    /// Failed attempts after which a delivery goes to the dead-letter queue.
    pub attempts: u32,
    /// Further tries of a turn within one receipt, after short pauses; at most three.
    pub retries: usize,
}

/// Asks the consumer to end.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// End in order: no new polls, running turns end.
    pub drain: CancellationToken,
    /// End at once: running turns are cut off, and everything is given back.
    pub now: CancellationToken,
}

/// The inbound loop.
pub struct Consumer {
    runner: Arc<Runner>,
    /// The breaker of the hot store: without it nothing can be handled, so nothing is polled.
    hot: Arc<Breaker>,
    /// What all replicas are told.
    control: Arc<Control>,
    inbox: Arc<Inbox>,
    leases: Arc<Leases>,
    counters: Arc<Counters>,
    limits: Limits,
    attempts: Attempts,
}

/// What is held right now.
#[derive(Default)]
struct Held {
    /// Deliveries waiting for their group's turn to end. A group is in here while it runs.
    groups: BTreeMap<String, VecDeque<Delivery>>,
    deliveries: usize,
    bytes: usize,
}

type Polls = JoinSet<Result<Received, QueueError>>;

impl Consumer {
    /// A consumer that runs `pipeline`; `instance` tells this process's polls from all others.
    pub fn new(pipeline: Arc<Pipeline>, limits: Limits, instance: Uuid) -> Self {
        let hot = Arc::new(Breaker::default());
        let control = Arc::new(Control::of(pipeline.clone()));
        Self {
            inbox: pipeline.inbox.clone(),
            leases: pipeline.leases.clone(),
            counters: pipeline.counters.clone(),
            hot: hot.clone(),
            control: control.clone(),
            runner: Arc::new(Runner {
                pipeline,
                hot,
                done: Done::default(),
                control,
                parks: BTreeSet::new(),
                max_attempts: limits.attempts,
                retries: limits.retries,
            }),
            limits,
            attempts: Attempts::of(instance),
        }
    }

    /// The same, for which a delivery of one of these event types that fails too often parks its group.
    pub fn parking(mut self, event_types: BTreeSet<String>) -> Self {
        if let Some(runner) = Arc::get_mut(&mut self.runner) {
            runner.parks = event_types;
        }
        self
    }

    /// Runs until `stop`, then drains: no new poll, open polls return, running turns end, the rest is given back.
    pub async fn run(&self, stop: Stop) {
        tokio::select! {
            biased;
            () = self.receive(stop) => {}
            () = self.control.keep_fresh() => {}
        }
    }

    async fn receive(&self, stop: Stop) {
        let mut backoff = Backoff::default();
        let mut held = Held::default();
        let mut polls: Polls = JoinSet::new();
        let mut runs: JoinSet<Ran> = JoinSet::new();
        let mut pollers = 1;
        let mut heartbeat = interval(HEARTBEAT.min(self.leases.visibility() / HEARTBEATS));
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !stop.drain.is_cancelled() {
            // while the hot store is away one poll at a time is the probe
            let admitted = if self.hot.is_open() || backoff.is_on() { 1 } else { pollers };
            let may = backoff.is_over() && self.control.lets_poll();
            while may && polls.len() < admitted && self.has_room(&held, polls.len() + 1) && self.hot.admit().is_ok() {
                let (inbox, leases) = (self.inbox.clone(), self.leases.clone());
                polls.spawn(poll(inbox, leases, self.attempts.next(), self.limits.wait, stop.drain.clone()));
            }
            self.show(&held, polls.len(), runs.len());
            tokio::select! {
                biased;
                () = stop.drain.cancelled() => {}
                Some(ran) = runs.join_next() => self.after(ran.ok(), &mut held, &mut runs, &stop.drain),
                Some(polled) = polls.join_next() => match polled {
                    Ok(Ok((asked, deliveries))) => {
                        backoff = Backoff::default();
                        self.counters.age_received.set(self.age(&deliveries));
                        pollers = match deliveries.len() {
                            0 => 1,
                            BATCH => (pollers + 1).min(self.limits.pollers),
                            _ => pollers,
                        };
                        self.take((asked, deliveries), &mut held, &mut runs, &stop.drain);
                    }
                    Ok(Err(failure)) => {
                        if let Some(pause) = backoff.failed(&failure, self.attempts.next()) {
                            let pause_ms = pause.as_millis();
                            warn!(error = %failure, pause_ms, "receive failed; polling goes on after a pause");
                        }
                    }
                    Err(failure) => error!(panicked = failure.is_panic(), "a poll ended abnormally"),
                },
                () = self.control.read_again() => {}
                () = backoff.over(), if !backoff.is_over() => {}
                _ = heartbeat.tick() => self.extend().await,
            }
        }
        self.drain(held, polls, runs, heartbeat, stop.now).await;
    }

    /// One step: receives once and handles what came, to the end. Returns how many deliveries that were; none while paused.
    ///
    /// # Errors
    /// The receive failed, or what the replicas are told cannot be read.
    pub async fn poll_once(&self) -> Result<usize, QueueError> {
        let told = self.control.current().await.map_err(|failure| QueueError::Unavailable(failure.to_string()))?;
        if told.controls.pause.is_some() {
            return Ok(0);
        }
        let asked = self.leases.ask(Duration::ZERO);
        let deliveries = self.inbox.edge().receive(self.attempts.next(), Duration::ZERO).await?;
        let received = deliveries.len();
        let (mut held, mut runs, stop) = (Held::default(), JoinSet::new(), CancellationToken::new());
        self.take((asked, deliveries), &mut held, &mut runs, &stop);
        while let Some(ran) = runs.join_next().await {
            self.after(ran.ok(), &mut held, &mut runs, &stop);
        }
        Ok(received)
    }

    /// Seconds since the queue took the oldest of what came.
    fn age(&self, deliveries: &[Delivery]) -> usize {
        let oldest = deliveries.iter().map(|delivery| delivery.sent_at).min();
        let age = oldest.map_or(0, |oldest| (self.runner.pipeline.clock.now() - oldest).num_seconds());
        usize::try_from(age).unwrap_or_default()
    }

    /// A round of the loop: it turns, and this is what it holds.
    fn show(&self, held: &Held, polls: usize, runs: usize) {
        let counters = &self.counters;
        counters.rounds.add(1);
        counters.deliveries_held.set(held.deliveries);
        counters.bytes_held.set(held.bytes);
        counters.groups_running.set(runs);
        counters.pollers.set(polls);
        counters.leases_held.set(self.leases.count());
        counters.hot_away.set((self.hot.is_open() || self.control.is_lost()).into());
    }

    /// Whether `polls` full receives would still be within the limits.
    fn has_room(&self, held: &Held, polls: usize) -> bool {
        held.deliveries + polls * BATCH <= self.limits.deliveries
            && held.bytes + polls * BATCH * LARGEST_DELIVERY <= self.limits.bytes
    }

    /// Hands deliveries to their groups, and starts the groups that do not run.
    fn take(&self, (asked, deliveries): Received, held: &mut Held, runs: &mut JoinSet<Ran>, stop: &CancellationToken) {
        if deliveries.is_empty() {
            return;
        }
        self.counters.receives.add(1);
        self.counters.deliveries.add(deliveries.len());
        let mut idle = Vec::new();
        for delivery in deliveries {
            self.leases.take(delivery.receipt.clone(), asked);
            let group = delivery.group_id.clone();
            let waiting = held.groups.entry(group.clone()).or_insert_with(|| {
                idle.push(group);
                VecDeque::new()
            });
            // received again before its turn came: the new receipt is the one that counts
            if let Some(earlier) = waiting.iter_mut().find(|waiting| waiting.message_id == delivery.message_id) {
                self.leases.drop_lease(&earlier.receipt);
                *earlier = delivery;
                continue;
            }
            held.deliveries += 1;
            held.bytes += delivery.body.len();
            waiting.push_back(delivery);
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
                let ran = Ran::of(group, &deliveries);
                let (runner, stop) = (self.runner.clone(), stop.clone());
                runs.spawn(async move {
                    runner.run_to_the_end(deliveries, stop).await;
                    ran
                });
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
                    Ok(()) => self.leases.extended(receipt, asked_at.elapsed()),
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
        now: CancellationToken,
    ) {
        info!(held = held.deliveries, polls = polls.len(), "stopping: no new polls");
        // a poll that is cut off may still take deliveries, and hide them: let each return
        let mut late = Vec::new();
        let (mut unfinished, mut hurried) = (0, false);
        let mut until = Instant::now() + self.limits.drain.max(self.limits.wait) + LAST_CALL;
        while !(polls.is_empty() && runs.is_empty()) {
            self.show(&held, polls.len(), runs.len());
            tokio::select! {
                biased;
                () = sleep_until(until) => break,
                // turns end here and now; a poll left open would take again what is given back, and hide it (kombu #2049)
                () = now.cancelled(), if !hurried => {
                    hurried = true;
                    until = until.min(Instant::now() + self.limits.wait + LAST_CALL);
                    unfinished = runs.len();
                    runs.shutdown().await;
                }
                Some(polled) = polls.join_next() => if let Ok(Ok((_, deliveries))) = polled { late.extend(deliveries) },
                Some(_) = runs.join_next() => {}
                _ = heartbeat.tick() => self.extend().await,
            }
        }
        unfinished += runs.len();
        runs.shutdown().await;
        late.extend(std::mem::take(&mut held.groups).into_values().flatten());
        let mut groups: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
        for delivery in late {
            groups.entry(delivery.group_id.clone()).or_default().push(delivery);
        }
        // side by side: a call that hangs holds up its own group only
        let given_back = groups.into_values().map(|mut deliveries| {
            deliveries.sort_by_key(|delivery| delivery.sequence);
            let receipts = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
            self.runner.release(receipts, Duration::ZERO)
        });
        join_all(given_back).await;
        let cut_off = self.leases.held();
        if !cut_off.is_empty() {
            self.runner.release(cut_off, Duration::ZERO).await;
        }
        self.show(&Held::default(), 0, 0);
        info!(unfinished, "stopped");
    }
}
