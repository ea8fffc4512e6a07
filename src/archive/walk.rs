//! Walking through closed conversations: page by page in the order of their close, or a random few. For the keeper's commands.

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::read::CONVERSATION;
use super::{ArchiveError, ConversationRow, PostgresArchive};

/// Which closed conversations.
#[derive(Clone, Debug, Default)]
pub struct Span {
    /// Of this project only.
    pub project: Option<String>,
    /// With this contact only.
    pub contact: Option<String>,
    /// Closed at this time or after it.
    pub since: Option<DateTime<Utc>>,
    /// Closed before this time.
    pub until: Option<DateTime<Utc>>,
}

impl Span {
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" where closed_at is not null");
        if let Some(project) = &self.project {
            query.push(" and project = ").push_bind(project.clone());
        }
        if let Some(contact) = &self.contact {
            query.push(" and contact = ").push_bind(contact.clone());
        }
        if let Some(since) = self.since {
            query.push(" and closed_at >= ").push_bind(since);
        }
        if let Some(until) = self.until {
            query.push(" and closed_at < ").push_bind(until);
        }
    }
}

/// What stands of one project and one day (UTC, of the close).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct DayTotal {
    /// Project (tenant).
    pub project: String,
    /// The day.
    pub day: NaiveDate,
    /// Conversations that closed on it.
    pub conversations: i64,
    /// Their messages.
    pub messages: i64,
}

impl PostgresArchive {
    /// The next `limit` conversations of `span` after the one given, the earliest close first.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn walk(
        &self,
        span: &Span,
        after: Option<(DateTime<Utc>, Uuid)>,
        limit: u32,
    ) -> Result<Vec<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(CONVERSATION);
        span.push(&mut query);
        if let Some((closed_at, id)) = after {
            query.push(" and (closed_at, id) > (").push_bind(closed_at).push(", ").push_bind(id).push(")");
        }
        query.push(" order by closed_at, id limit ").push_bind(i64::from(limit));
        self.rows(query).await
    }

    /// `count` conversations of `span` at random: ids are hashes, so the ones after a random id are as random as any.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn sample(&self, span: &Span, count: u32) -> Result<Vec<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("with pivot as materialized (select gen_random_uuid() as at) ");
        for (place, side) in [">=", "<"].into_iter().enumerate() {
            query.push(if place == 0 { "(" } else { " union all (" }).push(CONVERSATION);
            span.push(&mut query);
            query.push(format!(" and id {side} (select at from pivot) order by id limit "));
            query.push_bind(i64::from(count)).push(")");
        }
        query.push(" limit ").push_bind(i64::from(count));
        self.rows(query).await
    }

    /// How many conversations `span` has, and how many messages they say they have: by project and day.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn totals(&self, span: &Span) -> Result<Vec<DayTotal>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(
            "select project, (closed_at at time zone 'UTC')::date as day, count(*) as conversations,
                    coalesce(sum(message_count), 0)::bigint as messages
             from conversation",
        );
        span.push(&mut query);
        query.push(" group by 1, 2 order by 1, 2");
        self.rows(query).await
    }
}
