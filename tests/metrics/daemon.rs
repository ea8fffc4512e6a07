//! The program as a process on a site of its own, and what its publishers send it.

use std::{
    process::ExitStatus,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
    time::sleep,
};
use uuid::Uuid;

use crate::site::Site;

/// How long anything may take before a story gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What must never leave in a metric.
pub const CANARY_TEXT: &str = "canary-text-4711";
pub const CANARY_CONTACT: &str = "tel:+5511999990000";

/// A running daemon; killed when dropped.
pub struct Daemon {
    process: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it with these settings besides quick loops, and waits until it runs.
    pub async fn start(site: &Site, settings: &[(&str, &str)]) -> Self {
        let quick = [
            ("CONVERSATIOND_GRACE_SECONDS", "0"),
            ("CONVERSATIOND_TIMER_SECONDS", "1"),
            ("CONVERSATIOND_POLL_WAIT_SECONDS", "1"),
            ("CONVERSATIOND_LOG", "info"),
        ];
        let mut process = site.command(&["run"]).envs(quick).envs(settings.iter().copied()).spawn().expect("a process");
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, kept) = (process.stderr.take().expect("its log"), log.clone());
        tokio::spawn(async move {
            let mut lines = BufReader::new(lines).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().expect("lock").push(line);
            }
        });
        let daemon = Self { process, log };
        daemon.says("started").await;
        daemon
    }

    /// Every line of its log so far with this message.
    pub fn said(&self, message: &str) -> Vec<Value> {
        let lines = self.log.lock().expect("lock");
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        lines.filter(|line| line["message"].as_str().is_some_and(|said| said.starts_with(message))).collect()
    }

    /// Waits for a message, and returns its line.
    pub async fn says(&self, message: &str) -> Value {
        until(message, || async { !self.said(message).is_empty() }).await;
        self.said(message).remove(0)
    }

    /// Sends a signal.
    pub async fn signal(&self, name: &str) {
        let id = self.process.id().expect("it runs");
        let kill = tokio::process::Command::new("sh").args(["-c", &format!("kill -s {name} {id}")]).status().await;
        assert!(kill.expect("a shell").success());
    }

    /// Waits for its end.
    pub async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.process.wait()).await.expect("it ends").expect("its status")
    }
}

/// Waits until something is so.
pub async fn until<Looked: Future<Output = bool>>(what: &str, is_so: impl Fn() -> Looked) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// A thread that no other story uses.
pub struct Thread(Uuid);

impl Thread {
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// A chat message of the canary's.
    pub fn says(&self, id: &str) -> String {
        self.event("message.received", json!({ "message": { "id": id, "text": CANARY_TEXT, "source": "incoming" } }))
    }

    pub fn closes(&self) -> String {
        self.event("conversation.close", json!({ "resolution": 0 }))
    }

    fn event(&self, event_type: &str, mut data: Value) -> String {
        data["project_uuid"] = self.0.to_string().into();
        data["contact_urn"] = CANARY_CONTACT.into();
        data["channel_uuid"] = "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c".into();
        json!({ "event_type": event_type, "data": data }).to_string()
    }

    /// Publishes bodies in order, with a message attribute if there is one.
    pub async fn publish(&self, site: &Site, bodies: &[String], attribute: Option<(&str, &str)>) {
        for body in bodies {
            let send =
                site.clients.sqs.control.send_message().queue_url(&site.provisioned.queue_url).message_body(body);
            let mut send =
                send.message_group_id(self.0.to_string()).message_deduplication_id(Uuid::now_v7().to_string());
            if let Some((name, value)) = attribute {
                let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
                send = send.message_attributes(name, value.expect("an attribute"));
            }
            send.send().await.expect("it is sent");
        }
    }
}

/// Waits until the queue is empty.
pub async fn until_settled(site: &Site) {
    until("everything is settled", || async { site.depth().await == 0 }).await;
}
