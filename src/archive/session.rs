//! One connection for one piece of work, thrown away unless the work came to its end.
//!
//! A statement given up halfway, or a server that stopped answering, leaves a connection nobody should get next. Closing
//! it is also what rolls an unfinished transaction back.

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

use super::ArchiveError;

/// A connection out of the pool.
pub(super) struct Session {
    connection: PoolConnection<Postgres>,
    patience: Duration,
    done: bool,
}

impl Session {
    /// Takes a connection whose every answer is awaited for `patience` at most.
    pub(super) async fn take(pool: &PgPool, patience: Duration) -> Result<Self, ArchiveError> {
        Ok(Self { connection: pool.acquire().await?, patience, done: false })
    }

    /// The connection, and how long an answer may take: for [`within`].
    pub(super) fn parts(&mut self) -> (Duration, &mut PgConnection) {
        (self.patience, &mut self.connection)
    }

    /// Runs a statement that takes nothing and returns nothing.
    pub(super) async fn command(&mut self, sql: &'static str) -> Result<(), ArchiveError> {
        let (patience, connection) = self.parts();
        within(patience, sqlx::query(sql).execute(connection)).await?;
        Ok(())
    }

    /// The work is done and nothing is left open: the connection goes back.
    pub(super) fn give_back(mut self) {
        self.done = true;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

/// Waits for a database's answer, but not for ever: the server's own timeouts do not help a client that lost the server.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ArchiveError> {
    match tokio::time::timeout(patience, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(ArchiveError::Unavailable("no answer in time".into())),
    }
}
