//! A replica's part in the fleet: what it says of itself every few seconds, and, while the fleet spools, moving the queue.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::{
    plan::{Limits, Stage},
    queue::SpooledQueue,
    store::{SpoolStore, Standing, Word},
};
use crate::{
    alert::Alert,
    counters::Counters,
    hot::HotStore,
    queue::{BATCH, Delivery, Leases, QueueError},
};

/// How often a replica says how it is.
const PERIOD: Duration = Duration::from_secs(5);

/// A look at DynamoDB, or a word to the others, that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a failure, and between looks at what cannot be moved yet.
const AGAIN: Duration = Duration::from_secs(1);

/// Moves at once: each waits for one commit at a time.
const MOVERS: usize = 4;

/// What the spool may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// When the fleet goes on to another stage.
    pub limits: Limits,
    /// The spool takes no more while it is larger than this, in bytes.
    pub bytes: u64,
}

/// Keeps a replica in step with the others.
pub struct Keeper {
    queue: Arc<SpooledQueue>,
    spool: Arc<dyn SpoolStore>,
    hot: Arc<dyn HotStore>,
    leases: Arc<Leases>,
    counters: Arc<Counters>,
    rules: Rules,
    wait: Duration,
    replica: Uuid,
    host: String,
    /// Since when the hot store has not answered.
    away: Mutex<Option<Instant>>,
    polls: AtomicU64,
}

impl Keeper {
    /// Of the process `replica` on `host`, whose deliveries come through `queue` and are held in `leases`; its polls take `wait`.
    pub fn new(
        (queue, spool): (Arc<SpooledQueue>, Arc<dyn SpoolStore>),
        hot: Arc<dyn HotStore>,
        leases: Arc<Leases>,
        counters: Arc<Counters>,
        (rules, wait): (Rules, Duration),
        (replica, host): (Uuid, String),
    ) -> Self {
        let (away, polls) = (Mutex::default(), AtomicU64::new(0));
        Self { queue, spool, hot, leases, counters, rules, wait, replica, host, away, polls }
    }

    /// Until `ended`: then nothing of this process is handled any more, and the others are told. Once `stop` was asked for,
    /// nothing more is moved.
    pub async fn run(&self, stop: CancellationToken, ended: CancellationToken) {
        tokio::select! {
            biased;
            () = ended.cancelled() => {}
            () = self.keep_in_step() => {}
            () = async {
                join_all((0..MOVERS).map(|_| self.move_all(&stop))).await;
                std::future::pending().await
            } => {}
        }
        if !matches!(timeout(PATIENCE, self.spool.forget(self.replica)).await, Ok(Ok(()))) {
            info!("the other replicas could not be told that this one has ended: they wait for its lease if they must");
        }
    }

    async fn keep_in_step(&self) {
        let mut lost = false;
        loop {
            let began = Instant::now();
            let heard = self.look().await;
            match &heard {
                Ok(()) if lost => info!("the spool can be reached again"),
                Err(failure) if !lost => {
                    let lease_secs = self.rules.limits.lease.as_secs();
                    warn!(error = %failure, lease_secs, "the spool cannot be reached: after a lease's time nothing is handled");
                }
                _ => {}
            }
            lost = heard.is_err();
            sleep(if lost { AGAIN } else { PERIOD.saturating_sub(began.elapsed()) }).await;
        }
    }

    /// Looks at DynamoDB, says how this replica is, and takes the stage that the fleet is in.
    ///
    /// # Errors
    /// The spool does not answer: the stage stays as it is, until what is permitted runs out.
    pub async fn look(&self) -> Result<(), QueueError> {
        let away_for = self.away_for().await;
        // before the call: what the others believe ends no earlier than what this replica believes
        let asked = self.leases.ask(Duration::ZERO);
        let word = Word { replica: self.replica, host: self.host.clone(), away_for, stopped: self.queue.stopped() };
        let hearing = self.spool.hear(&word, &self.rules.limits);
        let standing = timeout(PATIENCE, hearing).await.map_err(|_| unanswered())??;
        self.note(standing);
        self.queue.stand(standing);
        self.leases.permit(asked, self.rules.limits.lease);
        Ok(())
    }

    async fn away_for(&self) -> Option<Duration> {
        let answers = matches!(timeout(PATIENCE, self.hot.controls()).await, Ok(Ok(_)));
        let mut away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        *away = if answers { None } else { Some(away.unwrap_or_else(Instant::now)) };
        away.map(|since| since.elapsed())
    }

    fn note(&self, standing: Standing) {
        let takes = |standing: Standing| matches!(standing.stage, Stage::Entering | Stage::Spooling);
        let (before, now) = (self.queue.standing().is_some_and(takes), takes(standing));
        match (before, now) {
            (false, true) => Alert::Spooling.raise(&self.counters),
            (true, false) => Alert::Unspooling.raise(&self.counters),
            _ => {}
        }
        if self.queue.standing().is_none_or(|before| before.stage != standing.stage) {
            info!(stage = standing.stage.name(), epoch = standing.epoch, "deliveries: where they come from");
        }
        self.counters.spooling.set((standing.stage != Stage::Direct).into());
        self.counters.spool_bytes.set(usize::try_from(standing.bytes).unwrap_or(usize::MAX));
    }

    /// Moves what comes, while the fleet spools.
    async fn move_all(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let spooling =
                |standing: &Standing| standing.stage == Stage::Spooling && standing.bytes <= self.rules.bytes;
            let pause = match self.queue.standing().filter(spooling) {
                Some(standing) => match self.move_once(standing.epoch).await {
                    Ok(moved) if moved > 0 => Duration::ZERO,
                    // a poll waits by itself, unless it may not
                    Ok(_) => AGAIN.saturating_sub(self.wait),
                    Err(failure) => {
                        warn!(error = %failure, "nothing could be moved into the spool");
                        AGAIN
                    }
                },
                None => AGAIN,
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = sleep(pause) => {}
            }
        }
    }

    /// Moves what one receive brings: held, committed, then deleted from the queue. Returns how many deliveries that were.
    async fn move_once(&self, epoch: u64) -> Result<usize, QueueError> {
        let poll = self.polls.fetch_add(1, Ordering::Relaxed);
        let attempt = Uuid::new_v5(&self.replica, format!("move {poll}").as_bytes());
        let began = Instant::now();
        let deliveries = self.queue.behind().receive(attempt, self.wait).await?;
        if deliveries.is_empty() {
            return Ok(0);
        }
        // asleep for too long: they are somebody else's by now
        if began.elapsed() > self.wait + self.leases.visibility() / 2 {
            return Ok(0);
        }
        match timeout(PATIENCE, self.spool.hold(epoch, &deliveries)).await.unwrap_or_else(|_| Err(unanswered())) {
            Ok(true) => {
                self.counters.spooled.add(deliveries.len());
                // one that stays comes again, and stands in the spool already
                self.queue.behind().delete(receipts(&deliveries)).await;
                Ok(deliveries.len())
            }
            Ok(false) => self.give_back(deliveries).await.map(|()| 0),
            Err(failure) => self.give_back(deliveries).await.and(Err(failure)),
        }
    }

    async fn give_back(&self, deliveries: Vec<Delivery>) -> Result<(), QueueError> {
        let visible = receipts(&deliveries).into_iter().map(|receipt| (receipt, Duration::ZERO)).take(BATCH).collect();
        self.queue.behind().hide(visible).await.into_iter().collect()
    }
}

fn receipts(deliveries: &[Delivery]) -> Vec<crate::queue::Receipt> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

fn unanswered() -> QueueError {
    QueueError::Unavailable("the spool did not answer in time".into())
}
