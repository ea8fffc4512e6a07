//! `get_context`: order, budgets, bounded reads, summaries.

use std::sync::Arc;

use chrono::TimeDelta;
use conversationd::domain::{ConversationId, EventId, Message, Sequence};
use serde_json::json;

use super::{
    house::{House, key, of, texts},
    model::replica::Replica,
};

#[tokio::test(start_paused = true)]
async fn a_request_right_behind_its_messages_sees_them() {
    let mut house = House::new();
    for n in 0..7 {
        house.says(0, &format!("word {n}"));
    }
    let first = house.asks(0, "get_context", of(0, json!({})));
    house.says(0, "later");
    let second = house.asks(0, "get_context", of(0, json!({"max_tokens": 5})));
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.rests().await;
    let answer = house.answer(&first);
    assert_eq!((&answer["status"], &answer["event_type"]), (&json!("ok"), &json!("get_context.reply")));
    assert_eq!(texts(&answer), (0..7).map(|n| format!("word {n}")).collect::<Vec<_>>());
    let receipt = &answer["data"]["receipt"];
    assert_eq!((&receipt["messages_kept"], &receipt["messages_dropped"]), (&json!(7), &json!(0)));
    assert_eq!(
        (&receipt["strategy"], &receipt["limit"], &receipt["in_order"]),
        (&json!("token_buffer"), &json!(6000), &json!(true))
    );
    assert_eq!(receipt["dropped_is_lower_bound"], json!(false));
    assert_eq!(texts(&house.answer(&second)), ["later"], "counted in o200k_base: 4 tokens, and 5 for the one before");
    let reply = house.world.state().replies[0].clone();
    assert_eq!(
        (reply.queue.url.as_str(), reply.group_id.as_str()),
        ("https://sqs.model/1/answers.fifo", first.as_str())
    );
}

/// Fills a conversation of one message behind the daemon's back.
fn fill(house: &House, contact: u64, messages: u64) -> ConversationId {
    let conversation = house.head(contact).conversation.record().id;
    let mut state = house.world.state();
    let (place, (first, at)) =
        state.hot.messages.iter().next().map(|(k, v)| (k.clone(), v.clone())).expect("a message");
    for n in 1..=messages {
        let event_id = EventId::derive(&key(contact), "message.received", &format!("filled {n}"));
        let occurred_at = first.occurred_at + TimeDelta::seconds(n as i64);
        let sequence = Sequence(first.sequence.0 + u128::from(n));
        let message = Message { event_id, occurred_at, sequence, text: format!("message number {n}"), ..first.clone() };
        let place = (place.0.clone(), conversation, occurred_at, sequence, event_id, 0);
        state.hot.messages.insert(place, (message, at));
    }
    conversation
}

#[tokio::test(start_paused = true)]
async fn a_conversation_of_fifty_thousand_messages_is_answered_with_a_few_pages() {
    let mut house = House::new();
    house.says(0, "the first");
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.rests().await;
    fill(&house, 0, 50_000);
    for (data, pages, kept) in [
        (json!({"window": "8k"}), 1, 6_000 / 7),
        (json!({"max_tokens": 60}), 1, 60 / 7),
        (json!({"max_tokens": 0}), 1, 0),
        (json!({"model": "gpt-4-32k", "tokenizer": "o200k_base", "max_tokens": 100_000_000}), 4, 1_000),
    ] {
        let before = house.calls("walk");
        let question = house.asks(0, "get_context", of(0, data.clone()));
        house.rests().await;
        let answer = house.answer(&question);
        assert!(house.calls("walk") - before <= pages + 1, "{data}: {} pages", house.calls("walk") - before);
        let told = texts(&answer);
        // the last asks for more than a reply holds
        let fits = if kept == 1_000 { (1_000..3_000).contains(&told.len()) } else { told.len() == kept };
        assert!(fits, "{data}: {}", told.len());
        assert_eq!(told.last().map(String::as_str), (kept > 0).then_some("message number 50000"), "{data}");
        assert_eq!(answer["data"]["receipt"]["dropped_is_lower_bound"], json!(true));
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_longer_fits_goes_into_the_summary_on_the_head_once() {
    let mut house = House::new();
    let wanted = json!({"strategy": "summary_buffer", "max_tokens": 60});
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let mut through = None;
    for round in 0..5 {
        for n in 0..10 {
            house.says(0, &format!("pedido {round}{n} chegou atrasado ontem"));
        }
        let question = house.asks(0, "get_context", of(0, wanted.clone()));
        house.rests().await;
        let answer = house.answer(&question);
        let receipt = &answer["data"]["receipt"];
        assert!(receipt["tokens"].as_i64().unwrap() <= 60, "{receipt}");
        assert_eq!(receipt["archive_read"], json!(false));
        let recap = house.head(0).conversation.record().recap.clone().expect("a summary");
        assert_eq!((&receipt["summary"]["stored"], &receipt["summary"]["behind"]), (&json!(true), &json!(false)));
        assert!(through < Some(recap.through), "the watermark moves on");
        through = Some(recap.through);
        let told = texts(&answer);
        assert_eq!(told[0], recap.text);
        assert_eq!(recap.messages as usize + told.len() - 1, (round + 1) * 10, "each message is told or summarised");
        let again = house.asks(0, "get_context", of(0, wanted.clone()));
        house.rests().await;
        assert_eq!(texts(&house.answer(&again)), told, "nobody is asked when nothing has to go");
        assert_eq!(house.head(0).conversation.record().recap.as_ref(), Some(&recap));
    }
    house.ends(0);
    house.rests().await;
    assert_eq!(house.world.state().archive.messages.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_closed_conversation_is_told_from_the_archive_and_without_it_from_the_hot_store() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    house.says(0, "one");
    house.says(0, "two");
    house.ends(0);
    house.rests().await;
    let question = house.asks(0, "get_context", of(0, json!({})));
    house.rests().await;
    let answer = house.answer(&question);
    assert_eq!(
        (texts(&answer), &answer["data"]["conversation_status"]),
        (vec!["one".into(), "two".into()], &json!("closed"))
    );
    assert_eq!(answer["data"]["receipt"]["archive_read"], json!(true));
    house.world.state().down.insert("transcript");
    let question = house.asks(0, "get_context", of(0, json!({})));
    house.rests().await;
    let answer = house.answer(&question);
    assert_eq!(texts(&answer), ["one", "two"]);
    assert!(answer["data"]["receipt"]["warning"].is_string(), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_context_that_cannot_be_had_is_empty_and_its_thread_goes_on() {
    let mut house = House::new();
    house.says(0, "one");
    let daemon = Arc::new(Replica::start(&house.world, 0, 0, 0));
    house.rests().await;
    house.world.state().down.insert("walk");
    let question = house.asks(0, "get_context", of(0, json!({})));
    house.says(0, "two");
    house.says(1, "elsewhere");
    let began = house.world.elapsed();
    house.rests().await;
    assert!((house.world.elapsed() - began).as_secs() < 20, "the thread waited {:?}", house.world.elapsed() - began);
    let answer = house.answer(&question);
    assert_eq!((&answer["status"], &answer["reason"]), (&json!("empty"), &json!("the hot store cannot be read now")));
    assert_eq!(answer["data"]["messages"], json!([]));
    assert!(house.dead().is_empty());
    house.world.state().down.clear();
    let question = house.asks(0, "get_context", of(0, json!({})));
    house.rests().await;
    assert_eq!(texts(&house.answer(&question)), ["one", "two"]);
    drop(daemon);
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_never_larger_than_it_may_be_and_is_cut_between_messages() {
    let mut house = House::new();
    let _daemon = Replica::start(&house.world, 0, 0, 0);
    let long = "palavra ".repeat(1_250);
    for _ in 0..60 {
        house.says(0, &long);
    }
    let context = house.asks(0, "get_context", of(0, json!({"max_tokens": 100_000_000})));
    let huge = "x".repeat(300_000);
    house.says(0, &huge);
    let behind = house.asks(0, "get_context", of(0, json!({"max_tokens": 100_000_000})));
    house.rests().await;
    let answer = house.answer(&context);
    let receipt = &answer["data"]["receipt"];
    assert_eq!(receipt["cut_by_reply_size"], json!(true));
    let told = texts(&answer);
    assert!(told.len() > 20 && told.iter().all(|text| *text == long), "whole messages: {}", told.len());
    assert!(house.world.state().replies.iter().all(|reply| reply.body.len() <= 262_144));
    assert_eq!(house.answer(&behind)["data"]["messages"], json!([]), "the newest does not fit: none does");
}
