//! Requests and their answers through real queues, from the real stores.

use std::sync::Arc;

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName as Attribute};
use chrono::TimeDelta;
use conversationd::{
    domain::{EventId, Message, Sequence},
    hot::{Put, Walk, Way},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    asker::{Asker, body, texts},
    events::{Event, Thread, ago, names},
    proxy::{Proxy, Road},
    stack::{Stack, until_after},
};

#[tokio::test]
async fn a_request_in_the_batch_of_its_messages_is_answered_with_them() {
    let asker = Asker::new("ask", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let mut events: Vec<Event> = names(5).iter().map(|name| thread.says(name)).collect();
    events.push(asker.request(&thread, "get_context", "right behind", json!({"include_state": true})));
    asker.stack.publish(&events).await;
    asker.stack.settle().await;
    let context = asker.answer("right behind").await;
    assert_eq!((texts(&context), &context["status"]), (names(5).iter().map(String::as_str).collect(), &json!("ok")));
    assert_eq!(context["data"]["receipt"]["tokenizer"], json!("o200k_base"));
    assert_eq!(context["data"]["state"], json!([]));
    asker.done().await;
}

#[tokio::test]
async fn a_message_of_several_items_is_read_from_either_side() {
    let asker = Asker::new("parts", &[("CONVERSATIOND_REPLY_BYTES", "1048576")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let large = "pedido ".repeat(115_000);
    let events = [thread.said("first", ago(30)), thread.said(&large, ago(20)), thread.said("last", ago(10))];
    // its id is its text, which is too long for one
    let events = events
        .map(|event| Event { body: event.body.replace(&format!("\"id\":\"{large}\""), "\"id\":\"large\""), ..event });
    asker.stack.publish(&events).await;
    asker.stack.settle().await;
    let context = asker.asks(&thread, "get_context", json!({"max_tokens": 1_000_000})).await;
    assert_eq!(texts(&context), ["first", &large, "last"]);
    let id = context["data"]["conversation_id"].clone();
    let page = asker.asks(&thread, "get_conversation", json!({"conversation_id": id, "limit": 2})).await;
    assert_eq!(texts(&page), ["first", &large]);
    let rest = json!({"conversation_id": id, "limit": 2, "cursor": page["data"]["next_cursor"]});
    assert_eq!(texts(&asker.asks(&thread, "get_conversation", rest).await), ["last"]);
    asker.done().await;
}

#[tokio::test]
async fn what_has_closed_is_told_from_the_archive_within_its_project() {
    let asker = Asker::new("told", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let events: Vec<Event> = names(7).iter().map(|name| thread.says(name)).collect();
    asker.stack.publish(&events).await;
    asker.stack.publish(&[thread.close()]).await;
    asker.stack.settle().await;
    let context = asker.asks(&thread, "get_context", json!({"max_tokens": 9})).await;
    assert_eq!(texts(&context).last(), Some(&"m7"), "{context}");
    assert_eq!(context["data"]["receipt"]["archive_read"], json!(true));
    let id = context["data"]["conversation_id"].clone();
    let mut told = Vec::new();
    let mut cursor = Value::Null;
    loop {
        let page = json!({"conversation_id": id, "limit": 3, "cursor": cursor});
        let page = asker.asks(&thread, "get_conversation", page).await;
        told.extend(texts(&page).into_iter().map(str::to_owned));
        cursor = page["data"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!(told, names(7));
    let foreign = Thread { project: Uuid::now_v7().to_string(), ..thread.clone() };
    let answer = asker.asks(&foreign, "get_conversation", json!({"conversation_id": id})).await;
    assert_eq!(answer["status"], json!("not_found"));
    let list = asker.asks(&thread, "list_conversations", json!({"tag": "none has it"})).await;
    assert_eq!(list["data"]["conversations"], json!([]));
    let list = asker.asks(&thread, "list_conversations", json!({"status": "closed"})).await;
    assert_eq!(list["data"]["conversations"][0]["conversation_id"], id);
    asker.done().await;
}

#[tokio::test]
async fn figures_and_links_are_those_of_the_project() {
    let asker = Asker::new("figures", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let answered =
        thread.event("message.sent", json!({"message": {"id": "a", "text": "hello", "agent_id": "agent-1"}}));
    asker.stack.publish(&[thread.says("m1"), answered, thread.event("survey.csat", json!({"value": 4}))]).await;
    asker.stack.publish(&[thread.close()]).await;
    asker.stack.settle().await;
    let other = Thread { contact: "whatsapp:+5511999990001".into(), ..thread.clone() };
    asker.stack.publish(&[other.says("m1"), other.event("survey.nps", json!({"value": 0})), other.close()]).await;
    asker.stack.settle().await;
    for group_by in ["day", "agent"] {
        let stats = asker.asks(&thread, "get_stats", json!({"group_by": group_by})).await;
        let all = &stats["data"]["stats"];
        assert_eq!((&all["conversations"], &all["resolution"]["resolved"]), (&json!(2), &json!(2)), "{stats}");
        assert_eq!((&all["messages"]["incoming"], &all["messages"]["outgoing"]), (&json!(2), &json!(1)));
        assert_eq!((&all["csat"]["buckets"]["4"], &all["csat"]["rated"]), (&json!(1), &json!(1)));
        assert_eq!(
            (&all["nps"]["buckets"]["detractors"], &all["nps"]["average"]),
            (&json!(1), &json!(0.00)),
            "0 is a score"
        );
        assert_eq!(all["first_response_ms"]["answered"], json!(1));
        let grouped: i64 = stats["data"]["groups"]
            .as_array()
            .expect("groups")
            .iter()
            .map(|group| group["conversations"].as_i64().unwrap())
            .sum();
        assert_eq!(grouped, 2);
    }
    let foreign = Thread { project: Uuid::now_v7().to_string(), ..thread.clone() };
    let stats = asker.asks(&foreign, "get_stats", json!({})).await;
    assert_eq!(stats["data"]["stats"]["conversations"], json!(0));
    let context = asker.asks(&thread, "get_context", json!({})).await;
    let id = context["data"]["conversation_id"].clone();
    let link = json!({"conversation_id": id});
    assert_eq!(asker.asks(&thread, "get_crm_link", link.clone()).await["status"], json!("not_found"));
    asker
        .stack
        .change_archive(
            "insert into crm_link (conversation_id, project, thread, contact, crm, crm_id, changed_by)
             select id, project, thread, contact, 'hubspot', 'c-' || row_number() over (order by id), 1 from conversation",
        )
        .await;
    let linked = asker.asks(&thread, "get_crm_link", link.clone()).await;
    assert_eq!(linked["data"]["crm"], json!("hubspot"), "{linked}");
    assert_eq!(asker.asks(&foreign, "get_crm_link", link).await["status"], json!("not_found"));
    let first = asker.asks(&thread, "list_crm_links", json!({"limit": 1})).await;
    assert_eq!((&first["data"]["total"], &first["data"]["returned"]), (&json!(2), &json!(1)));
    let rest = json!({"limit": 1, "cursor": first["data"]["next_cursor"]});
    let rest = asker.asks(&thread, "list_crm_links", rest).await;
    assert_eq!((&rest["data"]["returned"], &rest["data"]["next_cursor"]), (&json!(1), &json!(null)));
    assert_ne!(first["data"]["links"][0]["crm_id"], rest["data"]["links"][0]["crm_id"]);
    asker.done().await;
}

#[tokio::test]
async fn the_variables_of_a_conversation_are_those_that_live() {
    let asker = Asker::new("state", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let set = |kind: &str, key: &str, value: Value, ttl: i64| {
        thread.event("state.set", json!({"state_type": kind, "state_key": key, "state_value": value, "ttl": ttl}))
    };
    let events = [
        thread.says("m1"),
        set("flow", "step", json!("address"), 3_600),
        set("flow", "order", json!({"items": [1, 2]}), 3_600),
        set("agent", "tone", json!("formal"), 3_600),
        set("flow", "step", json!("payment"), 3_600),
        set("flow", "gone", json!("soon"), 1),
        thread.event("state.delete", json!({"state_type": "agent", "state_key": "tone"})),
    ];
    asker.stack.publish(&events).await;
    asker.stack.settle().await;
    until_after(ago(-1)).await;
    let values = |answer: &Value| -> Vec<(String, Value)> {
        let variables = answer["data"]["state"].as_array().expect("variables");
        let mut values: Vec<(String, Value)> = variables
            .iter()
            .map(|it| (it["state_key"].as_str().expect("a key").to_owned(), it["state_value"].clone()))
            .collect();
        values.sort_by(|one, other| one.0.cmp(&other.0));
        values
    };
    let (order, step) = (("order".to_owned(), json!({"items": [1, 2]})), ("step".to_owned(), json!("payment")));
    for (name, wanted, expected) in [
        ("get_state", json!({}), vec![order.clone(), step.clone()]),
        ("get_state", json!({"state_type": "flow", "state_key": "step"}), vec![step.clone()]),
        ("get_state", json!({"state_type": "agent"}), vec![]),
        ("get_context", json!({"include_state": true}), vec![order, step]),
    ] {
        assert_eq!(values(&asker.asks(&thread, name, wanted.clone()).await), expected, "{name} {wanted}");
    }
    let context = asker.asks(&thread, "get_context", json!({})).await;
    assert!(context["data"].get("state").is_none(), "not asked for");
    asker.done().await;
}

#[tokio::test]
async fn a_request_queue_of_either_kind_is_answered_and_keeps_what_is_no_request() {
    for fifo in [false, true] {
        let name = format!("it-requests-{}{}", Uuid::now_v7().simple(), if fifo { ".fifo" } else { "" });
        let bare = Stack::new("requests").await;
        let mut call = bare.sqs().create_queue().queue_name(&name);
        if fifo {
            call =
                call.attributes(Attribute::FifoQueue, "true").attributes(Attribute::ContentBasedDeduplication, "true");
        }
        let url = call.send().await.expect("a queue").queue_url.expect("its URL");
        let asker = Asker::new("alone", &[("SQS_CONVERSATION_REQUEST_QUEUE_URL", &url)]).await;
        let thread = Thread::of("whatsapp:+5511999990000");
        asker.stack.publish(&[thread.says("m1")]).await;
        asker.stack.settle().await;
        for body in [asker.request(&thread, "get_context", "alone", json!({})).body, thread.says("m2").body] {
            let call = asker.stack.sqs().send_message().queue_url(&url).message_body(body);
            let call = if fifo { call.message_group_id("g") } else { call };
            call.send().await.expect("it is sent");
        }
        let requests = asker.stack.app.requests.as_ref().expect("a loop of requests");
        let mut received = 0;
        while received < 2 {
            received += requests.poll_once().await.expect("a poll");
        }
        let context = asker.answer("alone").await;
        assert_eq!((texts(&context), &context["data"]["receipt"]["in_order"]), (vec!["m1"], &json!(false)));
        let dead = asker.stack.dead_letters().await;
        assert_eq!((dead.len(), dead[0].why["code"].as_str()), (1, Some("not_a_request")), "{dead:?}");
        asker.stack.sqs().delete_queue().queue_url(&url).send().await.expect("the queue goes");
        asker.done().await;
        bare.done().await;
    }
}

#[tokio::test]
async fn a_fifo_reply_queue_gets_the_askers_group_and_the_requests_id() {
    let asker = Asker::by_fifo("fifo").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    asker.stack.publish(&[thread.says("m1"), asker.request(&thread, "get_context", "mine", json!({}))]).await;
    asker.stack.settle().await;
    let reply = asker.next().await;
    assert_eq!(texts(&body(&reply)), ["m1"]);
    let attributes = reply.attributes.as_ref().expect("attributes");
    assert_eq!(attributes[&MessageSystemAttributeName::MessageGroupId], "mine");
    let id = EventId::derive(&thread.key(), "get_context", "mine").to_string();
    assert_eq!(attributes[&MessageSystemAttributeName::MessageDeduplicationId], id);
    asker.done().await;
}

#[tokio::test]
async fn statistics_come_from_the_replica_that_a_setting_names_and_everything_else_does_not() {
    let replica = Proxy::to_database().await;
    let asker = Asker::new("replica", &[("CONVERSATIOND_READ_REPLICA_URL", &replica.url)]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    asker.stack.publish(&[thread.says("m1"), thread.close()]).await;
    asker.stack.settle().await;
    let stats = asker.asks(&thread, "get_stats", json!({})).await;
    assert_eq!((&stats["data"]["stats"]["conversations"], &stats["data"]["from_replica"]), (&json!(1), &json!(true)));
    assert!(stats["data"]["as_of"].is_string(), "{stats}");
    replica.set(Road::Cut);
    let stats = asker.asks(&thread, "get_stats", json!({})).await;
    assert_eq!((&stats["status"], &stats["reason"]), (&json!("error"), &json!("the archive cannot be read now")));
    let context = asker.asks(&thread, "get_context", json!({})).await;
    assert_eq!((texts(&context), &context["data"]["receipt"]["archive_read"]), (vec!["m1"], &json!(true)));
    asker.done().await;
}

/// Messages of the long conversation. Ten times as many are asked for on the models (tests/requests): the emulated table looks
/// at every item of a thread for each query.
const MANY: u64 = 5_000;

/// Fills the open conversation of `thread`, behind the daemon's back, until it has [`MANY`] messages.
async fn fill(stack: &Stack, thread: &Thread) {
    let (hot, head) = (stack.hot(), stack.head(thread).await.expect("a head"));
    let conversation = head.conversation.record().id;
    let walk = Walk { thread: thread.key(), conversation, from: None, way: Way::Forward, most: 1 };
    let first = hot.walk(&walk).await.expect("a walk").messages.remove(0);
    let put = |n: u64| {
        let message = Message {
            event_id: EventId::derive(&thread.key(), "message.received", &format!("filled {n}")),
            occurred_at: first.occurred_at + TimeDelta::milliseconds(n as i64),
            sequence: Sequence(first.sequence.0 + u128::from(n)),
            text: format!("message number {n}"),
            tokens: None,
            ..first.clone()
        };
        Put { thread: thread.key(), conversation, message: Arc::new(message) }
    };
    let numbers: Vec<u64> = (1..MANY).collect();
    let batches = stream::iter(numbers.chunks(25).map(|batch| batch.iter().copied().map(put).collect()));
    let written = batches.map(|batch| hot.put_messages(batch)).buffer_unordered(8);
    let failed = written.filter(|batch| std::future::ready(batch.iter().any(Result::is_err)));
    assert_eq!(failed.count().await, 0, "messages that were not put");
}

#[tokio::test]
async fn a_long_conversation_is_answered_with_a_few_reads() {
    let asker = Asker::new("long", &[("CONVERSATIOND_REQUEST_SECONDS", "60")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    asker.stack.publish(&[thread.says("the first")]).await;
    asker.stack.settle().await;
    fill(&asker.stack, &thread).await;
    let last = format!("message number {}", MANY - 1);
    let none = asker.asks(&thread, "get_state", json!({})).await;
    assert_eq!(none["status"], json!("ok"), "{none}");
    // the head; a page of 200; pages of 1,000 until the budget or the reply is full, each a query or two
    for (wanted, most_calls, least_told) in [
        (json!({"max_tokens": 50}), 2, 4),
        (json!({"window": "8k"}), 4, 600),
        (json!({"max_tokens": 100_000_000}), 6, 1_000),
    ] {
        asker.stack.publish(&[asker.request(&thread, "get_context", &wanted.to_string(), wanted.clone())]).await;
        let before = asker.stack.app.counters.dynamodb_calls.get();
        while asker.waiting().await == 0 {
            asker.stack.app.consumer.poll_once().await.expect("a poll");
        }
        let calls = asker.stack.app.counters.dynamodb_calls.get() - before;
        let context = asker.answer(&wanted.to_string()).await;
        let told = texts(&context);
        assert!(told.len() >= least_told, "{wanted}: {}", told.len());
        assert_eq!(told.last(), Some(&last.as_str()));
        assert_eq!(context["data"]["receipt"]["dropped_is_lower_bound"], json!(true));
        assert!(calls <= most_calls, "{wanted}: {calls} calls to DynamoDB for {} messages", told.len());
    }
    let id = asker.stack.head(&thread).await.expect("a head").conversation.record().id;
    let page = asker.asks(&thread, "get_conversation", json!({"conversation_id": id, "limit": 10})).await;
    assert_eq!(texts(&page)[..2], ["the first", "message number 1"]);
    asker.done().await;
}
