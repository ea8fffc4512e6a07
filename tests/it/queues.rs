//! Both ends of a story's queues: sending as a publisher, counting, and reading dead letters as an operator.

use std::collections::BTreeMap;

use aws_sdk_sqs::{
    Client,
    types::{
        MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName as Attribute,
        SendMessageBatchRequestEntry,
    },
};
use serde_json::Value;
use uuid::Uuid;

use crate::events::Event;

/// Entries and bytes of one batch (SQS's limits).
const BATCH: usize = 10;
const BATCH_BYTES: usize = 1_048_576;

/// What lay in the dead-letter queue.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    pub group: String,
    pub body: String,
    /// The attribute `x-dlq`, parsed; null when it is not there.
    pub why: Value,
    pub attributes: BTreeMap<String, String>,
}

/// Deliveries waiting, and deliveries in somebody's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Depth {
    pub visible: usize,
    pub in_flight: usize,
}

/// Sends events in order, each under a deduplication id of its own: the same event sent again arrives again.
pub async fn send(sqs: &Client, url: &str, events: &[Event]) {
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |event: &&Event| {
            bytes += event.body.len() + event.event_type.map_or(0, |name| name.len() + "event_typeString".len());
            bytes <= BATCH_BYTES
        };
        let count = rest.iter().take(BATCH).take_while(fits).count();
        assert!(count > 0, "an event is larger than SQS takes");
        let (batch, after) = rest.split_at(count);
        let sent = sqs.send_message_batch().queue_url(url).set_entries(Some(batch.iter().map(entry).collect()));
        let sent = sent.send().await.expect("events are sent");
        assert!(sent.failed().is_empty(), "events refused: {:?}", sent.failed());
        rest = after;
    }
}

fn entry(event: &Event) -> SendMessageBatchRequestEntry {
    let id = Uuid::now_v7().simple().to_string();
    let mut entry = SendMessageBatchRequestEntry::builder()
        .id(&id)
        .message_deduplication_id(&id)
        .message_group_id(&event.group)
        .message_body(&event.body);
    if let Some(event_type) = event.event_type {
        let value = MessageAttributeValue::builder().data_type("String").string_value(event_type).build();
        entry = entry.message_attributes("event_type", value.expect("an attribute"));
    }
    entry.build().expect("an entry")
}

/// How much is in a queue.
pub async fn depth(sqs: &Client, url: &str) -> Depth {
    let (visible, in_flight) =
        (Attribute::ApproximateNumberOfMessages, Attribute::ApproximateNumberOfMessagesNotVisible);
    let asked = sqs.get_queue_attributes().queue_url(url).attribute_names(visible.clone());
    let got = asked.attribute_names(in_flight.clone()).send().await.expect("the queue tells its depth");
    let attributes = got.attributes.unwrap_or_default();
    let number = |name| attributes.get(&name).and_then(|number: &String| number.parse().ok()).unwrap_or_default();
    Depth { visible: number(visible), in_flight: number(in_flight) }
}

/// Takes everything out of a queue.
pub async fn drain(sqs: &Client, url: &str) -> Vec<DeadLetter> {
    let mut letters = Vec::new();
    loop {
        let received = sqs
            .receive_message()
            .queue_url(url)
            .max_number_of_messages(10)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_attribute_names("All")
            .send()
            .await
            .expect("dead letters are received");
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            return letters;
        }
        for message in messages {
            let receipt = message.receipt_handle.unwrap_or_default();
            sqs.delete_message().queue_url(url).receipt_handle(receipt).send().await.expect("a dead letter is taken");
            let attributes: BTreeMap<String, String> = message
                .message_attributes
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.string_value?)))
                .collect();
            letters.push(DeadLetter {
                group: message
                    .attributes
                    .and_then(|mut system| system.remove(&MessageSystemAttributeName::MessageGroupId))
                    .unwrap_or_default(),
                body: message.body.unwrap_or_default(),
                why: attributes.get("x-dlq").and_then(|why| serde_json::from_str(why).ok()).unwrap_or_default(),
                attributes,
            });
        }
    }
}
