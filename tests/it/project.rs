//! `project.updated`: a project's own zone and close policy, and what a wrong one leaves as it was.

use chrono::{DateTime, Utc};
use conversationd::domain::{Conversation, End};
use serde_json::{Value, json};

use crate::{
    events::{Event, Thread, ago, noon_somewhere},
    stack::Stack,
};

/// What a project says, in a group of its own.
fn says(thread: &Thread, fields: Value) -> Event {
    let mut data = json!({ "project_uuid": thread.project });
    if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
        data.extend(fields);
    }
    let body = json!({ "event_type": "project.updated", "data": data }).to_string();
    Event { group: format!("project-{}", thread.project), body, event_type: None }
}

async fn end(stack: &Stack, thread: &Thread) -> Option<DateTime<Utc>> {
    match stack.head(thread).await.expect("a head").conversation {
        Conversation::Open(open) => open.ends.map(|End { at, .. }| at),
        Conversation::Closing(_) | Conversation::Closed(_) => panic!("it is not open"),
    }
}

#[tokio::test]
async fn a_projects_zone_and_policy_hold_from_its_next_conversation_on_and_for_no_other_project() {
    let stack = Stack::new("project").await;
    let threads: Vec<Thread> = (0..4).map(|n| Thread::of(&format!("tel:{n}"))).collect();
    let [before, after, moved, other] = [0, 1, 2, 3].map(|n| {
        let project = if n == 3 { threads[3].project.clone() } else { threads[0].project.clone() };
        Thread { project, ..threads[n].clone() }
    });
    let (zone, midnight) = noon_somewhere();
    let tonight = midnight + chrono::TimeDelta::days(1);
    stack.publish(&[before.says("m1")]).await;
    stack.consume().await;
    let policy = json!({ "timezone": zone, "close_policy": { "close_at_midnight": true } });
    stack.publish(&[says(&before, policy)]).await;
    stack.consume().await;
    stack.publish(&[after.says("m1"), other.says("m1")]).await;
    stack.consume().await;
    assert_eq!(end(&stack, &before).await, None, "it opened before");
    assert_eq!(end(&stack, &after).await, Some(tonight));
    assert_eq!(end(&stack, &other).await, None, "another project's");

    // the project moves an hour to the east; what it does not name stays
    let east = match zone.strip_prefix("Etc/GMT").and_then(|hours| hours.parse::<i64>().ok()).unwrap_or(0) - 1 {
        0 => "Etc/GMT".to_owned(),
        hours => format!("Etc/GMT{hours:+}"),
    };
    stack.publish(&[says(&before, json!({ "timezone": east }))]).await;
    stack.consume().await;
    stack.publish(&[moved.says("m1")]).await;
    stack.consume().await;
    assert_eq!(end(&stack, &moved).await, Some(tonight - chrono::TimeDelta::hours(1)));

    stack.publish(&[before, after, moved, other].map(|thread| thread.close())).await;
    stack.settle().await;
    stack.done().await;
}

#[tokio::test]
async fn a_projects_idle_time_closes_its_conversations() {
    let stack = Stack::new("project-idle").await;
    let thread = Thread::of("tel:1");
    stack.publish(&[says(&thread, json!({ "close_policy": { "idle_seconds": 1 } }))]).await;
    stack.consume().await;
    stack.publish(&[thread.says("m1")]).await;
    stack.step_until("the conversation is closed", async || stack.is_closed(&thread).await).await;
    assert_eq!(stack.archived().await[0].close_reason.as_deref(), Some("idle"));
    stack.done().await;
}

#[tokio::test]
async fn a_wrong_zone_keeps_the_old_one_and_says_so() {
    let stack = Stack::new("project-zone").await;
    let thread = Thread::of("tel:1");
    let sao_paulo = json!({ "timezone": "America/Sao_Paulo", "close_policy": { "close_at_midnight": true } });
    stack.publish(&[says(&thread, sao_paulo)]).await;
    let wrong = [
        (json!({ "timezone": "America/Sao Paulo", "close_policy": { "idle_seconds": 1 } }), "out_of_range", "timezone"),
        (json!({ "timezone": 3 }), "wrong_type", "timezone"),
        (json!({ "close_policy": { "idle_seconds": 0 } }), "out_of_range", "close_policy.idle_seconds"),
        (json!({}), "missing_field", "timezone"),
    ];
    stack.publish(&wrong.iter().map(|(fields, ..)| says(&thread, fields.clone())).collect::<Vec<_>>()).await;
    stack.settle().await;
    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), wrong.len());
    for (letter, (_, code, field)) in letters.iter().zip(&wrong) {
        assert_eq!((letter.why["code"].as_str(), letter.why["field"].as_str()), (Some(*code), Some(*field)));
    }
    let reason = letters[0].why["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("the old one stays") && !reason.contains("Sao Paulo"), "{reason}");

    // noon in São Paulo, so that the end of its day is known: 03:00 UTC (it has had no summer time since 2019)
    let noon = ago(86_400).date_naive().and_hms_opt(15, 0, 0).expect("a time").and_utc();
    stack.publish(&[thread.said("m1", noon)]).await;
    stack.consume().await;
    assert_eq!(end(&stack, &thread).await, Some(noon + chrono::TimeDelta::hours(12)));
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    stack.done().await;
}
