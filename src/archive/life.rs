//! What stands beside a conversation's messages: ratings, statistics, what came late; and which events stand at all.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{ArchiveError, PostgresArchive};
use crate::domain::{ConversationId, EventId};

/// A rating as archived.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct RatingRow {
    /// The event that brought it.
    pub event_id: Uuid,
    /// The conversation it belongs to, if any.
    pub conversation_id: Option<Uuid>,
    /// `csat`, `nps` or `custom`.
    pub kind: String,
    /// The publisher's key for what was asked.
    pub key: String,
    /// The answer as text.
    pub value: String,
    /// The answer as a number, for CSAT and NPS.
    pub score: Option<i16>,
    /// What the contact wrote with it.
    pub comment: Option<String>,
    /// The agent who is rated.
    pub agent_id: Option<String>,
    /// When it was given.
    pub answered_at: DateTime<Utc>,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
    /// Whether its conversation was closed already.
    pub arrived_after_close: bool,
}

/// What a closed conversation adds up to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct StatsRow {
    /// Messages from the contact.
    pub incoming_count: i64,
    /// Messages to the contact.
    pub outgoing_count: i64,
    /// Notices of the platform.
    pub system_count: i64,
    /// Messages that came after the close.
    pub late_count: i64,
    /// Tokens of its messages, as counted when they were saved.
    pub token_count: i64,
    /// From the first message to the last, in milliseconds.
    pub duration_ms: Option<i64>,
    /// From the first question to the first answer, in milliseconds.
    pub first_response_ms: Option<i64>,
    /// Its ratings.
    pub rating_count: i64,
    /// Its latest CSAT, 1 to 5.
    pub csat: Option<i16>,
    /// Its latest NPS, 0 to 10.
    pub nps: Option<i16>,
}

/// A message that came after the close.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct LateRow {
    /// The event that brought it.
    pub event_id: Uuid,
    /// When it was written.
    pub occurred_at: DateTime<Utc>,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
    /// When it was appended.
    pub created_at: DateTime<Utc>,
}

const RATING: &str = "
    select event_id, conversation_id, kind, key, value, score, comment, agent_id, answered_at, received_at,
           arrived_after_close
    from rating where ";

const STATS: &str = "
    select incoming_count, outgoing_count, system_count, late_count, token_count, duration_ms, first_response_ms,
           rating_count, csat, nps
    from conversation_stats where conversation_id = ";

const LATE: &str = "
    select event_id, occurred_at, received_at, created_at from message
    where arrived_after_close and conversation_id = ";

impl PostgresArchive {
    /// The ratings of a conversation, in the order they were given.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn ratings(&self, conversation: ConversationId) -> Result<Vec<RatingRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(RATING);
        query.push("conversation_id = ").push_bind(conversation.0).push(" order by answered_at, sequence, event_id");
        self.rows(query).await
    }

    /// The latest `limit` ratings of a contact that belong to no conversation.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn ratings_alone(
        &self,
        project: &str,
        contact: &str,
        limit: u32,
    ) -> Result<Vec<RatingRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(RATING);
        query.push("conversation_id is null and project = ").push_bind(project.to_owned());
        query.push(" and contact = ").push_bind(contact.to_owned());
        query.push(" order by answered_at desc, event_id limit ").push_bind(i64::from(limit));
        self.rows(query).await
    }

    /// What a closed conversation adds up to; `None` while it is open.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn statistics(&self, conversation: ConversationId) -> Result<Option<StatsRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(STATS);
        query.push_bind(conversation.0);
        Ok(self.rows(query).await?.pop())
    }

    /// The first `limit` messages that came after the close, in the order they were appended.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn late(&self, conversation: ConversationId, limit: u32) -> Result<Vec<LateRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(LATE);
        query.push_bind(conversation.0).push(" order by created_at, event_id limit ").push_bind(i64::from(limit));
        self.rows(query).await
    }

    /// Those of `events` that stand nowhere in the archive.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn absent(&self, events: &[EventId]) -> Result<Vec<EventId>, ArchiveError> {
        let ids: Vec<Uuid> = events.iter().map(|event| event.0).collect();
        let mut query = QueryBuilder::<Postgres>::new("select asked.id from unnest(");
        query.push_bind(ids).push("::uuid[]) as asked (id)");
        query.push(" where not exists (select 1 from message m where m.event_id = asked.id)");
        let rows: Vec<(Uuid,)> = self.rows(query).await?;
        Ok(rows.into_iter().map(|(id,)| EventId(id)).collect())
    }
}
