//! The program as a process that is told things, and everything it says.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
    time::sleep,
};
use uuid::Uuid;

use crate::{marks::NUMBER, site::Site};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Files that go with the story.
#[derive(Default)]
pub struct Files(Vec<PathBuf>);

impl Files {
    pub fn hold(&mut self, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("conversationd-security-{}", Uuid::new_v4()));
        std::fs::write(&path, text).expect("a file");
        self.0.push(path.clone());
        path
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| drop(std::fs::remove_file(path)));
    }
}

/// A running daemon and what it says; killed when dropped.
pub struct Daemon {
    process: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<tokio::task::JoinHandle<()>>,
}

impl Daemon {
    pub fn start(site: &Site, settings: &[(&str, String)]) -> Self {
        let mut command = site.command(&["run"]);
        for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
            command.env_remove(proxy);
        }
        command.envs(settings.iter().map(|(name, value)| (*name, value.as_str()))).stdin(Stdio::null());
        let mut process = command.spawn().expect("a process");
        let log: Arc<Mutex<String>> = Arc::default();
        let err = keep(process.stderr.take().expect("its log"), log.clone());
        let out = keep(process.stdout.take().expect("its output"), log.clone());
        Self { process, log, readers: vec![err, out] }
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub async fn says(&self, what: &str) -> String {
        until(what, || async { self.log().contains(what) }).await;
        self.log().lines().find(|line| line.contains(what)).expect("the line").to_owned()
    }

    /// SIGTERM, and everything it ever said.
    pub async fn ended(mut self) -> String {
        let id = self.process.id().expect("it runs").to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        let status = tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("its status");
        assert!(status.success(), "{status}");
        for reader in self.readers.drain(..) {
            reader.await.expect("its last words");
        }
        self.log()
    }
}

fn keep(lines: impl AsyncRead + Unpin + Send + 'static, log: Arc<Mutex<String>>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut lines = BufReader::new(lines).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            *log.lock().unwrap() += &(line + "\n");
        }
    })
}

pub async fn until<Looked: Future<Output = bool>>(what: &str, is_so: impl Fn() -> Looked) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Sends a body into a group that names the contact, with hostile attributes beside it.
pub async fn send(site: &Site, group: &str, body: &str, attributes: &[(&str, &str)]) {
    let send = site.clients.sqs.control.send_message().queue_url(&site.provisioned.queue_url).message_body(body);
    let mut send =
        send.message_group_id(format!("{group}:{NUMBER}")).message_deduplication_id(Uuid::now_v7().to_string());
    for (name, value) in attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(*value).build();
        send = send.message_attributes(*name, value.expect("an attribute"));
    }
    send.send().await.expect("it is sent");
}

/// How many letters lie in the dead-letter queue.
pub async fn letters(site: &Site) -> usize {
    let url = &site.provisioned.dead_letter_url;
    let name = QueueAttributeName::ApproximateNumberOfMessages;
    let call = site.clients.sqs.control.get_queue_attributes().queue_url(url).attribute_names(name.clone());
    let got = call.send().await.expect("attributes");
    got.attributes().and_then(|all| all.get(&name)?.parse().ok()).expect("a number")
}

async fn connection(site: &Site) -> PgConnection {
    let mut connection = PgConnection::connect(&std::env::var("DATABASE_URL").unwrap()).await.expect("connect");
    let path = format!("set search_path to {}", site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
    sqlx::raw_sql(AssertSqlSafe(path)).execute(&mut connection).await.expect("search_path");
    connection
}

/// Runs a script in the schema.
pub async fn script(site: &Site, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection(site).await).await.expect("script");
}

/// One number out of the schema.
pub async fn number(site: &Site, sql: &str) -> i64 {
    let sql = AssertSqlSafe(sql.to_owned());
    sqlx::query_scalar(sql).fetch_one(&mut connection(site).await).await.expect("a number")
}
