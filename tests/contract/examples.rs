//! The examples, as they stand in examples/: against a queue that fails, and against the daemon on the local stack.

use std::{collections::BTreeMap, path::PathBuf, process::Output, sync::OnceLock};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    site::{Site, on_a_site},
    tools, unsteady,
};

/// One language's examples, ready to run.
#[derive(Clone)]
enum Examples {
    Python,
    TypeScript(PathBuf),
}

impl Examples {
    /// Runs one of them, the rest of its environment being this process's own.
    async fn run(&self, program: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Output {
        let mut command = match self {
            Self::Python => {
                let mut command = tools::python();
                command.arg("-B").arg(tools::root().join(format!("examples/python/{program}.py")));
                command
            }
            Self::TypeScript(folder) => {
                let mut command = std::process::Command::new("node");
                command.arg(folder.join(format!("build/{program}.js")));
                command
            }
        };
        command.args(arguments).envs(settings.iter().copied());
        spawn_blocking(move || tools::run(&mut command, "")).await.expect("a program that was waited for")
    }
}

/// TypeScript's, compiled, where Node can be had.
async fn typescript() -> Option<Examples> {
    static COMPILED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let compile = || {
        let node = tools::node("examples/typescript")?;
        tools::said(&tools::run(&mut node.command("tsc"), ""));
        Some(node.folder)
    };
    let folder = spawn_blocking(move || COMPILED.get_or_init(compile).clone()).await.expect("compiled")?;
    Some(Examples::TypeScript(folder))
}

/// Messages of three threads, one of them of a contact that makes no legal group id.
fn messages(project: &str) -> Vec<Value> {
    let contacts = ["whatsapp:+5511999990000", "ext:José da Silva", "tel:1"];
    let message = |n: usize| {
        let message = json!({"id": format!("m{n}"), "text": format!("said {n}"), "created_at": "2026-03-01T12:00:00Z"});
        let data =
            json!({"project_uuid": project, "channel_uuid": "ch", "contact_urn": contacts[n % 3], "message": message});
        json!({"event_type": "message.received", "correlation_id": n.to_string(), "data": data})
    };
    (0..40).map(message).collect()
}

/// The same as a file, removed when dropped.
struct File(PathBuf);

impl File {
    fn of(messages: &[Value]) -> Self {
        let path = std::env::temp_dir().join(format!("examples-{}.jsonl", Uuid::new_v4()));
        let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
        std::fs::write(&path, lines).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // the folder is cleared by itself anyway
    }
}

/// Texts of messages, in order, by contact.
fn texts<'a>(messages: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, Vec<String>> {
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in messages {
        let text = message["data"]["message"]["text"].as_str().expect("a text").to_owned();
        texts.entry(message["data"]["contact_urn"].to_string()).or_default().push(text);
    }
    texts
}

async fn a_failing_queue_is_given_everything_once_and_in_order(examples: Examples) {
    let (url, taken) = unsteady::serve().await;
    let messages = messages("p");
    let file = File::of(&messages);
    let queue = format!("{url}/1/unsteady.fifo");
    let settings = [
        ("SQS_CONVERSATION_QUEUE_URL", queue.as_str()),
        ("AWS_ENDPOINT_URL", &url),
        ("AWS_ENDPOINT_URL_SQS", &url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "t"),
        ("AWS_SECRET_ACCESS_KEY", "t"),
    ];
    let said = tools::said(&examples.run("publisher", &[file.path()], &settings).await);
    assert_eq!(said.trim(), "published 40");

    let taken = taken.lock().expect("lock");
    assert!(taken.entries_failed > 5 && taken.answers_lost > 1, "the queue was too steady to tell");
    let bodies: Vec<Value> =
        taken.bodies.values().flatten().map(|body| serde_json::from_str(body).expect("JSON")).collect();
    assert_eq!(texts(&bodies), texts(&messages));
    let linted = lint(&messages);
    assert_eq!(
        taken.bodies.keys().collect::<Vec<_>>(),
        linted.keys().collect::<Vec<_>>(),
        "not the groups that lint names"
    );
}

/// The group ids that `lint` says are right.
fn lint(messages: &[Value]) -> BTreeMap<String, ()> {
    let lines: String = messages.iter().map(|message| format!("{message}\n")).collect();
    let mut lint = std::process::Command::new(env!("CARGO_BIN_EXE_conversationd"));
    let said = tools::said(&tools::run(lint.args(["lint", "--json", "--reveal", "-"]), &lines));
    let groups =
        said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["message_group_id"].clone());
    groups.map(|group| (group.as_str().expect("a group").to_owned(), ())).collect()
}

/// A reply queue of the site's own.
async fn reply_queue(site: &Site) -> String {
    let name = site.provisioned.queue_url.rsplit('/').next().expect("a name").replace(".fifo", "-replies");
    let made = site.clients.sqs.control.create_queue().queue_name(name).send().await.expect("a queue");
    made.queue_url.expect("its URL")
}

async fn what_is_published_is_kept_once_and_told_to_who_asks(site: &Site, examples: Examples) {
    let replies = reply_queue(site).await;
    let settings = [("SQS_CONVERSATION_QUEUE_URL", site.provisioned.queue_url.as_str()), ("REPLY_QUEUE_URL", &replies)];
    let mut daemon = site.command(&["run"]);
    let mut daemon = daemon.env("CONVERSATIOND_REPLY_QUEUES", &replies).spawn().expect("a daemon");

    let (project, message) = (Uuid::new_v4().to_string(), json!("whatsapp:+5511999990000"));
    let messages = messages(&project);
    let file = File::of(&messages);
    for _ in 0..2 {
        let said = tools::said(&examples.run("publisher", &[file.path()], &settings).await);
        assert_eq!(said.trim(), "published 40");
    }
    let data = json!({"project_uuid": project, "channel_uuid": "ch", "contact_urn": message, "max_tokens": 10_000});
    let said = tools::said(&examples.run("requester", &["get_context", &data.to_string()], &settings).await);
    let reply: Value = serde_json::from_str(&said).expect("a reply");
    assert_eq!((&reply["event_type"], &reply["status"]), (&json!("get_context.reply"), &json!("ok")), "{reply}");
    let told: Vec<&str> = reply["data"]["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["text"].as_str())
        .collect();
    assert_eq!(told, texts(&messages)[&message.to_string()]);
    let asked = json!({"schema": "reply", "body": reply.to_string()});
    assert_eq!(tools::verdicts(&format!("{asked}\n")), "1\n", "{reply}");

    let nobody = json!({"project_uuid": project, "conversation_id": Uuid::new_v4()});
    let said = examples.run("requester", &["get_conversation", &nobody.to_string()], &settings).await;
    let reply: Value = serde_json::from_slice(&said.stdout).expect("a reply");
    assert_eq!((&reply["status"], said.status.code()), (&json!("not_found"), Some(1)), "{reply}");

    daemon.kill().await.expect("killed");
    site.clients.sqs.control.delete_queue().queue_url(replies).send().await.expect("deleted");
}

#[tokio::test]
async fn the_python_publisher_loses_nothing_to_a_failing_queue() {
    a_failing_queue_is_given_everything_once_and_in_order(Examples::Python).await;
}

#[tokio::test]
async fn the_typescript_publisher_loses_nothing_to_a_failing_queue() {
    let Some(examples) = typescript().await else { return };
    a_failing_queue_is_given_everything_once_and_in_order(examples).await;
}

#[tokio::test]
async fn the_python_examples_are_understood_by_the_daemon() {
    on_a_site(async |site| what_is_published_is_kept_once_and_told_to_who_asks(&site, Examples::Python).await).await;
}

#[tokio::test]
async fn the_typescript_examples_are_understood_by_the_daemon() {
    let Some(examples) = typescript().await else { return };
    on_a_site(async move |site| what_is_published_is_kept_once_and_told_to_who_asks(&site, examples).await).await;
}
