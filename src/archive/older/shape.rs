//! A row of the older service's database → a conversation as the archive has them. Pure: the same row gives the same ids.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde_json::{Map, Value};
use sqlx::FromRow;
use uuid::Uuid;

use super::Older;
use crate::domain::{
    ConversationId, Direction, EventId, Message, Rating, RatingKind, Sequence, Thread, ThreadKey, Window,
};

/// What a message is known by here; the rest of an entry is kept as metadata.
const KNOWN: [&str; 6] = ["message_id", "uuid", "text", "source", "created_at", "contact_name"];

/// Longest id kept, in characters.
const LONGEST_ID: usize = 255;

/// A conversation as it stands there.
#[derive(Clone, Debug, FromRow)]
pub(super) struct OlderRow {
    pub(super) uuid: Uuid,
    pub(super) project: String,
    pub(super) contact: Option<String>,
    pub(super) channel: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) contact_name: Option<String>,
    pub(super) ticket: Option<String>,
    pub(super) has_chats_room: bool,
    pub(super) start_date: Option<DateTime<Utc>>,
    pub(super) end_date: Option<DateTime<Utc>>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) resolution: String,
    pub(super) csat: Option<String>,
    pub(super) nps: Option<i32>,
    pub(super) messages: Option<Value>,
    pub(super) written_at: Option<DateTime<Utc>>,
    pub(super) topic: Option<String>,
    pub(super) subtopic: Option<String>,
}

/// The conversation of `row`.
pub(super) fn shaped(row: OlderRow) -> Older {
    let id = ConversationId(row.uuid);
    let thread = thread(&row);
    let key = thread.key();
    let began = row.start_date.unwrap_or(row.created_at);
    let entries = match row.messages {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    let count = entries.len();
    let contact_name = row.contact_name.clone().map(clean);
    let messages = messages(entries, began, id, &key);
    let mut unreadable = (count - messages.len()) as u64;
    let first = messages.first().map_or(began, |message| message.occurred_at.min(began));
    let last = messages.last().map_or(began, |message| message.occurred_at);
    // its end was set a day ahead; what tells when it was closed is when its messages were moved
    let ends = [row.end_date, row.written_at].into_iter().flatten().min().unwrap_or(last);
    let closed_at = ends.max(last).max(first);
    let mut ratings = Vec::new();
    let scores = [
        (RatingKind::Csat, "weni_csat", "survey.csat", row.csat.as_deref().map(str::trim).map(str::to_owned), 1..=5),
        (RatingKind::Nps, "weni_nps", "survey.nps", row.nps.map(|score| score.to_string()), 0..=10),
    ];
    for (kind, name, event_type, said, range) in scores {
        let Some(value) = said.filter(|value| !value.is_empty()) else { continue };
        match value.parse::<u8>() {
            Ok(score) if range.contains(&score) => ratings.push(Rating {
                event_id: EventId::derive(&key, event_type, &["older", &id.to_string()].join("\0")),
                kind,
                key: name.to_owned(),
                value,
                score: Some(score),
                comment: None,
                agent_id: None,
                answered_at: closed_at,
                received_at: closed_at,
                sequence: Sequence(0),
            }),
            _ => unreadable += 1,
        }
    }
    Older {
        id,
        thread,
        opened_at: first,
        closed_at,
        contact_name,
        resolution: row.resolution.trim().parse().ok().filter(|resolution| *resolution <= 4),
        topic: row.topic.map(clean),
        subtopic: row.subtopic.map(clean),
        window: Window { external_id: row.external_id.map(clean), start: row.start_date, end: row.end_date },
        ticket: row.ticket,
        has_chats_room: row.has_chats_room,
        messages,
        ratings,
        unreadable,
    }
}

fn thread(row: &OlderRow) -> Thread {
    match (&row.contact, &row.channel) {
        (Some(contact), Some(channel)) => Thread {
            project: row.project.clone(),
            contact: Some(clean(contact.clone())),
            channel: Some(channel.clone()),
            conversation: None,
        },
        (contact, channel) => Thread {
            project: row.project.clone(),
            contact: contact.clone().map(clean),
            channel: channel.clone(),
            conversation: Some(row.uuid.to_string()),
        },
    }
}

/// The messages, the oldest first. They stand there the newest first, or the oldest first, and those of one second anyhow.
fn messages(entries: Vec<Value>, began: DateTime<Utc>, id: ConversationId, key: &ThreadKey) -> Vec<Message> {
    let mut read: Vec<(DateTime<Utc>, Map<String, Value>)> = Vec::with_capacity(entries.len());
    for entry in entries {
        if let Value::Object(entry) = entry {
            read.push((entry.get("created_at").and_then(time).unwrap_or(began), entry));
        }
    }
    let newest_first = read.first().map(|(at, _)| *at) > read.last().map(|(at, _)| *at);
    if newest_first {
        read.reverse();
    }
    read.sort_by_key(|(at, _)| *at);
    let place = |(place, (at, entry)): (usize, (DateTime<Utc>, Map<String, Value>))| message(entry, at, place, id, key);
    read.into_iter().enumerate().map(place).collect()
}

fn message(
    mut entry: Map<String, Value>,
    at: DateTime<Utc>,
    place: usize,
    id: ConversationId,
    key: &ThreadKey,
) -> Message {
    let text = |value: Option<&Value>| match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.replace('\0', ""),
        Some(other) => other.to_string(),
    };
    let external_id = Some(text(entry.get("message_id").or(entry.get("uuid")))).filter(|id| !id.is_empty());
    let direction = match text(entry.get("source")).to_ascii_lowercase().as_str() {
        "incoming" | "user" | "contact" => Direction::Incoming,
        "outgoing" | "agent" | "assistant" | "bot" => Direction::Outgoing,
        _ => Direction::System,
    };
    // as an event without a correlation id would be known, so that one that comes again by the queue is the same
    let event_type = if direction == Direction::Outgoing { "message.sent" } else { "message.received" };
    let event_id = match &external_id {
        Some(message_id) => EventId::derive(key, event_type, message_id),
        None => EventId::derive(key, event_type, &["older", &id.to_string(), &place.to_string()].join("\0")),
    };
    let contact_name = Some(text(entry.get("contact_name"))).filter(|name| !name.is_empty());
    let said = text(entry.get("text"));
    entry.retain(|name, value| !KNOWN.contains(&name.as_str()) && !value.is_null());
    let metadata = entry.into_iter().map(|(name, value)| (clean(name), without_nul(value))).collect();
    Message {
        event_id,
        occurred_at: at,
        received_at: at,
        sequence: Sequence(place as u128 + 1),
        direction,
        text: said,
        external_id: external_id.map(|id| id.chars().take(LONGEST_ID).collect()),
        contact_name,
        content_type: None,
        sender_type: None,
        sender_id: None,
        agent_id: None,
        model_used: None,
        tokens_used: None,
        tokens: None,
        sentiment: None,
        intent: None,
        entities: Vec::new(),
        attachments: Vec::new(),
        metadata,
    }
}

/// Its times: with an offset, or without one and then in UTC; sometimes with a blank where others have a T. To the
/// microsecond, as they are kept.
fn time(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?.trim();
    let aware = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    let naive = || {
        ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
            .iter()
            .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok())
            .map(|at| at.and_utc())
    };
    let at = aware.or_else(naive)?;
    let years = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(130 * 365));
    (years.0 <= at && at < years.1).then(|| DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at))
}

/// PostgreSQL keeps no NUL.
fn clean(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text }
}

fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(text)),
        Value::Array(values) => values.into_iter().map(without_nul).collect(),
        Value::Object(object) => object.into_iter().map(|(name, value)| (clean(name), without_nul(value))).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn row(messages: Value) -> OlderRow {
        OlderRow {
            uuid: "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11".parse().expect("a UUID"),
            project: "11111111-1111-4111-8111-111111111111".into(),
            contact: Some("whatsapp:+5511900000001".into()),
            channel: Some("22222222-2222-4222-8222-222222222222".into()),
            external_id: None,
            contact_name: Some("Ana".into()),
            ticket: None,
            has_chats_room: false,
            start_date: Some(at("2026-02-01T12:00:00Z")),
            end_date: Some(at("2026-02-02T12:00:00Z")),
            created_at: at("2026-02-01T12:00:01Z"),
            resolution: "0".into(),
            csat: Some("5".into()),
            nps: Some(0),
            messages: Some(messages),
            written_at: Some(at("2026-02-02T03:00:00Z")),
            topic: None,
            subtopic: None,
        }
    }

    #[test]
    fn what_stands_the_newest_first_is_turned_around_and_a_second_keeps_its_order() {
        let entry = |id: &str, second: u8, source: &str| json!({"message_id": id, "uuid": id, "text": id, "source": source, "created_at": format!("2026-02-01T12:00:0{second}")});
        let older = shaped(row(json!([
            entry("d", 2, "outgoing"),
            entry("c", 1, "incoming"),
            entry("b", 1, "outgoing"),
            entry("a", 0, "incoming")
        ])));
        let said: Vec<_> =
            older.messages.iter().map(|message| (message.text.as_str(), message.direction.as_str())).collect();
        assert_eq!(said, [("a", "incoming"), ("b", "outgoing"), ("c", "incoming"), ("d", "outgoing")]);
        assert_eq!(older.messages[3].occurred_at, at("2026-02-01T12:00:02Z"));
        assert!(older.messages.iter().all(|message| message.metadata.is_empty()));
    }

    #[test]
    fn a_message_has_the_id_that_its_event_without_a_correlation_id_would_have() {
        let older = shaped(row(
            json!([{"message_id": "m-1", "text": "Olá", "source": "incoming", "created_at": "2026-02-01T09:00:00-03:00"}]),
        ));
        let expected = EventId::derive(&older.thread.key(), "message.received", "m-1");
        assert_eq!((older.messages[0].event_id, older.messages[0].occurred_at), (expected, at("2026-02-01T12:00:00Z")));
    }

    #[test]
    fn the_same_row_gives_the_same_and_messages_without_an_id_stay_apart() {
        let messages = json!([{"text": "oi", "source": "incoming"}, {"text": "oi", "source": "incoming", "created_at": "soon", "traces": ["a\u{0}"]}]);
        let older = shaped(row(messages.clone()));
        assert_eq!(older, shaped(row(messages)));
        assert_ne!(older.messages[0].event_id, older.messages[1].event_id);
        assert_eq!(older.messages[1].metadata["traces"], json!(["a"]));
        assert_eq!(older.messages[0].occurred_at, at("2026-02-01T12:00:00Z"), "the conversation's beginning");
    }

    #[test]
    fn zero_is_a_score_and_what_is_none_is_counted() {
        let older = shaped(row(json!([{"text": "oi"}, "oi", null])));
        let scores: Vec<_> = older.ratings.iter().map(|rating| (rating.kind.as_str(), rating.score)).collect();
        assert_eq!((scores, older.unreadable), (vec![("csat", Some(5)), ("nps", Some(0))], 2));
        let older = shaped(OlderRow { csat: Some("9".into()), nps: Some(-1), ..row(json!([])) });
        assert_eq!((older.ratings.len(), older.unreadable), (0, 2));
    }

    #[test]
    fn it_closed_when_its_messages_were_moved_and_not_before_its_last() {
        assert_eq!(shaped(row(json!([]))).closed_at, at("2026-02-02T03:00:00Z"));
        let late = json!([{"text": "oi", "created_at": "2026-02-05T00:00:00Z"}]);
        assert_eq!(shaped(row(late)).closed_at, at("2026-02-05T00:00:00Z"));
        let bare = OlderRow { end_date: None, written_at: None, start_date: None, ..row(Value::Null) };
        assert_eq!(shaped(bare).closed_at, at("2026-02-01T12:00:01Z"));
    }

    #[test]
    fn without_a_channel_it_is_a_thread_of_its_own() {
        let older = shaped(OlderRow { channel: None, ..row(json!([])) });
        assert_eq!(older.thread.conversation.as_deref(), Some("6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11"));
        assert_eq!(
            older.thread.contact.as_deref(),
            Some("whatsapp:+5511900000001"),
            "by whom it can be found, to erase it"
        );
    }
}
