//! Requests and their answers through real queues, from the real stores.

use std::time::Instant;

use aws_sdk_sqs::{Client, types::QueueAttributeName as Attribute};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    events::{Event, Thread, ago, names},
    stack::Stack,
};

/// A story with a queue for answers.
struct Asker {
    stack: Stack,
    replies: String,
    url: String,
}

impl Asker {
    async fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("CONVERSATIOND_REPLY_QUEUES", "it-ask-*")];
        all.extend_from_slice(settings);
        let stack = Stack::with(name, &all).await;
        let replies = format!("it-ask-{}", Uuid::now_v7().simple());
        let made = stack.sqs().create_queue().queue_name(&replies).send().await.expect("a queue");
        Self { stack, replies, url: made.queue_url.expect("its URL") }
    }

    /// The request as an event of its thread's group.
    fn request(&self, thread: &Thread, name: &str, id: &str, fields: Value) -> Event {
        let mut event: Value = serde_json::from_str(&thread.event(name, fields).body).expect("JSON");
        event["reply_to"] = json!(self.replies);
        event["correlation_id"] = json!(id);
        Event::raw(thread, event.to_string())
    }

    /// Asks, handles everything, and takes the answer.
    async fn asks(&self, thread: &Thread, name: &str, fields: Value) -> Value {
        let id = Uuid::now_v7().to_string();
        self.stack.publish(&[self.request(thread, name, &id, fields)]).await;
        self.stack.settle().await;
        self.answer(&id).await
    }

    async fn answer(&self, id: &str) -> Value {
        answer(self.stack.sqs(), &self.url, id).await
    }

    async fn done(self) {
        self.stack.sqs().delete_queue().queue_url(&self.url).send().await.expect("the queue goes");
        self.stack.done().await;
    }
}

async fn answer(sqs: &Client, url: &str, id: &str) -> Value {
    let began = Instant::now();
    loop {
        let got = sqs.receive_message().queue_url(url).wait_time_seconds(1).send().await.expect("a receive");
        for message in got.messages.unwrap_or_default() {
            let handle = message.receipt_handle.expect("a handle");
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.expect("it goes");
            let body: Value = serde_json::from_str(&message.body.expect("a body")).expect("JSON");
            if body["correlation_id"] == id {
                return body;
            }
        }
        assert!(began.elapsed().as_secs() < 30, "no answer");
    }
}

fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["data"]["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["text"].as_str().expect("a text")).collect()
}

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
