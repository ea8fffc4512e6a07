//! From the first message to the archive: the ways a conversation closes, and that none of them is undone or done twice.

use serde_json::json;
use uuid::Uuid;

use crate::{
    events::{Event, Thread, ago, names},
    stack::Stack,
};

#[tokio::test]
async fn a_session_that_ends_archives_its_conversation_complete_and_in_order() {
    let stack = Stack::new("session-ends").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    // sent in another order than they were said
    let messages = [3, 1, 2, 5, 4].map(|n| thread.said(&format!("m{n}"), ago(100 - n)));

    stack.publish(&[thread.session_opened()]).await;
    stack.publish(&messages).await;
    stack.publish(&[thread.session_closed()]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;

    let archived = stack.archived().await;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].texts(), names(5));
    assert_eq!(archived[0].close_reason.as_deref(), Some("session_ended"));
    assert_eq!(archived[0].opened_at, archived[0].messages[2].occurred_at, "it opened with what came first");
    assert!(archived[0].closed_at.is_some() && archived[0].messages.iter().all(|message| !message.late));
    stack.done().await;
}

#[tokio::test]
async fn everything_sent_again_after_the_close_changes_nothing() {
    // said a minute ago, at no known time, tomorrow by the contact's clock
    for seconds_ago in [Some(60), None, Some(-86_400)] {
        let stack = Stack::new("sent-again").await;
        let thread = Thread::of("whatsapp:+5511999990000");
        let says = |n: i64| match seconds_ago {
            Some(seconds) => thread.said(&format!("m{n}"), ago(seconds - n)),
            None => thread.says(&format!("m{n}")),
        };
        let mut events: Vec<Event> = vec![says(1), thread.session_opened(), says(2), says(3)];
        events.push(thread.session_closed());
        stack.publish(&events).await;
        stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
        let before = stack.archived().await;
        assert_eq!(before[0].texts(), names(3));

        for _ in 0..2 {
            stack.publish(&events).await;
            stack.settle().await;
            stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
        }

        assert_eq!(stack.archived().await, before, "said {seconds_ago:?} seconds ago");
        stack.done().await;
    }
}

#[tokio::test]
async fn a_message_sent_twice_while_the_conversation_is_open_is_archived_once() {
    let stack = Stack::new("sent-twice").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let mut retried = thread.says("m1");
    retried.body = retried.body.replace("\"data\"", "\"correlation_id\":\"c-1\",\"data\"");
    let mut again = thread.says("m1");
    // a publisher that draws a new message id and a new time for every try of its own
    again.body = retried.body.replace("\"id\":\"m1\"", "\"id\":\"m1-bis\",\"created_at\":\"2026-03-01T12:00:00Z\"");
    assert_ne!(retried.body, again.body);

    stack.publish(&[retried.clone(), thread.says("m2"), again, thread.says("m2"), retried, thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    let mut texts = archived[0].texts();
    texts.sort_unstable();
    assert_eq!((archived.len(), texts), (1, vec!["m1", "m2"]));
    stack.done().await;
}

#[tokio::test]
async fn a_close_that_is_asked_for_is_done_at_once_and_keeps_what_it_said() {
    let stack = Stack::with("close-asked", &[("CONVERSATIOND_GRACE_SECONDS", "3600")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let close = thread.event("conversation.close", json!({ "resolution": 1, "reason": "the customer hung up" }));

    stack.publish(&[thread.says("m1"), thread.says("m2"), close]).await;
    stack.consume().await;

    assert!(stack.is_closed(&thread).await);
    let archived = stack.archived().await;
    assert_eq!(archived[0].texts(), names(2));
    assert_eq!(archived[0].resolution, Some(1));
    assert_eq!(archived[0].close_reason.as_deref(), Some("requested"));
    assert_eq!(archived[0].close_detail.as_deref(), Some("the customer hung up"));
    stack.done().await;
}

#[tokio::test]
async fn a_close_of_a_closed_conversation_changes_nothing() {
    let stack = Stack::new("closed-closes").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    stack.settle().await;
    let (before, head) = (stack.archived().await, stack.head(&thread).await);

    let other = thread.event("conversation.close", json!({ "resolution": 4, "reason": "again" }));
    stack.publish(&[thread.close(), other, thread.session_closed()]).await;
    stack.settle().await;

    assert_eq!(stack.archived().await, before);
    assert_eq!(stack.head(&thread).await, head);
    stack.done().await;
}

#[tokio::test]
async fn a_close_that_means_another_conversation_changes_nothing() {
    let stack = Stack::new("other-closes").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1")]).await;
    stack.settle().await;
    let head = stack.head(&thread).await;

    let other = thread.event("conversation.close", json!({ "close_conversation_id": Uuid::now_v7() }));
    stack.publish(&[other]).await;
    stack.settle().await;
    assert_eq!(stack.head(&thread).await, head);
    assert_eq!(stack.archived().await, []);

    let id = head.expect("a head").conversation.record().id;
    let own = thread.event("conversation.close", json!({ "close_conversation_id": id, "reason": "by hand" }));
    stack.publish(&[own]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].id, archived[0].close_reason.as_deref()), (id.0, Some("operator")));
    stack.done().await;
}

#[tokio::test]
async fn a_close_of_a_thread_never_heard_of_leaves_no_trace() {
    let stack = Stack::new("nothing-closes").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.close(), thread.session_opened(), thread.session_closed()]).await;
    stack.settle().await;
    assert_eq!(stack.head(&thread).await, None);
    assert_eq!(stack.archived().await, []);
    stack.done().await;
}

#[tokio::test]
async fn silence_closes_a_conversation() {
    let stack = Stack::with("idle", &[("CONVERSATIOND_IDLE_SECONDS", "1")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.says("m2")]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    let archived = stack.archived().await;
    assert_eq!(archived[0].texts(), names(2));
    assert_eq!(archived[0].close_reason.as_deref(), Some("idle"));
    stack.done().await;
}

#[tokio::test]
async fn a_conversation_that_goes_on_is_copied_while_it_is_open_and_every_message_stands_once() {
    let stack = Stack::with("checkpoint", &[("CONVERSATIOND_CHECKPOINT_SECONDS", "1")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.says("m2")]).await;
    stack.step_until("two messages are copied", async || stack.counts().await == (0, 2)).await;
    let copied = stack.archived().await;
    assert_eq!((copied.len(), copied[0].closed_at), (1, None));

    stack.publish(&[thread.says("m3")]).await;
    stack.step_until("a third is copied", async || stack.counts().await == (0, 3)).await;
    assert!(stack.is_open(&thread).await);

    stack.publish(&[thread.says("m4"), thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].id), (1, copied[0].id));
    assert_eq!(archived[0].texts(), names(4));
    assert_eq!(archived[0].messages[..2], copied[0].messages, "what was copied was not written again");
    assert!(archived[0].closed_at.is_some() && archived[0].messages.iter().all(|message| !message.late));
    stack.done().await;
}
