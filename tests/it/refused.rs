//! Requests that are wrong, late, too large or too slow: what they get, and what they cannot do to others.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    asker::{Asker, body, texts},
    events::{Event, Thread, ago},
};

/// The request with another word in place of one at its top.
fn forged(request: &Event, field: &str, value: Value) -> Event {
    let mut body: Value = serde_json::from_str(&request.body).expect("JSON");
    body[field] = value;
    Event { body: body.to_string(), ..request.clone() }
}

#[tokio::test]
async fn an_answer_goes_nowhere_that_the_settings_do_not_name() {
    let asker = Asker::new("forged", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let theirs = format!("theirs-{}", Uuid::now_v7().simple());
    let sqs = asker.stack.sqs();
    let url = sqs.create_queue().queue_name(&theirs).send().await.expect("a queue").queue_url.expect("its URL");
    let request = asker.request(&thread, "get_context", "forged", json!({}));
    let mut events = vec![thread.says("a secret")];
    let begins = format!("it-ask-/../{theirs}");
    let wanted = ["http://127.0.0.1:9/it-ask-1", &url, &theirs, &begins, "it-ask-*"];
    events.extend(wanted.map(|reply_to| forged(&request, "reply_to", json!(reply_to))));
    events.push(thread.says("the thread goes on"));
    asker.stack.publish(&events).await;
    asker.stack.settle().await;
    let dead = asker.stack.dead_letters().await;
    let codes: Vec<&str> = dead.iter().map(|letter| letter.why["code"].as_str().expect("a code")).collect();
    assert_eq!(codes, ["reply_not_allowed"; 5]);
    let got = sqs.receive_message().queue_url(&url).send().await.expect("a receive");
    assert!(got.messages.unwrap_or_default().is_empty(), "nothing was sent there");
    assert_eq!(texts(&asker.asks(&thread, "get_context", json!({})).await), ["a secret", "the thread goes on"]);
    sqs.delete_queue().queue_url(&url).send().await.expect("the queue goes");
    asker.done().await;
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_so_and_another_projects_is_not_there() {
    let asker = Asker::new("wrong", &[]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let foreign = Thread { project: Uuid::now_v7().to_string(), ..thread.clone() };
    asker.stack.publish(&[thread.says("m1"), foreign.says("theirs")]).await;
    asker.stack.settle().await;
    let theirs = asker.stack.head(&foreign).await.expect("a head").conversation.record().id;
    let page = asker.asks(&foreign, "list_conversations", json!({"status": "open"})).await;
    assert_eq!(page["data"]["conversations"].as_array().map(Vec::len), Some(1));
    let late = json!({"deadline": ago(1).to_rfc3339()});
    let never = json!({"conversation_id": Uuid::now_v7()});
    for (name, fields, status) in [
        ("get_context", json!({"model": "nobody knows it"}), "rejected"),
        ("get_conversation", json!({"conversation_id": theirs, "cursor": "00ff"}), "not_found"),
        ("get_conversation", json!({"conversation_id": theirs}), "not_found"),
        ("get_conversation", never.clone(), "not_found"),
        ("list_conversations", json!({"cursor": "not a cursor"}), "rejected"),
        ("list_crm_links", json!({"cursor": "0123456789abcdef01"}), "rejected"),
        ("get_crm_link", json!({"conversation_id": theirs}), "not_found"),
        ("get_stats", json!({"group_by": "star sign"}), "rejected"),
        ("get_stats", json!({"from": "2020-01-01T00:00:00Z"}), "rejected"),
        ("get_stats", late.clone(), "expired"),
        ("get_context", late, "expired"),
    ] {
        let answer = asker.asks(&thread, name, fields.clone()).await;
        assert_eq!(answer["status"], json!(status), "{name} {fields}: {answer}");
        assert!(answer["reason"].is_string() && answer["data"].is_null(), "{answer}");
    }
    let ours = asker.stack.head(&thread).await.expect("a head").conversation.record().id;
    let page = json!({"conversation_id": ours, "cursor": "00ff"});
    assert_eq!(asker.asks(&thread, "get_conversation", page).await["status"], json!("rejected"));
    asker.done().await;
}

#[tokio::test]
async fn a_reply_is_cut_to_whole_messages_and_says_so() {
    let asker = Asker::new("large", &[("CONVERSATIOND_REPLY_BYTES", "16384")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let text = |n: usize| format!("{n} {}", "x".repeat(3_000));
    let mut events: Vec<Event> = (0..10).map(|n| thread.event("message.sent", said(n, &text(n)))).collect();
    events.insert(5, thread.event("message.sent", said(99, &"y".repeat(20_000))));
    asker.stack.publish(&events).await;
    asker.stack.settle().await;
    let context = asker.asks(&thread, "get_context", json!({"max_tokens": 1_000_000})).await;
    assert!(context.to_string().len() <= 16_384);
    assert_eq!(context["data"]["receipt"]["cut_by_reply_size"], json!(true));
    assert!(!texts(&context).is_empty() && texts(&context).last() == Some(&text(9).as_str()));
    let id = context["data"]["conversation_id"].clone();
    let (mut told, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = json!({"conversation_id": id, "cursor": cursor});
        let page = asker.asks(&thread, "get_conversation", page).await;
        assert!(page.to_string().len() <= 16_384);
        told.extend(page["data"]["messages"].as_array().expect("messages").clone());
        cursor = page["data"]["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
        assert_eq!(page["data"]["truncated"], json!(true));
    }
    assert_eq!((told.len(), &told[5]["too_large"], &told[10]["text"]), (11, &json!(true), &json!(text(9))));
    asker.done().await;
}

fn said(id: usize, text: &str) -> Value {
    json!({"message": {"id": id.to_string(), "text": text}})
}

#[tokio::test]
async fn a_slow_question_keeps_only_its_own_thread_waiting_and_not_for_long() {
    let asker = Asker::new("slow", &[("CONVERSATIOND_REQUEST_SECONDS", "6")]).await;
    let [slow, other] = ["whatsapp:+5511999990000", "whatsapp:+5511999990001"].map(Thread::of);
    let lock = asker.stack.lock_archive().await;
    let daemon = asker.stack.daemon().await;
    asker.stack.publish(&[asker.request(&slow, "get_stats", "slow", json!({})), slow.says("behind it")]).await;
    for n in 0..3 {
        let question = asker.request(&other, "get_context", &format!("quick {n}"), json!({}));
        asker.stack.publish(&[other.says(&format!("m{n}")), question]).await;
        let answer = body(&asker.next().await);
        assert_eq!(answer["correlation_id"], json!(format!("quick {n}")), "the slow one is not in the way");
        assert_eq!(texts(&answer).len(), n + 1);
    }
    let answer = body(&asker.next().await);
    assert_eq!((&answer["correlation_id"], &answer["status"]), (&json!("slow"), &json!("error")));
    assert_eq!(answer["reason"], json!("it took too long"));
    asker.stack.until("its own thread goes on", async || asker.stack.is_open(&slow).await).await;
    drop(lock);
    asker.stack.until("all is handled", async || asker.stack.left().await == 0).await;
    daemon.terminate().await;
    asker.done().await;
}
