//! The hot store in PostgreSQL, for a deployment without DynamoDB (migrations/0009_hot.sql).
//!
//! Every operation is one statement and its own transaction, durable when it answers: one round trip, no lock held between
//! two, and what a caller gave up on may land later, as a request to DynamoDB may. Nothing is deleted here but what expired.

mod control;
mod dead_letters;
mod error;
mod head;
mod message;
mod row;
mod session;
mod sweep;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sqlx::{Connection, PgPool, postgres::PgPoolOptions};
use tokio::sync::Semaphore;

use super::{
    Control, Controls, Cursor, DeadLetter, DeadLetters, DueHead, HotError, HotStore, Page, Put, Row, Settled, Walk,
    Walked, Way,
};
use crate::{
    domain::{ConversationId, Head, Message, ThreadKey},
    postgres,
};

/// How long one statement may take on the server, waiting for another writer of the same row included.
const STATEMENT: Duration = Duration::from_secs(5);

/// How long the server may take to let a connection in.
const ACQUIRE: Duration = Duration::from_secs(3);

/// A connection that lay idle for longer is asked whether it still lives before it is used.
const IDLE_TRUSTED: Duration = Duration::from_secs(1);

/// Rows of one kind that one sweep of what has expired takes at most: some tens of milliseconds of work.
pub const EXPIRED_AT_ONCE: i32 = 1_000;

/// What the daemon's role needs: of each table, and of the function by which expired rows go. `on conflict` asks for SELECT.
pub const NEEDED: &[(&str, &[&str])] = &[
    ("hot_head", &["SELECT", "INSERT", "UPDATE"]),
    ("hot_message", &["SELECT", "INSERT"]),
    ("hot_row", &["SELECT", "INSERT", "UPDATE"]),
    ("hot_attempt", &["SELECT", "INSERT", "UPDATE"]),
    ("hot_dead_letter", &["SELECT", "INSERT", "UPDATE"]),
    ("hot_control", &["SELECT", "INSERT", "UPDATE"]),
    ("hot_expire(integer)", &["EXECUTE"]),
];

/// Where the tables are.
#[derive(Clone, Copy, Debug)]
pub struct Database<'a> {
    /// PostgreSQL URL (secret): of the primary, for reads are consistent.
    pub url: &'a str,
    /// Schema of the tables, unless the role's own.
    pub schema: Option<&'a str>,
    /// Connections at most, beside those of the archive.
    pub connections: u32,
}

/// The tables.
#[derive(Clone)]
pub struct PostgresStore {
    pool: PgPool,
    /// As many as there are connections: who waits here waits for others of this process, not for the server.
    turns: Arc<Semaphore>,
    ttl: TimeDelta,
    counted: Arc<dyn Fn() + Send + Sync>,
}

/// Without the connection options: they hold a password.
impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresStore")
    }
}

impl PostgresStore {
    /// A store in `database`, whose messages and closed heads expire after `ttl`; `counted` hears of every statement.
    ///
    /// Connects at the first use. A server that may answer before a commit is safe is told to wait for it.
    ///
    /// # Errors
    /// The URL cannot be read; it is not repeated, for it holds a password.
    pub fn new(database: &Database<'_>, ttl: Duration, counted: Arc<dyn Fn() + Send + Sync>) -> anyhow::Result<Self> {
        let connect = postgres::connect(database.url, database.schema, STATEMENT, "the hot store")?
            .application_name(concat!(env!("CARGO_PKG_NAME"), "-hot"))
            .options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new()
            .max_connections(database.connections)
            .acquire_timeout(ACQUIRE)
            .test_before_acquire(false)
            .before_acquire(|connection, known| {
                Box::pin(async move {
                    if known.idle_for > IDLE_TRUSTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(connect);
        let turns = Arc::new(Semaphore::new(database.connections as usize));
        Ok(Self { pool, turns, ttl: TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX), counted })
    }

    /// Closes the connections, after what is under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Takes away some of what has expired. Returns how many rows went.
    ///
    /// # Errors
    /// The database does not do it.
    pub async fn expire(&self) -> Result<u64, HotError> {
        let rows = self.rows_of(sqlx::query("select hot_expire($1) as gone").bind(EXPIRED_AT_ONCE)).await?;
        let gone: i64 = error::read(rows.first(), "gone")?;
        Ok(u64::try_from(gone).unwrap_or_default())
    }

    /// When what came `at` may be forgotten.
    fn expires(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.checked_add_signed(self.ttl).unwrap_or(LAST)
    }
}

/// The latest time that both chrono and PostgreSQL know.
const LAST: DateTime<Utc> = DateTime::<Utc>::MAX_UTC;

/// A time as PostgreSQL keeps it, and as keys have it: whole microseconds.
fn in_micros(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// A time as the queue has it: whole milliseconds.
fn in_millis(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

#[async_trait]
impl HotStore for PostgresStore {
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
        self.read_heads(&threads).await
    }

    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        self.put_head(thread, head).await
    }

    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>> {
        self.put_all(&puts).await
    }

    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        self.one_page(thread, conversation, after).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError> {
        let most = walk.most.clamp(1, 1_000);
        let found = self.messages(&walk.thread, walk.conversation, walk.from, walk.way, most).await?;
        Ok(Walked { messages: found.messages, more: found.more })
    }

    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        self.newest(thread, conversation).await
    }

    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        self.stands_or_overtook(thread, conversation, message).await
    }

    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError> {
        self.come_up(shard, until, limit).await
    }

    async fn charge(&self, message_id: &str, attempts: i32, until: DateTime<Utc>) -> Result<u32, HotError> {
        self.count_attempts(message_id, attempts, until).await
    }

    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        self.put_dead_letter(letter).await
    }

    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError> {
        self.read_dead_letters(day, after).await
    }

    async fn mark_dead_letter(
        &self,
        sent_at: DateTime<Utc>,
        message_id: &str,
        settled: Settled,
    ) -> Result<bool, HotError> {
        self.settle_dead_letter(sent_at, message_id, settled).await
    }

    async fn write_row(&self, row: &Row) -> Result<bool, HotError> {
        self.put_row(row).await
    }

    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        self.read_rows(partition, prefix).await
    }

    async fn controls(&self) -> Result<Controls, HotError> {
        self.read_controls().await
    }

    async fn control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        self.write_control(control, at).await
    }
}
