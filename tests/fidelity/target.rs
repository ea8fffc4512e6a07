//! What the model is compared with: whichever SQS and DynamoDB the environment names, reached through the real adapters.

use std::{
    env,
    io::{Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, LazyLock},
    time::Duration,
};

use conversationd::{
    app::{Clients, Endpoints},
    config::DatabaseConfig,
    hot::{Database, DynamoStore, HotStore, PostgresStore},
    operate::provision::{Provisioned, provision},
    queue::SqsQueue,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// How long deliveries stay hidden: longer than any list of operations takes.
pub const VISIBILITY: Duration = Duration::from_secs(300);

/// Items outlive every test, whatever the emulator does about their expiry.
const TTL: Duration = Duration::from_secs(3650 * 86_400);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The local stack, whose differences from AWS are known.
    MiniStack,
    /// AWS itself, from which nothing may differ.
    Aws,
    /// Another emulator: its differences are measured and printed.
    Other,
}

/// Who answers at the endpoint of the queues.
pub static KIND: LazyLock<Kind> = LazyLock::new(|| {
    let given = |name: &str| env::var(name).ok().filter(|url| !url.is_empty());
    let Some(url) = given("AWS_ENDPOINT_URL_SQS").or_else(|| given("AWS_ENDPOINT_URL")) else {
        assert!(
            env::var("FIDELITY_AWS").as_deref() == Ok("yes"),
            "AWS_ENDPOINT_URL is not set: start the local stack (make up), or say FIDELITY_AWS=yes to make queues and \
             tables on AWS itself, which costs a few cents"
        );
        return Kind::Aws;
    };
    if is_ministack(&url).unwrap_or(false) { Kind::MiniStack } else { Kind::Other }
});

fn is_ministack(url: &str) -> std::io::Result<bool> {
    let host = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let Some(address) = host.to_socket_addrs().ok().and_then(|mut found| found.next()) else { return Ok(false) };
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    write!(stream, "GET /_ministack/health HTTP/1.0\r\nHost: {host}\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(4_096).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().is_some_and(|status| status.contains(" 200")) && answer.contains("\"services\""))
}

/// Queues and a hot store of one's own, removed at the end, however it ends.
pub struct House {
    runtime: Runtime,
    clients: Clients,
    provisioned: Provisioned,
    /// URL and schema, where the hot store is in PostgreSQL.
    database: Option<(String, String)>,
}

impl House {
    /// Provisions under a name that nobody else has.
    pub fn build() -> Self {
        LazyLock::force(&KIND); // not on AWS by accident
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let (clients, provisioned) = runtime.block_on(async {
            let clients = Clients::build(&Endpoints::default(), Duration::from_secs(2), &Arc::default()).await;
            let prefix = format!("fidelity-{}", Uuid::new_v4().simple());
            let provisioned = provision(&clients, &prefix).await.expect("provisioned");
            (clients, provisioned)
        });
        Self { runtime, clients, provisioned, database: None }
    }

    /// The same with the hot store in PostgreSQL.
    pub fn with_database() -> Self {
        let url = env::var("DATABASE_URL").expect("DATABASE_URL: start the local stack (make up)");
        let mut house = Self::build();
        let schema = house.provisioned.table.replace('-', "_");
        let settings = [("DATABASE_URL", url.clone()), ("CONVERSATIOND_DATABASE_SCHEMA", schema.clone())];
        let get = |name: &str| settings.iter().find(|(it, _)| *it == name).map(|(_, value)| value.clone());
        house.wait(async {
            let archive = conversationd::app::archive(&DatabaseConfig::read(&get).expect("settings")).expect("a URL");
            archive.migrate().await.expect("migrated");
            archive.close().await;
        });
        house.database = Some((url, schema));
        house
    }

    /// Whether a message that is put again in another edition stays as it was put first: nothing overwrites it there. No
    /// delivery has two editions.
    pub fn first_edition_stays(&self) -> bool {
        self.database.is_some()
    }

    /// Waits for what the services answer.
    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// The queue, through the daemon's own adapter.
    pub fn queue(&self) -> SqsQueue {
        let Provisioned { queue_url, dead_letter_url, .. } = self.provisioned.clone();
        SqsQueue::new(self.clients.sqs.clone(), queue_url, dead_letter_url, VISIBILITY)
    }

    /// The dead-letter queue, as if it were the queue.
    pub fn dead_letters(&self) -> SqsQueue {
        let url = self.provisioned.dead_letter_url.clone();
        SqsQueue::new(self.clients.sqs.clone(), url.clone(), url, VISIBILITY)
    }

    /// Sets how often a message is received before it becomes a dead letter.
    pub fn keep_as_dead_after(&self, most: u32) {
        use aws_sdk_sqs::types::QueueAttributeName::{QueueArn, RedrivePolicy};
        let Provisioned { queue_url, dead_letter_url, .. } = &self.provisioned;
        let sqs = &self.clients.sqs.control;
        self.wait(async {
            let call = sqs.get_queue_attributes().queue_url(dead_letter_url).attribute_names(QueueArn);
            let arn = call.send().await.expect("attributes").attributes.and_then(|mut found| found.remove(&QueueArn));
            let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": most.to_string()});
            let call = sqs.set_queue_attributes().queue_url(queue_url).attributes(RedrivePolicy, policy.to_string());
            call.send().await.expect("set");
        });
    }

    /// The table, through the daemon's own adapter.
    pub fn table(&self) -> Arc<dyn HotStore> {
        Arc::new(DynamoStore::new(self.clients.dynamodb.clone(), self.provisioned.table.clone(), TTL))
    }

    /// The hot store, through the daemon's own adapter.
    pub fn store(&self) -> Arc<dyn HotStore> {
        match &self.database {
            None => self.table(),
            Some((url, schema)) => {
                let database = Database { url, schema: Some(schema), connections: 2 };
                let _in = self.runtime.enter(); // the pool looks for it
                Arc::new(PostgresStore::new(&database, TTL, Arc::new(|| {})).expect("a URL"))
            }
        }
    }

    /// Waits until a visibility of one second has ended: then no more than `hidden` deliveries are.
    pub fn until_hidden(&self, hidden: usize) {
        use aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesNotVisible as NotVisible;
        self.wait(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            for _ in 0..100 {
                let call = self.clients.sqs.control.get_queue_attributes().queue_url(&self.provisioned.queue_url);
                let attributes = call.attribute_names(NotVisible).send().await.expect("attributes").attributes;
                let now = attributes.and_then(|found| found.get(&NotVisible)?.parse::<usize>().ok());
                if now.is_none_or(|now| now <= hidden) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let Provisioned { queue_url, dead_letter_url, table } = &self.provisioned;
        let sqs = &self.clients.sqs.control;
        self.runtime.block_on(async {
            if let Some((url, schema)) = &self.database {
                let drop = sqlx::raw_sql(AssertSqlSafe(format!("drop schema {schema} cascade")));
                let dropped = match PgConnection::connect(url).await {
                    Ok(mut connection) => drop.execute(&mut connection).await.map(|_| ()),
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = dropped {
                    eprintln!("schema {schema} stands: {failure}");
                }
            }
            for url in [queue_url, dead_letter_url] {
                if let Err(failure) = sqs.delete_queue().queue_url(url).send().await {
                    eprintln!("{url} stands: {failure}");
                }
            }
            if let Err(failure) = self.clients.dynamodb.delete_table().table_name(table).send().await {
                eprintln!("table {table} stands: {failure}");
            }
        });
    }
}
