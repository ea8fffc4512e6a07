//! One queue in front of two: SQS, and the spool.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    plan::Stage,
    store::{SpoolStore, Standing},
};
use crate::queue::{Command, DeadLetterReason, Delivery, Leases, Queue, QueueError, Receipt};

/// What the receipts of the spool begin with; no receipt handle of SQS has a colon.
pub(super) const RECEIPT: &str = "spool:";

/// A poll that finds nothing, or may look for nothing, waits at most this long.
const IDLE: Duration = Duration::from_secs(1);

/// The queue as consumer and pipeline see it: its deliveries come from SQS or from the spool, as the fleet stands. What is sent,
/// and dead letters, always go to SQS.
pub struct SpooledQueue {
    queue: Arc<dyn Queue>,
    spool: Arc<dyn SpoolStore>,
    leases: Arc<Leases>,
    visibility: Duration,
    /// As this replica heard last; nothing before it has heard anything.
    standing: RwLock<Option<Standing>>,
    /// Receives of SQS on their way.
    receiving: AtomicUsize,
}

impl SpooledQueue {
    /// `queue` with `spool` beside it; deliveries of the spool are had for the leases' visibility.
    pub fn new(queue: Arc<dyn Queue>, spool: Arc<dyn SpoolStore>, leases: Arc<Leases>) -> Self {
        let visibility = leases.visibility();
        Self { queue, spool, leases, visibility, standing: RwLock::default(), receiving: AtomicUsize::new(0) }
    }

    /// SQS itself.
    pub(super) fn behind(&self) -> &dyn Queue {
        self.queue.as_ref()
    }

    /// What this replica heard last.
    pub(super) fn standing(&self) -> Option<Standing> {
        *self.standing.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stand(&self, standing: Standing) {
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = Some(standing);
    }

    /// The epoch in which this replica has stopped: it takes nothing from SQS, and has nothing of it.
    pub(super) fn stopped(&self) -> Option<u64> {
        let standing = self.standing().filter(|standing| standing.stage == Stage::Entering)?;
        let idle = self.receiving.load(Ordering::SeqCst) == 0 && self.leases.count() == 0;
        idle.then_some(standing.epoch)
    }

    /// Where the next deliveries come from.
    fn stage(&self) -> Option<Stage> {
        self.standing().filter(|_| self.leases.permitted()).map(|standing| standing.stage)
    }

    /// Asks SQS. What comes counts as held before this is no longer on its way, so that nobody can think it nowhere.
    async fn receive_directly(&self, attempt: Uuid, wait: Duration) -> Result<Option<Vec<Delivery>>, QueueError> {
        let _on_its_way = OnItsWay::count(&self.receiving);
        if self.stage() != Some(Stage::Direct) {
            return Ok(None);
        }
        let asked = self.leases.ask(wait);
        let deliveries = self.queue.receive(attempt, wait).await?;
        deliveries.iter().for_each(|delivery| self.leases.take(delivery.receipt.clone(), asked));
        Ok(Some(deliveries))
    }
}

#[async_trait]
impl Queue for SpooledQueue {
    async fn receive(&self, attempt: Uuid, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let deliveries = match self.stage() {
            Some(Stage::Direct) => match self.receive_directly(attempt, wait).await? {
                Some(deliveries) => return Ok(deliveries),
                None => Vec::new(),
            },
            Some(Stage::Spooling | Stage::Leaving) => self.spool.receive(self.visibility).await?,
            Some(Stage::Entering) | None => Vec::new(),
        };
        if deliveries.is_empty() {
            sleep(wait.min(IDLE)).await;
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        let (ours, places, theirs) = divided(receipts, |receipt| receipt);
        let spooled =
            async { if ours.is_empty() { Vec::new() } else { answered(&ours, self.spool.delete(&ours).await) } };
        let direct = async { if theirs.is_empty() { Vec::new() } else { self.queue.delete(theirs).await } };
        joined(&places, tokio::join!(spooled, direct))
    }

    async fn hide(&self, receipts: Vec<(Receipt, Duration)>) -> Vec<Result<(), QueueError>> {
        let (ours, places, theirs) = divided(receipts, |(receipt, _)| receipt);
        let spooled =
            async { if ours.is_empty() { Vec::new() } else { answered(&ours, self.spool.hide(&ours).await) } };
        let direct = async { if theirs.is_empty() { Vec::new() } else { self.queue.hide(theirs).await } };
        joined(&places, tokio::join!(spooled, direct))
    }

    async fn send(&self, command: Command) -> Result<(), QueueError> {
        self.queue.send(command).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &DeadLetterReason) -> Result<(), QueueError> {
        self.queue.dead_letter(delivery, reason).await
    }
}

/// A receive is on its way for as long as this lives, however it ends.
struct OnItsWay<'a>(&'a AtomicUsize);

impl<'a> OnItsWay<'a> {
    fn count(receiving: &'a AtomicUsize) -> Self {
        receiving.fetch_add(1, Ordering::SeqCst);
        Self(receiving)
    }
}

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What belongs to the spool, which entries those are, and what belongs to SQS.
fn divided<T>(entries: Vec<T>, receipt: impl Fn(&T) -> &Receipt) -> (Vec<T>, Vec<bool>, Vec<T>) {
    let places: Vec<bool> = entries.iter().map(|entry| receipt(entry).0.starts_with(RECEIPT)).collect();
    let (ours, theirs): (Vec<_>, Vec<_>) = entries.into_iter().zip(&places).partition(|(_, ours)| **ours);
    let entries = |of: Vec<(T, &bool)>| of.into_iter().map(|(entry, _)| entry).collect();
    (entries(ours), places.clone(), entries(theirs))
}

type Results = Vec<Result<(), QueueError>>;

/// What failed as a whole failed for each.
fn answered<T>(entries: &[T], results: Result<Results, QueueError>) -> Results {
    results.unwrap_or_else(|failure| vec![Err(failure); entries.len()])
}

/// The results in the order of the entries.
fn joined(places: &[bool], (ours, theirs): (Results, Results)) -> Results {
    let (mut ours, mut theirs) = (ours.into_iter(), theirs.into_iter());
    let unanswered = || Err(QueueError::Unavailable("an entry without an answer".into()));
    places.iter().map(|spooled| if *spooled { ours.next() } else { theirs.next() }.unwrap_or_else(unanswered)).collect()
}
