//! Reading the archive, for the command line and for whoever continues an archived conversation.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use super::{ArchiveError, PostgresArchive, columns, postgres::MIGRATIONS, session::within};
use crate::domain::{ConversationId, EventId, Message, Sequence, Thread};

pub(super) const CONVERSATION: &str = "
    select id, project, contact, channel, external_id, agent_id, contact_name, opened_at, closed_at, close_reason,
           close_detail, resolution, topic, subtopic, title, tags, participants, metadata, customer_info,
           window_external_id, window_start, window_end, ticket, has_chats_room, csat, nps, variables,
           message_count, token_count, encode(content_hash, 'hex') as content_hash, previous_id, erased_at,
           created_at, updated_at
    from conversation";

const SERVER: &str = "
    select current_setting('server_version_num')::int4 as version, current_setting('fsync') = 'on' as fsync,
           current_setting('synchronous_commit') as synchronous_commit, clock_timestamp() as now,
           current_setting('max_connections')::int4 as connections,
           extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::int8 as behind,
           to_regclass('_sqlx_migrations') is not null as migrated";

const APPLIED: &str = "select version, checksum from _sqlx_migrations where success order by version";

/// What the server is and which migrations stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The server's version as a number: 180001 is 18.1.
    pub server: i32,
    /// Whether it waits until the disk has what it wrote.
    pub fsync: bool,
    /// When it answers a commit: anything but `off` is after it is durable here.
    pub synchronous_commit: String,
    /// Its clock.
    pub now: DateTime<Utc>,
    /// Connections it takes, of everybody together.
    pub connections: i32,
    /// Of a replica, seconds since the last change it took over; `None` for what is none.
    pub behind: Option<i64>,
    /// The newest migration that stands; `None` when none does.
    pub version: Option<i64>,
    /// The newest migration of this release.
    pub release: i64,
    /// Migrations of this release that do not stand.
    pub missing: Vec<i64>,
    /// Migrations that stand with another text than this release has.
    pub altered: Vec<i64>,
}

#[derive(FromRow)]
struct Server {
    version: i32,
    fsync: bool,
    synchronous_commit: String,
    now: DateTime<Utc>,
    connections: i32,
    behind: Option<i64>,
    migrated: bool,
}

/// Which conversations to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this project only.
    pub project: Option<String>,
    /// With this contact only.
    pub contact: Option<String>,
    /// Closed at this time or after it.
    pub since: Option<DateTime<Utc>>,
    /// Closed before this time.
    pub until: Option<DateTime<Utc>>,
    /// So many at most.
    pub limit: u32,
}

/// A conversation as archived.
#[derive(Clone, Debug, PartialEq, Serialize, FromRow)]
pub struct ConversationRow {
    /// Its id.
    pub id: Uuid,
    /// Project (tenant).
    pub project: String,
    /// Contact, as a URN.
    pub contact: Option<String>,
    /// Channel.
    pub channel: Option<String>,
    /// The publisher's conversation id, when that alone names the thread.
    pub external_id: Option<String>,
    /// The agent last heard of.
    pub agent_id: Option<String>,
    /// The contact's name as last heard.
    pub contact_name: Option<String>,
    /// Event time of its first message.
    pub opened_at: DateTime<Utc>,
    /// When it closed; `None` while it is open and only checkpointed.
    pub closed_at: Option<DateTime<Utc>>,
    /// Why it closed.
    pub close_reason: Option<String>,
    /// The publisher's own words for why.
    pub close_detail: Option<String>,
    /// 0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.
    pub resolution: Option<i16>,
    /// What it was about.
    pub topic: Option<String>,
    /// What it was about, more closely.
    pub subtopic: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// Its tags.
    pub tags: Option<Vec<String>>,
    /// Who takes part: a JSON array.
    pub participants: Option<Value>,
    /// What the publisher wants kept: a JSON object.
    pub metadata: Option<Value>,
    /// What is known of the contact: a JSON object.
    pub customer_info: Option<Value>,
    /// The platform's id of its window.
    pub window_external_id: Option<String>,
    /// When its window begins.
    pub window_start: Option<DateTime<Utc>>,
    /// When its window ends.
    pub window_end: Option<DateTime<Utc>>,
    /// The ticket by which a person took over.
    pub ticket: Option<String>,
    /// Whether a person took over.
    pub has_chats_room: bool,
    /// Its latest CSAT, 1 to 5.
    pub csat: Option<i16>,
    /// Its latest NPS, 0 to 10.
    pub nps: Option<i16>,
    /// The variables it ended with: a JSON array.
    pub variables: Option<Value>,
    /// Its messages.
    pub message_count: i64,
    /// The tokens of its messages, as counted when they were saved.
    pub token_count: i64,
    /// SHA-256 over its messages in order, in hexadecimal.
    pub content_hash: Option<String>,
    /// The conversation before this one in the thread.
    pub previous_id: Option<Uuid>,
    /// When its person was erased; `None` when nobody asked for that.
    pub erased_at: Option<DateTime<Utc>>,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
    /// When the row last changed.
    pub updated_at: DateTime<Utc>,
}

impl ConversationRow {
    /// The thread that it is a stretch of.
    pub fn thread(&self) -> Thread {
        Thread {
            project: self.project.clone(),
            contact: self.contact.clone(),
            channel: self.channel.clone(),
            conversation: self.external_id.clone(),
        }
    }
}

/// A message as archived.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MessageRow {
    /// The message.
    #[serde(flatten)]
    pub message: Message,
    /// Whether it was appended after its conversation had closed.
    pub arrived_after_close: bool,
    /// When the row was made.
    pub created_at: DateTime<Utc>,
}

/// A place in a transcript: after this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The message's event time.
    pub occurred_at: DateTime<Utc>,
    /// Its place in its group.
    pub sequence: Sequence,
    /// Its id.
    pub event_id: EventId,
}

impl MessageRow {
    /// Where to read on after this message.
    pub fn cursor(&self) -> Cursor {
        let Message { occurred_at, sequence, event_id, .. } = self.message;
        Cursor { occurred_at, sequence, event_id }
    }
}

impl FromRow<'_, PgRow> for MessageRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            message: columns::message(row)?,
            arrived_after_close: row.try_get("arrived_after_close")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

impl PostgresArchive {
    /// Conversations, the latest close first and those still open before all. A bound on the close leaves open ones out.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(CONVERSATION);
        query.push(" where true");
        if let Some(project) = &filter.project {
            query.push(" and project = ").push_bind(project);
        }
        if let Some(contact) = &filter.contact {
            query.push(" and contact = ").push_bind(contact);
        }
        if let Some(since) = filter.since {
            query.push(" and closed_at >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            query.push(" and closed_at < ").push_bind(until);
        }
        query.push(" order by closed_at desc, id limit ").push_bind(i64::from(filter.limit));
        self.rows(query).await
    }

    /// One conversation.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn conversation(&self, id: ConversationId) -> Result<Option<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(CONVERSATION);
        query.push(" where id = ").push_bind(id.0);
        Ok(self.rows(query).await?.pop())
    }

    /// A conversation's messages in order, `limit` at most, from its beginning or from after a place in it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now; [`ArchiveError::Refused`] when a row holds
    /// what no release of this program writes.
    pub async fn messages(
        &self,
        conversation: ConversationId,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<MessageRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("select arrived_after_close, created_at, ");
        query.push(columns::MESSAGE).push(" from message where conversation_id = ").push_bind(conversation.0);
        if let Some(after) = after {
            query.push(" and (occurred_at, message.sequence, event_id) > (").push_bind(after.occurred_at);
            query.push(", ").push_bind(after.sequence.0.to_string());
            query.push("::numeric, ").push_bind(after.event_id.0).push(")");
        }
        query.push(" order by occurred_at, message.sequence, event_id limit ").push_bind(i64::from(limit));
        self.rows(query).await
    }

    /// How many messages stand in the archive, of one project or of all. Counts them: takes its time on a large archive.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now, or not within the statement timeout.
    pub async fn count_messages(&self, project: Option<&str>) -> Result<u64, ArchiveError> {
        let query = match project {
            None => sqlx::query_scalar("select count(*) from message"),
            Some(project) => sqlx::query_scalar(
                "select count(*) from message m join conversation c on c.id = m.conversation_id where c.project = $1",
            )
            .bind(project),
        };
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let count: i64 = within(patience, query.fetch_one(connection)).await?;
        session.give_back();
        Ok(count.unsigned_abs())
    }

    /// What the server is, and how its schema stands to this release.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn standing(&self) -> Result<Standing, ArchiveError> {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let server: Server = within(patience, sqlx::query_as(SERVER).fetch_one(&mut *connection)).await?;
        let applied: Vec<(i64, Vec<u8>)> = match server.migrated {
            true => within(patience, sqlx::query_as(APPLIED).fetch_all(connection)).await?,
            false => Vec::new(),
        };
        session.give_back();
        let checksum = |version: i64| applied.iter().find(|(it, _)| *it == version).map(|(_, checksum)| checksum);
        let missing = MIGRATIONS.iter().filter(|it| checksum(it.version).is_none());
        let altered =
            MIGRATIONS.iter().filter(|it| checksum(it.version).is_some_and(|stands| **stands != *it.checksum));
        Ok(Standing {
            server: server.version,
            fsync: server.fsync,
            synchronous_commit: server.synchronous_commit,
            now: server.now,
            connections: server.connections,
            behind: server.behind,
            version: applied.last().map(|(version, _)| *version),
            release: MIGRATIONS.iter().map(|it| it.version).max().unwrap_or_default(),
            missing: missing.map(|it| it.version).collect(),
            altered: altered.map(|it| it.version).collect(),
        })
    }

    pub(super) async fn rows<T>(&self, mut query: QueryBuilder<Postgres>) -> Result<Vec<T>, ArchiveError>
    where
        T: for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let rows = within(patience, query.build_query_as().fetch_all(connection)).await?;
        session.give_back();
        Ok(rows)
    }
}
