//! The archive as whoever answers requests sees it: read, always within one project.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{
    ArchiveError, ConversationRow, Figures, LinkRow, Links, MessageRow, Period, PostgresArchive, columns,
    guarded::{admitted, told},
    read::CONVERSATION,
};
use crate::{
    breaker::Breaker,
    domain::{ConversationId, Message, Spot},
};

/// Which conversations of a project to list, newest opening first.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The project.
    pub project: String,
    /// Only closed ones, or only those still open and checkpointed.
    pub closed: Option<bool>,
    /// With this contact only.
    pub contact: Option<String>,
    /// Of this agent only.
    pub agent: Option<String>,
    /// With this tag only.
    pub tag: Option<String>,
    /// Opened at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Opened before this time.
    pub to: Option<DateTime<Utc>>,
    /// Only those behind this one.
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// So many at most.
    pub most: u32,
}

/// The edge: reads of one project each.
#[async_trait]
pub trait ArchiveReader: Send + Sync {
    /// A conversation of the project; one of another project is not there.
    async fn find(&self, project: &str, id: ConversationId) -> Result<Option<ConversationRow>, ArchiveError>;

    /// A conversation's messages beyond a place, `most` at most, nearest first: towards its beginning or towards its end.
    async fn transcript(
        &self,
        project: &str,
        id: ConversationId,
        from: Option<Spot>,
        back: bool,
        most: usize,
    ) -> Result<Vec<Message>, ArchiveError>;

    /// Conversations.
    async fn listed(&self, listing: &Listing) -> Result<Vec<ConversationRow>, ArchiveError>;

    /// What closed conversations add up to.
    async fn figures(&self, span: &Period) -> Result<Figures, ArchiveError>;

    /// A conversation's link to a CRM.
    async fn link(&self, project: &str, id: ConversationId) -> Result<Option<LinkRow>, ArchiveError>;

    /// Links, and how many there are in all, counted up to [`COUNTED`](super::COUNTED).
    async fn links(&self, links: &Links) -> Result<(Vec<LinkRow>, i64), ArchiveError>;
}

#[async_trait]
impl ArchiveReader for PostgresArchive {
    async fn find(&self, project: &str, id: ConversationId) -> Result<Option<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(CONVERSATION);
        query.push(" where id = ").push_bind(id.0).push(" and project = ").push_bind(project);
        Ok(self.rows(query).await?.pop())
    }

    async fn transcript(
        &self,
        project: &str,
        id: ConversationId,
        from: Option<Spot>,
        back: bool,
        most: usize,
    ) -> Result<Vec<Message>, ArchiveError> {
        let (order, beyond) = if back { ("desc", "<") } else { ("asc", ">") };
        let mut query = QueryBuilder::<Postgres>::new("select arrived_after_close, created_at, ");
        query.push(columns::MESSAGE).push(" from message where conversation_id = ").push_bind(id.0);
        query.push(" and exists (select from conversation where id = ").push_bind(id.0);
        query.push(" and project = ").push_bind(project).push(")");
        if let Some(from) = from {
            query.push(format!(" and (occurred_at, message.sequence, event_id) {beyond} ("));
            query.push_bind(from.occurred_at).push(", ").push_bind(from.sequence.0.to_string());
            query.push("::numeric, ").push_bind(from.event_id.0).push(")");
        }
        query.push(format!(" order by occurred_at {order}, message.sequence {order}, event_id {order} limit "));
        query.push_bind(i64::try_from(most).unwrap_or(i64::MAX));
        let rows: Vec<MessageRow> = self.rows(query).await?;
        Ok(rows.into_iter().map(|row| row.message).collect())
    }

    async fn listed(&self, listing: &Listing) -> Result<Vec<ConversationRow>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new(CONVERSATION);
        query.push(" where project = ").push_bind(&listing.project);
        if let Some(closed) = listing.closed {
            query.push(if closed { " and closed_at is not null" } else { " and closed_at is null" });
        }
        if let Some(contact) = &listing.contact {
            query.push(" and contact = ").push_bind(contact);
        }
        if let Some(agent) = &listing.agent {
            // both, so that the index on the beginning of an id serves
            query.push(" and left(agent_id, 256) = left(").push_bind(agent).push(", 256) and agent_id = ");
            query.push_bind(agent);
        }
        if let Some(tag) = &listing.tag {
            query.push(" and tags @> array[").push_bind(tag).push("]::text[]");
        }
        if let Some(from) = listing.from {
            query.push(" and opened_at >= ").push_bind(from);
        }
        if let Some(to) = listing.to {
            query.push(" and opened_at < ").push_bind(to);
        }
        if let Some((opened_at, id)) = listing.after {
            query.push(" and (opened_at, id) < (").push_bind(opened_at).push(", ").push_bind(id).push(")");
        }
        query.push(" order by opened_at desc, id desc limit ").push_bind(i64::from(listing.most));
        self.rows(query).await
    }

    async fn figures(&self, span: &Period) -> Result<Figures, ArchiveError> {
        self.figured(span).await
    }

    async fn link(&self, project: &str, id: ConversationId) -> Result<Option<LinkRow>, ArchiveError> {
        self.link_of(project, id).await
    }

    async fn links(&self, links: &Links) -> Result<(Vec<LinkRow>, i64), ArchiveError> {
        self.linked(links).await
    }
}

/// A reader that leaves the archive alone while its breaker is open.
pub struct GuardedReader {
    inner: Arc<dyn ArchiveReader>,
    breaker: Arc<Breaker>,
}

impl GuardedReader {
    /// Puts `breaker` before `inner`.
    pub fn by(breaker: Arc<Breaker>, inner: Arc<dyn ArchiveReader>) -> Self {
        Self { inner, breaker }
    }
}

#[async_trait]
impl ArchiveReader for GuardedReader {
    async fn find(&self, project: &str, id: ConversationId) -> Result<Option<ConversationRow>, ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.find(project, id).await)
    }

    async fn transcript(
        &self,
        project: &str,
        id: ConversationId,
        from: Option<Spot>,
        back: bool,
        most: usize,
    ) -> Result<Vec<Message>, ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.transcript(project, id, from, back, most).await)
    }

    async fn listed(&self, listing: &Listing) -> Result<Vec<ConversationRow>, ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.listed(listing).await)
    }

    async fn figures(&self, span: &Period) -> Result<Figures, ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.figures(span).await)
    }

    async fn link(&self, project: &str, id: ConversationId) -> Result<Option<LinkRow>, ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.link(project, id).await)
    }

    async fn links(&self, links: &Links) -> Result<(Vec<LinkRow>, i64), ArchiveError> {
        admitted(&self.breaker)?;
        told(&self.breaker, self.inner.links(links).await)
    }
}
