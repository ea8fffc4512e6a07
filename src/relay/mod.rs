//! The outbound loop: claims heads of lanes, sends each, settles it. Any number of replicas; the database is what they share.
//!
//! No transaction is open while something is sent. What is sent twice (a crash after the send, an answer that was lost) has
//! the same id both times. Nothing overtakes what stands before it in its lane: not even a request whose lease ran out,
//! because none is begun that could outlast its lease.

mod watch;

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use tokio::{
    sync::{Mutex, OnceCell},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::{
    clock::Clock,
    counters::Counters,
    domain::Notice,
    outbox::{
        Attempt, Claimed, Failed, Outbox, OutboxError, Rate, Registration, Room, Schedule, Settlement, SinkId, Swept,
        Wrote,
    },
    sink::{Dispatch, Outcome, Sink, Verdict, Written},
};
use watch::Seen;

/// A request must be over this long before its lease is.
const MARGIN: Duration = Duration::from_secs(2);

/// Between two looks when something was found, and the longest between two when nothing is.
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After the outbox did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Silence for a sink that asks for it without saying how long, and the longest that it gets.
const SILENCE: Duration = Duration::from_secs(10);
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

/// How often old rows are looked for, and how many of them go at once.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
const SWEEP_BATCH: u32 = 1_000;

/// How often it is looked whether a person should hear of something.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A settlement is tried so often before it is left to the end of the lease.
const SETTLE_TRIES: u32 = 3;

/// A sink, and how it is used.
pub struct Outlet {
    /// What the database must know of it.
    pub registration: Registration,
    /// What sends.
    pub sink: Arc<dyn Sink>,
    /// When to try again.
    pub schedule: Schedule,
    /// Requests at once.
    pub concurrency: u32,
    /// Whether a lane stops when its head is given up.
    pub park: bool,
    /// How long a request may take.
    pub timeout: Duration,
    /// How fast all replicas together may send to it.
    pub rate: Option<Rate>,
}

/// The relay.
pub struct Relay {
    outbox: Outbox,
    outlets: Vec<Arc<Outlet>>,
    routes: OnceCell<BTreeMap<SinkId, Arc<Outlet>>>,
    lease: Duration,
    lag: Duration,
    seen: Mutex<Seen>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
}

impl Relay {
    /// A relay of `outbox` to `outlets`, which tells when notices wait for `lag`. Connects to nothing yet.
    pub fn new(
        outbox: Outbox,
        outlets: Vec<Outlet>,
        lag: Duration,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
    ) -> Self {
        let longest = outlets.iter().map(|outlet| outlet.timeout).max().unwrap_or_default();
        let outlets = outlets.into_iter().map(Arc::new).collect();
        // a request and its settlement fit in twice over
        let lease = 2 * longest + Duration::from_secs(10);
        Self { outbox, outlets, routes: OnceCell::new(), lease, lag, seen: Mutex::default(), clock, counters }
    }

    /// One step: sends every head that is due and for which there is room, and settles it. Returns how many there were.
    ///
    /// # Errors
    /// The outbox does not answer.
    pub async fn run_once(&self) -> Result<usize, OutboxError> {
        let (claimed, lease_ends) = self.claim(&BTreeMap::new()).await?;
        let count = claimed.len();
        let mut sends = Vec::new();
        for claimed in claimed {
            if let Some(outlet) = self.outlet(claimed.claim.sink) {
                sends.push(self.dispatch(outlet, claimed, lease_ends));
            }
        }
        join_all(sends).await;
        Ok(count)
    }

    /// Deletes what is settled and old, a batch of each.
    ///
    /// # Errors
    /// The outbox does not answer.
    pub async fn sweep(&self) -> Result<Swept, OutboxError> {
        self.outbox.sweep(SWEEP_BATCH).await
    }

    /// Looks whether a person should hear of something, and tells the sinks that take alerts: what was counted here since the
    /// last look, and sinks for which notices wait too long.
    ///
    /// # Errors
    /// The outbox does not answer: what was seen is told at the next look.
    pub async fn look(&self) -> Result<(), OutboxError> {
        self.watch(&mut *self.seen.lock().await).await
    }

    /// Runs until `stop`, then lets what is on its way end, for the length of a lease at most.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tasks: JoinSet<SinkId> = JoinSet::new();
        let mut under_way: BTreeMap<SinkId, u32> = BTreeMap::new();
        let (mut pause, mut failing) = (SHORTEST_PAUSE, false);
        let (mut swept, mut looked) = (Instant::now(), Instant::now());
        while !stop.is_cancelled() {
            while let Some(ended) = tasks.try_join_next() {
                ended_one(&mut under_way, ended.ok());
            }
            match self.claim(&under_way).await {
                Ok((claimed, lease_ends)) => {
                    pause = if claimed.is_empty() { (pause * 2).min(LONGEST_PAUSE) } else { SHORTEST_PAUSE };
                    if std::mem::take(&mut failing) {
                        info!("the outbox answers again");
                    }
                    for claimed in claimed {
                        let sink = claimed.claim.sink;
                        let Some(outlet) = self.outlet(sink).cloned() else { continue };
                        *under_way.entry(sink).or_default() += 1;
                        let relay = self.clone();
                        tasks.spawn(async move {
                            relay.dispatch(&outlet, claimed, lease_ends).await;
                            sink
                        });
                    }
                }
                Err(failure) => {
                    if !std::mem::replace(&mut failing, true) {
                        warn!(error = %failure, "the outbox does not answer; notices wait");
                    }
                    pause = AFTER_FAILURE;
                }
            }
            if swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                if let Err(failure) = self.sweep().await {
                    debug!(error = %failure, "old notices could not be deleted; they will be at the next try");
                }
            }
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                if let Err(failure) = self.look().await {
                    debug!(error = %failure, "it could not be looked for alerts; it will be again");
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = tasks.join_next() => ended_one(&mut under_way, ended.ok()),
                () = sleep(pause) => {}
            }
        }
        let all_ended = async { while tasks.join_next().await.is_some() {} };
        if timeout(self.lease, all_ended).await.is_err() {
            warn!("what was being sent did not end; it comes up again when its lease ends");
        }
    }

    /// The sinks by their numbers, once the database knows them.
    async fn routes(&self) -> Result<&BTreeMap<SinkId, Arc<Outlet>>, OutboxError> {
        let register = async || {
            let registrations: Vec<_> = self.outlets.iter().map(|outlet| outlet.registration.clone()).collect();
            let ids = self.outbox.register(&registrations).await?;
            let route = |outlet: &Arc<Outlet>| Some((*ids.get(&outlet.registration.name)?, outlet.clone()));
            Ok(self.outlets.iter().filter_map(route).collect())
        };
        self.routes.get_or_try_init(register).await
    }

    fn outlet(&self, sink: SinkId) -> Option<&Arc<Outlet>> {
        self.routes.get()?.get(&sink)
    }

    /// Claims as much as there is room for beside what is under way; also the probes of breakers whose time is over. Says
    /// when the leases end at the earliest: counted from before they were asked for.
    async fn claim(&self, under_way: &BTreeMap<SinkId, u32>) -> Result<(Vec<Claimed>, Instant), OutboxError> {
        let routes = self.routes().await?;
        let mut rooms = Vec::new();
        for (sink, outlet) in routes {
            let room = outlet.concurrency.saturating_sub(under_way.get(sink).copied().unwrap_or_default());
            let lanes = match outlet.rate {
                Some(rate) if room > 0 => self.outbox.take_leave(*sink, room, rate).await?,
                _ => room,
            };
            rooms.push(Room { sink: *sink, lanes });
        }
        let lease_ends = Instant::now() + self.lease;
        let mut claimed = self.outbox.claim(&rooms, self.lease).await?;
        for room in rooms.iter().filter(|room| routes[&room.sink].rate.is_some()) {
            let begun = claimed.iter().filter(|claimed| claimed.claim.sink == room.sink).count();
            let unused = room.lanes.saturating_sub(u32::try_from(begun).unwrap_or(u32::MAX));
            if unused > 0 {
                self.outbox.give_back(room.sink, unused).await?;
            }
        }
        let sinks: Vec<SinkId> = routes.keys().copied().collect();
        for sink in self.outbox.probe(&sinks, self.lease).await? {
            claimed.extend(self.outbox.claim_probe(sink, self.lease).await?);
        }
        Ok((claimed, lease_ends))
    }

    async fn dispatch(&self, outlet: &Outlet, claimed: Claimed, lease_ends: Instant) {
        let span = info_span!(
            "dispatch",
            sink = outlet.registration.name,
            notice.id = %claimed.notice.id,
            notice.kind = claimed.notice.kind.as_str(),
            attempt = claimed.attempt
        );
        self.attempt(outlet, &claimed, lease_ends).instrument(span).await;
    }

    async fn attempt(&self, outlet: &Outlet, claimed: &Claimed, lease_ends: Instant) {
        if claimed.attempt > outlet.schedule.attempts() {
            // attempts count from the claim: whatever was sent by then ended without a word, and may end us too
            let verdict = Verdict::failed(Outcome::Refused { tries: 1 }, None, "every attempt ended without an end");
            return self.conclude(outlet, claimed, verdict, Duration::ZERO).await;
        }
        let began = Instant::now();
        if began + outlet.timeout + MARGIN > lease_ends {
            let late = Attempt { reason: Some("the lease was nearly over".into()), ..Attempt::default() };
            self.settle(claimed, Settlement::Release(Duration::ZERO), &late).await;
            return;
        }
        let dispatch = Dispatch {
            notice: &claimed.notice,
            lane: claimed.claim.lane,
            sequence: claimed.claim.seq,
            attempt: claimed.attempt,
        };
        let sent = timeout(outlet.timeout, AssertUnwindSafe(outlet.sink.send(&dispatch)).catch_unwind()).await;
        let verdict = match sent {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => {
                error!("a sink panicked");
                Verdict::failed(Outcome::Retry { after: None }, None, "the attempt panicked")
            }
            Err(_) => Verdict::failed(Outcome::Retry { after: None }, None, "no answer in time"),
        };
        self.conclude(outlet, claimed, verdict, began.elapsed()).await;
    }

    /// What a verdict means: to the sink first, so that nothing more is claimed for one that is in trouble; then to the lane.
    async fn conclude(&self, outlet: &Outlet, claimed: &Claimed, verdict: Verdict, took: Duration) {
        let (sink, name) = (claimed.claim.sink, &outlet.registration.name);
        let reason = verdict.reason.clone().unwrap_or_default();
        let spread = claimed.notice.spread(claimed.attempt);
        let again = |after| outlet.schedule.after(claimed.attempt, spread, after).map(Settlement::Retry);
        let mut succeeded = false;
        let settlement = match verdict.outcome {
            Outcome::Delivered => {
                if let Some(Written { account, crm_id, properties }) = verdict.wrote.as_deref().cloned() {
                    let wrote = Wrote { account, crm_id, properties };
                    self.told(self.outbox.remember(&claimed.notice, &wrote).await);
                }
                succeeded = true;
                Some(Settlement::Delivered)
            }
            Outcome::Retry { after } => {
                self.count_failure(sink, name).await;
                // an outage is not the notice's fault, however long it lasts; the breaker says when to try again
                if claimed.probe { Some(Settlement::Release(Duration::ZERO)) } else { again(after) }
            }
            Outcome::Throttled { after } => {
                let silence = after.unwrap_or(SILENCE).clamp(Duration::from_secs(1), LONGEST_SILENCE);
                info!(seconds = silence.as_secs(), "a sink asked for silence");
                self.told(self.outbox.block(sink, silence).await);
                again(Some(silence))
            }
            Outcome::Refused { tries } if claimed.attempt < tries => again(None),
            Outcome::Refused { .. } => None,
            Outcome::Misconfigured => {
                let alert = self.alert("sink_paused", name, &reason);
                if self.told(self.outbox.pause(sink, &reason, Some(&alert)).await) == Some(true) {
                    error!(reason, "a sink is paused; its notices wait. Mend it, then: conversationd outbox resume");
                }
                Some(Settlement::Release(Duration::ZERO))
            }
            Outcome::Gone => {
                let alert = self.alert("sink_disabled", name, "it says that it is gone");
                if self.told(self.outbox.disable(sink, "it says that it is gone", Some(&alert)).await) == Some(true) {
                    error!("a sink says that it is gone, and is disabled");
                }
                Some(Settlement::Release(Duration::ZERO))
            }
        };
        let attempt = Attempt { took, status: verdict.status, reason: verdict.reason };
        match settlement {
            Some(settlement) => {
                match settlement {
                    Settlement::Delivered => self.counters.notices_sent.add(1),
                    _ => self.counters.attempts_failed.add(1),
                }
                debug!(?settlement, status = attempt.status, reason, "attempted");
                self.settle(claimed, settlement, &attempt).await;
            }
            None => {
                self.counters.attempts_failed.add(1);
                self.give_up(outlet, claimed, &attempt).await;
            }
        }
        if succeeded {
            self.told(self.outbox.succeeded(sink).await);
        }
    }

    async fn give_up(&self, outlet: &Outlet, claimed: &Claimed, attempt: &Attempt) {
        let settlement = if outlet.park { Settlement::Park } else { Settlement::Dead };
        if self.settle(claimed, settlement, attempt).await {
            self.counters.notices_given_up.add(1);
            warn!(status = attempt.status, reason = attempt.reason, park = outlet.park, "a notice was given up");
            let alert =
                self.alert("notice_given_up", &outlet.registration.name, "notices were given up; see outbox list");
            self.told(self.outbox.tell(&[alert]).await);
        }
    }

    async fn count_failure(&self, sink: SinkId, name: &str) {
        let alert = self.alert("sink_disabled", name, "it failed for 120 hours");
        match self.told(self.outbox.failed(sink, &alert).await) {
            Some(Failed::Opened) => warn!("a sink fails; nothing is sent to it for a while"),
            Some(Failed::Disabled) => error!("a sink failed for 120 hours, and is disabled"),
            Some(Failed::Counted) | None => {}
        }
    }

    /// Settles; whether the claim was still ours.
    async fn settle(&self, claimed: &Claimed, settlement: Settlement, attempt: &Attempt) -> bool {
        for again in (0..SETTLE_TRIES).rev() {
            match self.outbox.settle(&claimed.claim, settlement, attempt).await {
                Ok(true) => return true,
                Ok(false) => {
                    self.counters.dispatch_leases_lost.add(1);
                    info!("a lane was taken by another while its head was being sent");
                    return false;
                }
                Err(failure) if again == 0 => {
                    warn!(error = %failure, "an attempt could not be settled; it is made again when its lease ends");
                }
                Err(_) => sleep(SHORTEST_PAUSE).await,
            }
        }
        false
    }

    /// What the outbox did; a failure is told and changes nothing here: the lane's own settlement decides.
    fn told<T>(&self, done: Result<T, OutboxError>) -> Option<T> {
        done.inspect_err(|failure| warn!(error = %failure, "the state of a sink could not be written")).ok()
    }

    fn alert(&self, rule: &str, sink: &str, text: &str) -> Notice {
        Notice::alert_of_sink(rule, sink, text, self.clock.now())
    }
}

fn ended_one(under_way: &mut BTreeMap<SinkId, u32>, ended: Option<SinkId>) {
    match ended.and_then(|sink| under_way.get_mut(&sink)) {
        Some(count) => *count = count.saturating_sub(1),
        // it panicked outside of its sink: whose room it was is not known, so all of it is given back
        None => under_way.clear(),
    }
}
