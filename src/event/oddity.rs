//! What is odd about an event that is accepted: it may be kept otherwise than its publisher thinks.
//!
//! Asks the decoder, and the shapes that its readers declare; knows no rule of its own. Quotes no value.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value};

use super::contract::{self, Described};
use super::envelope::Envelope;
use super::{Event, Kind, Raw, decode, time};
use crate::domain::Direction;

/// A clock of a publisher may be so far ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(5);

/// What is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Oddity {
    /// Known by its body alone.
    NoId,
    /// Known by its message's id alone.
    MessageIdAlone,
    /// An id with blanks around it.
    PaddedId,
    /// Nothing says when it was.
    MissingTime,
    /// What should say when it was cannot be read.
    UnreadableTime,
    /// A time without an offset.
    NoOffset,
    /// A time to come.
    FutureTime,
    /// A message that says nothing.
    EmptyMessage,
    /// The event and its message disagree on who spoke.
    OtherDirection,
    /// A field that nobody reads.
    UnknownField,
    /// A field under another name than its own.
    OtherName,
    /// A NUL in some text.
    NulRemoved,
    /// The daemon's own command.
    Internal,
    /// A request whose answer will not name it.
    NotEchoed,
    /// A request that nobody waits for any more.
    Expired,
}

/// Something odd, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Odd {
    /// What.
    pub what: Oddity,
    /// The field, as the publisher wrote it, with those around it.
    pub field: Option<String>,
}

impl Oddity {
    /// A word to filter by.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoId => "no_id",
            Self::MessageIdAlone => "message_id_alone",
            Self::PaddedId => "padded_id",
            Self::MissingTime => "missing_time",
            Self::UnreadableTime => "unreadable_time",
            Self::NoOffset => "no_offset",
            Self::FutureTime => "future_time",
            Self::EmptyMessage => "empty_message",
            Self::OtherDirection => "other_direction",
            Self::UnknownField => "unknown_field",
            Self::OtherName => "other_name",
            Self::NulRemoved => "nul_removed",
            Self::Internal => "internal",
            Self::NotEchoed => "not_echoed",
            Self::Expired => "expired",
        }
    }

    /// What becomes of it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoId => {
                "no id: it is known by its body's hash, and a second try that differs in one byte is a second event"
            }
            Self::MessageIdAlone => {
                "no correlation_id: it is known by its message's id; a new id on a second try makes two of it"
            }
            Self::PaddedId => "begins or ends with blanks, which are kept: another id than without",
            Self::MissingTime => "no time: the queue's stands in",
            Self::UnreadableTime => "is no time that can be read: it is as good as none",
            Self::NoOffset => "has no offset: it is taken as UTC",
            Self::FutureTime => "lies in the future: what is said until then stands before it",
            Self::EmptyMessage => "neither text nor attachment: it is kept, and marked empty",
            Self::OtherDirection => "message.source says otherwise than the event's type: the source counts",
            Self::UnknownField => "is not read: nothing of it is kept",
            Self::OtherName => "is another name of a field: taken for as long as older publishers use it",
            Self::NulRemoved => "a NUL character: it is removed",
            Self::Internal => "is the daemon's own command",
            Self::NotEchoed => {
                "no correlation_id of at most 64 printable characters: the answer does not say whose it is"
            }
            Self::Expired => "its deadline has passed: it is not answered",
        }
    }

    /// What to do about it.
    pub fn next(self) -> &'static str {
        match self {
            Self::NoId | Self::MessageIdAlone => {
                "set correlation_id to an id of the event that stays the same on every try"
            }
            Self::PaddedId => "trim it where it is first read",
            Self::MissingTime => "send the time at which it happened, with its offset",
            Self::UnreadableTime => {
                "write it as 2026-03-01T09:30:45.123-03:00, or as seconds or milliseconds since 1970"
            }
            Self::NoOffset => "write the offset, or Z",
            Self::FutureTime => "check the publisher's clock, and whether local time is written as UTC",
            Self::EmptyMessage => "send the text or the attachments, or nothing",
            Self::OtherDirection => "make the two agree",
            Self::UnknownField => "put it into message.metadata if it is to be kept, or leave it out",
            Self::OtherName => "use the field's own name: `conversationd schema NAME` shows it",
            Self::NulRemoved => "remove it before sending, if it means something",
            Self::Internal => "do not publish it",
            Self::NotEchoed => "set correlation_id to a short id of the request",
            Self::Expired => "send requests when they are made, with a deadline ahead",
        }
    }
}

/// What is odd about the delivery, if it decodes.
pub fn oddities(raw: &Raw<'_>, now: DateTime<Utc>) -> Vec<Odd> {
    let (Ok(event), Ok(envelope)) = (decode(raw), Envelope::open(raw)) else { return Vec::new() };
    let mut odd = Oddities::default();
    odd.of_identity(raw, &event, &envelope);
    if stands_in(raw, &event) {
        odd.note(Oddity::MissingTime, None);
    }
    odd.of_kind(&event, &envelope, now);
    if serde_json::from_str(raw.body).is_ok_and(|body| has_nul(&body)) {
        odd.note(Oddity::NulRemoved, None);
    }
    if let Some(described) = contract::of(envelope.name, envelope.has("key")) {
        odd.of_fields(&described, &envelope, now);
    }
    // a time that is there and cannot be read is not missing
    if odd.0.iter().any(|odd| odd.what == Oddity::UnreadableTime) {
        odd.0.retain(|odd| odd.what != Oddity::MissingTime);
    }
    odd.0
}

/// The queue's time stands in for the event's: it moves when that does.
fn stands_in(raw: &Raw<'_>, event: &Event) -> bool {
    let time = |event: &Event| match &event.kind {
        Kind::Message(message) => Some(message.occurred_at),
        Kind::Rating(rating) => Some(rating.answered_at),
        Kind::ConversationWindow(window) => window.taken_over_at,
        _ => None,
    };
    let later = decode(&Raw { sent_at: raw.sent_at + TimeDelta::days(1), ..*raw });
    later.is_ok_and(|later| time(&later) != time(event))
}

#[derive(Default)]
struct Oddities(Vec<Odd>);

impl Oddities {
    fn note(&mut self, what: Oddity, field: Option<&str>) {
        self.0.push(Odd { what, field: field.map(str::to_owned) });
    }

    fn of_identity(&mut self, raw: &Raw<'_>, event: &Event, envelope: &Envelope) {
        let body = format!("{} ", raw.body);
        let by_body = decode(&Raw { body: &body, ..*raw }).is_ok_and(|other| other.id != event.id);
        let by_message = envelope.correlation_id.is_none() && matches!(event.kind, Kind::Message(_) | Kind::Rating(_));
        match (by_body, by_message) {
            (true, _) => self.note(Oddity::NoId, Some("correlation_id")),
            (false, true) => self.note(Oddity::MessageIdAlone, Some("correlation_id")),
            (false, false) => {}
        }
        let thread = &event.thread;
        let parts = [
            ("project_uuid", Some(&thread.project)),
            ("contact_urn", thread.contact.as_ref()),
            ("channel_uuid", thread.channel.as_ref()),
            ("conversation_id", thread.conversation.as_ref()),
            ("correlation_id", envelope.correlation_id.as_ref()),
        ];
        for (field, part) in parts {
            if part.is_some_and(|part| part.trim() != part) {
                self.note(Oddity::PaddedId, Some(field));
            }
        }
    }

    fn of_kind(&mut self, event: &Event, envelope: &Envelope, now: DateTime<Utc>) {
        match &event.kind {
            Kind::Message(message) => {
                if message.text.trim().is_empty() && message.attachments.is_empty() {
                    self.note(Oddity::EmptyMessage, Some("message.text"));
                }
                if envelope.name.expects().is_some_and(|other| opposite(message.direction, other)) {
                    self.note(Oddity::OtherDirection, Some("message.source"));
                }
            }
            Kind::Due(_) => self.note(Oddity::Internal, Some("event_type")),
            Kind::Request(request) => {
                if request.correlation_id.is_none() {
                    self.note(Oddity::NotEchoed, Some("correlation_id"));
                }
                if request.deadline.is_some_and(|deadline| deadline <= now) {
                    self.note(Oddity::Expired, Some("deadline"));
                }
            }
            _ => {}
        }
    }

    fn of_fields(&mut self, described: &Described, envelope: &Envelope, now: DateTime<Utc>) {
        let schema = Value::Object(described.schema());
        let (data, beside) = envelope.parts();
        let Some(beside) = beside else {
            // flat: everything stands in one place
            let all: Map<String, Value> = [&schema, &schema["properties"]["data"]]
                .into_iter()
                .filter_map(|schema| schema["properties"].as_object())
                .flat_map(|properties| properties.clone())
                .collect();
            return self.walk(data.object_itself(), &all, "", now);
        };
        if let Some(properties) = schema["properties"]["data"]["properties"].as_object() {
            self.walk(data.object_itself(), properties, "", now);
        }
        if let Some(mut properties) = schema["properties"].as_object().cloned() {
            for scored in ["key", "value"].into_iter().filter(|_| envelope.has("key")) {
                properties.insert(scored.to_owned(), Value::Null);
            }
            self.walk(beside.object_itself(), &properties, "", now);
        }
    }

    /// Looks at every field of `object`, and into those that have a shape.
    fn walk(&mut self, object: &Map<String, Value>, properties: &Map<String, Value>, prefix: &str, now: DateTime<Utc>) {
        for (field, value) in object {
            let path = format!("{prefix}{field}");
            let Some(form) = properties.get(field) else {
                self.note(Oddity::UnknownField, Some(&path));
                continue;
            };
            if form["deprecated"] == true && !value.is_null() {
                self.note(Oddity::OtherName, Some(&path));
            }
            if form["x-time"] == true {
                self.of_time(value, &path, now);
            }
            // the message that a score travels as is made up, whatever it holds
            let made_up = properties.contains_key("key") && properties.contains_key("value") && field == "message";
            let inner = form["properties"].as_object().filter(|_| !made_up);
            if let (Some(inner), Value::Object(value)) = (inner, value) {
                self.walk(value, inner, &format!("{path}."), now);
            }
        }
    }

    fn of_time(&mut self, value: &Value, path: &str, now: DateTime<Utc>) {
        let blank = value.is_null() || value.as_str().is_some_and(super::fields::is_blank);
        match time::read(value) {
            None if blank => {}
            None => self.note(Oddity::UnreadableTime, Some(path)),
            Some(at) => {
                // what takes an offset has none
                let offset = value.as_str().map(|text| Value::from([text.trim(), "Z"].concat()));
                if offset.is_some_and(|with_offset| time::read(&with_offset).is_some()) {
                    self.note(Oddity::NoOffset, Some(path));
                }
                if at > now + AHEAD && !MAY_LIE_AHEAD.contains(&path) {
                    self.note(Oddity::FutureTime, Some(path));
                }
            }
        }
    }
}

/// Ends of windows and of periods that are asked for.
const MAY_LIE_AHEAD: [&str; 5] = ["end", "end_date", "from", "to", "deadline"];

fn opposite(one: Direction, other: Direction) -> bool {
    matches!((one, other), (Direction::Incoming, Direction::Outgoing) | (Direction::Outgoing, Direction::Incoming))
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::Sequence;
    use crate::event::contract::described;
    use crate::event::testing::sent_at;

    fn found(body: &Value) -> Vec<(Oddity, Option<String>)> {
        let (body, attributes) = (body.to_string(), BTreeMap::new());
        let raw =
            Raw { body: &body, attributes: &attributes, sent_at: sent_at(), sequence: Sequence(1), group_id: "g" };
        assert!(decode(&raw).is_ok(), "{body}");
        oddities(&raw, sent_at()).into_iter().map(|odd| (odd.what, odd.field)).collect()
    }

    fn sound() -> Value {
        json!({"event_type": "message.received", "correlation_id": "1", "data": {
            "project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch",
            "message": {"id": "m", "text": "hi", "source": "incoming", "created_at": "2026-03-01T12:30:45Z"}}})
    }

    #[test]
    fn the_examples_of_the_contract_are_not_odd() {
        for described in described() {
            let expected: &[Oddity] = match described.name {
                "due" => &[Oddity::Internal],
                "conversation.window.flat" => &[Oddity::NoId],
                _ => &[],
            };
            let found: Vec<Oddity> = found(&described.example).into_iter().map(|(what, _)| what).collect();
            // times of the examples lie around the time that the tests are sent at
            let found: Vec<Oddity> = found.into_iter().filter(|what| *what != Oddity::FutureTime).collect();
            assert_eq!(found, expected, "{}", described.name);
        }
    }

    #[test]
    fn what_is_odd_is_told_with_its_field() {
        let with = |path: &str, value: Value| {
            let mut body = sound();
            let (parent, field) = path.rsplit_once('/').expect("a path");
            body.pointer_mut(parent).expect("a parent")[field] = value;
            body
        };
        for (path, value, what, field) in [
            ("/correlation_id", json!(null), Oddity::MessageIdAlone, Some("correlation_id")),
            ("/data/project_uuid", json!(" p"), Oddity::PaddedId, Some("project_uuid")),
            ("/data/message/created_at", json!(null), Oddity::MissingTime, None),
            ("/data/message/created_at", json!("soon"), Oddity::UnreadableTime, Some("message.created_at")),
            ("/data/message/created_at", json!("2026-03-01T12:30:45"), Oddity::NoOffset, Some("message.created_at")),
            ("/data/message/created_at", json!("2026-03-02T12:30:45Z"), Oddity::FutureTime, Some("message.created_at")),
            ("/data/message/text", json!(" "), Oddity::EmptyMessage, Some("message.text")),
            ("/data/message/text", json!("a\0b"), Oddity::NulRemoved, None),
            ("/data/message/source", json!("outgoing"), Oddity::OtherDirection, Some("message.source")),
            ("/data/message/mood", json!("x"), Oddity::UnknownField, Some("message.mood")),
            ("/data/mood", json!("x"), Oddity::UnknownField, Some("mood")),
            ("/mood", json!("x"), Oddity::UnknownField, Some("mood")),
            ("/data/tenant_id", json!("p"), Oddity::OtherName, Some("tenant_id")),
        ] {
            assert_eq!(found(&with(path, value.clone())), [(what, field.map(str::to_owned))], "{path} {value}");
        }
        assert_eq!(found(&with("/data/message/metadata", json!({"mood": {"x": 1}}))), []);
        assert_eq!(found(&with("/data/message/created_at", json!(1_772_368_245))), []);
    }

    #[test]
    fn an_event_that_nothing_names_is_told() {
        let mut body = sound();
        body["correlation_id"] = Value::Null;
        body["data"]["message"]["id"] = Value::Null;
        assert_eq!(found(&body), [(Oddity::NoId, Some("correlation_id".into()))]);
    }

    #[test]
    fn a_request_that_cannot_be_answered_as_meant_is_told() {
        let data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch"});
        let body = json!({"event_type": "get_context", "reply_to": "answers", "deadline": 1_772_000_000, "data": data,
            "correlation_id": "x".repeat(65)});
        let found: Vec<Oddity> = found(&body).into_iter().map(|(what, _)| what).collect();
        assert_eq!(found, [Oddity::NotEchoed, Oddity::Expired]);
    }
}
