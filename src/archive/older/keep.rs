//! Writing conversations of the older service, and looking what of them stands.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Older, OlderHeld, OlderKept};
use crate::archive::columns::{self, distinct, to_the_microsecond};
use crate::archive::session::{Session, within};
use crate::archive::transaction::KEEP_STATISTICS;
use crate::archive::{ArchiveError, PostgresArchive, rating};

/// Messages inserted by one statement.
const AT_ONCE: usize = 1_000;

const MAKE: &str = "
    insert into conversation (
        id, project, contact, channel, external_id, thread, contact_name, opened_at, closed_at, close_reason, resolution,
        topic, subtopic, window_external_id, window_start, window_end, ticket, has_chats_room
    )
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'imported', $10, $11, $12, $13, $14, $15, $16, $17)
    on conflict (id) do nothing";

/// Only what was taken over here takes more: a row that the daemon made is the daemon's.
const LOCK: &str = "
    select erased_at is null and close_reason is not distinct from 'imported' from conversation where id = $1 for update";

const RECOUNT: &str = "
    update conversation c
    set message_count = n.message_count, token_count = n.token_count, content_hash = n.content_hash, updated_at = now()
    from conversation_content($1) n
    where c.id = $1";

/// They were given before it closed, as far as anybody knows: when, its tables do not say.
const IN_TIME: &str = "update rating set arrived_after_close = false where event_id = any($1) and arrived_after_close";

const STANDING: &str = "select event_id, conversation_id from message where event_id = any($1)";

const ROWS: &str = "select id, erased_at is not null from conversation where id = any($1)";

/// Of what was said there, by the publisher's ids, in one thread.
const FOUND: &str = "
    select count(distinct m.external_id)
    from conversation c join message m on m.conversation_id = c.id
    where c.project = $1 and c.contact = $2 and c.channel = $3 and m.external_id = any($4)";

impl PostgresArchive {
    /// Writes those of `olders` that stand nowhere yet, and what is missing of the others; all of it or nothing. One without
    /// a message or a rating is not kept, as no conversation without is.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now, [`ArchiveError::Refused`] when it will not take
    /// a value.
    pub async fn keep_older(&self, olders: &[Older]) -> Result<OlderKept, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin isolation level read committed").await?;
        let mut kept = OlderKept::default();
        for older in olders.iter().filter(|older| !(older.messages.is_empty() && older.ratings.is_empty())) {
            keep(&mut session, older, &mut kept).await?;
        }
        session.command("commit").await?;
        session.give_back();
        Ok(kept)
    }

    /// What stands of each of `olders`, in their order.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn older_held(&self, olders: &[Older]) -> Result<Vec<OlderHeld>, ArchiveError> {
        let messages: Vec<Uuid> = olders.iter().flat_map(|older| &older.messages).map(|each| each.event_id.0).collect();
        let ids: Vec<Uuid> = olders.iter().map(|older| older.id.0).collect();
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let standing: Vec<(Uuid, Uuid)> =
            within(patience, sqlx::query_as(STANDING).bind(messages).fetch_all(&mut *connection)).await?;
        let rows: Vec<(Uuid, bool)> = within(patience, sqlx::query_as(ROWS).bind(ids).fetch_all(connection)).await?;
        session.give_back();
        let (standing, rows) = (BTreeMap::from_iter(standing), BTreeMap::from_iter(rows));
        Ok(olders.iter().map(|older| held(older, &standing, &rows)).collect())
    }

    /// How many different messages of `older` that have an id of their own stand in the archive, in whatever conversation of
    /// its thread; and how many there are of them.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn older_found(&self, older: &Older) -> Result<(u64, u64), ArchiveError> {
        let ids: BTreeSet<&str> = older.messages.iter().filter_map(|message| message.external_id.as_deref()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        let of = ids.len() as u64;
        let thread = &older.thread;
        let query = sqlx::query_scalar(FOUND)
            .bind(&thread.project)
            .bind(thread.contact.as_deref())
            .bind(thread.channel.as_deref())
            .bind(ids);
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let found: i64 = within(patience, query.fetch_one(connection)).await?;
        session.give_back();
        Ok((found.unsigned_abs(), of))
    }
}

fn held(older: &Older, standing: &BTreeMap<Uuid, Uuid>, rows: &BTreeMap<Uuid, bool>) -> OlderHeld {
    let mut held = OlderHeld {
        row: rows.contains_key(&older.id.0),
        erased: rows.get(&older.id.0).copied().unwrap_or_default(),
        ..OlderHeld::default()
    };
    for message in distinct(&older.messages) {
        match standing.get(&message.event_id.0) {
            Some(id) if *id == older.id.0 => held.here += 1,
            Some(_) => held.elsewhere += 1,
            None => held.missing += 1,
        }
    }
    held
}

async fn keep(session: &mut Session, older: &Older, kept: &mut OlderKept) -> Result<(), ArchiveError> {
    let (patience, connection) = session.parts();
    let made = within(patience, make(older).execute(&mut *connection)).await?.rows_affected();
    let lock = sqlx::query_scalar(LOCK).bind(older.id.0);
    let ours: bool = within(patience, lock.fetch_one(&mut *connection)).await?;
    if !ours {
        return Ok(());
    }
    let (messages, ratings) = say(patience, connection, older).await?;
    if made + messages + ratings > 0 {
        within(patience, sqlx::query(RECOUNT).bind(older.id.0).execute(&mut *connection)).await?;
        within(patience, sqlx::query(KEEP_STATISTICS).bind(older.id.0).execute(&mut *connection)).await?;
    }
    kept.conversations += made;
    kept.messages += messages;
    kept.ratings += ratings;
    Ok(())
}

/// Inserts what is new of messages and ratings.
async fn say(
    patience: std::time::Duration,
    connection: &mut PgConnection,
    older: &Older,
) -> Result<(u64, u64), ArchiveError> {
    let (mut messages, mut ratings) = (0, 0);
    for page in distinct(&older.messages).chunks(AT_ONCE) {
        let inserted = columns::insert(older.id, page, false).fetch_all(&mut *connection);
        messages += within(patience, inserted).await?.len() as u64;
    }
    for answer in &older.ratings {
        let new = rating::insert(patience, connection, &older.thread, Some(older.id), answer).await?;
        ratings += u64::from(new);
    }
    if ratings > 0 {
        let given: Vec<Uuid> = older.ratings.iter().map(|answer| answer.event_id.0).collect();
        within(patience, sqlx::query(IN_TIME).bind(given).execute(&mut *connection)).await?;
        rating::show_latest(patience, connection, older.id).await?;
    }
    Ok((messages, ratings))
}

fn make(older: &Older) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
    let thread = &older.thread;
    sqlx::query(MAKE)
        .bind(older.id.0)
        .bind(&thread.project)
        .bind(thread.contact.as_deref())
        .bind(thread.channel.as_deref())
        .bind(thread.conversation.as_deref())
        .bind(thread.key().as_str().to_owned())
        .bind(older.contact_name.as_deref())
        .bind(to_the_microsecond(older.opened_at))
        .bind(to_the_microsecond(older.closed_at))
        .bind(older.resolution.map(i16::from))
        .bind(older.topic.as_deref())
        .bind(older.subtopic.as_deref())
        .bind(older.window.external_id.as_deref())
        .bind(older.window.start.map(to_the_microsecond))
        .bind(older.window.end.map(to_the_microsecond))
        .bind(older.ticket.as_deref())
        .bind(older.has_chats_room)
}
