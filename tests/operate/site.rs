//! What the stories need: queues, a table and a schema of their own on the local stack, and the program to run on them.

use std::{collections::BTreeMap, env, process::Output, process::Stdio, sync::Arc, time::Duration};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use conversationd::{
    app::{Clients, Endpoints},
    archive::{Options, PostgresArchive},
    config::HotConfig,
    hot::WholeStore,
    operate::provision::{Provisioned, provision},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{io::AsyncWriteExt, process::Command};
use uuid::Uuid;

/// Everything one story works on.
pub struct Site {
    pub clients: Clients,
    pub provisioned: Provisioned,
    pub archive: PostgresArchive,
    /// The one that `CONVERSATIOND_HOT_STORE` names: the stories are told on either.
    pub hot: Arc<dyn WholeStore>,
    pub settings: BTreeMap<&'static str, String>,
}

/// A setting of the local stack, or the reason why the stories cannot be told.
fn stack(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: these tests need the local stack; `make test`, or eval \"$(infra/local/stack.sh env)\"")
    })
}

/// Tells a story on a site of its own, which is cleared away at the end, however it ends.
pub async fn on_a_site<Told>(story: impl FnOnce(Arc<Site>) -> Told)
where
    Told: Future<Output = ()> + Send + 'static,
{
    stack("AWS_ENDPOINT_URL");
    let url = stack("DATABASE_URL");
    let name = format!("operate-test-{}", Uuid::new_v4().simple());
    let schema = name.replace('-', "_");
    let clients = Clients::build(&Endpoints::default(), Duration::from_secs(1), &Arc::default()).await;
    let provisioned = provision(&clients, &name).await.expect("provision");
    let options = Options { max_connections: 2, schema: Some(schema.clone()), ..Options::default() };
    let archive = PostgresArchive::new(&url, &options).expect("DATABASE_URL");
    archive.migrate().await.expect("migrate");
    let settings = BTreeMap::from([
        ("SQS_CONVERSATION_QUEUE_URL", provisioned.queue_url.clone()),
        ("SQS_CONVERSATION_DLQ_URL", provisioned.dead_letter_url.clone()),
        ("DYNAMODB_MESSAGE_TABLE", provisioned.table.clone()),
        ("CONVERSATIOND_DATABASE_SCHEMA", schema.clone()),
        ("CONVERSATIOND_LOG", "error".to_owned()),
    ]);
    let get = |name: &str| settings.get(name).cloned().or_else(|| env::var(name).ok());
    let hot = HotConfig::read(&get).expect("settings of the hot store");
    let hot = conversationd::app::hot(&hot, &clients, Duration::from_secs(86_400)).expect("a hot store");
    let site = Arc::new(Site { clients, provisioned, archive, hot, settings });

    let told = tokio::spawn(story(site.clone())).await;

    let sqs = &site.clients.sqs.control;
    for url in [&site.provisioned.queue_url, &site.provisioned.dead_letter_url] {
        sqs.delete_queue().queue_url(url).send().await.expect("delete the queue");
    }
    let _ = site.clients.dynamodb.delete_table().table_name(&name).send().await; // a story may have deleted it
    site.archive.close().await;
    let mut connection = PgConnection::connect(&url).await.expect("connect");
    sqlx::query(AssertSqlSafe(format!("drop schema {schema} cascade"))).execute(&mut connection).await.expect("drop");
    if let Err(panicked) = told {
        std::panic::resume_unwind(panicked.into_panic());
    }
}

/// What the program said.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// Standard output as JSON Lines.
    pub fn json(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

impl Site {
    /// Whether its hot store is in PostgreSQL.
    pub fn is_on_postgres(&self) -> bool {
        env::var("CONVERSATIOND_HOT_STORE").is_ok_and(|store| store == "postgres")
    }

    /// The program, told of this site.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_conversationd"));
        command.args(arguments).envs(&self.settings).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_with(arguments, &[], "").await
    }

    /// Runs it with other settings and an input.
    pub async fn run_with(&self, arguments: &[&str], settings: &[(&str, &str)], input: &str) -> Said {
        let mut child = self.command(arguments).envs(settings.iter().copied()).spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        let input = input.to_owned();
        let feed = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
        let output = child.wait_with_output().await.expect("output");
        let _ = feed.await; // it may have ended before it had read all
        output.into()
    }

    /// How many messages the queue holds.
    pub async fn depth(&self) -> usize {
        let call = self.clients.sqs.control.get_queue_attributes().queue_url(&self.provisioned.queue_url);
        let got = call.attribute_names(QueueAttributeName::All).send().await.expect("attributes");
        let count = |name| got.attributes()?.get(&name)?.parse::<usize>().ok();
        let waiting = count(QueueAttributeName::ApproximateNumberOfMessages);
        let in_flight = count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
        waiting.expect("waiting") + in_flight.expect("in flight")
    }

    /// Puts a letter into the dead-letter queue.
    pub async fn bury(&self, group: &str, body: &str) {
        let send = self.clients.sqs.control.send_message().queue_url(&self.provisioned.dead_letter_url);
        let send = send.message_group_id(group).message_deduplication_id(Uuid::new_v4().to_string());
        send.message_body(body).send().await.expect("send");
    }

    /// Receives from the queue until it has `count` messages, or none come: group and body of each, in order.
    pub async fn received(&self, count: usize) -> Vec<(String, String)> {
        let sqs = &self.clients.sqs.control;
        let mut all = Vec::new();
        while all.len() < count {
            let call = sqs.receive_message().queue_url(&self.provisioned.queue_url).max_number_of_messages(10);
            let call =
                call.wait_time_seconds(1).message_system_attribute_names(MessageSystemAttributeName::MessageGroupId);
            let messages = call.send().await.expect("receive").messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let call = sqs.delete_message().queue_url(&self.provisioned.queue_url);
                call.receipt_handle(message.receipt_handle().expect("receipt")).send().await.expect("delete");
                all.push((group(&message), message.body.expect("body")));
            }
        }
        all
    }
}

fn group(message: &Message) -> String {
    let attributes = message.attributes.as_ref().expect("attributes");
    attributes[&MessageSystemAttributeName::MessageGroupId].clone()
}
