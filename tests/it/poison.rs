//! What cannot be taken goes to the dead-letter queue with its reason, and its group goes on.

use serde_json::json;

use crate::{
    events::{Event, Thread, ago, names},
    stack::Stack,
};

#[tokio::test]
async fn poison_in_the_middle_of_a_group_is_dead_lettered_and_the_rest_goes_on_in_order() {
    let stack = Stack::new("poison").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let no_contact = json!({ "event_type": "message.received", "data": { "project_uuid": "p", "message": {} } });
    let mut by_attribute = thread.says("never said");
    by_attribute.event_type = Some("message.whispered");
    let poison = [
        (Event::raw(&thread, "not JSON, and about +5511999990000"), "invalid_json", None),
        (thread.event("message.shouted", json!({})), "unknown_event_type", Some("event_type")),
        (Event::raw(&thread, no_contact.to_string()), "missing_field", Some("contact_urn")),
        (by_attribute, "unknown_event_type", Some("event_type")),
        (thread.event("message.received", json!({ "message": "m?" })), "wrong_type", Some("message")),
    ];
    let mut events = vec![thread.says("m1")];
    for (n, (bad, _, _)) in poison.iter().enumerate() {
        events.extend([bad.clone(), thread.says(&format!("m{}", n + 2))]);
    }
    events.push(thread.close());

    stack.publish(&events).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].texts(), names(6));
    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), poison.len());
    for (letter, (bad, code, field)) in letters.iter().zip(&poison) {
        assert_eq!((&letter.group, &letter.body), (&bad.group, &bad.body));
        assert_eq!((letter.why["code"].as_str(), letter.why["field"].as_str()), (Some(*code), *field));
        assert_eq!(letter.why["attempts"], 1, "it is not tried again");
        assert_eq!(letter.attributes.get("event_type").map(String::as_str), bad.event_type);
        assert!(!letter.why.to_string().contains("5511999990000"), "a reason quotes nothing: {}", letter.why);
    }
    stack.done().await;
}

#[tokio::test]
async fn poison_in_one_group_leaves_the_others_alone() {
    let stack = Stack::new("poison-beside").await;
    let threads: Vec<Thread> = (0..5).map(|n| Thread::of(&format!("tel:{n}"))).collect();
    let mut events = Vec::new();
    for thread in &threads {
        events.extend([Event::raw(thread, "{"), thread.says("m1"), thread.close()]);
    }
    stack.publish(&events).await;
    stack.settle().await;
    for thread in &threads {
        let archived = stack.archived_of(thread).await;
        assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1"]));
    }
    let mut groups: Vec<String> = stack.dead_letters().await.into_iter().map(|letter| letter.group).collect();
    let mut expected: Vec<String> = threads.iter().map(Thread::group).collect();
    groups.sort_unstable();
    expected.sort_unstable();
    assert_eq!(groups, expected);
    stack.done().await;
}

/// Nothing is wrong with it, but every try fails: it must not stop its group for ever.
#[tokio::test]
async fn what_fails_too_often_by_itself_is_dead_lettered_and_its_group_goes_on() {
    let stack = Stack::with("exhausted", &[("CONVERSATIOND_ATTEMPTS", "1")]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    stack.publish(&[thread.said("m1", ago(60)), thread.close()]).await;
    stack.settle().await;
    stack.change_archive("alter table message add constraint forbidden check (text <> 'bomb')").await;

    let bomb = thread.said("bomb", ago(50));
    stack.publish(&[bomb.clone(), thread.said("m2", ago(40)), thread.says("m3"), thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2"], vec!["m3"]));
    let letters = stack.dead_letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((&letters[0].group, &letters[0].body), (&bomb.group, &bomb.body));
    assert_eq!(letters[0].why["code"], "attempts_exhausted");
    assert!(!letters[0].why.to_string().contains("bomb"), "a reason quotes nothing: {}", letters[0].why);
    stack.done().await;
}
