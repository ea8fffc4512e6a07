//! A schema of its own in a PostgreSQL, with the archive's tables and the outbox's.

use anyhow::Context;
use conversationd::archive::{Options, PostgresArchive};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::part::variable;

/// A schema of its own, with the archive's tables.
pub struct House {
    /// Where its database is.
    pub url: String,
    /// Its name.
    pub schema: String,
}

impl House {
    /// Makes the schema in the database that `DATABASE_URL` names; none if it names none.
    ///
    /// # Errors
    /// The database is away, or does not let us.
    pub async fn make() -> anyhow::Result<Option<Self>> {
        let Some(url) = variable("DATABASE_URL") else { return Ok(None) };
        let house = Self { url, schema: format!("bench_{}", Uuid::new_v4().simple()) };
        house.archive()?.migrate().await?;
        Ok(Some(house))
    }

    /// Removes it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let drop = format!("drop schema {} cascade", self.schema);
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut self.connection().await?).await?;
        Ok(())
    }

    /// The archive in it.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn archive(&self) -> anyhow::Result<PostgresArchive> {
        PostgresArchive::new(&self.url, &Options { schema: Some(self.schema.clone()), ..Options::default() })
    }

    /// A connection to it.
    ///
    /// # Errors
    /// The database is away.
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        let mut connection = PgConnection::connect(&self.url).await.context("connecting")?;
        let path = format!("set search_path to {}", self.schema);
        sqlx::raw_sql(sqlx::AssertSqlSafe(path)).execute(&mut connection).await?;
        Ok(connection)
    }
}
