//! `message.received`, `message.sent`: somebody spoke.

use chrono::SubsecRound as _;

use crate::domain::{Direction, Message, SenderType};

use super::Raw;
use super::envelope::Envelope;
use super::fields::{Fields, ID_LIMIT, required};
use super::identity::Identity;
use super::name::Name;
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::time;

/// Reads a message. A time that is missing or unreadable is the queue's time, which is the same on every redelivery.
///
/// # Errors
/// A field is of another type or over its limit, or `conversation.save_message` does not say who spoke.
pub(super) fn read(
    name: Name,
    envelope: &mut Envelope,
    identity: Identity<'_>,
    raw: &Raw<'_>,
) -> Result<Message, Rejection> {
    let mut message = Fields::of(required(envelope.data.object("message")?, "message")?);
    let source = direction(&mut message)?;
    let (event_type, direction) = match (name, source) {
        (Name::MessageReceived, source) => ("message.received", source.unwrap_or(Direction::Incoming)),
        (Name::MessageSent, source) => ("message.sent", source.unwrap_or(Direction::Outgoing)),
        (_, Some(Direction::Incoming)) => ("message.received", Direction::Incoming),
        (_, Some(direction)) => ("message.sent", direction),
        (_, None) => return Err(Rejection::missing("message.source")),
    };
    let mut external_id = message.id("message.id", ID_LIMIT)?;
    if external_id.is_none() {
        external_id = message.id("message.message_id", ID_LIMIT)?;
    }
    let written_at = message.take("message.created_at").as_ref().and_then(time::read);
    Ok(Message {
        event_id: identity.of(event_type, external_id.as_deref()),
        occurred_at: written_at.unwrap_or_else(|| raw.sent_at.trunc_subsecs(6)),
        received_at: raw.sent_at,
        sequence: raw.sequence,
        direction,
        text: message.text("message.text")?,
        external_id,
        contact_name: message.label("message.contact_name")?,
        content_type: message.label("message.content_type")?,
        sender_type: sender_type(&mut message)?,
        sender_id: message.id("message.sender_id", ID_LIMIT)?,
        agent_id: message.id("message.agent_id", ID_LIMIT)?,
        model_used: message.label("message.model_used")?,
        tokens_used: message.count("message.tokens_used")?,
        tokens: None,
        sentiment: message.label("message.sentiment")?,
        intent: message.label("message.intent")?,
        entities: message.list("message.entities")?,
        attachments: message.list("message.attachments")?,
        metadata: message.metadata("message.metadata")?,
    })
}

/// What `read` reads, `source` being required or not.
pub(super) fn shape(source_is_needed: bool) -> Shape {
    let source = Form::one_of(&["incoming", "outgoing", "system"])
        .says("Who spoke. Absent: incoming for `message.received`, outgoing for `message.sent`.");
    let created_at = "When it was written: ISO 8601 with an offset, or a number of seconds or milliseconds since 1970. Without \
                      an offset it is taken as UTC; missing or unreadable, the queue's time stands in.";
    let mut message = identified(Shape::default())
        .may("text", Form::text().says("What was said. Empty without attachments is kept, and marked empty."))
        .may("source", source)
        .may("created_at", Form::time().says(created_at))
        .may("contact_name", Form::label().says("The contact's name."))
        .may("content_type", Form::label().says("The kind of content, such as text or image."))
        .may("sender_type", Form::one_of(&["USER", "AGENT", "SYSTEM"]).says("What kind of sender it was."))
        .may("sender_id", Form::id(ID_LIMIT).says("The sender."))
        .may("agent_id", Form::id(ID_LIMIT).says("The agent, a person or a program."))
        .may("model_used", Form::label().says("The model that wrote it."))
        .may("tokens_used", Form::count().says("The tokens that writing it took."))
        .may("sentiment", Form::label())
        .may("intent", Form::label())
        .may("entities", Form::list().says("What was recognised in it."))
        .may("attachments", Form::list().says("What came with it: any JSON, usually objects with a `url`."))
        .may("metadata", Form::metadata().says("Whatever else is to be kept with it."));
    if source_is_needed {
        message = message.one_at_least(&["source"]);
    }
    Shape::default().in_thread().must("message", Form::object(message))
}

/// The message's own id, under either name.
pub(super) fn identified(message: Shape) -> Shape {
    let id = "The message's own id. It identifies the event when there is no correlation_id.";
    message.may("id", Form::id(ID_LIMIT).says(id)).alias("message_id", "id", Form::id(ID_LIMIT))
}

fn direction(message: &mut Fields) -> Result<Option<Direction>, Rejection> {
    let field = "message.source";
    match message.label(field)?.as_deref() {
        None => Ok(None),
        Some("incoming") => Ok(Some(Direction::Incoming)),
        Some("outgoing") => Ok(Some(Direction::Outgoing)),
        Some("system") => Ok(Some(Direction::System)),
        Some(_) => Err(Rejection::field(Code::OutOfRange, field, "must be incoming, outgoing or system")),
    }
}

fn sender_type(message: &mut Fields) -> Result<Option<SenderType>, Rejection> {
    let field = "message.sender_type";
    match message.label(field)?.as_deref() {
        None => Ok(None),
        Some("USER") => Ok(Some(SenderType::User)),
        Some("AGENT") => Ok(Some(SenderType::Agent)),
        Some("SYSTEM") => Ok(Some(SenderType::System)),
        Some(_) => Err(Rejection::field(Code::OutOfRange, field, "must be USER, AGENT or SYSTEM")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::EventId;
    use crate::event::testing::{decode_body, decode_sent_at, thread_key};
    use crate::event::{Event, Kind};

    fn event(event_type: &str, message: Value) -> Value {
        let data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch", "message": message});
        json!({"event_type": event_type, "data": data})
    }

    fn message(event: Event) -> Message {
        let Kind::Message(message) = event.kind else { panic!("not a message") };
        assert_eq!(message.event_id, event.id);
        Message::clone(&message)
    }

    fn received(fields: Value) -> Message {
        message(decode_body(&event("message.received", fields).to_string()).expect("a message"))
    }

    fn rejected(body: &Value) -> (Code, Option<String>) {
        let rejection = decode_body(&body.to_string()).expect_err("a rejection");
        (rejection.code, rejection.field)
    }

    #[test]
    fn the_direction_is_the_source_or_else_follows_from_the_name() {
        use Direction::{Incoming, Outgoing, System};
        for (event_type, source, direction, canonical) in [
            ("message.received", None, Incoming, "message.received"),
            ("message.received", Some("incoming"), Incoming, "message.received"),
            ("message.received", Some("system"), System, "message.received"),
            ("message.received", Some("outgoing"), Outgoing, "message.received"),
            ("message.sent", None, Outgoing, "message.sent"),
            ("message.sent", Some(""), Outgoing, "message.sent"),
            ("message.sent", Some("incoming"), Incoming, "message.sent"),
            ("conversation.save_message", Some("incoming"), Incoming, "message.received"),
            ("conversation.save_message", Some("outgoing"), Outgoing, "message.sent"),
            ("conversation.save_message", Some("system"), System, "message.sent"),
        ] {
            let body = event(event_type, json!({"id": "m", "source": source})).to_string();
            let message = message(decode_body(&body).expect("a message"));
            assert_eq!(message.direction, direction, "{body}");
            assert_eq!(message.event_id, EventId::derive(&thread_key("p", "c", "ch"), canonical, "m"), "{body}");
        }
    }

    #[test]
    fn a_saved_message_that_does_not_say_who_spoke_is_rejected() {
        let body = event("conversation.save_message", json!({"text": "hi"}));
        assert_eq!(rejected(&body), (Code::MissingField, Some("message.source".into())));
    }

    #[test]
    fn empty_text_is_a_message() {
        for fields in [json!({}), json!({"text": null}), json!({"text": ""}), json!({"text": "\0"})] {
            let message = received(fields);
            assert!(message.text.is_empty() && message.attachments.is_empty());
        }
    }

    #[test]
    fn text_is_kept_to_the_last_space_and_up_to_the_bodys_limit() {
        assert_eq!(received(json!({"text": " a\n\tb "})).text, " a\n\tb ");
        assert_eq!(received(json!({"text": "x".repeat(1_000_000)})).text.len(), 1_000_000);
    }

    #[test]
    fn a_time_that_cannot_be_read_is_the_queues_to_the_microsecond() {
        let sent_at: DateTime<Utc> = "2026-03-01T12:00:00.123456789Z".parse().expect("a time");
        let queued: DateTime<Utc> = "2026-03-01T12:00:00.123456Z".parse().expect("a time");
        for created_at in [json!(null), json!("yesterday"), json!("1970-01-01T00:00:00Z"), json!({}), json!(0)] {
            let body = event("message.received", json!({"created_at": created_at})).to_string();
            let message = message(decode_sent_at(&body, sent_at).expect("a message"));
            assert_eq!((message.occurred_at, message.received_at), (queued, sent_at), "{created_at}");
        }
    }

    #[test]
    fn a_message_id_has_two_names_and_may_be_a_number() {
        for (fields, id) in [
            (json!({"id": "a", "message_id": "b"}), Some("a")),
            (json!({"id": "", "message_id": "b"}), Some("b")),
            (json!({"message_id": 123}), Some("123")),
            (json!({"id": null}), None),
        ] {
            assert_eq!(received(fields).external_id.as_deref(), id);
        }
    }

    #[test]
    fn without_any_id_the_body_tells_messages_apart() {
        let hi = received(json!({"text": "hi"}));
        assert_eq!(hi.event_id, received(json!({"text": "hi"})).event_id);
        assert_ne!(hi.event_id, received(json!({"text": "ho"})).event_id);
    }

    #[test]
    fn a_publishers_retry_is_recognised_by_its_correlation_id_alone() {
        let with = |id: &str, created_at: &str| {
            let mut body = event("message.received", json!({"id": id, "created_at": created_at}));
            body["correlation_id"] = json!("c-1");
            message(decode_body(&body.to_string()).expect("a message")).event_id
        };
        assert_eq!(with("m-1", "2026-03-01T12:00:00Z"), with("m-2", "2026-03-01T12:07:00Z"));
    }

    #[test]
    fn a_score_or_custom_event_is_not_taken_for_a_message() {
        let mut beside = event("message.received", json!({"text": "", "source": "system"}));
        beside["key"] = json!("weni_csat");
        let mut inside = event("message.sent", json!({"text": "5"}));
        inside["data"]["key"] = json!("order_placed");
        for body in [beside, inside] {
            assert_eq!(rejected(&body), (Code::MissingField, Some("value".into())));
        }
        let mut keyless = event("message.sent", json!({"text": "5"}));
        keyless["key"] = json!(null);
        assert!(decode_body(&keyless.to_string()).is_ok());
    }

    #[test]
    fn a_field_of_another_type_or_over_its_limit_is_named() {
        for (field, value, code) in [
            ("text", json!(1), Code::WrongType),
            ("id", json!({}), Code::WrongType),
            ("id", json!("x".repeat(513)), Code::TooLong),
            ("message_id", json!(true), Code::WrongType),
            ("source", json!("sideways"), Code::OutOfRange),
            ("source", json!(1), Code::WrongType),
            ("sender_type", json!("user"), Code::OutOfRange),
            ("sender_id", json!([]), Code::WrongType),
            ("agent_id", json!("x".repeat(513)), Code::TooLong),
            ("contact_name", json!(["Ana"]), Code::WrongType),
            ("contact_name", json!("x".repeat(4_097)), Code::TooLong),
            ("content_type", json!(1), Code::WrongType),
            ("model_used", json!(1), Code::WrongType),
            ("tokens_used", json!("57"), Code::WrongType),
            ("tokens_used", json!(-1), Code::OutOfRange),
            ("sentiment", json!(0.7), Code::WrongType),
            ("intent", json!({}), Code::WrongType),
            ("entities", json!({}), Code::WrongType),
            ("entities", json!(vec![0; 101]), Code::TooMany),
            ("attachments", json!("a.jpg"), Code::WrongType),
            ("attachments", json!(vec![0; 101]), Code::TooMany),
            ("metadata", json!([]), Code::WrongType),
        ] {
            let body = event("message.received", json!({ field: value }));
            assert_eq!(rejected(&body), (code, Some(format!("message.{field}"))), "{field}");
        }
        let mut body = event("message.received", json!("hi"));
        assert_eq!(rejected(&body), (Code::WrongType, Some("message".into())));
        body["data"]["message"] = json!(null);
        assert_eq!(rejected(&body), (Code::MissingField, Some("message".into())));
    }
}
