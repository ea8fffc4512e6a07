//! One statement on one connection, which is thrown away unless the answer came.
//!
//! A statement given up halfway, or a server that stopped answering, leaves a connection nobody should get next.

use std::time::Duration;

use sqlx::{
    Postgres,
    pool::PoolConnection,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{PostgresStore, STATEMENT, error::error};
use crate::hot::HotError;

/// How long an answer is awaited: the server's own limit does not help a client that lost the server.
const PATIENCE: Duration = STATEMENT.saturating_add(Duration::from_secs(1));

type Statement<'q> = Query<'q, Postgres, PgArguments>;

struct Session {
    connection: PoolConnection<Postgres>,
    answered: bool,
    _turn: OwnedSemaphorePermit,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.close_on_drop();
        }
    }
}

impl PostgresStore {
    /// The rows that a statement returns.
    pub(super) async fn rows_of(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, HotError> {
        let mut session = self.session().await?;
        let rows = within(statement.fetch_all(&mut *session.connection)).await?;
        session.answered = true;
        Ok(rows)
    }

    /// How many rows a statement changed.
    pub(super) async fn changed_by(&self, statement: Statement<'_>) -> Result<u64, HotError> {
        let mut session = self.session().await?;
        let done = within(statement.execute(&mut *session.connection)).await?;
        session.answered = true;
        Ok(done.rows_affected())
    }

    /// To wait for a turn at a connection is no failure; a server that does not take a connection is.
    async fn session(&self) -> Result<Session, HotError> {
        let closed = |_| HotError::Unavailable("shutting down".into());
        let turn = self.turns.clone().acquire_owned().await.map_err(closed)?;
        let connection = self.pool.acquire().await.map_err(error)?;
        (self.counted)();
        Ok(Session { connection, answered: false, _turn: turn })
    }
}

async fn within<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, HotError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(error),
        Err(_) => Err(HotError::Unavailable("no answer in time".into())),
    }
}
