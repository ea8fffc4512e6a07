//! A schema of a story's own, with the archive in it: made before, dropped afterwards, however the story ends.

use std::env;

use conversationd::archive::{Options, PostgresArchive};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

/// What the schema is in.
pub struct Schema {
    pub archive: PostgresArchive,
    pub url: String,
    pub options: Options,
}

impl Schema {
    /// Makes one, with an archive of so many connections.
    pub async fn new(name: &str, max_connections: u32) -> Self {
        let url = env::var("DATABASE_URL").expect(
            "DATABASE_URL is not set: these tests need a PostgreSQL 14 or newer they may make schemas in, \
             as postgres://postgres@127.0.0.1:5433/conversationd",
        );
        let schema = format!("{name}_test_{}", Uuid::new_v4().simple());
        let options = Options { max_connections, schema: Some(schema), ..Options::default() };
        let archive = PostgresArchive::new(&url, &options).expect("DATABASE_URL");
        archive.migrate().await.expect("migrate");
        Self { archive, url, options }
    }

    /// Tells a story, closes what it had open, and then nothing of the schema remains.
    pub async fn around(self, story: impl Future<Output = ()> + Send + 'static, close: impl Future<Output = ()>) {
        let told = tokio::spawn(story).await;
        close.await;
        self.archive.close().await;
        let mut connection = PgConnection::connect(&self.url).await.expect("connect");
        let drop = format!("drop schema {} cascade", self.options.schema.expect("its name"));
        sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await.expect("drop");
        if let Err(panicked) = told {
            std::panic::resume_unwind(panicked.into_panic());
        }
    }
}
