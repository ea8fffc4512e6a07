//! The archive behind its breaker: while PostgreSQL is away, what needs it is told at once, and nothing else waits.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{info, warn};

use super::{Archive, ArchiveError, Summary, Transaction};
use crate::{
    breaker::Breaker,
    domain::{Close, EventId, Message, Record, Thread},
};

/// An archive with a breaker.
pub struct Guarded {
    inner: Arc<dyn Archive>,
    breaker: Arc<Breaker>,
}

impl Guarded {
    /// Puts `breaker` before `inner`.
    pub fn by(breaker: Arc<Breaker>, inner: Arc<dyn Archive>) -> Self {
        Self { inner, breaker }
    }
}

/// Tells the breaker how a call went.
fn told<T>(breaker: &Breaker, outcome: Result<T, ArchiveError>) -> Result<T, ArchiveError> {
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
        if self.breaker.admit().is_err() {
            return Err(ArchiveError::Unavailable(
                "it failed several times in a row and is left alone for a while".into(),
            ));
        }
        let begun = told(&self.breaker, self.inner.begin().await)?;
        Ok(Box::new(GuardedTransaction { inner: begun, breaker: self.breaker.clone() }))
    }
}

struct GuardedTransaction {
    inner: Box<dyn Transaction>,
    breaker: Arc<Breaker>,
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

    async fn finish(self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError> {
        let Self { inner, breaker } = *self;
        told(&breaker, inner.finish(record, close).await)
    }
}
