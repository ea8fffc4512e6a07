//! PostgreSQL: the transcripts of closed conversations.
//!
//! The only place (with outbox/) that contains SQL. Everything written here is insert-once: writing it again changes nothing.

mod classify;
mod columns;
mod content_hash;
mod crm_cursor;
mod crm_link;
mod crm_record;
mod details;
mod erase;
mod error;
mod figures;
mod guarded;
mod hold;
mod life;
mod link;
mod older;
mod postgres;
mod privileges;
mod purge;
mod rating;
mod read;
mod reader;
mod session;
mod telling;
mod transaction;
mod verify;
mod walk;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use thiserror::Error;

pub use content_hash::ContentHash;
pub use crm_cursor::{Cursor as JournalCursor, Stream};
pub use crm_record::{Heard, Reach};
pub use erase::{ErasureDone, ErasureRequest, Traces};
pub use figures::{Figures, Grouping, Period};
pub use guarded::Guarded;
pub use hold::Hold;
pub use life::{LateRow, RatingRow, StatsRow};
pub use link::{COUNTED, LinkRow, Links};
pub use older::{Older, OlderCount, OlderHeld, OlderKept, OlderLink, OlderService, OlderSpan};
pub use postgres::{Options, PostgresArchive};
pub use privileges::{Lacking, NEEDED};
pub use purge::{Purgeable, Purged};
pub use read::{ConversationRow, Cursor, Filter, MessageRow, Standing};
pub use reader::{ArchiveReader, GuardedReader, Listing};
pub use verify::Recheck;
pub use walk::{DayTotal, Span};

use crate::domain::{
    Changes, Classification, Close, ConversationId, CrmLink, EventId, Message, Rating, Record, RecordChange, Thread,
    Variable,
};

/// The archive as the pipeline sees it.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Begins a transaction; dropping it unfinished leaves the archive as it was.
    async fn begin(&self) -> Result<Box<dyn Transaction>, ArchiveError>;

    /// Stores a rating that belongs to no conversation of `thread`, unless it stands already. Durable when it returns.
    async fn rate_alone(&self, thread: &Thread, rating: &Rating) -> Result<(), ArchiveError>;

    /// Stores which customer record `conversation` of `thread` belongs to, unless a later event said so. Durable when it
    /// returns.
    async fn link(&self, thread: &Thread, conversation: ConversationId, link: &CrmLink) -> Result<(), ArchiveError>;

    /// Takes what happened to a record of a CRM: links and what is known of its properties follow, and others are told. Durable
    /// when it returns; an older word than what stands changes nothing, nor does the same again.
    async fn record_changed(&self, change: &RecordChange, reach: Reach<'_>) -> Result<Heard, ArchiveError>;

    /// Writes down that the person `contact` of `project` is to be erased, unless this event said so already. Durable when
    /// it returns; `conversationd erase --pending` does it.
    async fn request_erasure(
        &self,
        project: &str,
        contact: &str,
        event_id: EventId,
        received_at: DateTime<Utc>,
    ) -> Result<(), ArchiveError>;
}

/// One transaction on one conversation.
#[async_trait]
pub trait Transaction: Send {
    /// Locks the conversation's row, making it first if there is none, so that two closers of one conversation take turns.
    async fn lock(&mut self, thread: &Thread, record: &Record) -> Result<(), ArchiveError>;

    /// Inserts those of `messages` (at most 1,000) that stand nowhere in the archive yet, and verifies that afterwards all of
    /// them do. `late` marks them as arrived after the close.
    ///
    /// Returns the ids inserted now.
    async fn insert(&mut self, record: &Record, messages: &[Message], late: bool)
    -> Result<Vec<EventId>, ArchiveError>;

    /// Stores a rating of the conversation, unless it stands already; the row's latest scores follow. Returns whether it is new.
    async fn rate(&mut self, thread: &Thread, record: &Record, rating: &Rating) -> Result<bool, ArchiveError>;

    /// Changes what the conversation's row says of it, as [`Details::after`](crate::domain::Details::after) merges: for what
    /// is said after the close. Until then the head has the details. An event older than the latest that was heard changes
    /// nothing.
    async fn amend(&mut self, record: &Record, changes: &Changes) -> Result<(), ArchiveError>;

    /// Says how the conversation ended and what it was about, if it has closed in `thread`, nobody took it over, and nobody
    /// said more than that it is unclassified. A topic that stands stays. Returns whether that changed anything.
    async fn classify(&mut self, thread: &Thread, said: &Classification) -> Result<bool, ArchiveError>;

    /// It is open still, and has reached these ages: others are told, once of each.
    async fn still_open(&mut self, reached: &[Duration]) -> Result<(), ArchiveError>;

    /// Stores the variables the conversation ends with, in place of those that stood; once it is closed, they stay.
    async fn keep_variables(&mut self, record: &Record, variables: &[Variable]) -> Result<(), ArchiveError>;

    /// Writes how the conversation ended, unless it is written already, and what its messages add up to, tells the outbox
    /// what is new of all that, then commits.
    ///
    /// `close` is `None` for a checkpoint and for a late arrival. Returns what stands in the archive now. A conversation
    /// without any message or rating is not kept: the transaction is rolled back and the summary is empty.
    async fn finish(self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError>;
}

/// What the archive holds of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Its messages.
    pub message_count: u64,
    /// SHA-256 over its messages in order; computed by the database from what it stored.
    pub content_hash: Option<[u8; 32]>,
    /// When it was first closed in the archive; `None` while it is only checkpointed.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Why the archive did not do it. Nothing was written.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// It cannot be reached or is overloaded: try again later, and charge nobody.
    #[error("the archive is unavailable: {0}")]
    Unavailable(String),
    /// It refused what was sent: trying again will not help without a change.
    #[error("the archive refused the write: {0}")]
    Refused(String),
    /// It does not hold what was written to it.
    #[error("the archive holds {found} of {expected} messages just written")]
    Unverified {
        /// Messages sent.
        expected: u64,
        /// Messages found as they were sent: 0 when all are there but their content hash is another.
        found: u64,
    },
}
