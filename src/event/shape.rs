//! What an object's fields must be, in the words of JSON Schema: the same forms, limits and names as the readers of [`Fields`].
//!
//! Each event declares its shape beside its reader, with the reader's own limits. A test holds the two together: it asks a
//! JSON Schema validator and the decoder about the same bodies.
//!
//! [`Fields`]: super::fields::Fields

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::fields::{ID_LIMIT, KEYS_LIMIT, LABEL_LIMIT, LIST_LIMIT, URN_LIMIT};

/// Something that is not blank.
const SOME: &str = r"\S";

/// What one field may be.
#[derive(Clone, Debug)]
pub(super) struct Form(Map<String, Value>);

impl Form {
    fn of(schema: Value) -> Self {
        match schema {
            Value::Object(schema) => Self(schema),
            _ => Self(Map::new()),
        }
    }

    /// Whatever JSON there is.
    pub(super) fn any() -> Self {
        Self(Map::new())
    }

    /// Read by `Fields::id`.
    pub(super) fn id(limit: usize) -> Self {
        Self::of(json!({"type": ["string", "integer", "null"], "maxLength": limit, "x-max-bytes": limit}))
    }

    /// Read by `Fields::label`.
    pub(super) fn label() -> Self {
        Self::of(json!({"type": ["string", "null"], "maxLength": LABEL_LIMIT, "x-max-bytes": LABEL_LIMIT}))
    }

    /// Read by `Fields::text`.
    pub(super) fn text() -> Self {
        Self::of(json!({"type": ["string", "null"]}))
    }

    /// One of these words, or nothing.
    pub(super) fn one_of(words: &[&str]) -> Self {
        Self::of(json!({"anyOf": [{"enum": words}, blank()]}))
    }

    /// Read by `Fields::list`.
    pub(super) fn list() -> Self {
        Self::of(json!({"type": ["array", "null"], "maxItems": LIST_LIMIT}))
    }

    /// Read by `Fields::metadata`.
    pub(super) fn metadata() -> Self {
        Self::of(json!({"type": ["object", "null"], "maxProperties": KEYS_LIMIT}))
    }

    /// Read by `Fields::object_within`.
    pub(super) fn object_within(bytes: usize) -> Self {
        Self::metadata().but(json!({"x-max-json-bytes": bytes}))
    }

    /// Read by `Fields::count`.
    pub(super) fn count() -> Self {
        Self::of(json!({"type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX}))
    }

    /// Read by `Fields::flag`.
    pub(super) fn flag() -> Self {
        let word = r"^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])?\s*$";
        Self::of(json!({"type": ["boolean", "string", "null"], "pattern": word}))
    }

    /// Read by `Fields::seconds`.
    pub(super) fn seconds(range: &RangeInclusive<u64>) -> Self {
        let (least, most) = (range.start(), range.end());
        Self::of(json!({"type": ["integer", "string", "null"], "minimum": least, "maximum": most,
            "pattern": r"^\s*\+?[0-9]+\s*$"}))
    }

    /// Read by `Fields::uuid`. What stands in the string is not said: there are several ways to write a UUID.
    pub(super) fn uuid() -> Self {
        Self::label()
    }

    /// A time that stands for itself when it cannot be read: anything may come.
    pub(super) fn time() -> Self {
        Self::of(json!({"x-time": true, "examples": ["2026-03-01T09:30:45.123-03:00"]}))
    }

    /// A time that must be one when it is given.
    pub(super) fn exact_time() -> Self {
        Self::time().but(json!({"type": ["string", "number", "null"]}))
    }

    /// Anything but nothing; `limit` bytes of a string, or of anything else as JSON.
    pub(super) fn answer(limit: usize) -> Self {
        let types = json!(["string", "number", "boolean", "array", "object"]);
        Self::of(json!({"type": types, "maxLength": limit, "x-max-bytes": limit}))
    }

    /// Anything but nothing, `bytes` as JSON at most.
    pub(super) fn any_within(bytes: usize) -> Self {
        Self::of(json!({"not": {"type": "null"}, "x-max-json-bytes": bytes}))
    }

    /// An object of this shape.
    pub(super) fn object(shape: Shape) -> Self {
        let mut object = shape.schema();
        object.insert("type".to_owned(), json!(["object", "null"]));
        Self(object)
    }

    /// With these words of the schema besides.
    pub(super) fn but(mut self, words: Value) -> Self {
        self.0.extend(Self::of(words).0);
        self
    }

    /// What it means.
    pub(super) fn says(self, description: &str) -> Self {
        self.but(json!({ "description": description }))
    }

    /// It must be there, and neither null nor blank.
    pub(super) fn needed(mut self) -> Self {
        if let Some(Value::Array(types)) = self.0.get_mut("type") {
            types.retain(|name| name != "null");
            if types.iter().any(|name| name == "string") && !self.0.contains_key("pattern") {
                self.0.insert("pattern".to_owned(), SOME.into());
            }
        }
        self
    }
}

/// The fields of an object. Fields that it does not name are allowed, and not read.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    fields: Map<String, Value>,
    required: Vec<Value>,
    rules: Vec<Value>,
}

impl Shape {
    /// With a field that may be there.
    pub(super) fn may(mut self, field: &str, form: Form) -> Self {
        self.fields.insert(field.to_owned(), form.0.into());
        self
    }

    /// With a field that must be there.
    pub(super) fn must(mut self, field: &str, form: Form) -> Self {
        self.required.push(field.into());
        self.may(field, form.needed())
    }

    /// With another name of a field: read when `field` has no value.
    pub(super) fn alias(self, alias: &str, field: &str, form: Form) -> Self {
        let description = format!("Another name of `{field}`, read when that has no value.");
        self.may(alias, form.but(json!({ "deprecated": true, "description": description })))
    }

    /// With a rule over several fields.
    pub(super) fn rule(mut self, rule: Value) -> Self {
        self.rules.push(rule);
        self
    }

    /// With at least one of these fields having a value.
    pub(super) fn one_at_least(self, fields: &[&str]) -> Self {
        let given: Vec<Value> = fields.iter().map(|field| given(&[field])).collect();
        self.rule(json!({ "anyOf": given }))
    }

    /// With the project, and nothing else that says where.
    pub(super) fn of_project(self) -> Self {
        self.may("project_uuid", Form::id(ID_LIMIT).says("The project (tenant). Kept verbatim."))
            .alias("tenant_id", "project_uuid", Form::id(ID_LIMIT))
            .one_at_least(&["project_uuid", "tenant_id"])
    }

    fn with_parts(self) -> Self {
        let contact = "The contact, as a URN. Kept verbatim: two ways to write one contact are two threads.";
        let own = "The publisher's own id of the conversation. It names the thread within its project by itself: contact and \
                   channel may then be absent.";
        self.may("contact_urn", Form::id(URN_LIMIT).says(contact).but(json!({"examples": ["whatsapp:+5511999990000"]})))
            .may("channel_uuid", Form::id(ID_LIMIT).says("The channel that the contact writes on. Kept verbatim."))
            .may("conversation_id", Form::id(ID_LIMIT).says(own))
    }

    /// With the thread: project, channel and contact, or project and conversation id.
    pub(super) fn in_thread(self) -> Self {
        let named = json!({"anyOf": [given(&["contact_urn", "channel_uuid"]), given(&["conversation_id"])]});
        self.of_project().with_parts().rule(named)
    }

    /// With the project, and the thread if any part of it is named.
    pub(super) fn in_thread_or_project(self) -> Self {
        let parts = ["contact_urn", "channel_uuid", "conversation_id"];
        let none: Map<String, Value> = parts.iter().map(|part| ((*part).to_owned(), blank())).collect();
        let rule = json!({"anyOf": [given(&parts[..2]), given(&parts[2..]), {"properties": none}]});
        self.of_project().with_parts().rule(rule)
    }

    /// With the project and the contact, on whatever channel.
    pub(super) fn of_contact(self) -> Self {
        let contact = Form::id(URN_LIMIT).says("The contact, as a URN.");
        self.of_project().must("contact_urn", contact)
    }

    /// Whether it names the field.
    pub(super) fn has(&self, field: &str) -> bool {
        self.fields.contains_key(field)
    }

    /// Whether the field must be there.
    pub(super) fn needs(&self, field: &str) -> bool {
        self.required.iter().any(|required| required == field)
    }

    /// The object's schema.
    pub(super) fn schema(self) -> Map<String, Value> {
        let mut schema = Map::from_iter([("type".to_owned(), "object".into())]);
        schema.insert("properties".to_owned(), self.fields.into());
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        if !self.rules.is_empty() {
            schema.insert("allOf".to_owned(), self.rules.into());
        }
        schema
    }
}

/// These fields are there, and neither null nor blank.
pub(super) fn given(fields: &[&str]) -> Value {
    let properties: Map<String, Value> = fields.iter().map(|field| ((*field).to_owned(), defined("given"))).collect();
    json!({"required": fields, "properties": properties})
}

/// As good as absent.
pub(super) fn blank() -> Value {
    defined("blank")
}

fn defined(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// What every schema may refer to, under `$defs`.
pub(super) fn definitions() -> Map<String, Value> {
    let blank = json!({"description": "As good as absent.", "type": ["string", "null"], "pattern": r"^\s*$"});
    let given =
        json!({"description": "Neither null nor blank.", "not": {"type": ["string", "null"], "pattern": r"^\s*$"}});
    Map::from_iter([("blank".to_owned(), blank), ("given".to_owned(), given)])
}
