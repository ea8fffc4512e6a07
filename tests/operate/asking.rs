//! Stories of `ask` and `stats`: the program asks the program.

use std::{process::Stdio, sync::Arc};

use conversationd::domain::Thread;
use serde_json::{Value, json};
use tokio::process::Child;

use crate::site::{Said, Site, on_a_site};

const CONTACT: &str = "whatsapp:+5511999990000";
const THREAD: [&str; 6] = ["--project", "p", "--contact", CONTACT, "--channel", "ch"];

/// What the daemon and those who ask it are told besides.
const ASKED: [(&str, &str); 4] = [
    ("CONVERSATIOND_REPLY_QUEUES", "conversationd-ask-*,operate-test-replies-*"),
    ("CONVERSATIOND_POLL_WAIT_SECONDS", "1"),
    ("CONVERSATIOND_TIMER_SECONDS", "1"),
    ("CONVERSATIOND_GRACE_SECONDS", "0"),
];

fn daemon(site: &Site) -> Child {
    let mut command = site.command(&["run"]);
    command.envs(ASKED).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a daemon")
}

/// Publishes what was said by `CONTACT`, and other events of that thread.
async fn publish(site: &Site, events: &[(&str, Value)]) {
    let lines = events.iter().map(|(name, fields)| {
        let mut data = json!({"project_uuid": "p", "contact_urn": CONTACT, "channel_uuid": "ch"});
        for (field, value) in fields.as_object().expect("fields") {
            data[field] = value.clone();
        }
        json!({"event_type": name, "data": data}).to_string() + "\n"
    });
    let said = site.run_with(&["publish", "-"], &[], &lines.collect::<String>()).await;
    assert_eq!(said.code, 0, "{}", said.err);
}

async fn ask(site: &Site, question: &[&str], more: &[&str]) -> Said {
    let arguments = [&["ask"], question, more].concat();
    site.run_with(&arguments, &ASKED, "").await
}

fn said(id: &str, text: &str) -> (&'static str, Value) {
    ("message.received", json!({"message": {"id": id, "text": text, "contact_name": "Maria José"}}))
}

#[tokio::test]
async fn every_question_is_answered_to_a_person_and_to_a_program() {
    on_a_site(|site: Arc<Site>| async move {
        let _daemon = daemon(&site);
        publish(&site, &[said("1", "my secret"), said("2", "and more")]).await;
        let question = [&["get_context"][..], &THREAD, &["--window", "8k", "--include-state"]].concat();
        let shown = ask(&site, &question, &[]).await;
        assert_eq!(shown.code, 0, "{} {}", shown.out, shown.err);
        assert!(shown.out.contains("human      [9 characters]") && !shown.out.contains("secret"), "{}", shown.out);
        assert!(
            shown.out.contains("of 6000 tokens (token_buffer, o200k_base); 2 messages, 0 dropped\n"),
            "{}",
            shown.out
        );
        let revealed = ask(&site, &question, &["--reveal", "--json"]).await.json().remove(0);
        assert_eq!(revealed["data"]["messages"][0]["text"], json!("my secret"));
        let id = revealed["data"]["conversation_id"].as_str().expect("an id").to_owned();

        let conversation = [&["get_conversation", "--id", &id][..], &THREAD].concat();
        let page = ask(&site, &conversation, &["--limit", "1", "--json"]).await.json().remove(0);
        let cursor = page["data"]["next_cursor"].as_str().expect("a cursor").to_owned();
        let rest = ask(&site, &conversation, &["--cursor", &cursor, "--reveal"]).await;
        assert!(rest.out.contains("incoming   and more") && !rest.out.contains("secret"), "{}", rest.out);

        let list = ask(&site, &["list_conversations", "--project", "p", "--status", "open"], &[]).await;
        assert!(list.out.contains(&id) && list.out.contains("whatsapp:…0000"), "{}", list.out);

        publish(&site, &[("survey.csat", json!({"value": 5})), ("conversation.close", json!({"resolution": 0}))]).await;
        // in the thread's group: behind the close
        let closed = ask(&site, &conversation, &["--json"]).await.json().remove(0);
        assert_eq!(closed["data"]["status"], json!("closed"));
        let stats = ask(&site, &["get_stats", "--project", "p", "--group-by", "day"], &[]).await;
        assert!(stats.out.contains("CSAT  5  (1 rated)") && stats.out.contains("1 resolved"), "{}", stats.out);
        let own = site.run_with(&["stats", "--project", "p"], &ASKED, "").await;
        assert!(own.out.contains("CSAT  5  (1 rated)") && own.out.contains("a column a day"), "{}", own.out);
        let own = site.run_with(&["stats", "--project", "p", "--json"], &ASKED, "").await.json().remove(0);
        assert_eq!(own["stats"]["conversations"], json!(1));
        assert!(own["stats"]["tokens"].as_f64().is_some_and(|tokens| tokens > 0.0), "{own}");
        let foreign = site.run_with(&["stats", "--project", "q", "--json"], &ASKED, "").await.json().remove(0);
        assert_eq!(foreign["stats"]["conversations"], json!(0));

        let none = ask(&site, &["get_crm_link", "--project", "p", "--id", &id], &[]).await;
        assert_eq!((none.code, none.out.as_str()), (1, "not_found: there is no such conversation\n"));
        let links = ask(&site, &["list_crm_links", "--project", "p"], &[]).await;
        assert_eq!((links.code, links.out.lines().last()), (0, Some("0 of 0")));
        let state = ask(&site, &[&["get_state"][..], &THREAD].concat(), &["--json"]).await.json().remove(0);
        assert_eq!(state["data"]["state"], json!([]));
        let page = ask(&site, &["list_conversations", "--project", "p", "--cursor", "00"], &[]).await;
        assert_eq!(page.out, "rejected: the cursor is not one of this question\n");
    })
    .await;
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_in_time_and_leaves_nothing() {
    on_a_site(|site: Arc<Site>| async move {
        let question = [&["get_context"][..], &THREAD].concat();
        let silent = ask(&site, &question, &["--timeout", "2s"]).await;
        assert_eq!((silent.code, silent.out.as_str()), (1, ""), "{}", silent.err);
        assert!(
            silent.err.contains("no answer within 2 s") && silent.err.contains("conversationd-ask-*"),
            "{}",
            silent.err
        );
        let (group, body) = site.received(1).await.remove(0);
        let thread = Thread {
            project: "p".into(),
            contact: Some(CONTACT.into()),
            channel: Some("ch".into()),
            conversation: None,
        };
        assert_eq!(group, conversationd::queue::fifo_id(&thread.group_name()), "in the group that `publish` uses");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let own = body["reply_to"].as_str().expect("a reply queue");
        let gone = site.clients.sqs.control.get_queue_url().queue_name(own).send().await;
        assert!(own.starts_with("conversationd-ask-") && gone.is_err(), "{own} is left");
        for (more, why) in [(&[][..], "add conversationd-ask-*"), (&["--reply-queue", "x"], "add x")] {
            let arguments = [&["ask"], &question[..], more].concat();
            let told = site.run_with(&arguments, &[("CONVERSATIOND_REPLY_QUEUES", "others")], "").await;
            assert!(told.code == 64 && told.err.contains(why), "{} {}", told.code, told.err);
        }
        let wrong = ask(&site, &["get_context", "--project", "p"], &[]).await;
        assert_eq!((wrong.code, wrong.err.contains("contact_urn")), (65, true), "{}", wrong.err);
        assert_eq!(site.depth().await, 0, "what is wrong is not sent");
    })
    .await;
}

#[tokio::test]
async fn a_standing_reply_queue_is_shared_and_stays() {
    on_a_site(|site: Arc<Site>| async move {
        let _daemon = daemon(&site);
        publish(&site, &[said("1", "hello")]).await;
        let name = format!("operate-test-replies-{}", uuid::Uuid::new_v4().simple());
        let sqs = &site.clients.sqs.control;
        let url = sqs.create_queue().queue_name(&name).send().await.expect("a queue").queue_url.expect("its URL");
        sqs.send_message().queue_url(&url).message_body("somebody else's").send().await.expect("it is sent");
        let question = [&["get_context"][..], &THREAD].concat();
        let shown = ask(&site, &question, &["--reply-queue", &name]).await;
        assert_eq!(shown.code, 0, "{} {}", shown.out, shown.err);
        let left = sqs.receive_message().queue_url(&url).max_number_of_messages(10).wait_time_seconds(5);
        let left = left.send().await.expect("a receive").messages.unwrap_or_default();
        let bodies: Vec<&str> = left.iter().filter_map(|message| message.body.as_deref()).collect();
        assert_eq!(bodies, ["somebody else's"]);
        sqs.delete_queue().queue_url(&url).send().await.expect("the queue goes");
    })
    .await;
}
