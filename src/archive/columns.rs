//! Messages ↔ columns of the table `message`.
//!
//! On the way in a page is one array per column, so that a thousand messages are one statement.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::de::value::{Error as NameError, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};
use serde_json::{Map, Value};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::QueryScalar;
use sqlx::types::Json;
use sqlx::{Postgres, Row};
use uuid::Uuid;

use crate::domain::{ConversationId, EventId, Message, Sequence, Tokens};

const INSERT: &str = "
    insert into message (
        conversation_id, arrived_after_close,
        event_id, occurred_at, received_at, sequence, direction, text, external_id, contact_name, content_type,
        sender_type, sender_id, agent_id, model_used, tokens_used, sentiment, intent, entities, attachments, metadata,
        tokens, tokenizer
    )
    select
        $1, $2,
        event_id, occurred_at, received_at, sequence::numeric, direction, text, external_id, contact_name, content_type,
        sender_type, sender_id, agent_id, model_used, tokens_used, sentiment, intent, entities, attachments, metadata,
        tokens, tokenizer
    from unnest(
        $3::uuid[], $4::timestamptz[], $5::timestamptz[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
        $11::text[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[], $17::text[], $18::text[],
        $19::jsonb[], $20::jsonb[], $21::jsonb[], $22::bigint[], $23::text[]
    ) as page (
        event_id, occurred_at, received_at, sequence, direction, text, external_id, contact_name,
        content_type, sender_type, sender_id, agent_id, model_used, tokens_used, sentiment, intent,
        entities, attachments, metadata, tokens, tokenizer
    )
    on conflict (event_id) do nothing -- W7: insert once
    returning event_id";

/// The columns [`message`] reads.
pub(super) const MESSAGE: &str = "
    event_id, occurred_at, received_at, sequence::text as sequence, direction, text, external_id, contact_name,
    content_type, sender_type, sender_id, agent_id, model_used, tokens_used, sentiment, intent, entities, attachments,
    metadata, tokens, tokenizer";

/// A time as PostgreSQL keeps it.
pub(super) fn to_the_microsecond(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// The messages without repeats of an event; the first copy of each stays.
pub(super) fn distinct(messages: &[Message]) -> Vec<&Message> {
    let mut seen = HashSet::with_capacity(messages.len());
    messages.iter().filter(|message| seen.insert(message.event_id)).collect()
}

/// The statement that inserts those of `page` that stand nowhere yet and returns their ids.
pub(super) fn insert<'q>(
    conversation: ConversationId,
    page: &[&'q Message],
    late: bool,
) -> QueryScalar<'q, Postgres, Uuid, PgArguments> {
    sqlx::query_scalar(INSERT)
        .bind(conversation.0)
        .bind(late)
        .bind(column(page, |m| m.event_id.0))
        .bind(column(page, |m| to_the_microsecond(m.occurred_at)))
        .bind(column(page, |m| to_the_microsecond(m.received_at)))
        .bind(column(page, |m| m.sequence.0.to_string()))
        .bind(column(page, |m| m.direction.as_str()))
        .bind(column(page, |m| m.text.as_str()))
        .bind(column(page, |m| m.external_id.as_deref()))
        .bind(column(page, |m| m.contact_name.as_deref()))
        .bind(column(page, |m| m.content_type.as_deref()))
        .bind(column(page, |m| m.sender_type.map(|kind| kind.as_str())))
        .bind(column(page, |m| m.sender_id.as_deref()))
        .bind(column(page, |m| m.agent_id.as_deref()))
        .bind(column(page, |m| m.model_used.as_deref()))
        .bind(column(page, |m| m.tokens_used.map(i64::from)))
        .bind(column(page, |m| m.sentiment.as_deref()))
        .bind(column(page, |m| m.intent.as_deref()))
        .bind(column(page, |m| (!m.entities.is_empty()).then_some(Json(&m.entities))))
        .bind(column(page, |m| (!m.attachments.is_empty()).then_some(Json(&m.attachments))))
        .bind(column(page, |m| (!m.metadata.is_empty()).then_some(Json(&m.metadata))))
        .bind(column(page, |m| m.tokens.as_ref().map(|tokens| i64::from(tokens.count))))
        .bind(column(page, |m| m.tokens.as_ref().map(|tokens| &*tokens.tokenizer)))
}

fn column<'a, T>(page: &[&'a Message], value: impl Fn(&'a Message) -> T) -> Vec<T> {
    page.iter().map(|message| value(message)).collect()
}

/// A stored message, as it was before it was stored.
pub(super) fn message(row: &PgRow) -> Result<Message, sqlx::Error> {
    let sequence: &str = row.try_get("sequence")?;
    let sender_type: Option<&str> = row.try_get("sender_type")?;
    let tokens_used: Option<i64> = row.try_get("tokens_used")?;
    let tokens: Option<i64> = row.try_get("tokens")?;
    let tokenizer: Option<String> = row.try_get("tokenizer")?;
    let tokens = tokens.map(u32::try_from).transpose().map_err(unreadable)?;
    let entities: Option<Json<Vec<Value>>> = row.try_get("entities")?;
    let attachments: Option<Json<Vec<Value>>> = row.try_get("attachments")?;
    let metadata: Option<Json<Map<String, Value>>> = row.try_get("metadata")?;
    Ok(Message {
        event_id: EventId(row.try_get("event_id")?),
        occurred_at: row.try_get("occurred_at")?,
        received_at: row.try_get("received_at")?,
        sequence: Sequence(sequence.parse().map_err(unreadable)?),
        direction: named(row.try_get("direction")?)?,
        text: row.try_get("text")?,
        external_id: row.try_get("external_id")?,
        contact_name: row.try_get("contact_name")?,
        content_type: row.try_get("content_type")?,
        sender_type: sender_type.map(named).transpose()?,
        sender_id: row.try_get("sender_id")?,
        agent_id: row.try_get("agent_id")?,
        model_used: row.try_get("model_used")?,
        tokens_used: tokens_used.map(u32::try_from).transpose().map_err(unreadable)?,
        tokens: tokens.zip(tokenizer).map(|(count, tokenizer)| Tokens { tokenizer: tokenizer.into(), count }),
        sentiment: row.try_get("sentiment")?,
        intent: row.try_get("intent")?,
        entities: entities.map_or_else(Vec::new, |json| json.0),
        attachments: attachments.map_or_else(Vec::new, |json| json.0),
        metadata: metadata.map_or_else(Map::new, |json| json.0),
    })
}

/// A closed set's member by its name in the archive, which is its name on the wire.
fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, sqlx::Error> {
    let name: StrDeserializer<'a, NameError> = name.into_deserializer();
    T::deserialize(name).map_err(unreadable)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}
