//! Requests: somebody asks, and names the queue that waits for the answer.
//!
//! Knows how a question is written; knows nothing of who may ask it, or of where an answer may go.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::domain::Thread;

use super::envelope::Envelope;
use super::fields::{Fields, ID_LIMIT, URN_LIMIT, required};
use super::identity::Identity;
use super::name::Asked;
use super::rejection::{Code, Rejection};
use super::{Event, Kind, Raw, thread, time};

/// Longest correlation id that is given back, in characters.
const ECHO_LIMIT: usize = 64;

/// Longest cursor, in bytes: those of this program are shorter.
pub(super) const CURSOR_LIMIT: usize = 1_024;

/// A question and what its answer needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Name or URL of the queue that waits for the answer, as asked: never an address to send to.
    pub reply_to: String,
    /// What the asker knows the answer by. Absent when it is not at most 64 printable characters.
    pub correlation_id: Option<String>,
    /// From when on nobody waits for it any more.
    pub deadline: Option<DateTime<Utc>>,
    /// What is asked.
    pub question: Question,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// `get_context`: what a model should be told of the thread's conversation.
    Context(GetContext),
    /// `get_conversation`: a conversation with its messages.
    Conversation(GetConversation),
    /// `list_conversations`: a project's conversations.
    Conversations(ListConversations),
    /// `get_stats`: a project's figures.
    Stats(GetStats),
    /// `get_state`: a thread's variables.
    State(GetState),
    /// `get_crm_link`: a conversation's contact in a CRM.
    CrmLink(GetCrmLink),
    /// `list_crm_links`: a project's links to CRM contacts.
    CrmLinks(ListCrmLinks),
}

/// How a context should be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetContext {
    /// The model's name.
    pub model: Option<String>,
    /// Its window, as written: `8192`, `128k`.
    pub window: Option<String>,
    /// Tokens at most; 0 or below asks for none.
    pub max_tokens: Option<i64>,
    /// `token_buffer` or `summary_buffer`.
    pub strategy: Option<String>,
    /// The tokenizer's name.
    pub tokenizer: Option<String>,
    /// Whether the summary is within the limit.
    pub budget_includes_summary: bool,
    /// Whether the thread's variables are wanted too.
    pub include_state: bool,
}

/// Which conversation, and which part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetConversation {
    /// Its id; or the publisher's, which names a thread.
    pub conversation_id: String,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Messages at most.
    pub limit: Option<u32>,
}

/// Which conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListConversations {
    /// `open` or `closed`.
    pub status: Option<String>,
    /// With this contact.
    pub contact_urn: Option<String>,
    /// Of this agent.
    pub agent_id: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Opened at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Opened before this time.
    pub to: Option<DateTime<Utc>>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Conversations at most.
    pub limit: Option<u32>,
}

/// Which figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetStats {
    /// Of conversations closed at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Of conversations closed before this time.
    pub to: Option<DateTime<Utc>>,
    /// Of this agent.
    pub agent_id: Option<String>,
    /// `day` or `agent`.
    pub group_by: Option<String>,
}

/// Which variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetState {
    /// Of this kind.
    pub state_type: Option<String>,
    /// Of this name.
    pub state_key: Option<String>,
}

/// Which link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GetCrmLink {
    /// The conversation's id.
    pub conversation_id: String,
}

/// Which links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListCrmLinks {
    /// To this contact of the CRM.
    pub crm_id: Option<String>,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Links at most.
    pub limit: Option<u32>,
}

impl Request {
    /// The request's name on the wire.
    pub fn name(&self) -> &'static str {
        let asked = match self.question {
            Question::Context(_) => Asked::Context,
            Question::Conversation(_) => Asked::Conversation,
            Question::Conversations(_) => Asked::Conversations,
            Question::Stats(_) => Asked::Stats,
            Question::State(_) => Asked::State,
            Question::CrmLink(_) => Asked::CrmLink,
            Question::CrmLinks(_) => Asked::CrmLinks,
        };
        asked.name()
    }
}

/// Writes the body of a request called `name` with these fields.
pub fn to_body(name: &str, reply_to: &str, correlation_id: &str, data: &Map<String, Value>) -> String {
    json!({"event_type": name, "reply_to": reply_to, "correlation_id": correlation_id, "data": data}).to_string()
}

/// Reads a request, and where it is about.
///
/// # Errors
/// Nobody waits for an answer (`reply_to` is missing), a field is of another type or over its limit, or the thread, or the
/// project, is missing.
pub(super) fn read(asked: Asked, envelope: &mut Envelope, raw: &Raw<'_>) -> Result<Event, Rejection> {
    let reply_to = required(named(raw, envelope, "reply_to")?, "reply_to")?;
    let deadline =
        named(raw, envelope, "deadline")?.map(|text| time_of(&Value::String(text), "deadline")).transpose()?;
    let echoed = |id: &String| id.chars().count() <= ECHO_LIMIT && !id.chars().any(char::is_control);
    let data = &mut envelope.data;
    let (thread, question) = match asked {
        Asked::Context => (thread::read(data)?.0, Question::Context(context(data)?)),
        Asked::State => {
            let state_type = data.id("state_type", ID_LIMIT)?;
            let state_key = data.id("state_key", ID_LIMIT)?;
            (thread::read(data)?.0, Question::State(GetState { state_type, state_key }))
        }
        Asked::Conversation => {
            let page = (data.id("cursor", CURSOR_LIMIT)?, data.count("limit")?);
            let (thread, conversation_id) = of_conversation(data)?;
            let (cursor, limit) = page;
            (thread, Question::Conversation(GetConversation { conversation_id, cursor, limit }))
        }
        Asked::CrmLink => {
            let (thread, conversation_id) = of_conversation(data)?;
            (thread, Question::CrmLink(GetCrmLink { conversation_id }))
        }
        Asked::Conversations => {
            let list = ListConversations {
                status: data.label("status")?,
                contact_urn: data.id("contact_urn", URN_LIMIT)?,
                agent_id: data.id("agent_id", ID_LIMIT)?,
                tag: data.label("tag")?,
                from: moment(data, "from")?,
                to: moment(data, "to")?,
                cursor: data.id("cursor", CURSOR_LIMIT)?,
                limit: data.count("limit")?,
            };
            (project(data)?, Question::Conversations(list))
        }
        Asked::Stats => {
            let stats = GetStats {
                from: moment(data, "from")?,
                to: moment(data, "to")?,
                agent_id: data.id("agent_id", ID_LIMIT)?,
                group_by: data.label("group_by")?,
            };
            (project(data)?, Question::Stats(stats))
        }
        Asked::CrmLinks => {
            let crm_id = data.id("crm_id", ID_LIMIT)?;
            let cursor = data.id("cursor", CURSOR_LIMIT)?;
            let links = ListCrmLinks { crm_id, cursor, limit: data.count("limit")? };
            (project(data)?, Question::CrmLinks(links))
        }
    };
    let correlation_id = envelope.correlation_id.take();
    let key = thread.key();
    let identity = Identity { thread: &key, correlation_id: correlation_id.as_deref(), body: raw.body };
    let id = identity.of(asked.name(), None);
    let request = Request { reply_to, correlation_id: correlation_id.filter(echoed), deadline, question };
    let kind = Kind::Request(Box::new(request));
    let (group_id, received_at) = (raw.group_id.to_owned(), raw.sent_at);
    Ok(Event { id, thread, group_id, received_at, sequence: raw.sequence, kind })
}

/// A field that may also be a message attribute, which goes first, or stand beside the data.
fn named(raw: &Raw<'_>, envelope: &mut Envelope, field: &'static str) -> Result<Option<String>, Rejection> {
    if let Some(value) = raw.attributes.get(field).filter(|value| !value.trim().is_empty()) {
        return Ok(Some(value.clone()));
    }
    envelope.named(field, ID_LIMIT)
}

fn context(data: &mut Fields) -> Result<GetContext, Rejection> {
    Ok(GetContext {
        model: data.label("model")?,
        window: data.id("window", ID_LIMIT)?,
        max_tokens: data.take("max_tokens").map(|value| whole(&value)).transpose()?,
        strategy: data.label("strategy")?,
        tokenizer: data.label("tokenizer")?,
        budget_includes_summary: yes_or_no(data, "budget_includes_summary")?.unwrap_or(true),
        include_state: yes_or_no(data, "include_state")?.unwrap_or(false),
    })
}

fn whole(value: &Value) -> Result<i64, Rejection> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_i64(),
    };
    number.ok_or_else(|| Rejection::field(Code::WrongType, "max_tokens", "must be a whole number"))
}

fn yes_or_no(data: &mut Fields, field: &'static str) -> Result<Option<bool>, Rejection> {
    match data.take(field) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(Rejection::field(Code::WrongType, field, "must be true or false")),
    }
}

fn moment(data: &mut Fields, field: &'static str) -> Result<Option<DateTime<Utc>>, Rejection> {
    data.take(field).map(|value| time_of(&value, field)).transpose()
}

fn time_of(value: &Value, field: &'static str) -> Result<DateTime<Utc>, Rejection> {
    let number = value.as_str().and_then(|text| text.trim().parse::<f64>().ok()).map(Value::from);
    time::read(number.as_ref().unwrap_or(value))
        .ok_or_else(|| Rejection::field(Code::WrongType, field, "must be a time: ISO 8601, or seconds since 1970"))
}

/// The project, and nothing below it.
fn project(data: &mut Fields) -> Result<Thread, Rejection> {
    Ok(thread::project_alone(thread::project(data)?))
}

/// The conversation's id, and the thread it is looked for in: the one of contact and channel, if both are told, or else the
/// one that the id may name.
fn of_conversation(data: &mut Fields) -> Result<(Thread, String), Rejection> {
    let project = thread::project(data)?;
    let id = required(data.id("conversation_id", ID_LIMIT)?, "conversation_id")?;
    let (contact, channel) = (data.id("contact_urn", URN_LIMIT)?, data.id("channel_uuid", ID_LIMIT)?);
    let thread = match (contact, channel) {
        (Some(contact), Some(channel)) => {
            Thread { project, contact: Some(contact), channel: Some(channel), conversation: None }
        }
        _ => Thread { project, contact: None, channel: None, conversation: Some(id.clone()) },
    };
    thread::within_limits(&thread)?;
    Ok((thread, id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{EventId, Sequence};
    use crate::event::decode;
    use crate::event::testing::{decode_body, sent_at};

    fn decoded(name: &str, data: Value) -> Result<Event, Rejection> {
        let data = data.as_object().cloned().unwrap_or_default();
        decode_body(&to_body(name, "answers", "c-1", &data))
    }

    fn question(name: &str, data: Value) -> Question {
        let Kind::Request(request) = decoded(name, data).expect("a request").kind else { panic!("no request") };
        assert_eq!((request.reply_to.as_str(), request.correlation_id.as_deref()), ("answers", Some("c-1")));
        request.question
    }

    #[test]
    fn a_context_is_asked_for_a_thread() {
        let thread = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "w"});
        let default = GetContext { budget_includes_summary: true, ..GetContext::default() };
        for (name, more, expected) in [
            ("get_context", json!({}), default.clone()),
            (
                "conversation.get_context",
                json!({"window": 8192}),
                GetContext { window: Some("8192".into()), ..default.clone() },
            ),
            (
                "get_context",
                json!({"model": "gpt-4o", "max_tokens": "-1", "include_state": "true", "budget_includes_summary": false}),
                GetContext {
                    model: Some("gpt-4o".into()),
                    max_tokens: Some(-1),
                    include_state: true,
                    ..GetContext::default()
                },
            ),
        ] {
            let mut data = thread.clone();
            more.as_object().into_iter().flatten().for_each(|(key, value)| data[key] = value.clone());
            let event = decoded(name, data.clone()).expect("a request");
            assert_eq!(event.id, EventId::derive(&event.thread.key(), "get_context", "c-1"), "one id for both names");
            assert_eq!(question(name, data), Question::Context(expected));
        }
        assert_eq!(
            decoded("get_context", json!({"project_uuid": "p"})).expect_err("no thread").code,
            Code::MissingField
        );
    }

    #[test]
    fn a_list_is_asked_for_a_project() {
        let data = json!({"tenant_id": "p", "contact_urn": "c", "status": "open", "from": 1_772_368_245, "limit": 5});
        let Question::Conversations(list) = question("list_conversations", data.clone()) else { panic!("another") };
        assert_eq!(
            (list.contact_urn.as_deref(), list.status.as_deref(), list.limit),
            (Some("c"), Some("open"), Some(5))
        );
        assert_eq!(list.from, DateTime::from_timestamp(1_772_368_245, 0));
        let thread = decoded("list_conversations", data).expect("a request").thread;
        assert_eq!(thread, Thread { project: "p".into(), contact: None, channel: None, conversation: None });
        assert!(matches!(question("get_stats", json!({"project_uuid": "p"})), Question::Stats(_)));
        assert!(matches!(question("list_crm_links", json!({"project_uuid": "p"})), Question::CrmLinks(_)));
        assert_eq!(
            decoded("list_crm_links", json!({})).expect_err("no project").field.as_deref(),
            Some("project_uuid")
        );
    }

    #[test]
    fn a_conversation_is_asked_for_by_its_id_within_its_thread_if_that_is_told() {
        let data = json!({"project_uuid": "p", "conversation_id": "x", "cursor": "k"});
        assert_eq!(decoded("get_conversation", data).expect("a request").thread.conversation.as_deref(), Some("x"));
        let data = json!({"project_uuid": "p", "conversation_id": "x", "contact_urn": "c", "channel_uuid": "w"});
        let event = decoded("get_conversation", data).expect("a request");
        assert_eq!((event.thread.contact.as_deref(), event.thread.conversation), (Some("c"), None));
        assert_eq!(
            decoded("get_crm_link", json!({"project_uuid": "p"})).expect_err("no id").field.as_deref(),
            Some("conversation_id")
        );
    }

    #[test]
    fn reply_to_and_deadline_stand_in_attributes_in_data_or_beside_it() {
        let data = json!({"project_uuid": "p", "reply_to": "in", "deadline": "2026-03-01T12:00:00Z"});
        let bodies = [
            (json!({"event_type": "get_stats", "data": data}), BTreeMap::new(), "in"),
            (json!({"event_type": "get_stats", "reply_to": "beside", "data": data}), BTreeMap::new(), "in"),
            (
                json!({"event_type": "get_stats", "data": data}),
                BTreeMap::from([("reply_to".to_owned(), "attribute".to_owned())]),
                "attribute",
            ),
        ];
        for (body, attributes, reply_to) in bodies {
            let body = body.to_string();
            let raw =
                Raw { body: &body, attributes: &attributes, sent_at: sent_at(), sequence: Sequence(1), group_id: "g" };
            let Kind::Request(request) = decode(&raw).expect("a request").kind else { panic!("no request") };
            assert_eq!(request.reply_to, reply_to);
            assert_eq!(request.deadline, "2026-03-01T12:00:00Z".parse().ok());
        }
    }

    #[test]
    fn a_request_that_cannot_be_answered_is_rejected() {
        for (body, field) in [
            (json!({"event_type": "get_stats", "data": {"project_uuid": "p"}}), "reply_to"),
            (json!({"event_type": "get_stats", "reply_to": "q", "data": {}}), "project_uuid"),
            (
                json!({"event_type": "get_stats", "reply_to": "q", "deadline": "soon", "data": {"project_uuid": "p"}}),
                "deadline",
            ),
            (
                json!({"event_type": "get_stats", "reply_to": "q", "data": {"project_uuid": "p", "from": "then"}}),
                "from",
            ),
            (
                json!({"event_type": "list_crm_links", "reply_to": "q", "data": {"project_uuid": "p", "limit": -1}}),
                "limit",
            ),
            (
                json!({"event_type": "get_context", "reply_to": "q", "data":
                    {"project_uuid": "p", "conversation_id": "x", "max_tokens": 1.5}}),
                "max_tokens",
            ),
        ] {
            assert_eq!(
                decode_body(&body.to_string()).expect_err("a rejection").field.as_deref(),
                Some(field),
                "{body}"
            );
        }
    }

    #[test]
    fn only_a_short_printable_correlation_id_is_given_back() {
        for (id, echoed) in
            [("x".repeat(64), true), ("x".repeat(65), false), ("a\nb".to_owned(), false), ("á 1".to_owned(), true)]
        {
            let data = json!({"project_uuid": "p"}).as_object().cloned().unwrap_or_default();
            let event = decode_body(&to_body("get_stats", "q", &id, &data)).expect("a request");
            let Kind::Request(request) = event.kind else { panic!("no request") };
            assert_eq!(request.correlation_id.is_some(), echoed, "{id:?}");
        }
    }
}
