//! The grace after a session's end, and what cancels the close.

use crate::{
    events::{Thread, names},
    stack::{Stack, until_after},
};

#[tokio::test]
async fn within_the_grace_nothing_closes() {
    let stack = Stack::with("grace", &[("CONVERSATIOND_GRACE_SECONDS", "3600")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.session_closed()]).await;
    stack.settle().await;
    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 0);
    assert!(stack.is_open(&thread).await);
    assert_eq!(stack.archived().await, []);
    stack.done().await;
}

/// The contact comes back before the timer's command is handled: queued before it, whatever the clock says.
#[tokio::test]
async fn a_message_or_a_session_within_the_grace_cancels_the_close_and_a_later_close_archives_everything_as_one() {
    for by_message in [true, false] {
        let stack = Stack::new("reconnect").await;
        let thread = Thread::of("whatsapp:+5511999990000");
        stack.publish(&[thread.says("m1"), thread.session_opened(), thread.says("m2"), thread.session_closed()]).await;
        stack.consume().await;

        stack.publish(&[if by_message { thread.says("m3") } else { thread.session_opened() }]).await;
        assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 1, "the grace is over");
        stack.consume().await;
        assert!(stack.is_open(&thread).await, "cancelled by a message: {by_message}");
        assert_eq!(stack.archived().await, []);
        assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 0);

        let rest = [thread.says("m3"), thread.says("m4"), thread.session_closed()];
        stack.publish(&rest[usize::from(by_message)..]).await;
        stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
        let archived = stack.archived().await;
        assert_eq!(archived.len(), 1, "cancelled by a message: {by_message}");
        assert_eq!(archived[0].texts(), names(4));
        stack.done().await;
    }
}

/// The same by the clock: the time at which it would have closed comes and goes.
#[tokio::test]
async fn the_time_of_a_cancelled_close_passes_without_effect() {
    let stack = Stack::with("grace-passes", &[("CONVERSATIOND_GRACE_SECONDS", "1")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.session_closed()]).await;
    stack.consume().await;
    let close_at = stack.head(&thread).await.and_then(|head| head.conversation.due()).expect("a time to close");
    stack.publish(&[thread.says("m2")]).await;
    stack.consume().await;

    until_after(close_at).await;
    stack.settle().await;
    assert!(stack.is_open(&thread).await);

    stack.publish(&[thread.session_closed()]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await[0].texts(), names(2));
    stack.done().await;
}

#[tokio::test]
async fn with_two_sessions_the_end_of_one_closes_nothing() {
    let stack = Stack::new("two-sessions").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let other = |event_type| thread.event(event_type, serde_json::json!({ "session_id": "session-2" }));
    let events = [thread.says("m1"), thread.session_opened(), other("session.opened"), thread.session_closed()];
    stack.publish(&events).await;
    stack.settle().await;
    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 0);
    assert!(stack.is_open(&thread).await);

    stack.publish(&[other("session.closed")]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    stack.done().await;
}

/// Replicas have a timer each, and one that starts again has forgotten what it sent.
#[tokio::test]
async fn the_timers_of_several_replicas_close_a_conversation_once() {
    let stack = Stack::new("two-timers").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.says("m1"), thread.session_closed()]).await;
    stack.consume().await;
    let (second, third) = (stack.replica().await, stack.replica().await);
    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 1);
    assert_eq!(second.timer.run_once().await.expect("what is due"), 1);
    assert_eq!(stack.left().await, 1, "their commands are one");
    stack.consume().await;
    assert!(stack.is_closed(&thread).await);
    let archived = stack.archived().await;

    assert_eq!(third.timer.run_once().await.expect("what is due"), 0, "nothing is due any more");
    stack.settle().await;
    assert_eq!((archived.len(), stack.archived().await), (1, archived));
    stack.done().await;
}
