//! A round's own corner of the stack: queues, a table and a schema, made and cleared away.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use conversationd::{
    app::{Clients, Endpoints},
    archive::{Options, PostgresArchive},
    config::environment,
    operate::provision::provision,
};
use serde::{Deserialize, Serialize};
use sqlx::{
    AssertSqlSafe, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// A lease that lapses soon, so that freezing a daemon beyond it is cheap.
pub const VISIBILITY: Duration = Duration::from_secs(5);

/// The outside system that is told by HTTP, by its name among sinks.
pub const WEBHOOK: &str = "webhook";

/// Settings of a daemon, by their variables.
pub type Settings = BTreeMap<String, String>;

/// Where everything is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    pub queue_url: String,
    pub dead_letter_url: String,
    /// Where outside systems would listen.
    pub notices_url: String,
    pub table: String,
    pub schema: String,
}

/// A corner of the stack.
#[derive(Clone)]
pub struct Site {
    pub names: Names,
    pub clients: Clients,
    /// Straight to the archive, past every road.
    pub pool: PgPool,
}

impl Site {
    /// Makes one whose names begin with `name`: lower case, digits and dashes.
    pub async fn make(name: &str) -> anyhow::Result<Self> {
        let (clients, schema) = (clients().await, name.replace('-', "_"));
        let made = provision(&clients, name).await.context("the local stack does not answer; `make up` starts it")?;
        let notices = format!("{name}-notices.fifo");
        let notices = clients.sqs.control.create_queue().queue_name(notices).attributes("FifoQueue".into(), "true");
        let notices_url = notices.send().await?.queue_url.context("a queue without a URL")?;
        let options = Options { max_connections: 1, schema: Some(schema.clone()), ..Options::default() };
        let archive = PostgresArchive::new(&database_url()?, &options)?;
        archive.migrate().await?;
        archive.close().await;
        let names = Names {
            queue_url: made.queue_url,
            dead_letter_url: made.dead_letter_url,
            notices_url,
            table: made.table,
            schema,
        };
        Self::of(names, clients)
    }

    /// The one that stands under these names.
    pub async fn standing(names: Names) -> anyhow::Result<Self> {
        Self::of(names, clients().await)
    }

    fn of(names: Names, clients: Clients) -> anyhow::Result<Self> {
        let options = PgConnectOptions::from_str(&database_url()?)?.options([("search_path", &names.schema)]);
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        Ok(Self { names, clients, pool })
    }

    /// What a daemon is told to work here; its roads come on top.
    ///
    /// Outside systems are told through a queue, and by HTTP at port `outside` if that is given.
    pub fn settings(&self, folder: &Path, outside: Option<u16>) -> anyhow::Result<Settings> {
        let sinks = folder.join("sinks.toml");
        let mut told =
            format!("[[sink]]\nname = \"outside\"\nkind = \"queue\"\nurl = \"{}\"\n", self.names.notices_url);
        if let Some(port) = outside {
            told += &webhook(folder, port)?;
        }
        std::fs::write(&sinks, told)?;
        let seconds = VISIBILITY.as_secs().to_string();
        let all = [
            ("SQS_CONVERSATION_QUEUE_URL", self.names.queue_url.as_str()),
            ("SQS_CONVERSATION_DLQ_URL", &self.names.dead_letter_url),
            ("DYNAMODB_MESSAGE_TABLE", &self.names.table),
            ("CONVERSATIOND_DATABASE_SCHEMA", &self.names.schema),
            ("CONVERSATIOND_SINKS_FILE", sinks.to_str().context("a path that is no text")?),
            ("CONVERSATIOND_VISIBILITY_SECONDS", &seconds),
            ("CONVERSATIOND_GRACE_SECONDS", "1"),
            ("CONVERSATIOND_TIMER_SECONDS", "1"),
            ("CONVERSATIOND_POLL_WAIT_SECONDS", "1"),
            ("CONVERSATIOND_DRAIN_SECONDS", "5"),
            ("CONVERSATIOND_DATABASE_CONNECTIONS", "4"),
            ("CONVERSATIOND_UNFINISHED_SECONDS", "20"),
            // a machine that has much else to do must be able to extend what is held before it lapses
            ("CONVERSATIOND_POLLERS", "2"),
            ("CONVERSATIOND_IN_FLIGHT", "40"),
        ];
        Ok(all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// Removes all of it.
    pub async fn clear(&self) -> anyhow::Result<()> {
        let drop = AssertSqlSafe(format!("drop schema {} cascade", self.names.schema));
        sqlx::raw_sql(drop).execute(&self.pool).await?;
        self.pool.close().await;
        for url in [&self.names.queue_url, &self.names.dead_letter_url, &self.names.notices_url] {
            self.clients.sqs.control.delete_queue().queue_url(url).send().await?;
        }
        self.clients.dynamodb.delete_table().table_name(&self.names.table).send().await?;
        Ok(())
    }
}

/// What a sinks file says of an outside system at a port of loopback: told of closes alone, a person's in their order.
fn webhook(folder: &Path, port: u16) -> anyhow::Result<String> {
    let secret = folder.join("webhook-secret");
    std::fs::write(&secret, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n")?;
    let secret = secret.to_str().context("a path that is no text")?;
    Ok(format!(
        "
[[sink]]
name = \"{WEBHOOK}\"
kind = \"webhook\"
url = \"http://127.0.0.1:{port}/\"
secret = \"file:{secret}\"
events = [\"conversation.closed\"]
order = \"contact\"
timeout_seconds = 2

[egress]
networks = [\"127.0.0.0/8\"]
ports = [{port}]
http = true
"
    ))
}

async fn clients() -> Clients {
    Clients::build(&Endpoints::default(), Duration::from_secs(1), &Arc::default()).await
}

/// The archive's URL, as the environment names it.
pub fn database_url() -> anyhow::Result<String> {
    environment("DATABASE_URL")
        .context("DATABASE_URL is not set: `make chaos` sets it, or eval \"$(infra/local/stack.sh env)\"")
}

/// An AWS service's URL, as the environment names it: `SQS` or `DYNAMODB`.
pub fn aws_url(service: &str) -> anyhow::Result<String> {
    let own = environment(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| environment("AWS_ENDPOINT_URL"));
    own.context("AWS_ENDPOINT_URL is not set: faults need an emulator; `make chaos` starts one")
}

/// This checkout.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
