//! One statement on one connection, which is thrown away unless the answer came.

use std::time::Duration;

use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use tokio::sync::OwnedSemaphorePermit;

use super::{PostgresStore, STATEMENT};
use crate::{
    hot::HotError,
    postgres::{Failure, Session, within},
};

/// How long an answer is awaited: the server's own limit does not help a client that lost the server.
const PATIENCE: Duration = STATEMENT.saturating_add(Duration::from_secs(1));

type Statement<'q> = Query<'q, Postgres, PgArguments>;

impl PostgresStore {
    /// The rows that a statement returns.
    pub(super) async fn rows_of(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, HotError> {
        let (mut session, _turn) = self.session().await?;
        let rows = answer(statement.fetch_all(session.connection())).await?;
        session.give_back();
        Ok(rows)
    }

    /// How many rows a statement changed.
    pub(super) async fn changed_by(&self, statement: Statement<'_>) -> Result<u64, HotError> {
        let (mut session, _turn) = self.session().await?;
        let done = answer(statement.execute(session.connection())).await?;
        session.give_back();
        Ok(done.rows_affected())
    }

    /// To wait for a turn at a connection is no failure; a server that does not take a connection is.
    async fn session(&self) -> Result<(Session, OwnedSemaphorePermit), HotError> {
        let closed = |_| HotError::Unavailable("shutting down".into());
        let turn = self.turns.clone().acquire_owned().await.map_err(closed)?;
        let session = Session::take(&self.pool).await.map_err(Failure::from)?;
        (self.counted)();
        Ok((session, turn))
    }
}

async fn answer<T>(answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, HotError> {
    within(PATIENCE, async { Ok(answer.await.map_err(Failure::from)?) }).await
}
