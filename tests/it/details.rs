//! `conversation.update`: what publishers say of a conversation, while it is open and after.

use serde_json::{Value, json};

use crate::{events::Thread, stack::Stack};

#[derive(Debug, PartialEq, Default, sqlx::FromRow)]
struct Says {
    title: Option<String>,
    tags: Option<Vec<String>>,
    participants: Option<Value>,
    metadata: Option<Value>,
    customer_info: Option<Value>,
    agent_id: Option<String>,
}

const SAYS: &str = "
    select title, tags, participants, metadata, customer_info, agent_id from conversation order by opened_at";

#[tokio::test]
async fn updates_of_an_open_conversation_add_up_and_are_archived_with_it() {
    let stack = Stack::new("update-open").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let update = |fields| thread.event("conversation.update", fields);
    let events = [
        thread.says("m1"),
        update(json!({ "title": "Fatura", "tags": ["a", "b"], "metadata": { "x": 1, "y": { "z": [0] } } })),
        update(json!({ "tags": ["vip"], "metadata": { "x": null, "w": false }, "agent_id": "agent-7" })),
        update(json!({ "participants": [{ "id": 1 }], "customer_info": { "name": "María" } })),
        thread.close(),
    ];
    stack.publish(&events).await;
    stack.settle().await;
    let expected = Says {
        title: Some("Fatura".into()),
        tags: Some(vec!["vip".into()]),
        participants: Some(json!([{ "id": 1 }])),
        metadata: Some(json!({ "y": { "z": [0] }, "w": false })),
        customer_info: Some(json!({ "name": "María" })),
        agent_id: Some("agent-7".into()),
    };
    assert_eq!(stack.ask::<Says>(SAYS).await, [expected]);
    assert_eq!(stack.archived().await[0].texts(), ["m1"], "an update is not something that was said");
    stack.done().await;
}

#[tokio::test]
async fn an_update_after_the_close_changes_the_archive_and_the_next_conversation_begins_without_it() {
    let stack = Stack::new("update-closed").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let update = |fields| thread.event("conversation.update", fields);
    let first = update(json!({ "title": "Fatura", "metadata": { "x": 1 } }));
    stack.publish(&[thread.says("m1"), first, thread.close()]).await;
    stack.settle().await;
    let head = stack.head(&thread).await;
    stack.publish(&[update(json!({ "title": "Fatura paga", "metadata": { "y": 2 } }))]).await;
    stack.settle().await;
    assert_eq!(stack.head(&thread).await, head, "it opens nothing");
    stack.publish(&[thread.says("m2"), thread.close()]).await;
    stack.settle().await;
    let amended =
        Says { title: Some("Fatura paga".into()), metadata: Some(json!({ "x": 1, "y": 2 })), ..Says::default() };
    assert_eq!(stack.ask::<Says>(SAYS).await, [amended, Says::default()]);
    stack.done().await;
}

#[tokio::test]
async fn an_update_of_a_thread_never_heard_of_leaves_no_trace() {
    let stack = Stack::new("update-nothing").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.event("conversation.update", json!({ "title": "Fatura" }))]).await;
    stack.settle().await;
    assert_eq!((stack.head(&thread).await, stack.archived().await), (None, vec![]));
    stack.done().await;
}

#[tokio::test]
async fn an_update_beyond_its_limits_is_dead_lettered_with_the_reason_and_changes_nothing() {
    let stack = Stack::new("update-limits").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let tags = |count: usize| (0..count).map(|n| format!("tag {n}")).collect::<Vec<_>>();
    let large = |key: &str| json!({ key: "x".repeat(30_000) });
    let bad = [
        (json!({ "tags": tags(11) }), "too_many", "tags"),
        (json!({ "tags": ["é".repeat(51)] }), "too_long", "tags"),
        (json!({ "tags": [7] }), "wrong_type", "tags"),
        (json!({ "title": "é".repeat(201) }), "too_long", "title"),
        (json!({ "metadata": [] }), "wrong_type", "metadata"),
        (json!({ "metadata": { "a": "x".repeat(33_000) } }), "too_large", "metadata"),
        (json!({ "nothing": "known" }), "missing_field", "data"),
        // within the limits one by one, and beyond them together with the two before
        (json!({ "title": "all or nothing", "metadata": large("c") }), "too_large", "metadata"),
    ];
    let update = |fields: &Value| thread.event("conversation.update", fields.clone());
    stack.publish(&[thread.says("m1"), update(&json!({ "tags": tags(10), "title": "é".repeat(200) }))]).await;
    stack.publish(&[update(&json!({ "metadata": large("a") })), update(&json!({ "metadata": large("b") }))]).await;
    stack.publish(&bad.iter().map(|(fields, ..)| update(fields)).collect::<Vec<_>>()).await;
    stack.publish(&[thread.says("m2"), thread.close()]).await;
    stack.settle().await;

    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), bad.len());
    for (letter, (_, code, field)) in letters.iter().zip(&bad) {
        assert_eq!((letter.why["code"].as_str(), letter.why["field"].as_str()), (Some(*code), Some(*field)));
        assert!(!letter.why.to_string().contains("xxx"), "a reason quotes nothing");
    }
    let says = stack.ask::<Says>(SAYS).await;
    assert_eq!((says[0].title.as_deref(), says[0].tags.clone()), (Some(&*"é".repeat(200)), Some(tags(10))));
    assert_eq!(says[0].metadata.as_ref().and_then(Value::as_object).map(|object| object.len()), Some(2));
    assert_eq!(stack.archived().await[0].texts(), ["m1", "m2"]);
    stack.done().await;
}
