//! `conversation.update`: what a publisher says of a conversation besides its messages.

use serde_json::{Value, json};

use crate::domain::Changes;

use super::Raw;
use super::fields::{Fields, ID_LIMIT, LIST_LIMIT, is_blank};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape, blank, given};

/// The event's name on the wire.
pub(super) const NAME: &str = "conversation.update";

/// Most tags.
const TAGS: usize = 10;

/// Longest tag, in characters.
const TAG_LENGTH: usize = 50;

/// Longest title, in characters.
const TITLE_LENGTH: usize = 200;

/// Most participants.
const PARTICIPANTS: usize = 50;

/// Largest list of participants, in bytes as JSON.
const PARTICIPANTS_BYTES: usize = 16_384;

/// Largest object, in bytes as JSON: the head carries what all updates add up to.
const OBJECT_BYTES: usize = 32_768;

/// Reads an update. What is absent stays as it is; an empty list of tags or participants removes all.
///
/// # Errors
/// It says nothing, or a field is of another type or over its limit.
pub(super) fn read(data: &mut Fields, raw: &Raw<'_>) -> Result<Changes, Rejection> {
    let changes = Changes {
        title: title(data)?,
        tags: tags(data)?,
        participants: participants(data)?,
        metadata: data.object_within("metadata", OBJECT_BYTES)?,
        customer_info: data.object_within("customer_info", OBJECT_BYTES)?,
        agent_id: data.id("agent_id", ID_LIMIT)?,
        sequence: raw.sequence,
        ..Changes::default()
    };
    if changes == (Changes { sequence: raw.sequence, ..Changes::default() }) {
        let reason = "must have one of title, tags, participants, metadata, customer_info, agent_id";
        return Err(Rejection::field(Code::MissingField, "data", reason));
    }
    Ok(changes)
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let tag = json!({"type": "string", "pattern": r"\S", "maxLength": TAG_LENGTH});
    let several = |most: usize| json!({"type": "array", "maxItems": most});
    let tags =
        json!({"anyOf": [{"type": "array", "items": tag, "maxItems": LIST_LIMIT, "x-max-different": TAGS}, blank()]});
    let participants = json!({"anyOf": [several(PARTICIPANTS), blank()], "x-max-json-bytes": PARTICIPANTS_BYTES});
    let some =
        |field: &str| json!({"required": [field], "properties": {field: {"type": "object", "minProperties": 1}}});
    let said = [
        given(&["title"]),
        given(&["tags"]),
        given(&["participants"]),
        some("metadata"),
        some("customer_info"),
        given(&["agent_id"]),
    ];
    Shape::default()
        .in_thread()
        .may("title", Form::label().but(json!({ "maxLength": TITLE_LENGTH })).says("What the conversation is about."))
        .may("tags", Form::any().but(tags).says("All its tags; an empty list removes them. Repeated ones count once."))
        .may("participants", Form::any().but(participants).says("All that take part; an empty list removes them."))
        .may("metadata", Form::object_within(OBJECT_BYTES).says("Merged into what is known, key by key."))
        .may(
            "customer_info",
            Form::object_within(OBJECT_BYTES).says("What is known of the contact, merged key by key."),
        )
        .may("agent_id", Form::id(ID_LIMIT).says("The agent that serves it."))
        .rule(json!({ "anyOf": said }))
}

fn title(data: &mut Fields) -> Result<Option<String>, Rejection> {
    let title = data.label("title")?;
    if title.as_ref().is_some_and(|title| title.chars().count() > TITLE_LENGTH) {
        return Err(Rejection::field(Code::TooLong, "title", "must be at most 200 characters"));
    }
    Ok(title)
}

fn tags(data: &mut Fields) -> Result<Option<Vec<String>>, Rejection> {
    if !data.has("tags") {
        return Ok(None);
    }
    let mut tags = Vec::new();
    for tag in data.list("tags")? {
        match tag {
            Value::String(tag) if is_blank(&tag) => {
                return Err(Rejection::field(Code::OutOfRange, "tags", "must not hold a blank tag"));
            }
            Value::String(tag) if tag.chars().count() > TAG_LENGTH => {
                return Err(Rejection::field(Code::TooLong, "tags", "must each be at most 50 characters"));
            }
            Value::String(tag) if tags.contains(&tag) => {}
            Value::String(tag) => tags.push(tag),
            _ => return Err(Rejection::field(Code::WrongType, "tags", "must be a list of strings")),
        }
    }
    if tags.len() > TAGS { Err(Rejection::too_many("tags", TAGS)) } else { Ok(Some(tags)) }
}

fn participants(data: &mut Fields) -> Result<Option<Vec<Value>>, Rejection> {
    if !data.has("participants") {
        return Ok(None);
    }
    let participants = data.list("participants")?;
    if participants.len() > PARTICIPANTS {
        return Err(Rejection::too_many("participants", PARTICIPANTS));
    }
    if Value::from(participants.clone()).to_string().len() > PARTICIPANTS_BYTES {
        return Err(Rejection::too_large("participants", PARTICIPANTS_BYTES));
    }
    Ok(Some(participants))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::Sequence;
    use crate::event::Kind;
    use crate::event::testing::decode_body;

    fn decoded(mut data: Value) -> Result<Changes, Rejection> {
        for (field, value) in [("project_uuid", "p"), ("contact_urn", "c"), ("channel_uuid", "ch")] {
            data[field] = json!(value);
        }
        match decode_body(&json!({"event_type": NAME, "data": data}).to_string())?.kind {
            Kind::ConversationUpdate(changes) => Ok(*changes),
            other => panic!("not an update: {other:?}"),
        }
    }

    #[test]
    fn an_update_says_what_it_says_and_no_more() {
        let changes = decoded(json!({"tags": ["vip", "vip", "late"], "title": "A refund", "metadata": {"a": null}}));
        let changes = changes.expect("an update");
        assert_eq!(changes.tags, Some(vec!["vip".to_owned(), "late".to_owned()]));
        assert_eq!((changes.title.as_deref(), changes.metadata.len()), (Some("A refund"), 1));
        assert_eq!((changes.participants, changes.agent_id, changes.sequence), (None, None, Sequence(7)));
        assert_eq!(decoded(json!({"tags": []})).expect("an update").tags, Some(vec![]));
    }

    #[test]
    fn limits_are_taken_at_and_rejected_over() {
        let tags = |count: usize| json!({"tags": (0..count).map(|n| n.to_string()).collect::<Vec<_>>()});
        let people = |count: usize| json!({"participants": (0..count).map(|n| json!({"id": n})).collect::<Vec<_>>()});
        for (at, over, code, field) in [
            (tags(10), tags(11), Code::TooMany, "tags"),
            (json!({"tags": ["é".repeat(50)]}), json!({"tags": ["é".repeat(51)]}), Code::TooLong, "tags"),
            (json!({"title": "é".repeat(200)}), json!({"title": "é".repeat(201)}), Code::TooLong, "title"),
            (people(50), people(51), Code::TooMany, "participants"),
            (
                json!({"participants": ["x".repeat(16_380)]}),
                json!({"participants": ["x".repeat(16_381)]}),
                Code::TooLarge,
                "participants",
            ),
            (
                json!({"metadata": {"a": "x".repeat(32_760)}}),
                json!({"metadata": {"a": "x".repeat(32_761)}}),
                Code::TooLarge,
                "metadata",
            ),
        ] {
            assert!(decoded(at).is_ok(), "{field} at its limit");
            let rejection = decoded(over).expect_err("over the limit");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (data, code, field) in [
            (json!({}), Code::MissingField, "data"),
            (json!({"tags": "vip"}), Code::WrongType, "tags"),
            (json!({"tags": [1]}), Code::WrongType, "tags"),
            (json!({"tags": [" "]}), Code::OutOfRange, "tags"),
            (json!({"customer_info": []}), Code::WrongType, "customer_info"),
        ] {
            let rejection = decoded(data.clone()).expect_err("no update");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)), "{data}");
        }
    }
}
