//! `conversation.classified`: somebody read a closed conversation, and says how it ended. The classifier sends it into the
//! thread's group; so may a publisher.

use serde_json::{Map, json};

use crate::domain::{Classification, ConversationId, EventId, Thread, ThreadKey};

use super::fields::{Fields, is_blank, required};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::{conversation_close::resolution, thread};

/// The event's name on the wire.
pub(super) const NAME: &str = "conversation.classified";

/// Writes the body that decodes to `classification` in `thread`.
pub fn to_body(thread: &Thread, classification: &Classification) -> String {
    let mut data = Map::new();
    data.insert("classified_conversation_id".to_owned(), classification.conversation.to_string().into());
    data.insert("resolution".to_owned(), classification.resolution.into());
    for (field, text) in [("topic", &classification.topic), ("subtopic", &classification.subtopic)] {
        if let Some(text) = text {
            data.insert(field.to_owned(), text.as_str().into());
        }
    }
    thread::body(NAME, thread, data)
}

/// Reads `conversation.classified`. `classified_conversation_id` is the conversation that is meant; `conversation_id`, as in
/// every event, names the thread.
///
/// # Errors
/// No conversation or no resolution, one that is not 0 to 3, too long a topic, or a field of another type.
pub(super) fn read(data: &mut Fields) -> Result<Classification, Rejection> {
    let conversation = required(data.uuid("classified_conversation_id")?, "classified_conversation_id")?;
    let resolution = required(data.take("resolution").and_then(resolution).transpose()?, "resolution")?;
    if resolution > Classification::HIGHEST {
        return Err(Rejection::field(Code::OutOfRange, "resolution", "must be 0, 1, 2 or 3"));
    }
    Ok(Classification {
        conversation: ConversationId(conversation),
        resolution,
        topic: topic(data, "topic")?,
        subtopic: topic(data, "subtopic")?,
    })
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let digit = json!({"type": "string", "pattern": r"^\s*(-0+|\+?0*[0-3])\s*$"});
    let resolution = json!({"anyOf": [{"enum": [0, 1, 2, 3]}, digit]});
    let topic = || Form::text().but(json!({ "maxLength": Classification::TOPIC }));
    Shape::default()
        .in_thread()
        .must("classified_conversation_id", Form::uuid().says("The conversation that is meant, as a UUID."))
        .must(
            "resolution",
            Form::any().but(resolution).says("0 resolved, 1 unresolved, 2 in progress, 3 unclassified."),
        )
        .may("topic", topic().says("What it was about; one that stands already stays."))
        .may("subtopic", topic().says("What it was about, more closely."))
}

/// The event's id: a conversation is classified once, whoever says so.
pub(super) fn id(thread: &ThreadKey, classification: &Classification) -> EventId {
    EventId::derive(thread, NAME, &classification.conversation.to_string())
}

fn topic(data: &mut Fields, field: &'static str) -> Result<Option<String>, Rejection> {
    let topic = data.text(field)?;
    if is_blank(&topic) {
        Ok(None)
    } else if topic.chars().count() > Classification::TOPIC {
        Err(Rejection::field(Code::TooLong, field, "must be at most 200 characters"))
    } else {
        Ok(Some(topic))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;
    use crate::event::{Kind, testing::decode_body};

    const ID: &str = "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11";

    fn read_from(mut data: Value) -> Result<Classification, Rejection> {
        data["classified_conversation_id"] = json!(ID);
        read(&mut Fields::of(data.as_object().cloned().unwrap_or_default()))
    }

    #[test]
    fn what_is_written_is_read_back_and_is_the_same_event_however_it_was_classified() {
        let thread =
            Thread { project: "p".into(), contact: Some("c".into()), channel: Some("ch".into()), conversation: None };
        let conversation = ConversationId(Uuid::try_parse(ID).expect("an id"));
        let one = Classification {
            conversation,
            resolution: 1,
            topic: Some("Fatura".into()),
            subtopic: Some("2ª via".into()),
        };
        let other = Classification { resolution: 3, topic: None, subtopic: None, ..one.clone() };
        let events = [&one, &other].map(|said| decode_body(&to_body(&thread, said)).expect("an event"));
        assert_eq!(events[0].kind, Kind::ConversationClassified(Box::new(one)));
        assert_eq!(events[1].kind, Kind::ConversationClassified(Box::new(other)));
        assert_eq!(events[0].id, events[1].id);
    }

    #[test]
    fn limits_are_taken_at_and_rejected_over() {
        assert_eq!(read_from(json!({"resolution": "2"})).expect("its digit").resolution, 2);
        let longest = "é".repeat(200);
        assert_eq!(read_from(json!({"resolution": 0, "topic": longest})).expect("topic").topic, Some(longest));
        for (data, code, field) in [
            (json!({}), Code::MissingField, "resolution"),
            (json!({"resolution": 4}), Code::OutOfRange, "resolution"),
            (json!({"resolution": 5}), Code::OutOfRange, "resolution"),
            (json!({"resolution": true}), Code::WrongType, "resolution"),
            (json!({"resolution": 0, "topic": "é".repeat(201)}), Code::TooLong, "topic"),
            (json!({"resolution": 0, "subtopic": 1}), Code::WrongType, "subtopic"),
        ] {
            let rejection = read_from(data).expect_err(field);
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)));
        }
        let nobody = read(&mut Fields::of(json!({"resolution": 0}).as_object().cloned().unwrap_or_default()));
        assert_eq!(nobody.expect_err("whose").field.as_deref(), Some("classified_conversation_id"));
    }
}
