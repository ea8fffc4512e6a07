//! `state.set`, `state.delete`: what a bot wants to know again after a restart, and which conversation it belongs to.

use std::time::Duration;

use conversationd::hot::Hot;
use serde_json::{Value, json};

use crate::{
    events::{Event, Thread},
    stack::{Stack, until_after},
};

fn set(thread: &Thread, key: &str, value: Value) -> Event {
    thread.event("state.set", json!({ "state_type": "flow", "state_key": key, "state_value": value }))
}

fn set_with(thread: &Thread, key: &str, value: Value, more: Value) -> Event {
    let mut fields = json!({ "state_type": "flow", "state_key": key, "state_value": value });
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    thread.event("state.set", fields)
}

fn delete(thread: &Thread, key: &str) -> Event {
    thread.event("state.delete", json!({ "state_type": "flow", "state_key": key }))
}

/// What each conversation ended with, in the order they were opened.
async fn ended_with(stack: &Stack) -> Vec<Vec<(String, Value)>> {
    let rows: Vec<(Option<Value>,)> =
        stack.ask("select variables from conversation order by opened_at, created_at").await;
    let list = |variables: Option<Value>| variables.and_then(|all| all.as_array().cloned()).unwrap_or_default();
    let named = |variable: &Value| (variable["key"].as_str().unwrap_or_default().to_owned(), variable["value"].clone());
    rows.into_iter().map(|(variables,)| list(variables).iter().map(named).collect()).collect()
}

fn pairs<const N: usize>(pairs: [(&str, Value); N]) -> Vec<(String, Value)> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

#[tokio::test]
async fn variables_outlive_a_restart_and_are_archived_as_last_set() {
    let stack = Stack::new("variables").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let events = [
        thread.says("m1"),
        set(&thread, "step", json!(1)),
        set(&thread, "cart", json!({ "items": [1, 2], "total": 0 })),
        set(&thread, "gone", json!("x")),
        set(&thread, "step", json!(0)),
        delete(&thread, "gone"),
        delete(&thread, "never there"),
        set(&thread, "step#2", json!(false)),
    ];
    stack.publish(&events).await;
    stack.consume().await;

    // another process reads them, and closes
    let hot = Hot::over(stack.hot(), Duration::ZERO);
    let known = hot.variables(&thread.key()).await.expect("variables");
    let live = known.iter().filter(|variable| variable.value.is_some()).count();
    assert_eq!((known.len(), live), (5, 3));
    let second = stack.replica().await;
    stack.publish(&[thread.close()]).await;
    while second.consumer.poll_once().await.expect("a poll") > 0 {}
    let expected =
        pairs([("cart", json!({ "items": [1, 2], "total": 0 })), ("step", json!(0)), ("step#2", json!(false))]);
    let mut ended = ended_with(&stack).await;
    ended.iter_mut().for_each(|variables| variables.sort_by(|one, two| one.0.cmp(&two.0)));
    assert_eq!(ended, [expected]);
    stack.done().await;
}

#[tokio::test]
async fn a_variable_is_forgotten_after_its_time() {
    let stack = Stack::new("variables-ttl").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let short = set_with(&thread, "short", json!(1), json!({ "ttl": 1 }));
    let long = set_with(&thread, "long", json!(2), json!({ "ttl": 3600 }));
    stack.publish(&[thread.says("m1"), short, long]).await;
    stack.consume().await;
    let hot = Hot::over(stack.hot(), Duration::ZERO);
    let known = hot.variables(&thread.key()).await.expect("variables");
    let over = known.iter().filter_map(|variable| variable.expires_at).min().expect("a variable with an end");
    until_after(over).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    assert_eq!(ended_with(&stack).await, [pairs([("long", json!(2))])]);
    stack.done().await;
}

#[tokio::test]
async fn the_next_conversation_has_what_was_carried_over_and_what_was_set_for_it_and_nothing_else() {
    let stack = Stack::new("variables-carried").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let carried = set_with(&thread, "carried", json!(1), json!({ "carry_over": true }));
    stack.publish(&[thread.says("m1"), carried, set(&thread, "own", json!(2)), thread.close()]).await;
    stack.settle().await;
    // nothing is open: it is for the one that opens next, and for that one only
    stack.publish(&[set(&thread, "early", json!(3)), thread.says("m2"), thread.close()]).await;
    stack.settle().await;
    stack.publish(&[thread.says("m3"), thread.close()]).await;
    stack.settle().await;
    let (carried, own, early) = (("carried", json!(1)), ("own", json!(2)), ("early", json!(3)));
    let expected = [pairs([carried.clone(), own]), pairs([carried.clone(), early]), pairs([carried])];
    assert_eq!(ended_with(&stack).await, expected);
    stack.done().await;
}

#[tokio::test]
async fn what_is_no_variable_is_dead_lettered_with_the_reason() {
    let stack = Stack::new("variables-bad").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let bad = [
        (
            thread.event("state.set", json!({ "state_type": "flow", "state_key": "step" })),
            "missing_field",
            "state_value",
        ),
        (thread.event("state.delete", json!({ "state_type": "flow" })), "missing_field", "state_key"),
        (set(&thread, &"k".repeat(257), json!(1)), "too_long", "state_key"),
        (set(&thread, "large", json!("x".repeat(65_536))), "too_large", "state_value"),
        (set_with(&thread, "ttl", json!(1), json!({ "ttl": 0 })), "out_of_range", "ttl"),
    ];
    stack.publish(&bad.iter().map(|(event, ..)| event.clone()).collect::<Vec<_>>()).await;
    stack.settle().await;
    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), bad.len());
    for (letter, (_, code, field)) in letters.iter().zip(&bad) {
        assert_eq!((letter.why["code"].as_str(), letter.why["field"].as_str()), (Some(*code), Some(*field)));
    }
    stack.done().await;
}
