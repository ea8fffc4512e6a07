//! The archive in PostgreSQL 14 or newer: connections, schema, migrations.
//!
//! What is written and read through them is in transaction.rs and read.rs.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use super::columns::to_the_microsecond;
use super::session::{Session, within};
use super::transaction::PostgresTransaction;
use super::{Archive, ArchiveError, Heard, Reach, Transaction, crm_link, crm_record, rating};
use crate::domain::{ConversationId, CrmLink, EventId, Notice, Rating, RecordChange, Thread};
use crate::{outbox, postgres};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long beyond the server's own limit an answer is awaited.
const GRACE: Duration = Duration::from_secs(5);

/// A transaction left alone for this long is rolled back by the server: a stopped process must not hold a conversation.
const IDLE_IN_TRANSACTION: &str = "60s";

const REQUEST_ERASURE: &str = "
    insert into erasure (id, project, contact, requested_at) values ($1, $2, $3, $4) on conflict (id) do nothing";

/// How the archive is connected to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Connections at most.
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take, waiting for locks included; whole milliseconds, more than none.
    pub statement_timeout: Duration,
    /// The schema everything is in (lower case letters, digits and `_`); `None` for the role's own.
    pub schema: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 10,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            schema: None,
        }
    }
}

/// The archive in PostgreSQL.
#[derive(Clone)]
pub struct PostgresArchive {
    pool: PgPool,
    connect: PgConnectOptions,
    schema: Option<String>,
    patience: Duration,
}

/// Without the connection options: they hold a password.
impl fmt::Debug for PostgresArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresArchive").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PostgresArchive {
    /// Prepares to connect to `url`; the first use connects, so that the daemon starts while the archive is down.
    ///
    /// # Errors
    ///
    /// When the URL or an option cannot be read. The URL, which holds a password, is not repeated.
    pub fn new(url: &str, options: &Options) -> Result<Self> {
        ensure!(
            options.statement_timeout.as_millis() > 0,
            "the statement timeout of the archive must be more than none"
        );
        let connect = postgres::connect(url, options.schema.as_deref(), options.statement_timeout, "the archive")?
            .application_name(env!("CARGO_PKG_NAME"))
            .options([("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION)]);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_lazy_with(connect.clone());
        let patience = options.statement_timeout + GRACE;
        Ok(Self { pool, connect, schema: options.schema.clone(), patience })
    }

    /// Brings the schema up to this release, making it first if there is none, and returns the version it stands at.
    ///
    /// Runs on a connection of its own, without a statement timeout. Replicas that migrate together take turns. A schema
    /// newer than this release is left as it is.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached, the role may not change the schema, or a released migration was edited.
    pub async fn migrate(&self) -> Result<i64> {
        let unhurried = [("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0")];
        let alone = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(self.pool.options().get_acquire_timeout())
            .connect_with(self.connect.clone().options(unhurried))
            .await
            .context("connecting to the archive")?;
        if let Some(schema) = &self.schema {
            make_schema(&alone, schema).await.context("making the schema of the archive")?;
        }
        let mut migrations = Migrator::with_migrations(MIGRATIONS.iter().cloned().collect());
        migrations.set_ignore_missing(true);
        migrations.run(&alone).await.context("migrating the archive")?;
        let version =
            sqlx::query_scalar("select coalesce(max(version), 0) from _sqlx_migrations").fetch_one(&alone).await?;
        alone.close().await;
        Ok(version)
    }

    /// Other connections to the same schema, so that whoever uses them never waits for those of the archive. Connects at
    /// the first use.
    pub fn pool_beside(&self, connections: u32) -> PgPool {
        PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(self.pool.options().get_acquire_timeout())
            .connect_lazy_with(self.connect.clone())
    }

    /// Closes the connections, after what is under way has ended.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    pub(super) async fn session(&self) -> Result<Session, ArchiveError> {
        Session::take(&self.pool, self.patience).await
    }
}

#[async_trait]
impl Archive for PostgresArchive {
    async fn begin(&self) -> Result<Box<dyn Transaction>, ArchiveError> {
        Ok(Box::new(PostgresTransaction::begin(self.session().await?).await?))
    }

    async fn rate_alone(&self, thread: &Thread, rating: &Rating) -> Result<(), ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin isolation level read committed").await?;
        let (patience, connection) = session.parts();
        if rating::insert(patience, connection, thread, None, rating).await? {
            let told = [Notice::rated(thread, None, None, rating)];
            within(patience, outbox::enqueue(connection, &told)).await?;
        }
        session.command("commit").await?;
        session.give_back();
        Ok(())
    }

    async fn link(&self, thread: &Thread, conversation: ConversationId, link: &CrmLink) -> Result<(), ArchiveError> {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        crm_link::write(patience, connection, thread, conversation, link).await?;
        session.give_back();
        Ok(())
    }

    async fn record_changed(&self, change: &RecordChange, reach: Reach<'_>) -> Result<Heard, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin isolation level read committed").await?;
        let (patience, connection) = session.parts();
        let heard = crm_record::hear(patience, connection, change, reach).await?;
        session.command("commit").await?;
        session.give_back();
        Ok(heard)
    }

    async fn request_erasure(
        &self,
        project: &str,
        contact: &str,
        event_id: EventId,
        received_at: DateTime<Utc>,
    ) -> Result<(), ArchiveError> {
        let request = sqlx::query(REQUEST_ERASURE)
            .bind(event_id.0)
            .bind(project)
            .bind(contact)
            .bind(to_the_microsecond(received_at));
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        within(patience, request.execute(connection)).await?;
        session.give_back();
        Ok(())
    }
}

/// Makes the schema unless it is there. `if not exists` alone would ask for a right that a role need not have.
async fn make_schema(alone: &PgPool, schema: &str) -> sqlx::Result<()> {
    let there: bool = sqlx::query_scalar("select exists (select 1 from pg_namespace where nspname = $1)")
        .bind(schema)
        .fetch_one(alone)
        .await?;
    if !there {
        let sql = format!("create schema if not exists {schema}");
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(alone).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        let error = PostgresArchive::new("postgres://u:hunter2@host:port/db", &Options::default()).expect_err("port");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_password_is_not_shown() {
        let archive = PostgresArchive::new("postgres://u:hunter2@host/db", &Options::default()).expect("lazy");
        assert!(!format!("{archive:?}").contains("hunter2"));
    }

    #[test]
    fn every_migration_on_disk_is_in_the_binary() {
        let directory = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).expect("migrations");
        let files =
            directory.filter(|file| file.as_ref().is_ok_and(|f| f.path().extension().is_some_and(|e| e == "sql")));
        assert_eq!(MIGRATIONS.iter().count(), files.count(), "build again after adding a migration");
    }
}
