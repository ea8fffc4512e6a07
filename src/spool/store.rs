//! The spool's edge: PostgreSQL, or a model of it.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::plan::{Limits, Stage};
use crate::queue::{Delivery, QueueError, Receipt};

/// What a replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Its name, that no other process has.
    pub replica: Uuid,
    /// The machine or pod it runs on.
    pub host: String,
    /// For how long it has not reached DynamoDB; `None` when it does.
    pub away_for: Option<Duration>,
    /// The epoch in which it has stopped taking deliveries from the queue.
    pub stopped: Option<u64>,
}

/// Where the fleet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where deliveries come from.
    pub stage: Stage,
    /// How often the fleet has entered.
    pub epoch: u64,
    /// What the spool takes up, in bytes: indexes, and what is deleted and not yet reused, included.
    pub bytes: u64,
}

/// A replica, as the others know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub replica: Uuid,
    /// The machine or pod it runs on.
    pub host: String,
    /// When it said something last.
    pub seen_at: DateTime<Utc>,
    /// Since when it has not reached DynamoDB.
    pub away_since: Option<DateTime<Utc>>,
    /// The epoch in which it has stopped taking from the queue.
    pub stopped: Option<u64>,
}

/// All of it, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Where it stands.
    pub standing: Standing,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Deliveries in the spool.
    pub held: u64,
    /// When SQS took the oldest of them.
    pub oldest: Option<DateTime<Utc>>,
    /// Its replicas, the one that was silent for the longest first.
    pub replicas: Vec<Replica>,
}

/// The edge: one transaction each. What a caller gave up on may still happen.
#[async_trait]
pub trait SpoolStore: Send + Sync {
    /// Hears a replica, takes the fleet to its next stage if it is time (see [`super::next`]), and says where it stands.
    async fn hear(&self, word: &Word, limits: &Limits) -> Result<Standing, QueueError>;

    /// Forgets a replica: it has ended.
    async fn forget(&self, replica: Uuid) -> Result<(), QueueError>;

    /// Keeps deliveries of the queue, each once. Returns whether it did: only while the fleet is spooling in `epoch`.
    async fn hold(&self, epoch: u64, deliveries: &[Delivery]) -> Result<bool, QueueError>;

    /// At most [`crate::queue::BATCH`] deliveries of groups that nobody has, in order within each; they are had for `visibility`.
    async fn receive(&self, visibility: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Deletes what was received; each has its own result, in order. Who has all that it received of a group deleted, has it no
    /// more.
    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Result<(), QueueError>>, QueueError>;

    /// Sets how long groups are had from now on: the longest of what is asked for any of their deliveries.
    async fn hide(&self, receipts: &[(Receipt, Duration)]) -> Result<Vec<Result<(), QueueError>>, QueueError>;
}
