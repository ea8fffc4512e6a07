//! One transaction on one conversation: lock, insert pages, finish.
//!
//! Read committed is what it needs and what it asks for: after the lock, and after waiting for another writer of the
//! same event, each statement must see what that other one committed.

use std::{collections::HashSet, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::columns::{self, to_the_microsecond};
use super::session::{Session, within};
use super::telling::Telling;
use super::{ArchiveError, ContentHash, Summary, Transaction, classify, details, rating};
use crate::domain::{
    Changes, Classification, Close, ConversationId, EventId, Message, Rating, Record, Thread, Variable,
};

const MAKE: &str = "
    insert into conversation (
        id, project, contact, channel, external_id, thread, agent_id, contact_name, opened_at, previous_id
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (id) do nothing";

const LOCK: &str = "select erased_at is not null from conversation where id = $1 for update";

/// A conversation whose person was erased gets something new: it is that person's again, so that it can be found and erased.
const REMEMBER: &str = "
    update conversation
    set contact = $2, external_id = $3, thread = $4, erased_at = null, updated_at = now()
    where id = $1 and erased_at is not null";

const STANDING: &str = "select count(distinct event_id) from message where event_id = any($1)";

const STORED: &str = "
    select c.closed_at, content.message_count, content.token_count, content.content_hash,
           exists (select 1 from rating where conversation_id = c.id) as rated
    from conversation c, conversation_content(c.id) content
    where c.id = $1";

/// The first close: the row takes what was last heard of the conversation, and how it ended. Where nobody said so and a
/// classifier is to be asked (which the same sinks decide as in outbox/enqueue.rs), it reads as unclassified until then.
const CLOSE: &str = "
    update conversation
    set closed_at = $2, close_reason = $3, close_detail = $4, topic = $6,
        resolution = coalesce($5, (
            select 3 from outbox_sink s
            where s.form = 'classifier' and s.state <> 'removed' and 'conversation.closed' = any(s.kinds)
                and (s.projects is null or conversation.project = any(s.projects)) and not conversation.has_chats_room
            limit 1
        )), subtopic = $7,
        agent_id = coalesce($8, agent_id), contact_name = coalesce($9, contact_name),
        message_count = $10, token_count = $11, content_hash = $12, updated_at = now()
    where id = $1 and closed_at is null";

/// Anything else: the sums follow the messages, and a row that says so already is left alone.
const RECOUNT: &str = "
    update conversation
    set message_count = $2, token_count = $3, content_hash = $4, updated_at = now()
    where id = $1 and (message_count, token_count, content_hash) is distinct from ($2, $3, $4)";

/// Once it is closed, the conversation keeps the variables it ended with, whoever reads later ones.
const KEEP_VARIABLES: &str = "
    update conversation set variables = $2, updated_at = now()
    where id = $1 and closed_at is null and variables is distinct from $2";

/// Written with the close, and again when anything came since; a row that says so already is left alone.
pub(super) const KEEP_STATISTICS: &str = "
    insert into conversation_stats as kept (
        conversation_id, incoming_count, outgoing_count, system_count, late_count, token_count, first_message_at,
        last_message_at, duration_ms, first_response_ms, rating_count, csat, nps
    )
    select $1, s.* from conversation_statistics($1) s
    on conflict (conversation_id) do update
    set (incoming_count, outgoing_count, system_count, late_count, token_count, first_message_at, last_message_at,
         duration_ms, first_response_ms, rating_count, csat, nps, updated_at)
      = (excluded.incoming_count, excluded.outgoing_count, excluded.system_count, excluded.late_count,
         excluded.token_count, excluded.first_message_at, excluded.last_message_at, excluded.duration_ms,
         excluded.first_response_ms, excluded.rating_count, excluded.csat, excluded.nps, now())
    where (kept.incoming_count, kept.outgoing_count, kept.system_count, kept.late_count, kept.token_count,
           kept.first_message_at, kept.last_message_at, kept.duration_ms, kept.first_response_ms, kept.rating_count,
           kept.csat, kept.nps)
       is distinct from
          (excluded.incoming_count, excluded.outgoing_count, excluded.system_count, excluded.late_count,
           excluded.token_count, excluded.first_message_at, excluded.last_message_at, excluded.duration_ms,
           excluded.first_response_ms, excluded.rating_count, excluded.csat, excluded.nps)";

/// A transaction in PostgreSQL. Dropped unfinished, its connection closes and the server rolls back.
pub(super) struct PostgresTransaction {
    session: Session,
    inserted: ContentHash,
    /// Whose it was, when the row that is locked was erased.
    erased: Option<Thread>,
    telling: Telling,
}

/// What a conversation adds up to, by what is stored.
#[derive(sqlx::FromRow)]
struct Stored {
    closed_at: Option<DateTime<Utc>>,
    message_count: i64,
    token_count: i64,
    content_hash: Option<Vec<u8>>,
    rated: bool,
}

impl PostgresTransaction {
    pub(super) async fn begin(mut session: Session) -> Result<Self, ArchiveError> {
        session.command("begin isolation level read committed").await?;
        Ok(Self { session, inserted: ContentHash::default(), erased: None, telling: Telling::default() })
    }

    async fn stored(&mut self, conversation: ConversationId) -> Result<Option<Stored>, ArchiveError> {
        let (patience, connection) = self.session.parts();
        within(patience, sqlx::query_as(STORED).bind(conversation.0).fetch_optional(connection)).await
    }

    /// Something new goes into the row.
    async fn remember(&mut self, conversation: ConversationId) -> Result<(), ArchiveError> {
        let Some(thread) = self.erased.take() else { return Ok(()) };
        let remember = sqlx::query(REMEMBER)
            .bind(conversation.0)
            .bind(thread.contact.as_deref())
            .bind(thread.conversation.as_deref())
            .bind(thread.key().as_str().to_owned());
        let (patience, connection) = self.session.parts();
        within(patience, remember.execute(connection)).await?;
        Ok(())
    }

    async fn write(&mut self, record: &Record, close: Option<&Close>, stored: &Stored) -> Result<(), ArchiveError> {
        let query = match close {
            Some(close) if stored.closed_at.is_none() => sqlx::query(CLOSE)
                .bind(record.id.0)
                .bind(to_the_microsecond(close.at))
                .bind(close.reason.as_str())
                .bind(close.detail.as_deref())
                .bind(close.resolution.map(i16::from))
                .bind(close.topic.as_deref())
                .bind(close.subtopic.as_deref())
                .bind(record.agent_id.as_deref())
                .bind(record.contact_name.as_deref()),
            _ => sqlx::query(RECOUNT).bind(record.id.0),
        };
        let query = query.bind(stored.message_count).bind(stored.token_count).bind(stored.content_hash.as_deref());
        let (patience, connection) = self.session.parts();
        within(patience, query.execute(connection)).await?;
        Ok(())
    }

    /// What the head knew at the first close goes into the row, unless the row knows of something later.
    async fn keep_details(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let (patience, connection) = self.session.parts();
        let stands = details::read(patience, connection, record.id).await?;
        if stands.changed_by > record.details.changed_by || stands == record.details {
            return Ok(());
        }
        details::write(patience, connection, record.id, &record.details, None).await
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
        let erased: bool = within(patience, sqlx::query_scalar(LOCK).bind(record.id.0).fetch_one(connection)).await?;
        self.erased = erased.then(|| thread.clone());
        self.telling.of(thread);
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

        if !inserted.is_empty() {
            self.remember(record.id).await?;
        }
        let inserted: HashSet<Uuid> = inserted.into_iter().collect();
        let new = page.into_iter().filter(|message| inserted.contains(&message.event_id.0));
        let seen = |message: &&Message| {
            self.inserted.push(message);
            self.telling.inserted(message, late);
        };
        Ok(new.inspect(seen).map(|message| message.event_id).collect())
    }

    async fn rate(&mut self, thread: &Thread, record: &Record, rating: &Rating) -> Result<bool, ArchiveError> {
        let (patience, connection) = self.session.parts();
        let new = rating::insert(patience, connection, thread, Some(record.id), rating).await?;
        if new {
            rating::show_latest(patience, connection, record.id).await?;
            self.telling.rated(rating);
        }
        Ok(new)
    }

    async fn amend(&mut self, record: &Record, changes: &Changes) -> Result<(), ArchiveError> {
        let (patience, connection) = self.session.parts();
        let stands = details::read(patience, connection, record.id).await?;
        let before = stands.changed_by;
        let amended = stands.after(changes).map_err(|too_much| ArchiveError::Refused(too_much.to_string()))?;
        if amended.changed_by == before {
            return Ok(()); // an older event, or the same again
        }
        self.remember(record.id).await?;
        let (patience, connection) = self.session.parts();
        details::write(patience, connection, record.id, &amended, Some(changes)).await?;
        self.telling.amended();
        Ok(())
    }

    async fn classify(&mut self, thread: &Thread, said: &Classification) -> Result<bool, ArchiveError> {
        let (patience, connection) = self.session.parts();
        let changed = classify::write(patience, connection, thread, said).await?;
        if changed {
            self.telling.classified();
        }
        Ok(changed)
    }

    async fn still_open(&mut self, reached: &[Duration]) -> Result<(), ArchiveError> {
        self.telling.still_open(reached);
        Ok(())
    }

    async fn keep_variables(&mut self, record: &Record, variables: &[Variable]) -> Result<(), ArchiveError> {
        let query =
            sqlx::query(KEEP_VARIABLES).bind(record.id.0).bind((!variables.is_empty()).then_some(Json(variables)));
        let (patience, connection) = self.session.parts();
        within(patience, query.execute(connection)).await?;
        Ok(())
    }

    async fn finish(mut self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError> {
        let stored = self.stored(record.id).await?.filter(|stored| stored.message_count > 0 || stored.rated);
        let message_count = stored.as_ref().map_or(0, |stored| stored.message_count.unsigned_abs());
        let content_hash = stored.as_ref().and_then(|stored| stored.content_hash.as_deref()?.try_into().ok());
        same_content(std::mem::take(&mut self.inserted), message_count, content_hash)?;

        let Some(stored) = stored else {
            self.session.command("rollback").await?;
            self.session.give_back();
            return Ok(Summary { message_count: 0, content_hash: None, closed_at: None });
        };
        if close.is_some() && stored.closed_at.is_none() {
            self.keep_details(record).await?;
        }
        self.write(record, close, &stored).await?;
        let closed_at = stored.closed_at.or(close.map(|close| to_the_microsecond(close.at)));
        if closed_at.is_some() {
            let (patience, connection) = self.session.parts();
            within(patience, sqlx::query(KEEP_STATISTICS).bind(record.id.0).execute(connection)).await?;
        }
        let first_close = close.filter(|_| stored.closed_at.is_none());
        let telling = std::mem::take(&mut self.telling);
        let (patience, connection) = self.session.parts();
        telling.write(patience, connection, record, first_close, message_count).await?;
        self.session.command("commit").await?;
        self.session.give_back();
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
