//! Others are told that a conversation opened, while it is open; and nobody waits for that.

use std::fs;

use conversationd::domain::Conversation;
use serde_json::json;
use uuid::Uuid;

use crate::{events::Thread, stack::Stack};

const OPENED: &str = "select count(*) from outbox_notice where kind = 'conversation.opened'";

/// A sink of openings that is never reached.
fn sinks() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("conversationd-test-{}", Uuid::new_v4()));
    let key = path.with_extension("key");
    fs::write(&key, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").expect("a key");
    let sink = "[[sink]]\nname = 'openings'\nkind = 'webhook'\nurl = 'https://hooks.example.com/'\nevents = ['conversation.opened']";
    fs::write(&path, format!("{sink}\nsecret = 'file:{}'\n", key.display())).expect("a file");
    path
}

fn said(n: u32) -> serde_json::Value {
    json!({"message": {"id": format!("m-{n}"), "text": "oi", "source": "incoming"}})
}

#[tokio::test]
async fn an_opening_is_told_while_the_conversation_is_open_and_messages_do_not_wait_for_the_archive() {
    let sinks = sinks();
    let settings =
        [("CONVERSATIOND_SINKS_FILE", sinks.to_str().expect("a path")), ("CONVERSATIOND_UNFINISHED_SECONDS", "12")];
    let stack = Stack::with("opened", &settings).await;
    // the relay registers its sinks at its first step
    stack.app.relay.as_ref().expect("a relay").run_once().await.expect("a step");
    let (one, other) = (Thread::of("whatsapp:1"), Thread::of("whatsapp:2"));
    stack.publish(&[one.event("message.received", said(1))]).await;
    let told = async |many: i64| stack.ask::<(i64,)>(OPENED).await == [(many,)];
    stack.step_until("the opening is told", async || told(1).await).await;
    assert!(stack.is_open(&one).await);

    let lock = stack.lock_archive().await;
    stack.publish(&[other.event("message.received", said(1))]).await;
    let put_off = async || match stack.head(&other).await.map(|head| head.conversation) {
        Some(Conversation::Open(open)) => open.due.at > open.record.opened_received_at,
        _ => false,
    };
    stack.step_until("the copy is put off", put_off).await;
    stack.publish(&[other.event("message.received", said(2))]).await;
    stack.consume().await;
    assert_eq!(stack.left().await, 0, "messages are taken though the archive is stuck");
    drop(lock);
    stack.step_until("the opening is told then", async || told(2).await).await;

    for thread in [&one, &other] {
        stack.publish(&[thread.event("conversation.close", json!({}))]).await;
    }
    stack.settle().await;
    assert!(told(2).await, "once each");
    stack.done().await;
}
