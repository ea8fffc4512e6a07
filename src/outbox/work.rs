//! One short transaction: its connection is thrown away unless it came to its end, and no answer is awaited for ever.

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::timeout;

use super::{OutboxError, PATIENCE};

/// A transaction under way. Dropped unfinished, its connection closes and the server rolls back.
pub(super) struct Work {
    connection: PoolConnection<Postgres>,
    done: bool,
}

impl Work {
    /// Begins. Read committed is what everything here relies on: after a lock was waited for, the next statement sees what
    /// the one before committed.
    pub(super) async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut work = Self { connection: pool.acquire().await?, done: false };
        sqlx::query("begin isolation level read committed").execute(&mut *work.connection).await?;
        Ok(work)
    }

    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Commits, and gives the connection back.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("commit").execute(&mut *self.connection).await?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if !self.done {
            self.connection.close_on_drop();
        }
    }
}

/// Waits for work to end, but not for ever.
pub(super) async fn within<T>(work: impl Future<Output = Result<T, OutboxError>>) -> Result<T, OutboxError> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(OutboxError::Unavailable("no answer in time".into())),
    }
}
