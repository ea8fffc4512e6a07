//! Stories of `conversations`.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    archive::Archive,
    clock::{Clock, SystemClock},
    domain::{
        Close, CloseReason, Conversation, ConversationId, Direction, EventId, Head, Message, Policy, Sequence, Thread,
    },
    hot::Put,
};
use serde_json::Value;
use uuid::Uuid;

use crate::site::{Said, Site, on_a_site};

pub(super) const CONTACT: &str = "whatsapp:+5500123456789";
pub(super) const CLOSED: Policy = Policy {
    grace: Duration::from_secs(30),
    idle: Duration::from_secs(1_800),
    checkpoint: Duration::from_secs(604_800),
    told_at: [None; 4],
    unfinished: Duration::from_secs(300),
    ..Policy::DEFAULT
};

fn thread(number: usize) -> Thread {
    let contact = if number == 0 { CONTACT.to_owned() } else { format!("tel:{number}") };
    Thread { project: "p".into(), contact: Some(contact), channel: Some("ch".into()), conversation: None }
}

/// The `number`th message of a thread, a second after the one before.
fn message(thread: &Thread, start: DateTime<Utc>, number: usize) -> Message {
    let at = start + TimeDelta::seconds(number as i64);
    Message {
        event_id: EventId::derive(&thread.key(), "message.received", &number.to_string()),
        occurred_at: at,
        received_at: at,
        sequence: Sequence(number as u128),
        direction: if number.is_multiple_of(2) { Direction::Incoming } else { Direction::Outgoing },
        text: format!("said {number}"),
        external_id: None,
        contact_name: Some("Maria José".into()),
        content_type: None,
        sender_type: None,
        sender_id: None,
        agent_id: None,
        model_used: None,
        tokens_used: None,
        tokens: None,
        sentiment: None,
        intent: None,
        entities: Vec::new(),
        attachments: Vec::new(),
        metadata: serde_json::Map::new(),
    }
}

/// A conversation as the daemon leaves it while it is open.
pub(super) struct Talk {
    pub(super) head: Head,
    pub(super) messages: Vec<Message>,
}

impl Talk {
    pub(super) fn of(number: usize, messages: usize) -> Self {
        // PostgreSQL keeps microseconds
        let start = DateTime::from_timestamp_micros((SystemClock.now() - TimeDelta::minutes(10)).timestamp_micros());
        let (thread, start) = (thread(number), start.expect("a time"));
        let messages: Vec<Message> = (0..messages).map(|number| message(&thread, start, number)).collect();
        let head = Head::opened_by(&thread, &format!("p:ch:{number}"), None, &messages[0], &CLOSED);
        Self { head, messages }
    }

    pub(super) fn id(&self) -> ConversationId {
        self.head.conversation.record().id
    }

    /// Writes the head, and the messages from `first` on.
    pub(super) async fn keep(&self, site: &Site, first: usize) {
        let hot = &site.hot;
        let key = self.head.thread.key();
        assert!(hot.write_head(&key, &self.head).await.expect("head"));
        for messages in self.messages[first..].chunks(25) {
            let put = |message: &Message| Put {
                thread: key.clone(),
                conversation: self.id(),
                message: Arc::new(message.clone()),
            };
            for result in hot.put_messages(messages.iter().map(put).collect()).await {
                result.expect("put");
            }
        }
    }

    /// Archives the messages up to `end`, and the close if there is one.
    pub(super) async fn archive(&self, site: &Site, end: usize, close: Option<&Close>) {
        let record = self.head.conversation.record();
        let mut transaction = site.archive.begin().await.expect("begin");
        transaction.lock(&self.head.thread, record).await.expect("lock");
        for messages in self.messages[..end].chunks(1_000) {
            transaction.insert(record, messages, false).await.expect("insert");
        }
        transaction.finish(record, close).await.expect("finish");
    }

    async fn closed(&self, site: &Site) {
        let close = Close::new(SystemClock.now(), CloseReason::Idle);
        self.archive(site, self.messages.len(), Some(&close)).await;
    }
}

fn texts(said: &Said) -> Vec<String> {
    let messages = said.json().into_iter().filter_map(|line| line["message"]["text"].as_str().map(str::to_owned));
    messages.collect()
}

fn column(said: &Said, name: &str) -> Vec<String> {
    said.json().iter().map(|row| row[name].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn open_ones_are_listed_from_the_hot_store_and_closed_ones_from_the_archive() {
    on_a_site(async |site| {
        let (open, closed) = (Talk::of(0, 2), Talk::of(1, 3));
        open.keep(&site, 0).await;
        closed.closed(&site).await;

        let all = site.run(&["conversations", "list", "--json"]).await;
        assert_eq!(column(&all, "id"), [open.id().to_string(), closed.id().to_string()]);
        assert_eq!(column(&all, "status"), ["open", "closed"]);
        assert_eq!(column(&all, "contact"), ["whatsapp:…6789", "tel:…"]);
        for (arguments, expected) in [
            (vec!["--status", "open"], 1),
            (vec!["--status", "closed"], 1),
            (vec!["--limit", "1"], 1),
            (vec!["--project", "p"], 2),
            (vec!["--project", "q"], 0),
            (vec!["--contact", CONTACT], 1),
            (vec!["--since", "1h"], 2),
            (vec!["--until", "1h"], 0),
        ] {
            let arguments = [vec!["conversations", "list", "--json"], arguments].concat();
            assert_eq!(site.run(&arguments).await.json().len(), expected, "{arguments:?}");
        }
        let people = site.run(&["conversations", "list", "--reveal"]).await.out;
        assert!(people.starts_with("ID ") && people.contains(CONTACT) && people.contains("Maria José"), "{people}");
    })
    .await;
}

#[tokio::test]
async fn a_transcript_is_read_from_wherever_it_is_each_message_once_and_in_order() {
    on_a_site(async |site| {
        let (open, closed, copied) = (Talk::of(0, 30), Talk::of(1, 1_203), Talk::of(2, 40));
        open.keep(&site, 0).await;
        closed.closed(&site).await;
        copied.archive(&site, 25, None).await; // a checkpoint, and ten of its messages have expired since
        copied.keep(&site, 10).await;
        for talk in [&open, &closed, &copied] {
            let shown = site.run(&["conversations", "show", &talk.id().to_string(), "--json", "--reveal"]).await;
            let expected: Vec<&str> = talk.messages.iter().map(|message| message.text.as_str()).collect();
            assert_eq!(texts(&shown), expected, "{}", shown.err);
        }
        let masked = site.run(&["conversations", "show", &open.id().to_string()]).await.out;
        assert!(masked.contains("[6 characters]") && masked.contains("30 messages"), "{masked}");
        assert!(!masked.contains("said 1") && !masked.contains("Maria") && !masked.contains("5500"), "{masked}");
    })
    .await;
}

#[tokio::test]
async fn an_unknown_conversation_is_told_with_what_to_try() {
    on_a_site(async |site| {
        let id = Uuid::new_v4().to_string();
        for what in ["show", "close"] {
            let said = site.run(&["conversations", what, &id]).await;
            assert_eq!((said.code, said.out.as_str()), (1, ""));
            assert!(said.err.contains("conversations list"), "{}", said.err);
        }
    })
    .await;
}

#[tokio::test]
async fn a_close_sends_nothing_until_it_is_told_yes() {
    on_a_site(async |site| {
        let talk = Talk::of(0, 2);
        talk.keep(&site, 0).await;
        let id = talk.id().to_string();

        let dry = site.run(&["conversations", "close", &id, "--reason", "stuck"]).await;
        assert_eq!(dry.code, 0, "{}", dry.err);
        assert!(dry.out.contains("--yes") && !dry.out.contains("5500"), "{}", dry.out);
        assert!(site.received(1).await.is_empty());

        let done = site.run(&["conversations", "close", &id, "--reason", "stuck", "--yes"]).await;
        assert_eq!(done.code, 0, "{}", done.err);
        let received = site.received(1).await;
        assert_eq!(received[0].0, talk.head.group_id);
        let body: Value = serde_json::from_str(&received[0].1).expect("json");
        assert_eq!(body["data"]["close_conversation_id"], id.as_str());
        assert_eq!(body["data"]["reason"], "stuck");
        assert_eq!(body["data"]["contact_urn"], CONTACT);

        let long = site.run(&["conversations", "close", &id, "--yes", "--reason", &"x".repeat(1_001)]).await;
        assert_eq!(long.code, 65);
        assert!(site.received(1).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_closed_conversation_is_not_closed_again() {
    on_a_site(async |site| {
        let talk = Talk::of(0, 1);
        talk.closed(&site).await;
        let said = site.run(&["conversations", "close", &talk.id().to_string(), "--yes"]).await;
        assert_eq!(said.code, 1);
        assert!(said.err.contains("closed already") && site.received(1).await.is_empty(), "{}", said.err);
    })
    .await;
}

#[tokio::test]
async fn a_preview_lists_what_is_due_and_no_further() {
    on_a_site(async |site| {
        let (idle, mut ended) = (Talk::of(0, 1), Talk::of(1, 1)); // due in 20 minutes
        if let Conversation::Open(open) = ended.head.conversation.clone() {
            let open = open.session_closed("s", SystemClock.now(), &CLOSED); // due in 30 seconds
            ended.head.conversation = Conversation::Open(open);
        }
        idle.keep(&site, 0).await;
        ended.keep(&site, 0).await;
        for (within, expected) in [
            ("1m", vec!["closes: its session ended"]),
            ("1h", vec!["closes: its session ended", "closes if idle or too old"]),
        ] {
            let said = site.run(&["conversations", "close", "--preview", "--within", within, "--json"]).await;
            assert_eq!(column(&said, "why"), expected, "{}", said.err);
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_command_quietly() {
    on_a_site(async |site| {
        let talk = Talk::of(0, 1_000);
        talk.closed(&site).await;
        let id = talk.id().to_string();
        for arguments in [vec!["conversations", "show", &id], vec!["conversations", "list"], vec!["doctor"]] {
            let mut child = site.command(&arguments).spawn().expect("spawn");
            drop(child.stdout.take());
            let said = Said::from(child.wait_with_output().await.expect("output"));
            assert_eq!((said.code, said.err.as_str()), (0, ""), "{arguments:?}");
        }
    })
    .await;
}
