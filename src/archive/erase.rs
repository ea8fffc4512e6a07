//! Erasing a person: texts and identifiers go, rows, counts and statistics stay, of nobody.
//!
//! Event ids stay with their rows: a copy of an erased message that comes again finds it standing, and changes nothing.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};
use std::time::Duration;
use uuid::Uuid;

use super::hold::no_more_holds;
use super::session::{Session, within};
use super::{ArchiveError, PostgresArchive};
use crate::domain::{Notice, Thread};
use crate::outbox;

/// What stands of a person, or was erased of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// Conversations that name them.
    pub conversations: u64,
    /// Messages of those conversations.
    pub messages: u64,
    /// Ratings, those of no conversation included.
    pub ratings: u64,
    /// Links to customer records.
    pub crm_links: u64,
    /// Notices to other systems.
    pub notices: u64,
}

impl Traces {
    /// Adds what was erased in another step.
    pub fn add(&mut self, other: Self) {
        self.conversations += other.conversations;
        self.messages += other.messages;
        self.ratings += other.ratings;
        self.crm_links += other.crm_links;
        self.notices += other.notices;
    }
}

/// A wish to be erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct ErasureRequest {
    /// Its id.
    pub id: Uuid,
    /// Project (tenant).
    pub project: String,
    /// Who.
    pub contact: String,
    /// When the queue took it, or an operator gave it.
    pub requested_at: DateTime<Utc>,
}

/// An erasure that was done: of whom, only the receipt key can tell.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct ErasureDone {
    /// Its id.
    pub id: Uuid,
    /// Project (tenant).
    pub project: String,
    /// Keyed digest of project and contact, in hexadecimal.
    pub subject: String,
    /// When it was asked for: what happened before is erased, whenever it comes.
    pub requested_at: DateTime<Utc>,
    /// When it was done.
    pub done_at: DateTime<Utc>,
}

/// Conversations in one transaction.
const BATCH: i64 = 50;

/// What a message keeps: its event, its place, its times, its direction, its tokens, who answered.
const BLANK: &str = "
    text = '', external_id = null, contact_name = null, sender_id = null, sentiment = null, intent = null,
    entities = null, attachments = null, metadata = null";

/// Condition on a message: something of it would go.
const SAID: &str = "
    (text <> '' or num_nonnulls(external_id, contact_name, sender_id, sentiment, intent, entities, attachments, metadata) > 0)";

/// What a conversation keeps: its times, its agent, how it closed and ended, its scores and counts. What it was about may be a
/// model's words for what the person said, and goes.
const FORGET: &str = "
    update conversation
    set contact = null, external_id = null, thread = 'erased', contact_name = null, close_detail = null, title = null,
        topic = null, subtopic = null, tags = null, participants = null, metadata = null, customer_info = null, window_external_id = null,
        ticket = null, variables = null, erased_at = now(), updated_at = now(),
        (message_count, token_count, content_hash) = (select * from conversation_content(id))
    where id = any($1)";

const FORGET_RATINGS: &str = "
    update rating
    set contact = null, thread = 'erased', comment = null, value = case kind when 'custom' then '' else value end
    where conversation_id = any($1) or (project = $2 and contact = $3)";

/// Those given before the person asked to be erased, and brought since.
const FORGET_OLD_RATINGS: &str = "
    update rating
    set contact = null, thread = 'erased', comment = null, value = case kind when 'custom' then '' else value end
    where project = $1 and contact = $2 and answered_at <= $3";

const FORGET_LINKS: &str = "
    with gone as (
        delete from crm_link where conversation_id = any($1) or (project = $2 and contact = $3)
        returning crm, crm_id
    ),
    properties as (
        delete from crm_property p using gone where p.crm = gone.crm and p.crm_id = gone.crm_id
    )
    select from gone";

impl PostgresArchive {
    /// What stands of a person.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn traces(&self, project: &str, contact: &str) -> Result<Traces, ArchiveError> {
        const COUNT: &str = "
            select (select count(*) from conversation where project = $1 and contact = $2),
                   (select coalesce(sum(message_count), 0)::bigint from conversation where project = $1 and contact = $2),
                   (select count(*) from rating where project = $1 and contact = $2),
                   (select count(*) from crm_link where project = $1 and contact = $2)";
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let query = sqlx::query_as(COUNT).bind(project).bind(contact);
        let (conversations, messages, ratings, crm_links): (i64, i64, i64, i64) =
            within(patience, query.fetch_one(&mut *connection)).await?;
        let mut traces = Traces {
            conversations: conversations.unsigned_abs(),
            messages: messages.unsigned_abs(),
            ratings: ratings.unsigned_abs(),
            crm_links: crm_links.unsigned_abs(),
            notices: 0,
        };
        const CONVERSATIONS: &str = "select id from conversation where project = $1 and contact = $2";
        let query = sqlx::query_scalar(CONVERSATIONS).bind(project).bind(contact);
        let ids: Vec<Uuid> = within(patience, query.fetch_all(&mut *connection)).await?;
        traces.notices = within(patience, outbox::told_of(connection, &ids, lane(project, contact))).await?;
        session.give_back();
        Ok(traces)
    }

    /// Erases what stands of a person, some conversations at a time; `told` hears how far it came. Repeating it is harmless.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Refused`] when a legal hold covers them; [`ArchiveError::Unavailable`] when the archive cannot be
    /// written now: what was erased stays erased.
    pub async fn erase(
        &self,
        project: &str,
        contact: &str,
        mut told: impl FnMut(&Traces),
    ) -> Result<Traces, ArchiveError> {
        let mut all = Traces::default();
        loop {
            let mut session = self.begin_erasing(project, contact).await?;
            let (patience, connection) = session.parts();
            const NEXT: &str = "
                select id from conversation where project = $1 and contact = $2 order by id limit $3 for update";
            let query = sqlx::query_scalar(NEXT).bind(project).bind(contact).bind(BATCH);
            let ids: Vec<Uuid> = within(patience, query.fetch_all(&mut *connection)).await?;
            let erased = forget(patience, connection, &ids, project, contact).await?;
            session.command("commit").await?;
            session.give_back();
            all.add(erased);
            told(&all);
            if (ids.len() as i64) < BATCH {
                return Ok(all);
            }
        }
    }

    /// Erases what came of a person after their erasure and had happened before they asked for it: conversations that are
    /// all of that, and single messages of others.
    ///
    /// # Errors
    ///
    /// As [`erase`](Self::erase).
    pub async fn erase_again(
        &self,
        project: &str,
        contact: &str,
        asked_at: DateTime<Utc>,
    ) -> Result<Traces, ArchiveError> {
        let mut session = self.begin_erasing(project, contact).await?;
        let (patience, connection) = session.parts();
        const OLD: &str = "
            select c.id,
                   c.opened_at <= $3
                   and not exists (select 1 from message m where m.conversation_id = c.id and m.occurred_at > $3)
                   and not exists (select 1 from rating r where r.conversation_id = c.id and r.answered_at > $3) as whole
            from conversation c
            where c.project = $1 and c.contact = $2 and c.closed_at is not null and c.opened_at <= $3
            for update";
        let query = sqlx::query_as(OLD).bind(project).bind(contact).bind(asked_at);
        let found: Vec<(Uuid, bool)> = within(patience, query.fetch_all(&mut *connection)).await?;
        let whole: Vec<Uuid> = found.iter().filter(|(_, whole)| *whole).map(|(id, _)| *id).collect();
        let partly: Vec<Uuid> = found.iter().filter(|(_, whole)| !whole).map(|(id, _)| *id).collect();
        // the person may be back: ratings and links that do not hang on those conversations are theirs of now
        let mut erased = forget(patience, connection, &whole, project, "").await?;
        let sql =
            format!("update message set {BLANK} where conversation_id = any($1) and occurred_at <= $2 and {SAID}");
        let blanked = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(&partly).bind(asked_at);
        erased.messages += within(patience, blanked.execute(&mut *connection)).await?.rows_affected();
        let ratings = sqlx::query(FORGET_OLD_RATINGS).bind(project).bind(contact).bind(asked_at);
        erased.ratings += within(patience, ratings.execute(&mut *connection)).await?.rows_affected();
        const RECOUNT: &str = "
            update conversation
            set (message_count, token_count, content_hash) = (select * from conversation_content(id)), updated_at = now()
            where id = any($1)";
        within(patience, sqlx::query(RECOUNT).bind(&partly).execute(connection)).await?;
        session.command("commit").await?;
        session.give_back();
        Ok(erased)
    }

    /// Deletes a person's links to customer records that belong to no conversation of theirs, and takes back what was told of
    /// them. Returns how many links.
    ///
    /// # Errors
    ///
    /// As [`erase`](Self::erase).
    pub async fn erase_lone_links(&self, project: &str, contact: &str) -> Result<u64, ArchiveError> {
        const LONE: &str = "
            delete from crm_link l
            where l.project = $1 and l.contact = $2
              and not exists (select 1 from conversation c where c.id = l.conversation_id and c.contact = $2)";
        let mut session = self.begin_erasing(project, contact).await?;
        let (patience, connection) = session.parts();
        let deleted = within(patience, sqlx::query(LONE).bind(project).bind(contact).execute(&mut *connection)).await?;
        let told = outbox::erase(connection, &[], lane(project, contact), "the contact was erased");
        within(patience, told).await?;
        session.command("commit").await?;
        session.give_back();
        Ok(deleted.rows_affected())
    }

    async fn begin_erasing(&self, project: &str, contact: &str) -> Result<Session, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin isolation level read committed").await?;
        no_more_holds(&mut session).await?;
        let (patience, connection) = session.parts();
        const HELD: &str = "
            select exists (select 1 from legal_hold where project = $1 and (contact is null or contact = $2))";
        let held: bool =
            within(patience, sqlx::query_scalar(HELD).bind(project).bind(contact).fetch_one(connection)).await?;
        if held { Err(ArchiveError::Refused("a legal hold covers this person".into())) } else { Ok(session) }
    }

    /// Requests that wait, the oldest first.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn erasures_pending(&self) -> Result<Vec<ErasureRequest>, ArchiveError> {
        self.rows(QueryBuilder::<Postgres>::new(
            "select id, project, contact, requested_at from erasure where done_at is null order by requested_at, id",
        ))
        .await
    }

    /// Erasures done at `since` or later, the oldest first.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn erasures_done(&self, since: DateTime<Utc>) -> Result<Vec<ErasureDone>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select id, project, subject, requested_at, done_at from erasure where done_at >= ",
        );
        query.push_bind(since).push(" order by done_at, id");
        self.rows(query).await
    }

    /// Writes down that a request was done: who it was is forgotten, the receipt stays.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn erasure_was_done(
        &self,
        id: Uuid,
        done_at: DateTime<Utc>,
        subject: &str,
        receipt: &Value,
        signature: &str,
    ) -> Result<(), ArchiveError> {
        const DONE: &str = "
            update erasure set contact = null, done_at = $2, subject = $3, receipt = $4, signature = $5
            where id = $1 and done_at is null";
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let done = sqlx::query(DONE).bind(id).bind(done_at).bind(subject).bind(receipt).bind(signature);
        within(patience, done.execute(connection)).await?;
        session.give_back();
        Ok(())
    }

    /// Persons of `project` of whom anything came into the archive at `since` or later, in order, after the one given.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn persons(
        &self,
        project: &str,
        since: DateTime<Utc>,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("select contact from (");
        for (place, (table, changed)) in
            [("conversation", "updated_at"), ("rating", "created_at"), ("crm_link", "updated_at")]
                .into_iter()
                .enumerate()
        {
            query.push(if place > 0 { " union " } else { "" });
            query.push(format!("select contact from {table} where project = ")).push_bind(project.to_owned());
            query.push(" and contact > ").push_bind(after.unwrap_or_default().to_owned());
            query.push(format!(" and {changed} >= ")).push_bind(since);
        }
        query.push(") as person order by contact limit ").push_bind(i64::from(limit));
        let rows: Vec<(String,)> = self.rows(query).await?;
        Ok(rows.into_iter().map(|(contact,)| contact).collect())
    }

    /// The threads in which the archive knows a person.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn threads_of(&self, project: &str, contact: &str) -> Result<Vec<Thread>, ArchiveError> {
        let mut query =
            QueryBuilder::<Postgres>::new("select distinct channel, external_id from conversation where project = ");
        query.push_bind(project.to_owned()).push(" and contact = ").push_bind(contact.to_owned());
        let rows: Vec<(Option<String>, Option<String>)> = self.rows(query).await?;
        let thread = |(channel, conversation)| Thread {
            project: project.to_owned(),
            contact: Some(contact.to_owned()),
            channel,
            conversation,
        };
        Ok(rows.into_iter().map(thread).collect())
    }

    /// The receipt of an erasure that was done, and its signature, as stored.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn receipt(&self, id: Uuid) -> Result<Option<(Value, String)>, ArchiveError> {
        let mut query =
            QueryBuilder::<Postgres>::new("select receipt, signature from erasure where done_at is not null and id = ");
        query.push_bind(id);
        Ok(self.rows(query).await?.pop())
    }
}

/// Forgets whom conversations are of, and what else names the person.
async fn forget(
    patience: Duration,
    connection: &mut PgConnection,
    ids: &[Uuid],
    project: &str,
    contact: &str,
) -> Result<Traces, ArchiveError> {
    let mut erased = Traces { conversations: ids.len() as u64, ..Traces::default() };
    let sql = format!("update message set {BLANK} where conversation_id = any($1)");
    let blank = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(ids);
    erased.messages = within(patience, blank.execute(&mut *connection)).await?.rows_affected();
    within(patience, sqlx::query(FORGET).bind(ids).execute(&mut *connection)).await?;
    for (sql, count) in [(FORGET_RATINGS, &mut erased.ratings), (FORGET_LINKS, &mut erased.crm_links)] {
        let query = sqlx::query(sql).bind(ids).bind(project).bind(contact);
        *count = within(patience, query.execute(&mut *connection)).await?.rows_affected();
    }
    let told = outbox::erase(connection, ids, lane(project, contact), "the contact was erased");
    erased.notices = within(patience, told).await?;
    Ok(erased)
}

/// The lane of what was told of a person; none for nobody.
fn lane(project: &str, contact: &str) -> Option<Uuid> {
    let thread =
        Thread { project: project.to_owned(), contact: Some(contact.to_owned()), channel: None, conversation: None };
    (!contact.is_empty()).then(|| Notice::contact_lane(&thread))
}
