//! Conversations of a known length, written into the table as the daemon writes them.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::Client;
use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    domain::{EventId, Head, Message, Policy, Sequence, Thread},
    event::{self, Kind, Raw},
    hot::{DynamoStore, HotStore, Put},
};
use uuid::Uuid;

/// Messages in one BatchWriteItem.
const AT_ONCE: usize = 25;

/// Items live so long.
const TTL: Duration = Duration::from_secs(30 * 24 * 3600);

/// Time between two messages.
const APART: TimeDelta = TimeDelta::milliseconds(700);

const RECEIVED: &str = include_str!("../../tests/fixtures/events/message_received.json");
const SENT: &str = include_str!("../../tests/fixtures/events/message_sent.json");

/// The messages of a conversation of `messages`, both sides in turn, from `begins` on.
pub fn conversation(messages: usize, begins: DateTime<Utc>) -> (Thread, impl Iterator<Item = Message>) {
    let (thread, first) = decoded(RECEIVED, messages, begins);
    let (_, second) = decoded(SENT, messages, begins);
    let all = (0..messages).map(move |n| {
        let said = if n.is_multiple_of(2) { &first } else { &second };
        let at = begins + APART * i32::try_from(n).unwrap_or(i32::MAX);
        Message {
            event_id: EventId(Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{messages} {n} {begins}").as_bytes())),
            occurred_at: at,
            received_at: at,
            sequence: Sequence(1 + n as u128),
            ..said.clone()
        }
    });
    (thread, all)
}

/// The thread that has a conversation of `messages`.
pub fn contact(messages: usize) -> String {
    format!("whatsapp:+kept{messages:08}")
}

fn decoded(body: &str, messages: usize, at: DateTime<Utc>) -> (Thread, Message) {
    let mut event: serde_json::Value = serde_json::from_str(body).expect("a fixture is JSON");
    event["data"]["contact_urn"] = contact(messages).into();
    let (body, none) = (event.to_string(), Default::default());
    let raw = Raw { body: &body, attributes: &none, sent_at: at, sequence: Sequence(1), group_id: "kept" };
    let event = event::decode(&raw).expect("a fixture is a message");
    let Kind::Message(message) = event.kind else { panic!("not a message") };
    (event.thread, Message::clone(&message))
}

/// Writes conversations of these lengths.
///
/// # Errors
/// The table took one not.
pub async fn write(client: Client, table: String, lengths: &[usize]) -> anyhow::Result<()> {
    let store = DynamoStore::new(client, table, TTL);
    for length in lengths {
        let begins = Utc::now() - APART * i32::try_from(*length).unwrap_or(i32::MAX);
        let (thread, messages) = conversation(*length, begins);
        let (key, mut conversation, mut puts) = (thread.key(), None, Vec::with_capacity(AT_ONCE));
        for message in messages {
            if conversation.is_none() {
                let head = Head::opened_by(&thread, "kept", None, &message, &Policy::DEFAULT);
                store.write_head(&key, &head).await?;
                conversation = Some(head.conversation.record().id);
            }
            let Some(conversation) = conversation else { continue };
            puts.push(Put { thread: key.clone(), conversation, message: Arc::new(message) });
            if puts.len() == AT_ONCE {
                store.put_messages(std::mem::take(&mut puts)).await.into_iter().collect::<Result<(), _>>()?;
            }
        }
        store.put_messages(puts).await.into_iter().collect::<Result<(), _>>()?;
    }
    Ok(())
}
