//! Bytes → typed event. The only place that rejects: what decodes here can be decided, stored and archived.
//!
//! Knows every accepted form and alias of the wire contract; knows nothing of what is stored.

pub mod classified;
pub mod contract;
pub mod conversation_close;
pub mod crm;
pub mod crm_record;
pub mod due;
mod envelope;
mod fields;
mod hubspot;
mod identity;
mod json;
mod kind_name;
mod label;
#[cfg(test)]
mod laws;
mod message;
mod name;
mod oddity;
pub mod project;
mod rating;
mod rejection;
pub mod request;
mod request_shape;
pub mod session;
mod shape;
mod state;
#[cfg(test)]
mod testing;
mod thread;
mod time;
mod trace;
mod update;
mod window;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use crate::domain::{
    Changes, Classification, ConversationId, CrmLink, EventId, Message, ProjectSettings, Rating, RecordChange,
    Sequence, Thread, Window,
};

use envelope::Envelope;
pub use hubspot::SignedBody;
use identity::Identity;
pub use label::Label;
use name::Name;
pub use oddity::{Odd, Oddity, oddities};
pub use rejection::{Code, Rejection};
pub use request::{Question, Request};
pub use trace::{TraceId, trace_id};

/// What a delivery carries, as far as decoding needs it.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The SQS message body.
    pub body: &'a str,
    /// String message attributes.
    pub attributes: &'a BTreeMap<String, String>,
    /// SQS `SentTimestamp`: stable over redeliveries.
    pub sent_at: DateTime<Utc>,
    /// SQS `SequenceNumber`.
    pub sequence: Sequence,
    /// SQS `MessageGroupId`.
    pub group_id: &'a str,
}

/// Something that happened in a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its identity, the same for every copy.
    pub id: EventId,
    /// Where it happened. What happens to a project, a contact, or a session known by its id alone names no more than that.
    pub thread: Thread,
    /// FIFO group it arrived in.
    pub group_id: String,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
    /// Its place in its group.
    pub sequence: Sequence,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `message.received` or `message.sent`: somebody spoke.
    Message(Arc<Message>),
    /// `session.opened`.
    SessionOpened(SessionOpened),
    /// `session.closed`.
    SessionClosed(SessionClosed),
    /// A score or a custom answer, explicit or carried by a message.
    Rating(Box<Rating>),
    /// `conversation.close`.
    ConversationClose(ConversationClose),
    /// `conversation.window`.
    ConversationWindow(Box<ConversationWindow>),
    /// `conversation.update`; also `crm.contact_updated`, which says the same of the customer.
    ConversationUpdate(Box<Changes>),
    /// `conversation.classified`.
    ConversationClassified(Box<Classification>),
    /// `state.set` or `state.delete`.
    SetVariable(Box<SetVariable>),
    /// `project.updated`.
    ProjectUpdated(ProjectSettings),
    /// `contact.erase`.
    ContactErase,
    /// `crm.linked`.
    CrmLinked(Box<CrmLink>),
    /// `crm.hubspot_raw`: a webhook whose signature is not verified yet.
    HubSpotRaw(Box<SignedBody>),
    /// `crm.record_changed`.
    CrmRecordChanged(Box<RecordChange>),
    /// `due`: the timer's own command.
    Due(Due),
    /// Somebody asks.
    Request(Box<Request>),
}

/// A session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// The platform's session id.
    pub session_id: String,
    /// Agent that serves it.
    pub agent_id: Option<String>,
}

/// A session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClosed {
    /// The platform's session id.
    pub session_id: String,
}

/// A publisher or an operator wants the conversation closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationClose {
    /// 0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.
    pub resolution: Option<u8>,
    /// Why, in the asker's words.
    pub reason: Option<String>,
    /// What it was about.
    pub topic: Option<String>,
    /// What it was about, more closely.
    pub subtopic: Option<String>,
    /// The one conversation that is meant; absent: whichever is open. Operators always name it.
    pub conversation_id: Option<ConversationId>,
}

/// The platform gave a conversation its time, or a person took it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationWindow {
    /// The window.
    pub window: Window,
    /// The contact's name.
    pub contact_name: Option<String>,
    /// When a person took over, if one did.
    pub taken_over_at: Option<DateTime<Utc>>,
    /// The ticket by which.
    pub ticket: Option<String>,
}

/// A variable is set, or deleted.
#[derive(Clone, Debug, PartialEq)]
pub struct SetVariable {
    /// The publisher's word for the kind of state it belongs to.
    pub state_type: String,
    /// Its name within the kind.
    pub key: String,
    /// Its value; `None` deletes it.
    pub value: Option<serde_json::Value>,
    /// How long it lives; `None`: as long as the conversation's messages.
    pub ttl: Option<Duration>,
    /// Whether the thread's next conversations have it too.
    pub carry_over: bool,
}

/// A conversation's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The conversation that is meant.
    pub conversation_id: ConversationId,
    /// The due time the timer saw.
    pub due_at: DateTime<Utc>,
}

/// The name on the wire of a person's wish to be forgotten.
const CONTACT_ERASE: &str = "contact.erase";

/// Reads the event that a delivery carries. Pure: every redelivery decodes to the same event, with the same id.
///
/// # Errors
/// The delivery cannot be taken, now or later. The rejection quotes nothing of the body.
pub fn decode(raw: &Raw<'_>) -> Result<Event, Rejection> {
    if let Some(signed) = hubspot::bare(raw) {
        let thread = hubspot::place();
        let identity = Identity { thread: &thread.key(), correlation_id: None, body: raw.body };
        return Ok(of_a_crm(raw, identity.of(hubspot::NAME, None), thread, Kind::HubSpotRaw(Box::new(signed))));
    }
    let mut envelope = Envelope::open(raw)?;
    if matches!(envelope.name, Name::HubSpotRaw | Name::CrmRecordChanged) {
        return told_by_a_crm(&mut envelope, raw);
    }
    if let Name::Request(asked) = envelope.name {
        return request::read(asked, &mut envelope, raw);
    }
    let (thread, key) = match envelope.name {
        Name::SessionOpened | Name::SessionClosed => thread::read_of_session(&mut envelope.data)?,
        Name::ProjectUpdated => thread::read_of_project(&mut envelope.data)?,
        Name::ContactErase => thread::read_of_contact(&mut envelope.data)?,
        _ => thread::read(&mut envelope.data)?,
    };
    let correlation_id = envelope.correlation_id.take();
    let identity = Identity { thread: &key, correlation_id: correlation_id.as_deref(), body: raw.body };
    let (id, kind) = match envelope.name {
        name @ (Name::SurveyCsat | Name::SurveyNps) => rated(name, &mut envelope, identity, raw)?,
        name @ (Name::MessageReceived | Name::MessageSent | Name::SaveMessage) if envelope.has("key") => {
            rated(name, &mut envelope, identity, raw)?
        }
        name @ (Name::MessageReceived | Name::MessageSent | Name::SaveMessage) => {
            let message = message::read(name, &mut envelope, identity, raw)?;
            (message.event_id, Kind::Message(Arc::new(message)))
        }
        Name::SessionOpened => {
            let opened = session::read_opened(&mut envelope.data)?;
            (identity.of(session::OPENED, None), Kind::SessionOpened(opened))
        }
        Name::SessionClosed => {
            let closed = session::read_closed(&mut envelope.data)?;
            (identity.of(session::CLOSED, None), Kind::SessionClosed(closed))
        }
        Name::ConversationClose => {
            let close = conversation_close::read(&mut envelope.data)?;
            (identity.of(conversation_close::NAME, None), Kind::ConversationClose(close))
        }
        Name::ConversationWindow => {
            let window = window::read(&mut envelope.data, raw)?;
            (identity.of(window::NAME, None), Kind::ConversationWindow(Box::new(window)))
        }
        Name::ConversationUpdate => {
            let changes = update::read(&mut envelope.data, raw)?;
            (identity.of(update::NAME, None), Kind::ConversationUpdate(Box::new(changes)))
        }
        Name::ConversationClassified => {
            let classification = classified::read(&mut envelope.data)?;
            (classified::id(&key, &classification), Kind::ConversationClassified(Box::new(classification)))
        }
        Name::StateSet => {
            let set = state::read_set(&mut envelope.data)?;
            (identity.of(state::SET, None), Kind::SetVariable(Box::new(set)))
        }
        Name::StateDelete => {
            let deleted = state::read_delete(&mut envelope.data)?;
            (identity.of(state::DELETE, None), Kind::SetVariable(Box::new(deleted)))
        }
        Name::ProjectUpdated => {
            let settings = project::read(&mut envelope.data)?;
            (identity.of(project::NAME, None), Kind::ProjectUpdated(settings))
        }
        Name::ContactErase => (identity.of(CONTACT_ERASE, None), Kind::ContactErase),
        Name::CrmLinked => {
            let link = crm::read_linked(&mut envelope.data, raw)?;
            (identity.of(crm::LINKED, None), Kind::CrmLinked(Box::new(link)))
        }
        Name::CrmContactUpdated => {
            let changes = crm::read_updated(&mut envelope.data, raw)?;
            (identity.of(crm::UPDATED, None), Kind::ConversationUpdate(Box::new(changes)))
        }
        Name::Due => {
            let due = due::read(&mut envelope.data)?;
            (due::id(&key, &due), Kind::Due(due))
        }
        // never: read above, since neither is about a thread
        Name::HubSpotRaw | Name::CrmRecordChanged => return told_by_a_crm(&mut envelope, raw),
        Name::Request(asked) => return request::read(asked, &mut envelope, raw),
    };
    let (group_id, received_at) = (raw.group_id.to_owned(), raw.sent_at);
    Ok(Event { id, thread, group_id, received_at, sequence: raw.sequence, kind })
}

/// What a CRM tells of its records is about no thread; which threads it is about, the archive knows.
fn told_by_a_crm(envelope: &mut Envelope, raw: &Raw<'_>) -> Result<Event, Rejection> {
    let (name, thread, kind) = if envelope.name == Name::HubSpotRaw {
        let signed = hubspot::read(&mut envelope.data)?;
        (hubspot::NAME, hubspot::place(), Kind::HubSpotRaw(Box::new(signed)))
    } else {
        let change = crm_record::read(&mut envelope.data)?;
        let thread = crm_record::place(&change.crm, &change.account, &change.crm_id);
        (crm_record::NAME, thread, Kind::CrmRecordChanged(Box::new(change)))
    };
    let correlation_id = envelope.correlation_id.take();
    let identity = Identity { thread: &thread.key(), correlation_id: correlation_id.as_deref(), body: raw.body };
    Ok(of_a_crm(raw, identity.of(name, None), thread, kind))
}

fn of_a_crm(raw: &Raw<'_>, id: EventId, thread: Thread, kind: Kind) -> Event {
    Event { id, thread, group_id: raw.group_id.to_owned(), received_at: raw.sent_at, sequence: raw.sequence, kind }
}

fn rated(
    name: Name,
    envelope: &mut Envelope,
    identity: Identity<'_>,
    raw: &Raw<'_>,
) -> Result<(EventId, Kind), Rejection> {
    let rating = rating::read(name, envelope, identity, raw)?;
    Ok((rating.event_id, Kind::Rating(Box::new(rating))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::testing::{decode_body, sent_at, thread};
    use super::*;
    use crate::domain::{Direction, SenderType};

    const PROJECT: &str = "0b1f6c1e-5f0e-4a55-8d0f-1b1f3c2d4e5f";
    const CONTACT: &str = "whatsapp:+5511999990000";
    const CHANNEL: &str = "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c";

    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../tests/fixtures/events/", $name, ".json"))
        };
    }

    fn decoded(body: &str) -> Event {
        decode_body(body).expect("an event")
    }

    #[test]
    fn a_message_is_read_with_all_its_fields() {
        let event = decoded(fixture!("message_received"));
        let thread = thread(PROJECT, CONTACT, CHANNEL);
        let id = EventId::derive(&thread.key(), "message.received", "c0a8-0001");
        let message = Message {
            event_id: id,
            occurred_at: "2026-03-01T12:30:45.123456Z".parse().expect("a time"),
            received_at: sent_at(),
            sequence: Sequence(7),
            direction: Direction::Incoming,
            text: "Olá! Quero falar sobre o pedido 1042 🙂".into(),
            external_id: Some("wamid.HBgNNTUxMTk5OTk5MDAwMBUCABIYFjNFQjA".into()),
            contact_name: Some("María José".into()),
            content_type: Some("text".into()),
            sender_type: Some(SenderType::User),
            sender_id: Some("5511999990000".into()),
            agent_id: None,
            model_used: None,
            tokens_used: None,
            tokens: None,
            sentiment: Some("positive".into()),
            intent: Some("order_status".into()),
            entities: vec![json!({"type": "order", "value": "1042"})],
            attachments: vec![json!({"url": "https://media.example/1.jpg", "content_type": "image/jpeg"})],
            metadata: json!({"app": {"version": "4.2", "ids": [1, 2]}}).as_object().cloned().expect("an object"),
        };
        let kind = Kind::Message(Arc::new(message));
        assert_eq!(
            event,
            Event { id, thread, group_id: "group".into(), received_at: sent_at(), sequence: Sequence(7), kind }
        );
    }

    #[test]
    fn a_message_is_the_same_event_in_whatever_it_travels() {
        let plain = decoded(fixture!("message_received"));
        for (form, body) in [
            ("flat", fixture!("message_received_flat")),
            ("tenant_id and conversation.save_message", fixture!("message_received_tenant")),
            ("SNS", fixture!("message_received_sns")),
            ("EventBridge", fixture!("message_received_eventbridge")),
            ("CloudEvents", fixture!("message_received_cloudevents")),
        ] {
            assert_eq!(decoded(body), plain, "{form}");
        }
    }

    #[test]
    fn an_answer_is_outgoing_and_its_number_is_its_id() {
        let event = decoded(fixture!("message_sent"));
        assert_eq!(event.id, EventId::derive(&event.thread.key(), "message.sent", "98123"));
        let Kind::Message(message) = event.kind else { panic!("not a message") };
        assert_eq!(message.direction, Direction::Outgoing);
        assert_eq!(message.occurred_at, "2026-03-01T12:30:50.123Z".parse::<DateTime<Utc>>().expect("a time"));
        assert_eq!((message.sender_type, message.tokens_used), (Some(SenderType::Agent), Some(57)));
    }

    #[test]
    fn a_conversation_id_addresses_a_thread_without_contact_and_channel() {
        let event = decoded(fixture!("message_sent_by_conversation"));
        let conversation = Some("6e9b0c1d-2f3a-4b5c-8d7e-9f0a1b2c3d4e".into());
        assert_eq!(event.thread, Thread { project: PROJECT.into(), contact: None, channel: None, conversation });
        let Kind::Message(message) = event.kind else { panic!("not a message") };
        assert_eq!((message.direction, message.text.as_str()), (Direction::System, ""));
    }

    #[test]
    fn a_session_opens_and_closes_by_its_name_or_its_alias() {
        let opened = decoded(fixture!("session_opened")).kind;
        let agent_id = Some("agent-7".into());
        assert_eq!(opened, Kind::SessionOpened(SessionOpened { session_id: "session-1".into(), agent_id }));
        let closed = decoded(fixture!("session_closed"));
        assert_eq!(closed.kind, Kind::SessionClosed(SessionClosed { session_id: "session-1".into() }));
        assert_eq!(decoded(fixture!("session_closed_tenant")), closed);
    }

    #[test]
    fn a_publishers_close_names_no_conversation() {
        let close = decoded(fixture!("conversation_close"));
        let reason = Some("the customer said goodbye".into());
        let expected =
            ConversationClose { resolution: Some(0), reason, topic: None, subtopic: None, conversation_id: None };
        assert_eq!(close.kind, Kind::ConversationClose(expected));
        assert_eq!(close.id, EventId::derive(&close.thread.key(), "conversation.close", "close-1"));
    }

    #[test]
    fn the_timers_command_is_read_and_written() {
        let event = decoded(fixture!("due"));
        let conversation_id = ConversationId(Uuid::from_u128(0x6f0c_63a4_5d53_4c5e_9d0a_0d5b_6a1e_7c11));
        let due = Due { conversation_id, due_at: "2026-03-01T13:00:00Z".parse().expect("a time") };
        assert_eq!(event.kind, Kind::Due(due));
        assert_eq!(decoded(&due::to_body(&event.thread, &due)), event);
    }

    #[test]
    fn a_score_a_takeover_and_a_session_known_by_its_id_are_read() {
        let Kind::Rating(rating) = decoded(fixture!("score")).kind else { panic!("not a rating") };
        assert_eq!((rating.score, rating.key.as_str()), (Some(5), "weni_csat"));
        let Kind::ConversationWindow(window) = decoded(fixture!("window_flat")).kind else { panic!("not a window") };
        assert_eq!(window.taken_over_at, Some("2026-03-01T12:31:00Z".parse().expect("a time")));
        let bare = r#"{"event_type": "session.closed", "data": {"project_uuid": "p", "session_id": "s"}}"#;
        assert!(decoded(bare).thread.is_project_alone());
        let halved =
            r#"{"event_type": "session.closed", "data": {"project_uuid": "p", "contact_urn": "c", "session_id": "s"}}"#;
        assert_eq!(decode_body(halved).expect_err("no channel").field.as_deref(), Some("channel_uuid"));
    }

    #[test]
    fn an_erasure_names_a_contact_on_whatever_channel() {
        let event = decoded(r#"{"event_type": "contact.erase", "data": {"project_uuid": "p", "contact_urn": "c"}}"#);
        assert_eq!((event.thread.contact.as_deref(), event.kind), (Some("c"), Kind::ContactErase));
        let nobody = decode_body(r#"{"event_type": "contact.erase", "data": {"project_uuid": "p"}}"#);
        assert_eq!(nobody.expect_err("no contact").field.as_deref(), Some("contact_urn"));
    }

    #[test]
    fn an_alias_gives_the_same_id_with_and_without_a_correlation_id() {
        for (own, alias) in [
            (fixture!("session_closed"), "conversation.session_closed"),
            (fixture!("session_closed"), "session_closed"),
            (fixture!("session_opened"), "session_opened"),
            (fixture!("message_received"), "conversation.save_message"),
        ] {
            for strip in [false, true] {
                let body = if strip { own.replace("correlation_id", "ignored") } else { own.to_owned() };
                let attributes = [("event_type".to_owned(), alias.to_owned())].into();
                let raw = Raw {
                    body: &body,
                    attributes: &attributes,
                    sent_at: sent_at(),
                    sequence: Sequence(7),
                    group_id: "group",
                };
                assert_eq!(decode(&raw), decode_body(&body), "{alias}");
            }
        }
    }
}
