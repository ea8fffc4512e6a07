//! The outbox: notices written in the transaction that makes them true, and given to the relay one lane's head at a time.
//!
//! The only place (with archive/) that contains SQL. It knows no URL and sends nothing. Every time in here is the database's.

mod breaker;
mod claim;
mod enqueue;
mod erase;
mod error;
mod look;
mod mend;
mod rate;
mod register;
mod schedule;
mod settle;
mod sweep;
mod wrote;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use uuid::Uuid;

pub use breaker::Failed;
pub use claim::{CLAIM_STATEMENTS, Room};
pub use enqueue::enqueue;
pub use erase::{erase, told_of};
pub use error::OutboxError;
pub use look::{AttemptRow, DispatchRow, Filter, SinkRow};
pub use mend::Mended;
pub use rate::Rate;
pub use register::{Order, Registration};
pub use schedule::Schedule;
pub use settle::{Attempt, Settlement};
pub use sweep::Swept;
pub use wrote::Wrote;

use crate::{
    domain::{ConversationId, Notice, NoticeId, NoticeKind},
    postgres,
};

/// A sink's number in this database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SinkId(pub i32);

/// The outbox in PostgreSQL. Its pool is its own, so that sending never waits for archiving, nor the other way round.
#[derive(Clone, Debug)]
pub struct Outbox {
    pool: PgPool,
}

impl Outbox {
    /// Over connections whose schema is the archive's.
    pub fn over(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Closes the connections, after what is under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The head of a lane, ours until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Which dispatch, and by which claim.
    pub claim: Claim,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Whether it tries a sink whose breaker was open: if the sink is in trouble still, this says nothing of the notice.
    pub probe: bool,
    /// What is to be sent.
    pub notice: Notice,
}

/// What a settlement names: one dispatch, held by one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The sink.
    pub sink: SinkId,
    /// The lane.
    pub lane: Uuid,
    /// The place in the lane, from 1, without gaps.
    pub seq: i64,
    /// The notice.
    pub notice: NoticeId,
    /// The claim: a later one makes this one void.
    pub epoch: i64,
}

/// How long any piece of work on the database may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for work to end, but not for ever.
async fn within<T>(work: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
    postgres::within(PATIENCE, work).await
}

/// A time this many seconds from now.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// A row of a notice, as claims and operators read it.
#[derive(sqlx::FromRow)]
struct NoticeRow {
    id: Uuid,
    kind: String,
    project: Option<String>,
    conversation_id: Option<Uuid>,
    conversation_lane: Uuid,
    contact_lane: Uuid,
    occurred_at: DateTime<Utc>,
    content: String,
}

impl TryFrom<NoticeRow> for Notice {
    type Error = OutboxError;

    fn try_from(row: NoticeRow) -> Result<Self, OutboxError> {
        let kind = NoticeKind::named(&row.kind).ok_or(OutboxError::Unreadable("kind"))?;
        let content = serde_json::from_str(&row.content).map_err(|_| OutboxError::Unreadable("content"))?;
        Ok(Self {
            id: NoticeId(row.id),
            kind,
            project: row.project,
            conversation: row.conversation_id.map(ConversationId),
            conversation_lane: row.conversation_lane,
            contact_lane: row.contact_lane,
            occurred_at: row.occurred_at,
            about: None,
            content,
        })
    }
}
