//! What went wrong in the service that did this job before, each as a story of its own.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use crate::{
    events::{Event, Thread, ago, names, noon_somewhere},
    stack::Stack,
};

/// It read one page of a conversation, and deleted all of it.
#[tokio::test]
async fn truncation_at_one_page() {
    let stack = Stack::new("older-page").await;
    let thread = Thread::of("tel:1");
    // more than a thousand messages, and more than a megabyte of them
    let long = "x".repeat(30_000);
    let says = |n: usize| {
        let text = if n.is_multiple_of(20) { long.as_str() } else { "oi" };
        let message = json!({ "id": format!("m{n}"), "text": text, "source": "incoming" });
        thread.event("message.received", json!({ "message": message }))
    };
    let events: Vec<Event> = (1..=1_100).map(says).collect();
    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    let ids: Vec<&str> = archived[0].messages.iter().filter_map(|message| message.external_id.as_deref()).collect();
    assert!(archived.len() == 1 && ids == names(1_100), "{} conversations, {} messages", archived.len(), ids.len());
    stack.done().await;
}

/// What came between midnight and the job that looked for it belonged to no day.
#[tokio::test]
async fn midnight_gap() {
    let (zone, midnight) = noon_somewhere();
    let stack = Stack::with("older-midnight", &[("CONVERSATIOND_MIDNIGHT_ZONE", &zone)]).await;
    let thread = Thread::of("tel:1");
    let at = |seconds| midnight + TimeDelta::seconds(seconds);
    stack.publish(&[thread.said("m1", at(-60)), thread.said("m2", at(5)), thread.said("m3", at(600))]).await;
    stack.consume().await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1"], vec!["m2", "m3"]));
    assert_eq!(archived[0].closed_at, Some(midnight));
    stack.done().await;
}

/// Its closing of yesterday's conversations took today's messages along.
#[tokio::test]
async fn close_of_yesterday_taking_todays_messages() {
    let (zone, midnight) = noon_somewhere();
    let stack = Stack::with("older-yesterday", &[("CONVERSATIOND_MIDNIGHT_ZONE", &zone)]).await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.said("m1", midnight - TimeDelta::seconds(60))]).await;
    stack.consume().await;
    // the timer has seen yesterday's conversation, and today's message is there before its command is handled
    assert_eq!(stack.app.timer.run_once().await.expect("what is due"), 1);
    stack.publish(&[thread.said("m2", midnight + TimeDelta::seconds(60))]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1"]));
    assert!(stack.is_open(&thread).await, "today's goes on");
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    assert_eq!(stack.archived().await[1].texts(), ["m2"]);
    stack.done().await;
}

/// A score after the close opened a conversation of nothing but itself.
#[tokio::test]
async fn late_score_opening_a_ghost() {
    let stack = Stack::new("older-ghost").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.says("m1"), thread.close(), thread.scored("weni_csat", json!(5))]).await;
    stack.settle().await;
    assert!(stack.is_closed(&thread).await);
    let archived: Vec<(i64, Option<i16>)> = stack.ask("select message_count, csat from conversation").await;
    assert_eq!(archived, [(1, Some(5))]);
    stack.done().await;
}

/// A score of nothing looked like no score.
#[tokio::test]
async fn nps_zero_dropped() {
    let stack = Stack::new("older-zero").await;
    let thread = Thread::of("tel:1");
    let scores = [json!(0), json!("0")].map(|zero| thread.scored("weni_nps", zero));
    stack.publish(&[thread.says("m1")]).await;
    stack.publish(&scores).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let stand: Vec<(Option<i16>,)> = stack.ask("select score from rating").await;
    assert_eq!(stand, [(Some(0),), (Some(0),)]);
    let shown: Vec<(Option<i16>, Option<i16>)> = stack
        .ask("select c.nps, s.nps from conversation c join conversation_stats s on s.conversation_id = c.id")
        .await;
    assert_eq!(shown, [(Some(0), Some(0))]);
    stack.done().await;
}

/// When a person took over, the conversation was marked closed and its messages stayed where they were.
#[tokio::test]
async fn window_event_closing_without_transcript() {
    let stack = Stack::new("older-window").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.said("m1", ago(60)), thread.said("m2", ago(50)), thread.taken_over(ago(40))]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    assert_eq!((archived[0].close_reason.as_deref(), archived[0].resolution), (Some("human_takeover"), Some(4)));
    stack.done().await;
}

/// Times were cut after the seconds, and what stood behind them was taken for UTC.
#[tokio::test]
async fn offsets_dropped() {
    let stack = Stack::new("older-offsets").await;
    let thread = Thread::of("tel:1");
    let noon = "2026-03-01T12:00:00Z".parse::<DateTime<Utc>>().expect("a time");
    let written =
        ["2026-03-01T12:00:00Z", "2026-03-01T09:00:01-03:00", "2026-03-01T17:45:02+05:45", "2026-03-01T14:00:03+0200"];
    let events: Vec<Event> = written
        .iter()
        .enumerate()
        .map(|(n, at)| {
            let message = json!({ "id": format!("m{}", n + 1), "text": format!("m{}", n + 1), "created_at": at });
            thread.event("message.received", json!({ "message": message }))
        })
        .collect();
    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2", "m3", "m4"]));
    let times: Vec<DateTime<Utc>> = archived[0].messages.iter().map(|message| message.occurred_at).collect();
    assert_eq!(times, [0, 1, 2, 3].map(|seconds| noon + TimeDelta::seconds(seconds)));
    stack.done().await;
}

/// Messages of one second came out in any order.
#[tokio::test]
async fn same_second_order() {
    let stack = Stack::new("older-second").await;
    let thread = Thread::of("tel:1");
    let second = ago(60);
    let events: Vec<Event> = names(60).iter().map(|text| thread.said(text, second)).collect();
    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    assert_eq!(stack.archived().await[0].texts(), names(60));
    stack.done().await;
}

/// What came while a conversation was being closed was deleted with what had been read.
#[tokio::test]
async fn messages_arriving_during_the_close() {
    let stack = Stack::new("older-during").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.said("m1", ago(60))]).await;
    stack.consume().await;
    let lock = stack.lock_archive().await;
    let second = stack.replica().await;
    stack.publish(&[thread.close()]).await;
    let closer = stack.app.consumer.poll_once();
    let speaker = async {
        stack
            .until("the close has begun", async || {
                let head = stack.head(&thread).await.expect("a head");
                matches!(head.conversation, conversationd::domain::Conversation::Closing(_))
            })
            .await;
        // through another group: nothing holds them back while the close waits
        let said =
            [("m2", 50), ("m3", 40)].map(|(text, age)| Event { group: "other".into(), ..thread.said(text, ago(age)) });
        stack.publish(&said).await;
        let polled = second.consumer.poll_once();
        let unlock = async {
            stack.until("both wait", async || stack.depth().await.in_flight == 3).await;
            drop(lock);
        };
        tokio::join!(polled, unlock).0
    };
    let (closed, spoke) = tokio::join!(closer, speaker);
    closed.expect("a poll");
    spoke.expect("a poll");
    stack.settle().await;
    let mut texts: Vec<String> =
        stack.archived().await.iter().flat_map(|conversation| conversation.texts()).map(str::to_owned).collect();
    texts.sort_unstable();
    if stack.is_open(&thread).await {
        stack.publish(&[thread.close()]).await;
        stack.settle().await;
        texts =
            stack.archived().await.iter().flat_map(|conversation| conversation.texts()).map(str::to_owned).collect();
    }
    assert_eq!(texts, names(3));
    assert_eq!(stack.archived().await.len(), 1, "they were said before it closed");
    stack.done().await;
}
