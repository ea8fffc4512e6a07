//! The hot store: what every thread's conversation is doing, and the messages of those in progress.
//!
//! [`HotStore`] is the edge (DynamoDB, PostgreSQL, or a model of them); [`Hot`] is how the house uses it, one thread at a time,
//! with reads and writes of different threads sharing calls. Only this room knows attribute names and keys.

mod control;
mod dead_letters;
mod dynamo;
mod item;
mod known;
mod postgres;
mod rows;
mod sweep;
mod walk;

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use thiserror::Error;
use tokio::time::Instant;

use crate::{
    coalesce::{Batching, Coalescer},
    domain::{ConversationId, Head, Message, ProjectSettings, ThreadKey},
};

pub use control::{Control, Controls, HEARD_WITHIN, Parked, Pause, SKIP_HOLDS, Skip};
pub use dead_letters::{DeadLetter, DeadLetters, Settled, Settlement};
pub use dynamo::DynamoStore;
pub use item::{DUE_INDEX, DUE_SHARDS};
pub use postgres::{Database, EXPIRED_AT_ONCE, NEEDED, PostgresStore};
pub use rows::Row;
pub use sweep::{ItemKey, Sought, SweepPlace, Swept, SweptPage, WholeStore};
pub use walk::{Walk, Walked, Way};

/// A message on its way into a conversation.
#[derive(Clone, Debug)]
pub struct Put {
    /// Thread it belongs to.
    pub thread: ThreadKey,
    /// Conversation it was assigned to.
    pub conversation: ConversationId,
    /// The message.
    pub message: Arc<Message>,
}

/// Some of a conversation's messages, oldest first. A message may stand twice when its publisher sent it twice.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// A place in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(String);

impl Cursor {
    /// The place that a store calls `name`.
    pub fn at(name: String) -> Self {
        Self(name)
    }

    /// The store's name for the place.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A conversation whose time has come, as the sparse index knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DueHead {
    /// Its thread.
    pub thread: ThreadKey,
    /// The conversation.
    pub conversation: ConversationId,
    /// FIFO group of its thread.
    pub group_id: String,
    /// When it came up.
    pub due_at: DateTime<Utc>,
}

impl DueHead {
    /// The shard of the index it stands in.
    pub fn shard(&self) -> u8 {
        item::shard(&self.thread)
    }
}

/// The edge: one call each, consistent reads throughout (W2, CE-8).
#[async_trait]
pub trait HotStore: Send + Sync {
    /// The heads of `threads` (different ones, at most 100), in their order.
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>>;

    /// Writes `head` if the stored one is at the version before it (or absent, for version 1): W3, W8.
    ///
    /// Returns whether it was written.
    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError>;

    /// Puts messages (at most 25) under keys derived from what they say: writing one again changes nothing.
    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>>;

    /// One page of a conversation's messages.
    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError>;

    /// Some of a conversation's messages from a place on, one way or the other, nearest first.
    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError>;

    /// When the queue took the latest message of a conversation.
    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError>;

    /// Whether `message`, or one that came after it, stands in that conversation: then it closed over this message's head.
    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError>;

    /// Conversations of one shard (0 to [`DUE_SHARDS`]) that are due by `until`, oldest first, at most `limit`.
    /// The index lags behind: what it says is looked at again in the thread's group.
    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError>;

    /// Counts attempts at a delivery, or takes them back; the count is forgotten at `until`. Returns the attempts so far.
    async fn charge(&self, message_id: &str, attempts: i32, until: DateTime<Utc>) -> Result<u32, HotError>;

    /// Writes a row of the index of dead letters. Writing it again makes it unsettled again: its letter is back.
    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError>;

    /// One page of the dead letters whose messages the queue took on `day` (UTC), settled ones too.
    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError>;

    /// Marks the row of the message `message_id`, which the queue took at `sent_at`. Returns whether there is such a row.
    async fn mark_dead_letter(
        &self,
        sent_at: DateTime<Utc>,
        message_id: &str,
        settled: Settled,
    ) -> Result<bool, HotError>;

    /// Writes a row unless one of the same event or a newer one stands. Returns whether it was written.
    async fn write_row(&self, row: &Row) -> Result<bool, HotError>;

    /// The rows of a partition whose names begin with `prefix`, by name, at most 1,000.
    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError>;

    /// What all replicas are told: everything in force.
    async fn controls(&self) -> Result<Controls, HotError>;

    /// Tells all replicas, or lifts what was told. Returns whether that changed anything: what is in force is not told again
    /// (but for a skip), what is not is not lifted.
    async fn control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError>;
}

/// Why the hot store did not do it, or perhaps did: every write may be repeated.
#[derive(Clone, Debug, Error)]
pub enum HotError {
    /// It cannot be reached, throttles, is not set up, or answered with a fault of its own: try again later, and charge nobody.
    #[error("the hot store is unavailable: {0}")]
    Unavailable(String),
    /// It refused the request as such: what is asked of it is wrong.
    #[error("the hot store refused the request: {0}")]
    Refused(String),
    /// An item does not read as what it should be.
    #[error("an item in the hot store cannot be read: {0}")]
    Unreadable(&'static str),
}

/// Calls on their way to the hot store at once, for each kind of batch.
const PARALLEL_CALLS: usize = 8;

/// The hot store as the pipeline uses it.
pub struct Hot {
    store: Arc<dyn HotStore>,
    heads: Coalescer<ThreadKey, Result<Option<Head>, HotError>>,
    puts: Coalescer<Put, Result<(), HotError>>,
    projects: known::Remembered,
}

impl Hot {
    /// Puts the batching in front of `store`. `linger` is how long a first request waits for company.
    pub fn over(store: Arc<dyn HotStore>, linger: Duration) -> Self {
        let (reader, writer) = (store.clone(), store.clone());
        let heads = Batching { most: 100, linger, parallel: PARALLEL_CALLS };
        let puts = Batching { most: 25, linger, parallel: PARALLEL_CALLS };
        Self {
            store,
            heads: Coalescer::start(heads, move |threads| {
                let store = reader.clone();
                async move { distinct_heads(store, threads).await }
            }),
            puts: Coalescer::start(puts, move |puts| {
                let store = writer.clone();
                async move { store.put_messages(puts).await }
            }),
            projects: known::Remembered::default(),
        }
    }

    fn remembered(&self) -> MutexGuard<'_, HashMap<String, (Instant, ProjectSettings)>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of a thread.
    pub async fn head(&self, thread: &ThreadKey) -> Result<Option<Head>, HotError> {
        self.heads.ask(thread.clone()).await.unwrap_or_else(|| Err(unanswered()))
    }

    /// Puts a message into a conversation.
    pub async fn put(&self, put: Put) -> Result<(), HotError> {
        self.puts.ask(put).await.unwrap_or_else(|| Err(unanswered()))
    }
}

impl std::ops::Deref for Hot {
    type Target = dyn HotStore;

    fn deref(&self) -> &Self::Target {
        self.store.as_ref()
    }
}

fn unanswered() -> HotError {
    HotError::Unavailable("the call ended without an answer".into())
}

/// DynamoDB refuses a batch that names one key twice; two groups of one thread may ask together.
async fn distinct_heads(store: Arc<dyn HotStore>, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
    let mut distinct = threads.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let nobody_shares = distinct.len() == threads.len();
    let mut heads: Vec<_> = store.heads(distinct.clone()).await.into_iter().map(Some).collect();
    let mut answer = |thread: &ThreadKey| {
        let head = heads.get_mut(distinct.binary_search(thread).ok()?)?;
        if nobody_shares { head.take() } else { head.clone() }
    };
    threads.iter().map(|thread| answer(thread).unwrap_or_else(|| Err(unanswered()))).collect()
}
