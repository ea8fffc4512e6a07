//! A connection of the archive for one piece of work, whose every answer is awaited for so long and no longer.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};

use super::ArchiveError;
use crate::postgres;

/// A connection, thrown away unless it is given back.
pub(super) struct Session {
    session: postgres::Session,
    patience: Duration,
}

impl Session {
    /// Takes a connection whose every answer is awaited for `patience` at most.
    pub(super) async fn take(pool: &PgPool, patience: Duration) -> Result<Self, ArchiveError> {
        Ok(Self { session: postgres::Session::take(pool).await?, patience })
    }

    /// The connection, and how long an answer may take: for [`within`].
    pub(super) fn parts(&mut self) -> (Duration, &mut PgConnection) {
        (self.patience, self.session.connection())
    }

    /// Runs a statement that takes nothing and returns nothing.
    pub(super) async fn command(&mut self, sql: &'static str) -> Result<(), ArchiveError> {
        let (patience, connection) = self.parts();
        within(patience, sqlx::query(sql).execute(connection)).await?;
        Ok(())
    }

    /// The work is done and nothing is left open: the connection goes back.
    pub(super) fn give_back(self) {
        self.session.give_back();
    }
}

/// Waits for a database's answer, but not for ever.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, ArchiveError> {
    postgres::within(patience, async { Ok(answer.await?) }).await
}
