//! Item ↔ domain: the attribute names, the keys, and how a large message is cut into items.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};

use super::{Cursor, DueHead, HotError, Page, Put};
use crate::domain::{ConversationId, Head, Message, Spot, ThreadKey};

/// The sparse index of heads with a timer (infra/conversationd.yaml).
pub const DUE_INDEX: &str = "due";

/// Partitions of the sparse index: each takes 1,000 head writes a second, and every replica reads all of them at every tick.
pub const DUE_SHARDS: u8 = 8;

/// Bytes of one item's body: DynamoDB's limit of 400 KB less room for keys (2 KB + 1 KB) and the other attributes.
const PART_BYTES: usize = 380_000;

pub(super) type Item = HashMap<String, AttributeValue>;

pub(super) const PK: &str = "pk";
pub(super) const SK: &str = "sk";
pub(super) const VERSION: &str = "version";
pub(super) const DUE_SHARD: &str = "due_shard";
pub(super) const DUE_AT: &str = "due_at";
pub(super) const RECEIVED_AT: &str = "received_at";
pub(super) const BODY: &str = "body";
const PARTS: &str = "parts";
pub(super) const EXPIRES_AT: &str = "expires_at";
pub(super) const ATTEMPTS: &str = "attempts";
const CONVERSATION_ID: &str = "conversation_id";
const GROUP_ID: &str = "group_id";
pub(super) const HEAD: &str = "HEAD";

pub(super) fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

pub(super) fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// The key of a thread's head.
pub(super) fn head_key(thread: &ThreadKey) -> Item {
    HashMap::from([(PK.into(), text(thread.as_str())), (SK.into(), text(HEAD))])
}

/// The key of a delivery's count of failed attempts.
pub(super) fn attempts_key(message_id: &str) -> Item {
    HashMap::from([(PK.into(), text(format!("ATTEMPTS#{message_id}"))), (SK.into(), text("ATTEMPTS"))])
}

pub(super) fn attempts(item: &Item) -> Result<u32, HotError> {
    u32::try_from(integer(item, ATTEMPTS)?).map_err(|_| HotError::Unreadable(ATTEMPTS))
}

/// What the sort keys of a conversation's messages begin with.
pub(super) fn messages_of(conversation: ConversationId) -> String {
    format!("M#{conversation}#")
}

/// What sorts right after all of them.
pub(super) fn after_messages_of(conversation: ConversationId) -> String {
    format!("M#{conversation}$")
}

/// W1: `M#{conversation}#{occurred_at µs}#{sequence}#{event}`. Sorts as the archive does, and the same delivery gives the same key.
pub(super) fn message_sk(conversation: ConversationId, message: &Message) -> String {
    spot_sk(conversation, message.spot())
}

/// The sort key of the message that stands at `place`.
pub(super) fn spot_sk(conversation: ConversationId, place: Spot) -> String {
    let micros = place.occurred_at.timestamp_micros().max(0);
    format!("M#{conversation}#{micros:016}#{:032x}#{}", place.sequence.0, place.event_id)
}

/// Whether the item is a message's first part, or all of it: the bare key.
pub(super) fn is_first_part(item: &Item) -> Result<bool, HotError> {
    Ok(string(item, SK)?.split('#').count() == 5)
}

/// The place in its group of the message that an item belongs to.
pub(super) fn sequence(item: &Item) -> Result<u128, HotError> {
    let digits = string(item, SK)?.split('#').nth(3).unwrap_or_default();
    u128::from_str_radix(digits, 16).map_err(|_| HotError::Unreadable(SK))
}

/// The item of a head. A closed head expires with the messages it closed over; another never does.
pub(super) fn of_head(thread: &ThreadKey, head: &Head, ttl: TimeDelta) -> Result<Item, HotError> {
    let body = serde_json::to_string(head).map_err(|_| HotError::Unreadable("head"))?;
    let mut item = head_key(thread);
    item.insert(VERSION.into(), number(head.version));
    item.insert(BODY.into(), text(body));
    item.insert(CONVERSATION_ID.into(), text(head.conversation.record().id.to_string()));
    item.insert(GROUP_ID.into(), text(&head.group_id));
    if let Some(due_at) = head.conversation.due() {
        item.insert(DUE_SHARD.into(), text(shard(thread).to_string()));
        item.insert(DUE_AT.into(), number(due_at.timestamp_millis()));
    }
    if let crate::domain::Conversation::Closed(closed) = &head.conversation {
        item.insert(EXPIRES_AT.into(), number((closed.close.at + ttl).timestamp()));
    }
    Ok(item)
}

pub(super) fn to_head(item: &Item) -> Result<Head, HotError> {
    serde_json::from_str(string(item, BODY)?).map_err(|_| HotError::Unreadable("head"))
}

/// The items of a message: one, or as many as its size needs, side by side in key order.
pub(super) fn of_message(put: &Put, ttl: TimeDelta) -> Result<Vec<Item>, HotError> {
    let body = serde_json::to_string(&*put.message).map_err(|_| HotError::Unreadable("message"))?;
    let sk = message_sk(put.conversation, &put.message);
    let parts = cut(&body);
    let expires_at = (put.message.received_at + ttl).timestamp();
    let item = |part: usize, body: &str| {
        let sk = if part == 0 { sk.clone() } else { format!("{sk}#{part}") };
        HashMap::from([
            (PK.to_owned(), text(put.thread.as_str())),
            (SK.to_owned(), text(sk)),
            (BODY.to_owned(), text(body)),
            (PARTS.to_owned(), number(parts.len())),
            (RECEIVED_AT.to_owned(), number(put.message.received_at.timestamp_millis())),
            (EXPIRES_AT.to_owned(), number(expires_at)),
        ])
    };
    Ok(parts.iter().enumerate().map(|(part, body)| item(part, body)).collect())
}

fn cut(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = body;
    while rest.len() > PART_BYTES {
        let (part, after) = rest.split_at(rest.floor_char_boundary(PART_BYTES));
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    parts
}

/// Puts messages together again from items in key order.
///
/// A message whose parts are not all there was never written to the end, so never acked: its delivery will bring it again,
/// and it is left out.
#[derive(Default)]
pub(super) struct Assembly {
    messages: Vec<Message>,
    sk: String,
    body: String,
    wanted: usize,
    held: usize,
    last: Option<Cursor>,
}

impl Assembly {
    pub(super) fn add(&mut self, item: &Item) -> Result<(), HotError> {
        let sk = string(item, SK)?;
        self.last = Some(Cursor(sk.to_owned()));
        if self.held > 0 && sk.strip_prefix(&self.sk).is_some_and(|rest| rest == format!("#{}", self.held)) {
            self.held += 1;
        } else {
            self.sk = sk.to_owned();
            self.body.clear();
            self.wanted = integer(item, PARTS)?;
            // the first part carries the bare key; a part without its first belongs to an unfinished write
            self.held = usize::from(is_first_part(item)?);
        }
        self.body.push_str(string(item, BODY)?);
        if self.held == self.wanted {
            let message = serde_json::from_str(&self.body).map_err(|_| HotError::Unreadable("message"))?;
            self.messages.push(message);
            self.held = 0;
        }
        Ok(())
    }

    /// Whether the last message still lacks parts that may follow.
    pub(super) fn in_the_middle(&self) -> bool {
        self.held > 0
    }

    pub(super) fn last(&self) -> Option<Cursor> {
        self.last.clone()
    }

    pub(super) fn page(self, more: bool) -> Page {
        Page { next: self.last.filter(|_| more), messages: self.messages }
    }
}

/// The shard of the sparse index that a thread's head stands in.
pub(super) fn shard(thread: &ThreadKey) -> u8 {
    (thread.spread() % u64::from(DUE_SHARDS)) as u8
}

pub(super) fn to_due(item: &Item) -> Result<DueHead, HotError> {
    let unreadable = HotError::Unreadable("due index entry");
    Ok(DueHead {
        thread: ThreadKey::stored(string(item, PK)?.to_owned()),
        conversation: ConversationId(string(item, CONVERSATION_ID)?.parse().map_err(|_| unreadable.clone())?),
        group_id: string(item, GROUP_ID)?.to_owned(),
        due_at: millis(item, DUE_AT)?.ok_or(unreadable)?,
    })
}

pub(super) fn millis(item: &Item, name: &'static str) -> Result<Option<DateTime<Utc>>, HotError> {
    let Some(AttributeValue::N(digits)) = item.get(name) else { return Ok(None) };
    let millis = digits.parse().ok().and_then(DateTime::from_timestamp_millis);
    millis.map(Some).ok_or(HotError::Unreadable(name))
}

pub(super) fn integer(item: &Item, name: &'static str) -> Result<usize, HotError> {
    match item.get(name) {
        Some(AttributeValue::N(digits)) => digits.parse().map_err(|_| HotError::Unreadable(name)),
        _ => Err(HotError::Unreadable(name)),
    }
}

pub(super) fn string<'a>(item: &'a Item, name: &'static str) -> Result<&'a str, HotError> {
    match item.get(name) {
        Some(AttributeValue::S(value)) => Ok(value),
        _ => Err(HotError::Unreadable(name)),
    }
}
