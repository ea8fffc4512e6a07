//! The older service's own tables, read only: conversations, their messages as one JSON array each, topics.

use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use super::{
    Older, OlderCount, OlderSpan,
    shape::{OlderRow, shaped},
};
use crate::archive::{ArchiveError, session::within};

/// How long an answer is awaited: a page is a walk along a primary key.
const PATIENCE: Duration = Duration::from_secs(120);

/// In progress, as it writes it: those it still has in its own DynamoDB table.
const PAGE: &str = "
    select c.uuid, c.project_id::text as project, nullif(c.contact_urn, '') as contact, c.channel_uuid::text as channel,
           nullif(c.external_id, '') as external_id, nullif(c.contact_name, '') as contact_name,
           c.ticket_uuid::text as ticket, c.has_chats_room, c.start_date, c.end_date, c.created_at, c.resolution, c.csat,
           c.nps, m.messages, m.created_at as written_at, t.name as topic, s.name as subtopic
    from intelligences_conversation c
    left join intelligences_conversationmessages m on m.conversation_id = c.uuid
    left join intelligences_conversationclassification k on k.conversation_id = c.uuid
    left join intelligences_topics t on t.uuid = k.topic_id
    left join intelligences_subtopics s on s.uuid = k.subtopic_id
    where c.resolution <> '2'
        and ($1::uuid is null or c.project_id = $1)
        and ($2::timestamptz is null or coalesce(c.start_date, c.created_at) >= $2)
        and ($3::timestamptz is null or coalesce(c.start_date, c.created_at) < $3)
        and ($4::uuid is null or c.uuid > $4)
    order by c.uuid
    limit $5";

const COUNT: &str = "
    select count(*) filter (where resolution <> '2') as closed, count(*) filter (where resolution = '2') as open
    from intelligences_conversation
    where ($1::uuid is null or project_id = $1)
        and ($2::timestamptz is null or coalesce(start_date, created_at) >= $2)
        and ($3::timestamptz is null or coalesce(start_date, created_at) < $3)";

/// The older service's database.
#[derive(Clone)]
pub struct OlderService {
    pool: PgPool,
}

impl OlderService {
    /// Prepares to connect to `url`; whatever happens, nothing is written there.
    ///
    /// # Errors
    ///
    /// When the URL cannot be read. It holds a password, and is not repeated.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let connect =
            PgConnectOptions::from_str(url).ok().context("the URL of the older service's database is none")?;
        let connect =
            connect.application_name(env!("CARGO_PKG_NAME")).options([("default_transaction_read_only", "on")]);
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(10));
        Ok(Self { pool: pool.connect_lazy_with(connect) })
    }

    /// How many conversations `span` has.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when it cannot be read now.
    pub async fn count(&self, span: &OlderSpan) -> Result<OlderCount, ArchiveError> {
        let query = sqlx::query_as(COUNT).bind(span.project).bind(span.since).bind(span.before);
        let (closed, open): (i64, i64) = within(PATIENCE, query.fetch_one(&self.pool)).await?;
        Ok(OlderCount { closed: closed.unsigned_abs(), open: open.unsigned_abs() })
    }

    /// The next `limit` closed conversations of `span`, by their ids, after the one given.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when it cannot be read now.
    pub async fn page(&self, span: &OlderSpan, after: Option<Uuid>, limit: u32) -> Result<Vec<Older>, ArchiveError> {
        let query = sqlx::query_as(PAGE).bind(span.project).bind(span.since).bind(span.before);
        let query = query.bind(after).bind(i64::from(limit));
        let rows: Vec<OlderRow> = within(PATIENCE, query.fetch_all(&self.pool)).await?;
        Ok(rows.into_iter().map(shaped).collect())
    }
}
