//! `due`: the timer's own command, sent into the thread's group.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Map;

use crate::domain::{ConversationId, EventId, Thread, ThreadKey};

use super::fields::{Fields, required};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::{Due, thread};

/// The event's name on the wire.
pub(super) const NAME: &str = "due";

/// Writes the body that decodes to `due` in `thread`.
pub fn to_body(thread: &Thread, due: &Due) -> String {
    let mut data = Map::new();
    data.insert("due_conversation_id".to_owned(), due.conversation_id.to_string().into());
    data.insert("due_at".to_owned(), written(due.due_at).into());
    thread::body(NAME, thread, data)
}

/// Reads `due`.
///
/// # Errors
/// A field is missing, or not of its form.
pub(super) fn read(data: &mut Fields) -> Result<Due, Rejection> {
    let conversation_id = required(data.uuid("due_conversation_id")?, "due_conversation_id")?;
    let due_at = required(data.label("due_at")?, "due_at")?;
    match DateTime::parse_from_rfc3339(&due_at) {
        Ok(due_at) => Ok(Due { conversation_id: ConversationId(conversation_id), due_at: due_at.to_utc() }),
        Err(_) => Err(Rejection::field(Code::WrongType, "due_at", "must be an RFC 3339 time")),
    }
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    Shape::default()
        .in_thread()
        .must("due_conversation_id", Form::uuid().says("The conversation that is meant, as a UUID."))
        .must("due_at", Form::label().says("The due time that the timer saw, as RFC 3339."))
}

/// The command's id: the conversation and the time are all there is to it, whoever sent it.
pub(super) fn id(thread: &ThreadKey, due: &Due) -> EventId {
    EventId::derive(thread, NAME, &format!("{}@{}", due.conversation_id, written(due.due_at)))
}

fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ID: &str = "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11";

    fn read_from(data: Value) -> Result<Due, Rejection> {
        read(&mut Fields::of(data.as_object().cloned().unwrap_or_default()))
    }

    #[test]
    fn a_command_is_the_same_in_whatever_offset_its_time_is_written() {
        let utc = read_from(json!({"due_conversation_id": ID, "due_at": "2026-03-01T12:00:00Z"})).expect("due");
        let local = read_from(json!({"due_conversation_id": ID, "due_at": "2026-03-01T09:00:00-03:00"})).expect("due");
        let thread = ThreadKey::stored("p#c#ch".to_owned());
        assert_eq!(utc, local);
        assert_eq!(id(&thread, &utc), id(&thread, &local));
    }

    #[test]
    fn a_command_lacking_a_field_or_its_form_is_rejected() {
        for (data, code, field) in [
            (json!({"due_at": "2026-03-01T12:00:00Z"}), Code::MissingField, "due_conversation_id"),
            (json!({"due_conversation_id": ID}), Code::MissingField, "due_at"),
            (
                json!({"due_conversation_id": "x", "due_at": "2026-03-01T12:00:00Z"}),
                Code::WrongType,
                "due_conversation_id",
            ),
            (json!({"due_conversation_id": ID, "due_at": "2026-03-01T12:00:00"}), Code::WrongType, "due_at"),
            (json!({"due_conversation_id": ID, "due_at": 1_772_368_245}), Code::WrongType, "due_at"),
        ] {
            let rejection = read_from(data).expect_err(field);
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)));
        }
    }
}
