//! The archive behind its breaker: while PostgreSQL is away, what needs it is told at once, and nothing else waits.
//!
//! And behind a queue of its own: a thousand closes of one midnight wait for their turn at a connection here, for as long as
//! their leases are held. To wait is no failure; a database that does not answer is.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{info, warn};

use super::{Archive, ArchiveError, Heard, Reach, Summary, Transaction};
use crate::{
    breaker::Breaker,
    domain::{
        Changes, Classification, Close, ConversationId, CrmLink, EventId, Message, Rating, Record, RecordChange,
        Thread, Variable,
    },
};

/// An archive with a breaker.
pub struct Guarded {
    inner: Arc<dyn Archive>,
    breaker: Arc<Breaker>,
    turns: Arc<Semaphore>,
}

impl Guarded {
    /// Puts `breaker` before `inner`, which is used by `at_once` at a time.
    pub fn by(breaker: Arc<Breaker>, inner: Arc<dyn Archive>, at_once: usize) -> Self {
        Self { inner, breaker, turns: Arc::new(Semaphore::new(at_once)) }
    }

    /// Waits for a turn, and asks the breaker only then: what it said before is old by now.
    async fn admit(&self) -> Result<OwnedSemaphorePermit, ArchiveError> {
        let closed = |_| ArchiveError::Unavailable("it is closed".into());
        let turn = self.turns.clone().acquire_owned().await.map_err(closed)?;
        admitted(&self.breaker)?;
        Ok(turn)
    }
}

/// Whether the breaker lets a call through.
pub(super) fn admitted(breaker: &Breaker) -> Result<(), ArchiveError> {
    let left_alone = "it failed several times in a row and is left alone for a while";
    breaker.admit().map_err(|_| ArchiveError::Unavailable(left_alone.into()))
}

/// Tells the breaker how a call went.
pub(super) fn told<T>(breaker: &Breaker, outcome: Result<T, ArchiveError>) -> Result<T, ArchiveError> {
    match &outcome {
        Err(ArchiveError::Unavailable(why)) => {
            if breaker.failed() {
                warn!(error = %why, "the archive is away: closes wait, messages go on");
            }
        }
        Ok(_) | Err(ArchiveError::Refused(_) | ArchiveError::Unverified { .. }) => {
            if breaker.succeeded() {
                info!("the archive is back");
            }
        }
    }
    outcome
}

#[async_trait]
impl Archive for Guarded {
    async fn begin(&self) -> Result<Box<dyn Transaction>, ArchiveError> {
        let turn = self.admit().await?;
        let begun = told(&self.breaker, self.inner.begin().await)?;
        Ok(Box::new(GuardedTransaction { inner: begun, breaker: self.breaker.clone(), turn }))
    }

    async fn rate_alone(&self, thread: &Thread, rating: &Rating) -> Result<(), ArchiveError> {
        let _turn = self.admit().await?;
        told(&self.breaker, self.inner.rate_alone(thread, rating).await)
    }

    async fn link(&self, thread: &Thread, conversation: ConversationId, link: &CrmLink) -> Result<(), ArchiveError> {
        let _turn = self.admit().await?;
        told(&self.breaker, self.inner.link(thread, conversation, link).await)
    }

    async fn record_changed(&self, change: &RecordChange, reach: Reach<'_>) -> Result<Heard, ArchiveError> {
        let _turn = self.admit().await?;
        told(&self.breaker, self.inner.record_changed(change, reach).await)
    }

    async fn request_erasure(
        &self,
        project: &str,
        contact: &str,
        event_id: EventId,
        received_at: DateTime<Utc>,
    ) -> Result<(), ArchiveError> {
        let _turn = self.admit().await?;
        told(&self.breaker, self.inner.request_erasure(project, contact, event_id, received_at).await)
    }
}

struct GuardedTransaction {
    inner: Box<dyn Transaction>,
    breaker: Arc<Breaker>,
    turn: OwnedSemaphorePermit,
}

#[async_trait]
impl Transaction for GuardedTransaction {
    async fn lock(&mut self, thread: &Thread, record: &Record) -> Result<(), ArchiveError> {
        told(&self.breaker, self.inner.lock(thread, record).await)
    }

    async fn insert(
        &mut self,
        record: &Record,
        messages: &[Message],
        late: bool,
    ) -> Result<Vec<EventId>, ArchiveError> {
        told(&self.breaker, self.inner.insert(record, messages, late).await)
    }

    async fn rate(&mut self, thread: &Thread, record: &Record, rating: &Rating) -> Result<bool, ArchiveError> {
        told(&self.breaker, self.inner.rate(thread, record, rating).await)
    }

    async fn amend(&mut self, record: &Record, changes: &Changes) -> Result<(), ArchiveError> {
        told(&self.breaker, self.inner.amend(record, changes).await)
    }

    async fn classify(&mut self, thread: &Thread, said: &Classification) -> Result<bool, ArchiveError> {
        told(&self.breaker, self.inner.classify(thread, said).await)
    }

    async fn still_open(&mut self, reached: &[Duration]) -> Result<(), ArchiveError> {
        self.inner.still_open(reached).await
    }

    async fn keep_variables(&mut self, record: &Record, variables: &[Variable]) -> Result<(), ArchiveError> {
        told(&self.breaker, self.inner.keep_variables(record, variables).await)
    }

    async fn finish(self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError> {
        let Self { inner, breaker, turn: _turn } = *self;
        told(&breaker, inner.finish(record, close).await)
    }
}
