//! Checking rows against what they say of themselves: counts and content hash, computed again from the messages.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::{ArchiveError, PostgresArchive};

/// What a conversation's row says, and what its messages say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Recheck {
    /// The conversation.
    pub id: Uuid,
    /// Its project.
    pub project: String,
    /// When it closed.
    pub closed_at: Option<DateTime<Utc>>,
    /// Messages, as the row says.
    pub message_count: i64,
    /// Messages there are.
    pub messages_found: i64,
    /// Tokens, as the row says.
    pub token_count: i64,
    /// Tokens there are.
    pub tokens_found: i64,
    /// Content hash, as the row says; hexadecimal.
    pub content_hash: Option<String>,
    /// Content hash of what stands; hexadecimal.
    pub hash_found: Option<String>,
    /// Whether its statistics are what the messages and ratings add up to; `None` while it is open and has none.
    pub statistics_hold: Option<bool>,
}

impl Recheck {
    /// Whether the messages are what the row says.
    pub fn holds(&self) -> bool {
        self.message_count == self.messages_found
            && self.token_count == self.tokens_found
            && self.content_hash == self.hash_found
            && self.statistics_hold != Some(false)
    }
}

const RECHECK: &str = "
    select c.id, c.project, c.closed_at, c.message_count, content.message_count as messages_found, c.token_count,
           content.token_count as tokens_found, encode(c.content_hash, 'hex') as content_hash,
           encode(content.content_hash, 'hex') as hash_found,
           case when c.closed_at is not null then exists (
               select from conversation_stats s, conversation_statistics(c.id) n
               where s.conversation_id = c.id and
                      (s.incoming_count, s.outgoing_count, s.system_count, s.late_count, s.token_count, s.duration_ms,
                       s.first_response_ms, s.rating_count, s.csat, s.nps)
                      is not distinct from
                      (n.incoming_count, n.outgoing_count, n.system_count, n.late_count, n.token_count, n.duration_ms,
                       n.first_response_ms, n.rating_count, n.csat, n.nps)
           ) end as statistics_hold
    from conversation c, conversation_content(c.id) content
    where c.id = any(";

impl PostgresArchive {
    /// Computes again what conversations add up to; each in one glance, so that a writer at work is no difference.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn recheck(&self, ids: &[Uuid]) -> Result<Vec<Recheck>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(RECHECK);
        query.push_bind(ids.to_vec()).push(") order by c.closed_at, c.id");
        self.rows(query).await
    }
}
