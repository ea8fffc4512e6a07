//! One transaction on one conversation: lock, insert pages, finish.
//!
//! Read committed is what it needs and what it asks for: after the lock, and after waiting for another writer of the
//! same event, each statement must see what that other one committed.

use std::collections::HashSet;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::columns::{self, to_the_microsecond};
use super::session::{Session, within};
use super::{ArchiveError, ContentHash, Summary, Transaction};
use crate::domain::{Changes, Close, ConversationId, EventId, Message, Rating, Record, Thread, Variable};

const MAKE: &str = "
    insert into conversation (
        id, project, contact, channel, external_id, thread, agent_id, contact_name, opened_at, previous_id
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (id) do nothing";

const LOCK: &str = "select 1 from conversation where id = $1 for update";

const STANDING: &str = "select count(distinct event_id) from message where event_id = any($1)";

const STORED: &str = "
    select c.closed_at, content.message_count, content.token_count, content.content_hash
    from conversation c, conversation_content(c.id) content
    where c.id = $1";

/// The first close: the row takes what was last heard of the conversation, and how it ended.
const CLOSE: &str = "
    update conversation
    set closed_at = $2, close_reason = $3, close_detail = $4, resolution = $5,
        agent_id = coalesce($6, agent_id), contact_name = coalesce($7, contact_name),
        message_count = $8, token_count = $9, content_hash = $10, updated_at = now()
    where id = $1 and closed_at is null";

/// Anything else: the sums follow the messages, and a row that says so already is left alone.
const RECOUNT: &str = "
    update conversation
    set message_count = $2, token_count = $3, content_hash = $4, updated_at = now()
    where id = $1 and (message_count, token_count, content_hash) is distinct from ($2, $3, $4)";

/// A transaction in PostgreSQL. Dropped unfinished, its connection closes and the server rolls back.
pub(super) struct PostgresTransaction {
    session: Session,
    inserted: ContentHash,
}

/// What a conversation adds up to, by what is stored.
#[derive(sqlx::FromRow)]
struct Stored {
    closed_at: Option<DateTime<Utc>>,
    message_count: i64,
    token_count: i64,
    content_hash: Option<Vec<u8>>,
}

impl PostgresTransaction {
    pub(super) async fn begin(mut session: Session) -> Result<Self, ArchiveError> {
        session.command("begin isolation level read committed").await?;
        Ok(Self { session, inserted: ContentHash::default() })
    }

    async fn stored(&mut self, conversation: ConversationId) -> Result<Option<Stored>, ArchiveError> {
        let (patience, connection) = self.session.parts();
        within(patience, sqlx::query_as(STORED).bind(conversation.0).fetch_optional(connection)).await
    }

    async fn write(&mut self, record: &Record, close: Option<&Close>, stored: &Stored) -> Result<(), ArchiveError> {
        let query = match close {
            Some(close) if stored.closed_at.is_none() => sqlx::query(CLOSE)
                .bind(record.id.0)
                .bind(to_the_microsecond(close.at))
                .bind(close.reason.as_str())
                .bind(close.detail.as_deref())
                .bind(close.resolution.map(i16::from))
                .bind(record.agent_id.as_deref())
                .bind(record.contact_name.as_deref()),
            _ => sqlx::query(RECOUNT).bind(record.id.0),
        };
        let query = query.bind(stored.message_count).bind(stored.token_count).bind(stored.content_hash.as_deref());
        let (patience, connection) = self.session.parts();
        within(patience, query.execute(connection)).await?;
        Ok(())
    }
}

#[async_trait]
impl Transaction for PostgresTransaction {
    async fn lock(&mut self, thread: &Thread, record: &Record) -> Result<(), ArchiveError> {
        let make = sqlx::query(MAKE)
            .bind(record.id.0)
            .bind(&thread.project)
            .bind(thread.contact.as_deref())
            .bind(thread.channel.as_deref())
            .bind(thread.conversation.as_deref())
            .bind(thread.key().as_str().to_owned())
            .bind(record.agent_id.as_deref())
            .bind(record.contact_name.as_deref())
            .bind(to_the_microsecond(record.opened_at))
            .bind(record.previous.map(|previous| previous.id.0));
        let (patience, connection) = self.session.parts();
        within(patience, make.execute(&mut *connection)).await?;
        within(patience, sqlx::query(LOCK).bind(record.id.0).execute(connection)).await?;
        Ok(())
    }

    async fn insert(
        &mut self,
        record: &Record,
        messages: &[Message],
        late: bool,
    ) -> Result<Vec<EventId>, ArchiveError> {
        if messages.is_empty() {
            return Ok(Vec::new());
        }
        let page = columns::distinct(messages);
        let (patience, connection) = self.session.parts();
        let inserted: Vec<Uuid> =
            within(patience, columns::insert(record.id, &page, late).fetch_all(&mut *connection)).await?;

        let ids: Vec<Uuid> = page.iter().map(|message| message.event_id.0).collect();
        let found: i64 = within(patience, sqlx::query_scalar(STANDING).bind(ids).fetch_one(connection)).await?;
        verified(page.len() as u64, found.unsigned_abs())?;

        let inserted: HashSet<Uuid> = inserted.into_iter().collect();
        let new = page.into_iter().filter(|message| inserted.contains(&message.event_id.0));
        Ok(new.inspect(|message| self.inserted.push(message)).map(|message| message.event_id).collect())
    }

    async fn rate(&mut self, _: &Thread, _: &Record, _: &Rating) -> Result<bool, ArchiveError> {
        Err(ArchiveError::Refused("no table".into()))
    }

    async fn amend(&mut self, _: &Record, _: &Changes) -> Result<(), ArchiveError> {
        Err(ArchiveError::Refused("no table".into()))
    }

    async fn keep_variables(&mut self, _: &Record, _: &[Variable]) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn finish(mut self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError> {
        let stored = self.stored(record.id).await?.filter(|stored| stored.message_count > 0);
        let message_count = stored.as_ref().map_or(0, |stored| stored.message_count.unsigned_abs());
        let content_hash = stored.as_ref().and_then(|stored| stored.content_hash.as_deref()?.try_into().ok());
        same_content(std::mem::take(&mut self.inserted), message_count, content_hash)?;

        let Some(stored) = stored else {
            self.session.command("rollback").await?;
            self.session.give_back();
            return Ok(Summary { message_count: 0, content_hash: None, closed_at: None });
        };
        self.write(record, close, &stored).await?;
        self.session.command("commit").await?;
        self.session.give_back();
        let closed_at = stored.closed_at.or(close.map(|close| to_the_microsecond(close.at)));
        Ok(Summary { message_count, content_hash, closed_at })
    }
}

/// Nothing that was inserted here is missing; and when everything that stands was inserted here, it stands as it was sent.
///
/// With older messages in between, or pages out of order, this side does not know the whole and leaves it to the count.
fn same_content(inserted: ContentHash, stored: u64, hash: Option<[u8; 32]>) -> Result<(), ArchiveError> {
    let sent = inserted.messages();
    verified(sent, stored.min(sent))?;
    match inserted.finish() {
        Some(own) if sent == stored && hash != Some(own) => Err(ArchiveError::Unverified { expected: sent, found: 0 }),
        _ => Ok(()),
    }
}

fn verified(expected: u64, found: u64) -> Result<(), ArchiveError> {
    if found == expected { Ok(()) } else { Err(ArchiveError::Unverified { expected, found }) }
}
