//! The wire contract as JSON Schemas: every event that this version takes, by the shapes that its reader declares.
//!
//! A schema says what the decoder accepts, not only what a publisher should send: nulls, numbers for ids, other names. It
//! describes the contract's own envelope; flat bodies and the wrappers of SNS, EventBridge and CloudEvents carry the same.

use serde_json::{Map, Value, json};

use super::envelope::BODY_LIMIT;
use super::name::{Asked, Name};
use super::rating::{CSAT_SCORES, NPS_SCORES};
use super::shape::{Form, Shape, blank, definitions};
use super::{
    classified, conversation_close, crm, crm_record, due, hubspot, message, project, rating, request_shape, session,
    state, update, window,
};

/// Where schemas are known by their ids.
const SCHEMAS: &str = "urn:conversationd:schema:";

/// One event of the contract, described.
#[derive(Clone, Debug)]
pub struct Described {
    /// Name of its schema: the event's, or that of one of its forms.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub summary: &'static str,
    /// What it is called on the wire; the first is its name, the others are taken too. Empty: it does not say.
    pub event_types: &'static [&'static str],
    /// A body that is accepted.
    pub example: Value,
    /// Whether it is answered.
    pub is_request: bool,
    shape: Shape,
}

/// A message that is a score.
const SCORED: &str = "message.scored";

/// What the examples share.
const PROJECT: &str = "0b1f6c1e-5f0e-4a55-8d0f-1b1f3c2d4e5f";
const CHANNEL: &str = "7f1c9c1e-1d2e-4f3a-9b4c-5d6e7f8a9b0c";
const CONTACT: &str = "whatsapp:+5511999990000";

impl Described {
    fn of(
        name: &'static str,
        summary: &'static str,
        types: &'static [&'static str],
        shape: Shape,
        said: Value,
    ) -> Self {
        let mut data = json!({"project_uuid": PROJECT, "contact_urn": CONTACT, "channel_uuid": CHANNEL});
        if let (Value::Object(data), Value::Object(said)) = (&mut data, said) {
            data.extend(said);
            data.retain(|_, value| !value.is_null());
        }
        let example = match types.first() {
            Some(event_type) => {
                json!({"event_type": event_type, "correlation_id": "3f2b8a52-order-1042", "data": data})
            }
            None => data,
        };
        Self { name, summary, event_types: types, example, is_request: false, shape }
    }

    fn request(
        name: &'static str,
        summary: &'static str,
        types: &'static [&'static str],
        asked: Asked,
        said: Value,
    ) -> Self {
        let mut request = Self::of(name, summary, types, request_shape::shape(asked), said);
        request.example["reply_to"] = "answers".into();
        Self { is_request: true, ..request }
    }

    /// The schema of its whole body: JSON Schema 2020-12, in words that draft 7 has too, but for the definitions that it refers
    /// to under `$defs`.
    ///
    /// What neither draft can say stands in words that begin with `x-`: `x-max-bytes` (a string's UTF-8; of anything else, its
    /// JSON), `x-max-json-bytes` (JSON, whatever it is), `x-max-different` (different entries of a list).
    pub fn schema(&self) -> Map<String, Value> {
        let shape = if self.event_types.is_empty() { self.flat() } else { self.enveloped() };
        let mut schema = shape.schema();
        schema.insert("title".to_owned(), self.name.into());
        schema.insert("description".to_owned(), self.summary.into());
        schema.insert("examples".to_owned(), json!([self.example]));
        schema
    }

    /// The same as a document of its own.
    pub fn document(&self) -> Map<String, Value> {
        let mut schema = as_document(self.name, self.schema());
        schema.insert("$defs".to_owned(), definitions().into());
        schema
    }

    fn enveloped(&self) -> Shape {
        let name = "What happened. A message attribute `event_type` goes before it.";
        let event_type = Form::any().but(json!({"enum": self.event_types})).says(name);
        let id = "The publisher's own id of the event, the same on every try. Copies with one id are one event.";
        let inside = Form::id(BODY_LIMIT).says("Read when there is none beside `data`.");
        let data = self.shape.clone().may("correlation_id", inside);
        let mut envelope = Shape::default()
            .must("event_type", event_type)
            .may("correlation_id", Form::id(BODY_LIMIT).says(id))
            .must("data", Form::object(data));
        if self.is_request {
            envelope = request_shape::addressed(envelope).rule(request_shape::answerable());
        }
        if self.shape.has("key") && !self.shape.needs("key") {
            envelope = envelope.may("key", Form::any().but(blank()));
        }
        envelope
    }

    fn flat(&self) -> Shape {
        let unnamed = "No type is named: the ticket says what it is.";
        self.shape
            .clone()
            .may("event_type", Form::any().but(blank()).says(unnamed))
            .may("correlation_id", Form::id(BODY_LIMIT).says("The publisher's own id of the event."))
            .may("data", Form::any().but(json!({"type": "null"})))
    }
}

/// What describes events of this name, as scores or not.
pub(super) fn of(name: Name, scored: bool) -> Option<Described> {
    let is_it = |event: &Described| {
        let named = event.event_types.first().is_some_and(|first| Name::parse(first) == Ok(name));
        if event.name == SCORED { scored && spoken(name) } else { named && !(scored && spoken(name)) }
    };
    described().into_iter().find(is_it)
}

fn spoken(name: Name) -> bool {
    matches!(name, Name::MessageReceived | Name::MessageSent | Name::SaveMessage)
}

/// A schema as a document of its own, of draft 2020-12.
pub fn as_document(name: &str, mut schema: Map<String, Value>) -> Map<String, Value> {
    schema.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
    schema.insert("$id".to_owned(), [SCHEMAS, name].concat().into());
    schema
}

/// What the schemas refer to.
pub fn shared() -> Map<String, Value> {
    definitions()
}

/// Every event of the contract that this version takes.
pub fn described() -> Vec<Described> {
    [messages(), sessions(), surveys(), conversations(), states(), crm(), others(), requests()].concat()
}

fn messages() -> Vec<Described> {
    let spoken = |needs_source: bool| {
        let score = "No value here: with one, the message is a score; see `message.scored`.";
        message::shape(needs_source).may("key", Form::any().but(blank()).says(score))
    };
    let said = |text: &str, source: &str| json!({"message": {"id": "wamid.HBgN", "text": text, "source": source, "created_at": "2026-03-01T09:30:45.123-03:00"}});
    vec![
        Described::of(
            "message.received",
            "The contact said something.",
            &["message.received"],
            spoken(false),
            said("Olá! Quero falar sobre o pedido 1042", "incoming"),
        ),
        Described::of(
            "message.sent",
            "The company said something: a person, a program or the system.",
            &["message.sent"],
            spoken(false),
            said("Seu pedido sai hoje.", "outgoing"),
        ),
        Described::of(
            "conversation.save_message",
            "Either of the two, as an older service calls it: the message's source says which.",
            &["conversation.save_message"],
            spoken(true),
            said("Olá!", "incoming"),
        ),
        Described::of(
            SCORED,
            "A score or a custom answer that travels as a message, with a key and a value. The two may also stand beside data.",
            &["message.received", "message.sent", "conversation.save_message"],
            rating::scored_shape(),
            json!({"key": "weni_csat", "value": 5, "message": {"text": "", "source": "system", "created_at": "2026-03-01T12:40:00Z"}}),
        ),
    ]
}

fn sessions() -> Vec<Described> {
    vec![
        Described::of(
            "session.opened",
            "The platform began to serve the contact. The session's id alone is enough where the thread is not known.",
            &["session.opened", "session_opened", "conversation.session_opened"],
            session::opened_shape(),
            json!({"session_id": "session-1", "agent_id": "agent-7"}),
        ),
        Described::of(
            "session.closed",
            "The platform ended it: the conversation closes after a grace period, unless something more is said.",
            &["session.closed", "session_closed", "conversation.session_closed"],
            session::closed_shape(),
            json!({"session_id": "session-1"}),
        ),
    ]
}

fn surveys() -> Vec<Described> {
    vec![
        Described::of(
            "survey.csat",
            "A satisfaction score, 1 to 5.",
            &["survey.csat"],
            rating::survey_shape(&CSAT_SCORES),
            json!({"value": 5, "comment": "very kind", "agent_id": "agent-7", "answered_at": "2026-03-01T12:40:00Z"}),
        ),
        Described::of(
            "survey.nps",
            "A recommendation score, 0 to 10.",
            &["survey.nps"],
            rating::survey_shape(&NPS_SCORES),
            json!({"value": 0, "answered_at": "2026-03-01T12:40:00Z"}),
        ),
    ]
}

fn conversations() -> Vec<Described> {
    let window = json!({"external_id": "4711", "start": "2026-03-01T12:00:00Z", "end": "2026-03-02T12:00:00Z"});
    vec![
        Described::of(
            "conversation.window",
            "The platform gave a conversation its time, or a person took it over.",
            &["conversation.window"],
            window::shape(),
            window,
        ),
        Described::of(
            "conversation.window.flat",
            "A person took over, as it is told without a type: a flat body with a ticket.",
            &[],
            window::shape().one_at_least(&["ticket_uuid"]),
            json!({"ticket_uuid": "c2a1e0b4-9f6d-4a53-8b1e-7d0c9f3e2a61", "created_on": "2026-03-01T12:31:00Z"}),
        ),
        Described::of(
            "conversation.update",
            "What a publisher says of a conversation besides its messages. What is absent stays as it is.",
            &["conversation.update"],
            update::shape(),
            json!({"title": "Order 1042", "tags": ["order", "late"], "metadata": {"crm": {"deal": 77}}}),
        ),
        Described::of(
            "conversation.close",
            "A publisher or an operator wants the conversation closed.",
            &["conversation.close"],
            conversation_close::shape(),
            json!({"resolution": 0, "reason": "the customer said goodbye"}),
        ),
        Described::of(
            "conversation.classified",
            "Somebody read a closed conversation and says how it ended. It fills in what is missing and replaces nothing.",
            &["conversation.classified"],
            classified::shape(),
            json!({"classified_conversation_id": "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11", "resolution": 0, "topic": "Invoice"}),
        ),
    ]
}

fn states() -> Vec<Described> {
    vec![
        Described::of(
            "state.set",
            "A variable of a conversation is set. It outlives a restart of whoever set it.",
            &["state.set"],
            state::set_shape(),
            json!({"state_type": "flow", "state_key": "step", "state_value": {"at": "payment"}, "ttl": 3600}),
        ),
        Described::of(
            "state.delete",
            "It is deleted.",
            &["state.delete"],
            state::delete_shape(),
            json!({"state_type": "flow", "state_key": "step"}),
        ),
    ]
}

fn crm() -> Vec<Described> {
    let signed = json!({"project_uuid": null, "body": "[]", "signature_v3": "g6jaiEK1", "timestamp_ms": "1"});
    let changed = json!({"project_uuid": null, "contact_urn": null, "channel_uuid": null, "crm": "hubspot", "account_id": 1,
        "crm_id": 512, "change": "property", "property": "phone", "value": "1", "occurred_at": "2026-03-01T12:30:00.733Z"});
    vec![
        Described::of(
            "crm.linked",
            "A CRM knows the contact, or a conversation's contact was joined with one of its records.",
            &[crm::LINKED],
            crm::linked_shape(),
            json!({"crm": "hubspot", "crm_id": 512, "prospect_data": {"rol": "CEO"}}),
        ),
        Described::of(
            "crm.contact_updated",
            "The contact changed in its CRM.",
            &[crm::UPDATED],
            crm::updated_shape(),
            json!({"crm": "hubspot", "crm_id": 512, "properties": {"lifecyclestage": "customer"}}),
        ),
        Described::of(
            "crm.hubspot_raw",
            "The body of one of HubSpot's webhooks as it came, with its signature.",
            &["crm.hubspot_raw"],
            hubspot::shape(),
            nowhere(signed),
        ),
        Described::of(
            "crm.record_changed",
            "Something happened to a record of a CRM. HubSpot's webhooks and its journal become these.",
            &["crm.record_changed"],
            crm_record::shape(),
            changed,
        ),
    ]
}

fn requests() -> Vec<Described> {
    let id = "1b4e28ba-2fa1-5d6e-8a7c-0123456789ab";
    vec![
        Described::request(
            "get_context",
            "What a model should be told of the thread's conversation: as many of its last messages as fit.",
            &["get_context", "conversation.get_context"],
            Asked::Context,
            json!({"model": "gpt-4o", "max_tokens": 2000, "include_state": true}),
        ),
        Described::request(
            "get_conversation",
            "A conversation with its messages, open or closed, page by page.",
            &["get_conversation"],
            Asked::Conversation,
            nowhere(json!({"conversation_id": id, "limit": 50})),
        ),
        Described::request(
            "list_conversations",
            "A project's conversations, page by page.",
            &["list_conversations"],
            Asked::Conversations,
            nowhere(json!({"status": "closed", "from": "2026-03-01T00:00:00Z", "limit": 20})),
        ),
        Described::request(
            "get_stats",
            "A project's figures: counts, durations, scores, the busiest agents.",
            &["get_stats"],
            Asked::Stats,
            nowhere(json!({"from": "2026-03-01T00:00:00Z", "to": "2026-04-01T00:00:00Z", "group_by": "day"})),
        ),
        Described::request(
            "get_state",
            "A thread's variables.",
            &["get_state"],
            Asked::State,
            json!({"state_type": "flow"}),
        ),
        Described::request(
            "get_crm_link",
            "The contact of a CRM that a conversation is linked to.",
            &["get_crm_link"],
            Asked::CrmLink,
            nowhere(json!({"conversation_id": id})),
        ),
        Described::request(
            "list_crm_links",
            "A project's links to contacts of a CRM, page by page.",
            &["list_crm_links"],
            Asked::CrmLinks,
            nowhere(json!({"crm_id": "77", "limit": 20})),
        ),
    ]
}

fn nowhere(mut data: Value) -> Value {
    data["contact_urn"] = Value::Null;
    data["channel_uuid"] = Value::Null;
    data
}

fn others() -> Vec<Described> {
    vec![
        Described::of(
            "project.updated",
            "When a project's conversations close. What is absent stays as it was.",
            &["project.updated"],
            project::shape(),
            nowhere(
                json!({"timezone": "America/Sao_Paulo", "close_policy": {"close_at_midnight": true, "idle_seconds": 43200}}),
            ),
        ),
        Described::of(
            "contact.erase",
            "A person wants to be forgotten, on every channel of the project.",
            &["contact.erase"],
            Shape::default().of_contact(),
            json!({"channel_uuid": null}),
        ),
        Described::of(
            "due",
            "The daemon's own command to itself, sent by its timer into a thread's group. Publishers do not send it.",
            &["due"],
            due::shape(),
            json!({"due_conversation_id": "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11", "due_at": "2026-03-01T13:00:00Z"}),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::event::fields::asked;
    use crate::event::name::{NAMES, REQUESTS};
    use crate::event::testing::decode_body;

    /// The fields that a schema names, as the readers call them.
    fn named(schema: &Value, prefix: &str) -> BTreeSet<String> {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let named = properties.flat_map(|(field, form)| {
            let inner = format!("{prefix}{field}.");
            named(form, &inner).into_iter().chain([format!("{prefix}{field}")])
        });
        named.collect()
    }

    fn example_without(described: &Described, field: &str) -> Value {
        let mut body = described.example.clone();
        let data = if described.event_types.is_empty() { &mut body } else { &mut body["data"] };
        data.as_object_mut().map(|data| data.remove(field));
        body
    }

    #[test]
    fn every_example_is_accepted() {
        for described in described() {
            let decoded = decode_body(&described.example.to_string());
            assert!(decoded.is_ok(), "{}: {decoded:?}", described.name);
        }
    }

    #[test]
    fn every_field_that_the_decoder_asks_for_is_declared_and_no_other() {
        let beside = ["data", "event_type", "correlation_id"].map(str::to_owned);
        for described in described() {
            let mut asked = BTreeSet::new();
            let fields = ["project_uuid", "contact_urn", "id", "close_policy", "message"];
            let mut bodies: Vec<Value> = fields.iter().map(|field| example_without(&described, field)).collect();
            bodies.push(described.example.clone());
            for (field, value) in [
                ("message", json!({"source": "incoming"})),
                ("close_policy", json!({})),
                ("conversation_id", json!("c")),
            ] {
                let mut body = described.example.clone();
                if described.event_types.is_empty() {
                    body[field] = value;
                } else {
                    body["data"][field] = value;
                }
                bodies.push(body);
            }
            for body in bodies {
                asked.extend(asked::during(|| {
                    let _ = decode_body(&body.to_string());
                }));
            }
            let schema = Value::Object(described.schema());
            let data = if described.event_types.is_empty() { &schema } else { &schema["properties"]["data"] };
            let declared: BTreeSet<String> = named(data, "").into_iter().chain(beside.clone()).collect();
            let asked: BTreeSet<String> = asked.into_iter().map(str::to_owned).chain(beside.clone()).collect();
            assert_eq!(declared, asked, "{}", described.name);
        }
    }

    #[test]
    fn every_name_that_the_decoder_knows_has_a_schema_and_every_schema_is_of_one_name() {
        let every = described();
        for name in NAMES.map(|(name, _)| name).into_iter().chain(REQUESTS.map(|(name, _)| name)) {
            assert!(every.iter().any(|event| event.event_types.contains(&name)), "{name} has no schema");
        }
        for event in every.iter().filter(|event| event.name != SCORED) {
            let names: Vec<Name> = event.event_types.iter().map(|name| Name::parse(name).expect("a name")).collect();
            assert!(names.iter().all(|name| *name == names[0]), "{}", event.name);
        }
    }
}
