//! What HubSpot tells by webhooks, from the queue to what is known of a customer.

use std::{fs, path::PathBuf};

use base64::{Engine, engine::general_purpose::STANDARD};
use conversationd::{
    clock::{Clock, SystemClock},
    domain::Conversation,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use crate::{
    events::{Event, Thread},
    stack::Stack,
};

const SECRET: &str = "cfc68c0b-4b4e-4ef8-b764-95350e4ea479";
const URL: &str = "https://bridge.example.com/hubspot";

/// A file that goes with the story.
struct File(PathBuf);

impl File {
    fn holding(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conversationd-test-{}", Uuid::new_v4()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a path")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A webhook, signed now, in HubSpot's group.
fn webhook(secret: &str, events: &Value) -> Event {
    let (body, at) = (events.to_string(), SystemClock.now().timestamp_millis().to_string());
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    mac.update(format!("POST{URL}{body}{at}").as_bytes());
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let data = json!({ "body": body, "signature_v3": signature, "timestamp_ms": at });
    let envelope = json!({ "event_type": "crm.hubspot_raw", "data": data });
    Event { group: "hubspot:1".into(), body: envelope.to_string(), event_type: None }
}

fn changed(minutes: i64, property: &str, value: &str) -> Value {
    let at = SystemClock.now().timestamp_millis() / 60_000 * 60_000 + minutes * 60_000;
    json!({"portalId": 1, "objectId": 512, "eventId": minutes, "occurredAt": at, "subscriptionType": "contact.propertyChange",
        "propertyName": property, "propertyValue": value, "changeSource": "CRM_UI", "sourceId": "userId:7"})
}

async fn customer(stack: &Stack, thread: &Thread) -> Value {
    match stack.head(thread).await.map(|head| head.conversation) {
        Some(Conversation::Open(open)) => Value::Object(open.record.details.customer_info),
        other => panic!("not open: {other:?}"),
    }
}

#[tokio::test]
async fn a_signed_webhook_reaches_the_open_conversations_of_the_contact_and_a_forged_one_nobody() {
    let secret = File::holding(SECRET);
    let sinks = File::holding(&format!(
        "[[portal]]\nid = 1\nclient_secret = 'file:{}'\nwebhook_url = '{URL}'\nour_sources = ['16111050']\n",
        secret.path()
    ));
    let stack = Stack::with("crm", &[("CONVERSATIOND_SINKS_FILE", sinks.path())]).await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let said = json!({"message": {"id": "m-1", "text": "oi", "source": "incoming"}});
    let linked = json!({"crm": "hubspot", "crm_id": 512});
    stack.publish(&[thread.event("message.received", said), thread.event("crm.linked", linked)]).await;
    stack.consume().await;

    let one = changed(1, "lifecyclestage", "lead");
    let (later, older) = (changed(3, "lifecyclestage", "customer"), changed(2, "lifecyclestage", "subscriber"));
    let cleared = changed(3, "phone", "");
    let mut ours = changed(4, "firstname", "Ana");
    ours["changeSource"] = json!("INTEGRATION");
    ours["sourceId"] = json!("16111050");
    let mut unknown = changed(5, "x", "y");
    unknown["subscriptionType"] = json!("contact.teleportation");
    // whatever is sent again, in whatever order
    for events in [json!([one, cleared]), json!([later, ours, unknown]), json!([one, older]), json!([later])] {
        stack.publish(&[webhook(SECRET, &events)]).await;
        stack.consume().await;
    }
    stack.settle().await;
    assert_eq!(customer(&stack, &thread).await, json!({"lifecyclestage": "customer"}));

    stack.publish(&[webhook("another secret", &json!([changed(9, "lifecyclestage", "forged")]))]).await;
    stack.settle().await;
    assert_eq!(customer(&stack, &thread).await, json!({"lifecyclestage": "customer"}));
    let dead = stack.dead_letters().await;
    assert_eq!((dead.len(), dead[0].why["code"].as_str()), (1, Some("not_verified")), "{dead:?}");

    let mut erased = changed(10, "x", "y");
    erased["subscriptionType"] = json!("contact.privacyDeletion");
    stack.publish(&[webhook(SECRET, &json!([erased]))]).await;
    stack.settle().await;
    let wanted: Vec<(String,)> = stack.ask("select contact from erasure where done_at is null").await;
    assert_eq!(wanted, [(thread.contact.clone(),)]);
    let links: Vec<(i64,)> = stack.ask("select count(*) from crm_link where state <> 'erased'").await;
    assert_eq!(links, [(0,)]);

    stack.publish(&[thread.event("conversation.close", json!({}))]).await;
    stack.settle().await;
    stack.done().await;
}
