//! One connection for one piece of work, thrown away unless the work came to its end.
//!
//! A statement given up halfway, or a server that stopped answering, leaves a connection nobody should get next. Closing
//! it is also what rolls an unfinished transaction back.

use std::time::Duration;

use sqlx::{PgConnection, PgPool, Postgres, pool::PoolConnection};
use tokio::time::timeout;

use super::{Cause, Failure};

/// A connection out of a pool.
#[derive(Debug)]
pub struct Session {
    connection: PoolConnection<Postgres>,
    done: bool,
}

impl Session {
    /// Takes a connection.
    ///
    /// # Errors
    /// The pool has none in its time.
    pub async fn take(pool: &PgPool) -> Result<Self, sqlx::Error> {
        // boxed: to connect is a future some dozens of futures deep, and who awaits it here should not be deeper still
        Ok(Self { connection: Box::pin(pool.acquire()).await?, done: false })
    }

    /// Takes a connection and begins a transaction. Read committed is what all rely on: after a lock was waited for, the next
    /// statement sees what the one before committed.
    ///
    /// # Errors
    /// The pool has no connection in its time, or the server does not begin.
    pub async fn begin(pool: &PgPool) -> Result<Self, sqlx::Error> {
        let mut session = Self::take(pool).await?;
        sqlx::query("begin isolation level read committed").execute(session.connection()).await?;
        Ok(session)
    }

    /// The connection itself.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Commits what was begun, and gives the connection back.
    ///
    /// # Errors
    /// The server refuses, or does not say: it may be committed all the same.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::query("commit").execute(self.connection()).await?;
        self.give_back();
        Ok(())
    }

    /// The work is done and nothing is left open: the connection goes back.
    pub fn give_back(mut self) {
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

/// Waits for work to end, but not for ever: the server's own timeouts do not help a client that lost the server.
///
/// # Errors
/// The work's own, or that there was no answer in time.
pub async fn within<T, E: From<Failure>>(patience: Duration, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    let unanswered = |_| Failure { cause: Cause::Outage, said: "no answer in time".into() };
    timeout(patience, work).await.map_err(unanswered)?
}
