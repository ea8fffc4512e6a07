//! Sessions that are known by their id alone, as some publishers send their end.

use serde_json::json;

use crate::{
    events::{Event, Thread},
    stack::{EMPTY, Stack},
};

/// An event of a session that names neither contact nor channel, in a group of its own.
fn by_id(thread: &Thread, name: &str, session: &str) -> Event {
    let data = json!({ "project_uuid": thread.project, "session_id": session });
    let body = json!({ "event_type": name, "data": data }).to_string();
    Event { group: format!("session-{session}"), body, event_type: None }
}

#[tokio::test]
async fn a_session_known_by_its_id_ends_in_the_thread_where_it_was_opened() {
    let stack = Stack::new("session-by-id").await;
    let (thread, other) = (Thread::of("tel:1"), Thread::of("tel:2"));
    let other = Thread { project: thread.project.clone(), ..other };
    stack.publish(&[thread.says("m1"), thread.session_opened(), other.says("m1")]).await;
    stack.consume().await;
    stack.publish(&[by_id(&thread, "session.closed", "session-1")]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1"]));
    assert!(archived[0].is_of(&thread));
    assert_eq!(archived[0].close_reason.as_deref(), Some("session_ended"));
    assert!(stack.is_open(&other).await);
    stack.publish(&[other.close()]).await;
    stack.settle().await;
    stack.done().await;
}

/// The platform writes each end of a session with the same words; only its place in the queue tells them apart.
#[tokio::test]
async fn a_session_that_ends_again_after_it_was_resumed_closes_the_conversation() {
    let stack = Stack::with("session-again", &[("CONVERSATIOND_GRACE_SECONDS", "1")]).await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.says("m1"), thread.session_opened()]).await;
    stack.consume().await;
    stack.publish(&[by_id(&thread, "session.closed", "session-1")]).await;
    stack.step_until("its end is known", async || stack.left().await == 0).await;
    stack.publish(&[by_id(&thread, "session.opened", "session-1")]).await;
    stack.step_until("it is resumed", async || stack.left().await == 0).await;
    assert!(stack.is_open(&thread).await);
    stack.publish(&[by_id(&thread, "session.closed", "session-1")]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await[0].close_reason.as_deref(), Some("session_ended"));
    stack.done().await;
}

#[tokio::test]
async fn two_sessions_on_one_conversation_end_it_with_the_last_however_they_are_named() {
    let stack = Stack::new("sessions-by-id").await;
    let thread = Thread::of("tel:1");
    let second = thread.event("session.opened", json!({ "session_id": "session-2", "agent_id": "agent-2" }));
    stack.publish(&[thread.says("m1"), thread.session_opened(), second]).await;
    stack.consume().await;
    stack.publish(&[by_id(&thread, "session.closed", "session-2")]).await;
    stack.settle().await;
    assert!(stack.is_open(&thread).await, "the other one goes on");
    stack.publish(&[thread.says("m2"), thread.session_closed()]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    assert_eq!(archived[0].agent_id.as_deref(), Some("agent-2"));
    stack.done().await;
}

#[tokio::test]
async fn a_session_whose_beginning_comes_after_its_end_waits_for_it() {
    let stack = Stack::new("session-waits").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[by_id(&thread, "session.closed", "session-1")]).await;
    stack.consume().await;
    assert_eq!(stack.left().await, 1, "it waits");
    stack.publish(&[thread.says("m1"), thread.session_opened()]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    stack.done().await;
}

#[tokio::test]
async fn a_session_nobody_ever_opened_is_dead_lettered_in_the_end_and_says_why() {
    let stack = Stack::with("session-unknown", &[("CONVERSATIOND_ATTEMPTS", "1")]).await;
    let thread = Thread::of("tel:1");
    let unknown = by_id(&thread, "session.closed", "session-1");
    stack.publish(&[unknown.clone(), thread.says("m1"), thread.close()]).await;
    stack.settle().await;
    assert_eq!(stack.depth().await, EMPTY);
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    let letters = stack.dead_letters().await;
    assert_eq!((letters.len(), &letters[0].body), (1, &unknown.body));
    assert_eq!(letters[0].why["code"], "attempts_exhausted");
    let reason = letters[0].why["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains("no session of this id was opened"), "{reason}");
    stack.done().await;
}
