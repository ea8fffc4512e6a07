//! `conversation.window`: the platform gives a conversation its time, or a person takes it over; before its messages or after.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::{
    events::{Event, Thread, ago, names},
    stack::Stack,
};

fn window(thread: &Thread, fields: Value) -> Event {
    thread.event("conversation.window", fields)
}

/// What the archive says of a takeover.
type TakenOver = (Option<String>, Option<i16>, bool, Option<String>);

const TAKEN_OVER: &str = "
    select close_reason, resolution, has_chats_room, ticket from conversation order by opened_at, created_at";

fn taken_over() -> TakenOver {
    (Some("human_takeover".into()), Some(4), true, Some("ticket-1".into()))
}

#[tokio::test]
async fn a_window_after_its_messages_gives_their_conversation_its_end() {
    let stack = Stack::new("window-after").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let (start, end) = (ago(600), ago(300));
    let given = json!({ "external_id": "w-1", "start": start, "end": end, "contact_name": "Maria" });
    // m3 was said at the very end: after it
    let events = [thread.said("m1", ago(590)), thread.said("m2", ago(301)), window(&thread, given)];
    stack.publish(&events).await;
    stack.publish(&[thread.said("m3", end)]).await;
    stack.consume().await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2"], vec!["m3"]));
    assert_eq!(archived[0].close_reason.as_deref(), Some("window_ended"));
    let to_the_microsecond = |at: DateTime<Utc>| at.timestamp_micros();
    assert_eq!(archived[0].closed_at.map(to_the_microsecond), Some(to_the_microsecond(end)), "when the window says");
    assert_eq!(archived[0].contact_name.as_deref(), Some("Maria"));
    let stands: Vec<(Option<String>, Option<DateTime<Utc>>, bool)> =
        stack.ask("select window_external_id, window_start, has_chats_room from conversation order by opened_at").await;
    assert_eq!(stands[0].0.as_deref(), Some("w-1"));
    assert_eq!(stands[0].1.map(to_the_microsecond), Some(to_the_microsecond(start)));
    assert_eq!((&stands[1].0, stands[0].2), (&None, false));
    stack.done().await;
}

#[tokio::test]
async fn a_window_before_its_messages_is_the_conversation_they_go_into() {
    let stack = Stack::with("window-before", &[("CONVERSATIOND_GRACE_SECONDS", "3600")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let given = json!({ "id": "w-1", "start_date": ago(600), "end_date": ago(-600), "name": "Maria" });
    stack.publish(&[window(&thread, given)]).await;
    stack.settle().await;
    assert!(stack.is_open(&thread).await);
    let opened = stack.head(&thread).await.expect("a head").conversation.record().id;

    stack.publish(&[thread.said("m1", ago(599)), thread.says("m2"), thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].id, archived[0].texts()), (1, opened.0, vec!["m1", "m2"]));
    let stands: Vec<(Option<String>,)> = stack.ask("select window_external_id from conversation").await;
    assert_eq!(stands, [(Some("w-1".to_owned()),)]);
    stack.done().await;
}

#[tokio::test]
async fn a_window_without_any_message_leaves_no_conversation() {
    let stack = Stack::new("window-empty").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[window(&thread, json!({ "start": ago(600), "end": ago(300) }))]).await;
    stack.step_until("the empty conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await, []);
    stack.done().await;
}

#[tokio::test]
async fn a_takeover_closes_the_conversation_with_its_transcript_and_resolution_4() {
    let stack = Stack::with("takeover", &[("CONVERSATIOND_GRACE_SECONDS", "3600")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let came = ago(40);
    stack.publish(&[thread.said("m1", ago(60)), thread.said("m2", ago(50)), thread.taken_over(came)]).await;
    stack.consume().await;
    assert!(stack.is_closed(&thread).await, "at once, whatever the grace");
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    assert_eq!(stack.ask::<TakenOver>(TAKEN_OVER).await, [taken_over()]);

    // what the person says belongs to the next conversation; what was said before and comes late, and the same word
    // again, to this one
    let before = came - TimeDelta::seconds(1);
    stack.publish(&[thread.taken_over(came), thread.said("m4", came), thread.said("m3", before)]).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2", "m3"], vec!["m4"]));
    let next = (Some("requested".to_owned()), Some(0), false, None);
    assert_eq!(stack.ask::<TakenOver>(TAKEN_OVER).await, [taken_over(), next]);
    stack.done().await;
}

#[tokio::test]
async fn a_takeover_wrapped_and_with_a_window_is_one_too() {
    let stack = Stack::new("takeover-wrapped").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let given = json!({ "start": ago(70), "end": ago(40), "has_chats_room": true });
    stack.publish(&[thread.said("m1", ago(60)), window(&thread, given)]).await;
    stack.settle().await;
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    let stands = stack.ask::<TakenOver>(TAKEN_OVER).await;
    assert_eq!(stands, [(Some("human_takeover".to_owned()), Some(4), true, None)]);
    stack.done().await;
}

#[tokio::test]
async fn a_takeover_before_its_messages_closes_them_too() {
    // its messages are right behind it; or come when their conversation has closed without them
    for already_closed in [false, true] {
        let stack = Stack::new("takeover-before").await;
        let thread = Thread::of("whatsapp:+5511999990000");
        stack.publish(&[thread.taken_over(ago(40))]).await;
        stack.consume().await;
        if already_closed {
            stack.step_until("the empty conversation is closed", async || stack.is_closed(&thread).await).await;
            assert_eq!(stack.archived().await, [], "there is nothing to keep yet");
        }
        stack.publish(&[thread.said("m1", ago(60)), thread.said("m2", ago(50))]).await;
        stack
            .step_until("the conversation is closed", async || {
                stack.left().await == 0 && stack.is_closed(&thread).await
            })
            .await;
        let archived = stack.archived().await;
        assert_eq!((archived.len(), archived[0].texts().len()), (1, 2), "already closed: {already_closed}");
        assert_eq!(archived[0].texts(), names(2));
        assert_eq!(stack.ask::<TakenOver>(TAKEN_OVER).await, [taken_over()], "already closed: {already_closed}");
        stack.done().await;
    }
}

#[tokio::test]
async fn a_takeover_told_after_the_close_is_told_to_the_closed_conversation() {
    let stack = Stack::new("takeover-late").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.close()]).await;
    stack.settle().await;
    stack.publish(&[thread.taken_over(ago(30))]).await;
    stack.settle().await;
    assert!(stack.is_closed(&thread).await, "it opens nothing");
    let stands = stack.ask::<TakenOver>(TAKEN_OVER).await;
    assert_eq!(stands, [(Some("requested".to_owned()), Some(4), true, Some("ticket-1".to_owned()))]);
    stack.done().await;
}

#[tokio::test]
async fn a_window_that_ends_before_it_begins_or_at_no_time_is_dead_lettered() {
    let stack = Stack::new("window-bad").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let bad = [
        (window(&thread, json!({ "start": ago(10), "end": ago(20) })), "end"),
        (window(&thread, json!({ "end": "tomorrow" })), "end"),
    ];
    stack.publish(&[bad[0].0.clone(), bad[1].0.clone(), thread.says("m1"), thread.close()]).await;
    stack.settle().await;
    let letters = stack.dead_letters().await;
    let reasons: Vec<_> =
        letters.iter().map(|letter| (letter.why["code"].clone(), letter.why["field"].clone())).collect();
    assert_eq!(reasons, bad.map(|(_, field)| (json!("out_of_range"), json!(field))));
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    stack.done().await;
}
