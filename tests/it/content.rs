//! Odd content: sizes at the limits, characters that stores dislike, contacts and times as publishers really write them.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::{
    events::{Event, Thread, ago, names},
    stack::Stack,
};

/// Largest SQS body, in bytes.
const LARGEST: usize = 1_048_576;

/// The longest text of repeated `unit`s that `thread` can say in one SQS message.
fn as_long_as_possible(thread: &Thread, unit: &str) -> String {
    let (without, one) = (thread.says("").body.len(), json!(unit).to_string().len() - 2);
    // the id is short; it need not be the text
    unit.repeat((LARGEST - without - "m9".len()) / one)
}

fn says(thread: &Thread, id: &str, text: &str) -> Event {
    thread.event("message.received", json!({ "message": { "id": id, "text": text, "source": "incoming" } }))
}

#[tokio::test]
async fn texts_of_every_size_and_script_are_archived_as_they_were_said() {
    let stack = Stack::new("texts").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let texts = [
        as_long_as_possible(&thread, "x"),
        as_long_as_possible(&thread, "🙂"),
        as_long_as_possible(&thread, "\""),
        "não ".repeat(90_000),
        "👩‍👩‍👧‍👦 מה שלומך؟ كيف حالك \u{202e}إلى اليمين\u{202c} ﷽ \u{feff}\u{fffd}".to_owned(),
        " \t\r\n\u{1}\u{7f}\u{2028} ".to_owned(),
        String::new(),
        "'; drop table message; -- \\u0000 %s {0} $1".to_owned(),
    ];
    let events: Vec<Event> = texts.iter().enumerate().map(|(n, text)| says(&thread, &format!("m{n}"), text)).collect();
    let largest = events.iter().map(|event| event.body.len()).max().unwrap_or_default();
    assert!(events[3].body.len() > 400_000 && largest <= LARGEST && largest > LARGEST - 4, "{largest} bytes");

    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!(archived.len(), 1);
    assert_eq!(archived[0].messages.len(), texts.len());
    for (message, text) in archived[0].messages.iter().zip(&texts) {
        // not assert_eq: nobody reads a difference of a million characters
        assert!(message.text == *text, "{:?} is {} bytes long", message.external_id, message.text.len());
    }
    stack.done().await;
}

#[tokio::test]
async fn nul_characters_are_left_out_and_nothing_else_is() {
    let stack = Stack::new("nul").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let message = json!({
        "id": "m\u{0}001", "text": "\0a\0b\0", "contact_name": "Jo\0ão",
        "metadata": { "k\0ey": ["v\0alue", { "\0": "\0" }] }, "attachments": [{ "url": "https://x/\0" }],
    });
    stack.publish(&[thread.event("message.received", json!({ "message": message })), thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!(archived[0].texts(), ["ab"]);
    assert_eq!(archived[0].messages[0].external_id.as_deref(), Some("m001"));
    assert_eq!(archived[0].contact_name.as_deref(), Some("João"));
    stack.done().await;
}

/// The timer's command carries the thread through the due index and back: every one of these must survive that.
#[tokio::test]
async fn contacts_of_every_form_keep_their_conversations_apart() {
    let stack = Stack::new("contacts").await;
    let long = format!("ext:{}", "José da Silva ".repeat(21)).chars().take(300).collect::<String>();
    let contacts = [
        "whatsapp:+55 11 99999-0000",
        "whatsapp:+551199999-0000",
        "tel:#1",
        "tel:%231",
        "tel:%",
        "a#b",
        "a",
        "mailto:zoë@exämple.com",
        "بريد:أحمد",
        "😀",
        " leading and trailing ",
        "\"quoted\\'",
        &long,
    ];
    let mut threads: Vec<Thread> = contacts.iter().map(|contact| Thread::of(contact)).collect();
    let (project, channel) = (threads[0].project.clone(), threads[0].channel.clone());
    for thread in &mut threads {
        thread.project.clone_from(&project);
    }
    // the same letters, cut elsewhere
    threads[6].channel = format!("b#{channel}");

    for (n, thread) in threads.iter().enumerate() {
        stack.publish(&[thread.says(&format!("{n}")), thread.session_closed()]).await;
    }
    stack.step_until("all are archived", async || stack.counts().await.0 == threads.len()).await;

    for (n, thread) in threads.iter().enumerate() {
        let archived = stack.archived_of(thread).await;
        assert_eq!(archived.len(), 1, "{}", thread.contact);
        assert_eq!(archived[0].texts(), [n.to_string()], "{}", thread.contact);
    }
    stack.settle().await;
    stack.done().await;
}

#[tokio::test]
async fn times_are_kept_in_utc_and_what_has_none_gets_the_queues() {
    let stack = Stack::new("times").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let times = [
        (json!("2026-01-05T09:00:00-03:00"), Some("2026-01-05T12:00:00Z")),
        (json!("2026-01-05T17:30:00.5+05:30"), Some("2026-01-05T12:00:00.5Z")),
        (json!("2026-01-05T12:00:01.123456789Z"), Some("2026-01-05T12:00:01.123456Z")),
        (json!("2026-01-05 12:00:02"), Some("2026-01-05T12:00:02Z")),
        (json!("yesterday"), None),
        (Value::Null, None),
    ];
    let message = |(n, (at, _)): (usize, &(Value, _))| {
        let message = json!({ "id": format!("m{n}"), "text": n.to_string(), "created_at": at });
        thread.event("message.received", json!({ "message": message }))
    };
    let events: Vec<Event> = times.iter().enumerate().map(message).collect();
    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;

    let archived = stack.archived().await;
    assert_eq!(archived[0].texts(), ["0", "1", "2", "3", "4", "5"]);
    for (message, (_, expected)) in archived[0].messages.iter().zip(&times) {
        let expected: Option<DateTime<Utc>> = expected.map(|at| at.parse().expect("a time"));
        assert_eq!(message.occurred_at, expected.unwrap_or(message.received_at), "{}", message.text);
    }
    stack.done().await;
}

#[tokio::test]
async fn messages_of_one_instant_stand_in_the_order_they_were_sent() {
    let stack = Stack::new("one-instant").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let at = ago(60);
    let events: Vec<Event> = names(50).iter().map(|name| thread.said(name, at)).collect();
    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    assert_eq!(stack.archived().await[0].texts(), names(50));
    stack.done().await;
}

/// Several pages of DynamoDB, several inserts of one transaction.
#[tokio::test]
async fn a_conversation_of_three_thousand_messages_is_archived_complete_and_in_order() {
    let stack = Stack::new("long").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let names = names(3_000);
    let events: Vec<Event> = names.iter().map(|name| thread.says(name)).collect();
    for some in events.chunks(500) {
        stack.publish(some).await;
        stack.consume().await;
    }
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].messages.len()), (1, 3_000));
    assert!(archived[0].texts() == names, "not in the order they were sent");
    stack.done().await;
}

/// Rust and PostgreSQL each add up a transcript, and must agree: a number or a key that they write differently would keep
/// its conversation from ever closing.
#[tokio::test]
async fn whatever_publishers_put_into_metadata_does_not_keep_a_conversation_open() {
    let stack = Stack::new("metadata").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let odd = r#"[
        0, -0, -0.0, 0.0, 1.0, 1.50, 0.1, 1e2, 1E-7, 5e-324, 1.7976931348623157e308, 2.2250738585072011e-308, 1e21, 1e16,
        123456789012345680000, 9007199254740993, 18446744073709551615, -9223372036854775808, 0.30000000000000004,
        9999999999999999.9, 1e-400, "", " ", "\u0001\u001f\u007f", "\b\f\n\r\t\"\\\/", "\u2028\ud83d\ude42é", true, false,
        null, [], {}, [[]], [{}], {"": ""}, {"b": 1, "a": 2, "aa": 3, "é": 4, "z": 5, "\ud83d\ude42": 6, "A": 7, "a": 8}
    ]"#;
    let odd: Value = serde_json::from_str(odd).expect("JSON");
    let fields = ["entities", "attachments"].map(|field| json!({ "id": field, "text": field, field: odd.clone() }));
    let metadata = json!({ "id": "metadata", "text": "metadata", "metadata": { "odd": odd, "": null } });
    let empty = json!({ "id": "empty", "text": "empty", "entities": [], "attachments": [], "metadata": {} });
    let messages = fields.into_iter().chain([metadata, empty]);
    let events: Vec<Event> =
        messages.map(|message| thread.event("message.received", json!({ "message": message }))).collect();

    stack.publish(&events).await;
    stack.publish(&[thread.close()]).await;
    stack.consume().await;

    assert!(stack.is_closed(&thread).await, "at the first try");
    assert_eq!(stack.archived().await[0].texts(), ["entities", "attachments", "metadata", "empty"]);
    stack.done().await;
}

#[tokio::test]
async fn a_conversation_with_an_id_of_its_publishers_needs_no_contact_and_no_channel() {
    let stack = Stack::new("own-id").await;
    let group = Thread::of("whatsapp:+5511999990000");
    let id = "chat #7/a% b";
    let event = |event_type: &str, fields: Value| {
        let mut data = json!({ "project_uuid": group.project, "conversation_id": id });
        data.as_object_mut().expect("an object").extend(fields.as_object().cloned().unwrap_or_default());
        Event::raw(&group, json!({ "event_type": event_type, "data": data }).to_string())
    };
    let says = |text: &str| event("message.sent", json!({ "message": { "id": text, "text": text } }));
    let closed = event("session.closed", json!({ "session_id": "s" }));
    stack.publish(&[says("m1"), says("m2"), closed]).await;
    stack.step_until("it is archived", async || stack.counts().await.0 == 1).await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), &archived[0].contact), (vec!["m1", "m2"], &None));
    assert_eq!(archived[0].external_id.as_deref(), Some(id));
    assert!(archived[0].messages.iter().all(|message| message.direction == "outgoing"));
    stack.settle().await;
    stack.done().await;
}

#[tokio::test]
async fn an_event_may_be_named_by_its_message_attribute_alone() {
    let stack = Stack::new("attribute").await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let mut message = thread.says("m1");
    message.body = message.body.replace("\"event_type\"", "\"other_field\"");
    message.event_type = Some("message.sent");
    stack.publish(&[message, thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[0].messages[0].direction.as_str()), (vec!["m1"], "incoming"));
    stack.done().await;
}
