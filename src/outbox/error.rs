//! What a failure of the database means here: nothing was changed, or it will be found out; try again later.

use thiserror::Error;

use crate::postgres::Failure;

/// Why the outbox did not do it.
#[derive(Debug, Error)]
pub enum OutboxError {
    /// It cannot be reached, or did not do what it was asked: try again later.
    #[error("the outbox is unavailable: {0}")]
    Unavailable(String),
    /// A notice stands there that this release cannot read.
    #[error("a notice has a {0} that this release does not know")]
    Unreadable(&'static str),
}

impl From<Failure> for OutboxError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.said)
    }
}

impl From<sqlx::Error> for OutboxError {
    fn from(failure: sqlx::Error) -> Self {
        Failure::from(failure).into()
    }
}
