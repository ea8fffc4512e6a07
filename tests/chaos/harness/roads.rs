//! The three roads that a daemon has: to the queues, to the table, to the archive.

use std::str::FromStr;

use anyhow::Context;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::{
    road::{Mode, Road, Speech},
    site::{aws_url, database_url},
};

/// A daemon's roads.
pub struct Roads {
    pub sqs: Road,
    pub dynamodb: Road,
    pub postgres: Road,
    database: String,
}

impl Roads {
    /// Lays them to what the environment names. `seed` decides which requests a fault picks.
    pub async fn lay(seed: u64) -> anyhow::Result<Self> {
        let aws = async |service: &str| {
            let url = aws_url(service)?;
            let host = url.strip_prefix("http://").context("faults need an emulator, at an http:// URL")?;
            Road::lay(host.trim_end_matches('/').to_owned(), Speech::Http, seed).await
        };
        let options = PgConnectOptions::from_str(&database_url()?)?;
        let target = format!("{}:{}", options.get_host(), options.get_port());
        let postgres = Road::lay(target, Speech::Postgres, seed).await?;
        let database = options.host("127.0.0.1").port(postgres.port).to_url_lossy().to_string();
        Ok(Self { sqs: aws("SQS").await?, dynamodb: aws("DYNAMODB").await?, postgres, database })
    }

    /// What a daemon is told to take them.
    pub fn settings(&self) -> [(String, String); 3] {
        [
            ("AWS_ENDPOINT_URL_SQS".into(), format!("http://127.0.0.1:{}", self.sqs.port)),
            ("AWS_ENDPOINT_URL_DYNAMODB".into(), format!("http://127.0.0.1:{}", self.dynamodb.port)),
            ("DATABASE_URL".into(), self.database.clone()),
        ]
    }

    /// All three, with their names.
    pub fn all(&self) -> [(&'static str, &Road); 3] {
        [("sqs", &self.sqs), ("dynamodb", &self.dynamodb), ("postgres", &self.postgres)]
    }

    /// Opens them all.
    pub fn open(&self) {
        self.all().iter().for_each(|(_, road)| road.set(Mode::Open));
    }
}
