//! What a failure of the database means here: nothing was changed, or it will be found out; try again later.
//!
//! PostgreSQL puts values of rows into its messages, so none is repeated: an error names the SQLSTATE.

use thiserror::Error;

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

impl From<sqlx::Error> for OutboxError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(match error {
            sqlx::Error::Database(error) => {
                format!("SQLSTATE {}", error.code().as_deref().unwrap_or("unknown"))
            }
            sqlx::Error::Io(error) => format!("connection: {:?}", error.kind()),
            sqlx::Error::PoolTimedOut => "no connection in time".into(),
            sqlx::Error::PoolClosed => "shutting down".into(),
            _ => "a value or the connection is out of step".into(),
        })
    }
}
