//! `conversation.close`: a publisher or an operator wants the conversation closed.

use serde_json::{Map, Value, json};

use crate::domain::{ConversationId, Thread};

use super::fields::{Fields, is_blank};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape, blank};
use super::{ConversationClose, thread};

/// The event's name on the wire.
pub(super) const NAME: &str = "conversation.close";

/// Longest reason or topic, in characters.
const WORDS_LIMIT: usize = 1_000;

/// Writes the body that decodes to `close` in `thread`: operators send it into the thread's group.
pub fn to_body(thread: &Thread, close: &ConversationClose) -> String {
    let mut data = Map::new();
    if let Some(resolution) = close.resolution {
        data.insert("resolution".to_owned(), resolution.into());
    }
    if let Some(reason) = &close.reason {
        data.insert("reason".to_owned(), reason.as_str().into());
    }
    for (field, text) in [("topic", &close.topic), ("subtopic", &close.subtopic)] {
        if let Some(text) = text {
            data.insert(field.to_owned(), text.as_str().into());
        }
    }
    if let Some(id) = close.conversation_id {
        data.insert("close_conversation_id".to_owned(), id.to_string().into());
    }
    thread::body(NAME, thread, data)
}

/// Reads `conversation.close`. `close_conversation_id` is the one conversation that is meant; `conversation_id`, as in
/// every event, names the thread.
///
/// # Errors
/// A resolution that is not 0 to 4, too long a reason or topic, or a field of another type.
pub(super) fn read(data: &mut Fields) -> Result<ConversationClose, Rejection> {
    Ok(ConversationClose {
        resolution: data.take("resolution").and_then(resolution).transpose()?,
        reason: words(data, "reason")?,
        topic: words(data, "topic")?,
        subtopic: words(data, "subtopic")?,
        conversation_id: data.uuid("close_conversation_id")?.map(ConversationId),
    })
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let digit = json!({"type": "string", "pattern": r"^\s*(-0+|\+?0*[0-4])\s*$"});
    let resolution = json!({"anyOf": [{"enum": [null, 0, 1, 2, 3, 4]}, digit, blank()]});
    let meant = "The one conversation that is meant, as a UUID; absent: whichever is open.";
    Shape::default()
        .in_thread()
        .may(
            "resolution",
            Form::any()
                .but(resolution)
                .says("0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room."),
        )
        .may("reason", words_form().says("Why."))
        .may("topic", words_form().says("What it was about."))
        .may("subtopic", words_form().says("What it was about, more closely."))
        .may("close_conversation_id", Form::uuid().says(meant))
}

fn words_form() -> Form {
    Form::text().but(json!({ "maxLength": WORDS_LIMIT }))
}

/// A number, or its digit in a string.
pub(super) fn resolution(value: Value) -> Option<Result<u8, Rejection>> {
    let number = match &value {
        Value::String(text) if is_blank(text) => return None,
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    };
    let wrong_type = matches!(value, Value::Bool(_) | Value::Array(_) | Value::Object(_));
    Some(match number.map(u8::try_from) {
        Some(Ok(resolution @ 0..=4)) => Ok(resolution),
        _ if wrong_type => Err(Rejection::field(Code::WrongType, "resolution", "must be a number")),
        _ => Err(Rejection::field(Code::OutOfRange, "resolution", "must be 0, 1, 2, 3 or 4")),
    })
}

fn words(data: &mut Fields, field: &'static str) -> Result<Option<String>, Rejection> {
    let words = data.text(field)?;
    if is_blank(&words) {
        Ok(None)
    } else if words.chars().count() > WORDS_LIMIT {
        Err(Rejection::field(Code::TooLong, field, "must be at most 1,000 characters"))
    } else {
        Ok(Some(words))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    fn read_from(data: Value) -> Result<ConversationClose, Rejection> {
        read(&mut Fields::of(data.as_object().cloned().unwrap_or_default()))
    }

    #[test]
    fn a_resolution_is_a_number_or_its_digit() {
        for (value, resolution) in [
            (json!(0), Some(0)),
            (json!(4), Some(4)),
            (json!("0"), Some(0)),
            (json!("3"), Some(3)),
            (json!(null), None),
            (json!(""), None),
        ] {
            assert_eq!(read_from(json!({"resolution": value})).expect("a close").resolution, resolution, "{value}");
        }
    }

    #[test]
    fn any_other_resolution_is_rejected() {
        for (value, code) in [
            (json!(5), Code::OutOfRange),
            (json!(-1), Code::OutOfRange),
            (json!(256), Code::OutOfRange),
            (json!(1.5), Code::OutOfRange),
            (json!("5"), Code::OutOfRange),
            (json!("resolved"), Code::OutOfRange),
            (json!(true), Code::WrongType),
            (json!([1]), Code::WrongType),
        ] {
            let rejection = read_from(json!({"resolution": value})).expect_err("no resolution");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some("resolution")), "{value}");
        }
    }

    #[test]
    fn a_reason_has_up_to_a_thousand_characters() {
        let longest = "é".repeat(1_000);
        assert_eq!(read_from(json!({"reason": longest})).expect("a close").reason.as_deref(), Some(&*longest));
        assert_eq!(read_from(json!({"reason": " "})).expect("a close").reason, None);
        assert_eq!(read_from(json!({"reason": "é".repeat(1_001)})).expect_err("too long").code, Code::TooLong);
        assert_eq!(read_from(json!({"reason": 1})).expect_err("a number").code, Code::WrongType);
    }

    #[test]
    fn the_conversation_that_is_meant_is_not_the_one_that_names_the_thread() {
        let id = Uuid::from_u128(7);
        assert_eq!(read_from(json!({"conversation_id": id.to_string()})).expect("a close").conversation_id, None);
        let close = read_from(json!({"close_conversation_id": id.to_string()})).expect("a close");
        assert_eq!(close.conversation_id, Some(ConversationId(id)));
        let rejection = read_from(json!({"close_conversation_id": "7"})).expect_err("not a UUID");
        assert_eq!(rejection.field.as_deref(), Some("close_conversation_id"));
    }
}
