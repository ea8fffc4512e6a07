//! What events travel in: the contract's envelope, flat bodies, and the wrappers of SNS, EventBridge and CloudEvents.
//!
//! Knows where an event's name, correlation id and data stand; knows nothing of what the data means.

use serde_json::{Map, Value};

use super::Raw;
use super::fields::{Fields, is_blank, required};
use super::json;
use super::name::Name;
use super::rejection::{Code, Rejection};

/// Largest body, in bytes: SQS's own limit.
pub(super) const BODY_LIMIT: usize = 1_048_576;

/// Most wrappers around one another: EventBridge to SNS to SQS needs two.
const WRAPPERS_LIMIT: usize = 3;

const EVENT_TYPE: &str = "event_type";
const CORRELATION_ID: &str = "correlation_id";

/// An opened envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    /// What the event is called.
    pub(super) name: Name,
    /// The publisher's own identity of the event.
    pub(super) correlation_id: Option<String>,
    /// The event's fields.
    pub(super) data: Fields,
    /// The fields beside `data`; a flat body has none.
    beside: Option<Fields>,
}

impl Envelope {
    /// Finds the event in a delivery.
    ///
    /// The message attribute `event_type` names the event before the body does, and the body before its wrapper. The
    /// correlation id is looked for from the inside outwards: beside the data, in it, on the wrappers, in the attributes.
    ///
    /// # Errors
    /// The body is too large, not a JSON object or wrapped too often; no name, or none that this version handles.
    pub(super) fn open(raw: &Raw<'_>) -> Result<Self, Rejection> {
        if raw.body.len() > BODY_LIMIT {
            return Err(Rejection::body(Code::TooLarge, "is over 1,048,576 bytes"));
        }
        let mut label = Label::default();
        let mut object = json::object(raw.body, None)?;
        let mut wrappers = 0;
        while let Some(inner) = unwrap(&mut object, &mut label)? {
            wrappers += 1;
            if wrappers > WRAPPERS_LIMIT {
                return Err(Rejection::body(Code::TooDeep, "is wrapped more than three times"));
            }
            object = inner;
        }
        let (mut data, mut beside) = split(object)?;
        let name = name(raw, &label, &mut data, beside.as_mut())?;
        let correlation_id = correlation_id(raw, label, &mut data, beside.as_mut())?;
        Ok(Self { name, correlation_id, data, beside })
    }

    /// A short field of the data, or beside it.
    pub(super) fn named(&mut self, field: &'static str, limit: usize) -> Result<Option<String>, Rejection> {
        match (self.data.id(field, limit)?, &mut self.beside) {
            (None, Some(beside)) => beside.id(field, limit),
            (found, _) => Ok(found),
        }
    }

    /// The data, and unless the body is flat, the fields beside it.
    pub(super) fn parts(&self) -> (&Fields, Option<&Fields>) {
        (&self.data, self.beside.as_ref())
    }

    /// Whether the field has a value, in the data or beside it.
    pub(super) fn has(&self, field: &'static str) -> bool {
        self.data.has(field) || self.beside.as_ref().is_some_and(|beside| beside.has(field))
    }

    /// The fields among which `field` has a value: the data, or those beside it.
    pub(super) fn holder(&mut self, field: &'static str) -> &mut Fields {
        match &mut self.beside {
            Some(beside) if !self.data.has(field) => beside,
            _ => &mut self.data,
        }
    }
}

/// What wrappers say of the event inside; an inner wrapper overrules an outer one.
#[derive(Debug, Default)]
struct Label {
    /// An attribute of an SNS notification: as good as a message attribute, which it was published as.
    attribute: Option<String>,
    /// A wrapper's own type.
    event_type: Option<String>,
    correlation_id: Option<String>,
}

/// What stands inside `object`, if that is a wrapper.
fn unwrap(object: &mut Map<String, Value>, label: &mut Label) -> Result<Option<Map<String, Value>>, Rejection> {
    if object.get("Type").and_then(Value::as_str) == Some("Notification") && object.contains_key("Message") {
        let Some(Value::String(text)) = object.remove("Message") else {
            return Err(Rejection::field(Code::WrongType, "Message", "must be a string"));
        };
        label.attribute = notification_attribute(object, EVENT_TYPE).or(label.attribute.take());
        label.correlation_id = notification_attribute(object, CORRELATION_ID).or(label.correlation_id.take());
        return json::object(&text, Some("Message")).map(Some);
    }
    let (kind, content) = if object.contains_key("detail-type") {
        ("detail-type", "detail")
    } else if object.contains_key("specversion") {
        ("type", "data")
    } else {
        return Ok(None);
    };
    let mut wrapper = Fields::of(std::mem::take(object));
    label.event_type = wrapper.label(kind)?.or(label.event_type.take());
    label.correlation_id = wrapper.id(CORRELATION_ID, BODY_LIMIT)?.or(label.correlation_id.take());
    required(wrapper.object(content)?, content).map(Some)
}

/// `MessageAttributes: {name: {Type, Value}}`.
fn notification_attribute(object: &Map<String, Value>, name: &str) -> Option<String> {
    let value = object.get("MessageAttributes")?.get(name)?.get("Value")?.as_str()?;
    if is_blank(value) { None } else { Some(value.to_owned()) }
}

/// The data and, unless the body is flat, the fields beside it.
fn split(object: Map<String, Value>) -> Result<(Fields, Option<Fields>), Rejection> {
    let mut fields = Fields::of(object);
    match fields.object("data")? {
        Some(data) => Ok((Fields::of(data), Some(fields))),
        None => Ok((fields, None)),
    }
}

fn name(raw: &Raw<'_>, label: &Label, data: &mut Fields, beside: Option<&mut Fields>) -> Result<Name, Rejection> {
    if let Some(name) = attribute(raw, EVENT_TYPE).or(label.attribute.as_deref()) {
        return Name::parse(name);
    }
    let flat = beside.is_none();
    let own = beside.unwrap_or(data).label(EVENT_TYPE)?;
    match own.as_deref().or(label.event_type.as_deref()) {
        Some(name) => Name::parse(name),
        // A human took over: real traffic, and the one kind of body that says nothing of its type.
        None if flat && data.has("ticket_uuid") => Ok(Name::ConversationWindow),
        None => Err(Rejection::field(Code::MissingEventType, EVENT_TYPE, "is required")),
    }
}

fn correlation_id(
    raw: &Raw<'_>,
    label: Label,
    data: &mut Fields,
    beside: Option<&mut Fields>,
) -> Result<Option<String>, Rejection> {
    for fields in beside.into_iter().chain([data]) {
        if let Some(id) = fields.id(CORRELATION_ID, BODY_LIMIT)? {
            return Ok(Some(id));
        }
    }
    Ok(label.correlation_id.or_else(|| attribute(raw, CORRELATION_ID).map(str::to_owned)))
}

fn attribute<'a>(raw: &Raw<'a>, name: &str) -> Option<&'a str> {
    raw.attributes.get(name).map(String::as_str).filter(|value| !is_blank(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;
    use serde_json::json;

    use crate::domain::Sequence;

    use super::*;

    fn open_with(body: &str, attributes: &[(&str, &str)]) -> Result<Envelope, Rejection> {
        let attributes: BTreeMap<_, _> = attributes.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let raw =
            Raw { body, attributes: &attributes, sent_at: DateTime::UNIX_EPOCH, sequence: Sequence(1), group_id: "g" };
        Envelope::open(&raw)
    }

    fn open(body: &Value) -> Result<Envelope, Rejection> {
        open_with(&body.to_string(), &[])
    }

    fn notification(inner: &Value, attributes: Value) -> Value {
        json!({"Type": "Notification", "Message": inner.to_string(), "MessageAttributes": attributes})
    }

    #[test]
    fn the_name_is_the_attributes_before_the_bodys_before_the_wrappers() {
        let named = json!({"event_type": "session.opened", "data": {}});
        let nameless = json!({"data": {}});
        let attributes = json!({"event_type": {"Type": "String", "Value": "session.closed"}});
        for (body, attribute, name) in [
            (named.clone(), "", Name::SessionOpened),
            (named.clone(), "due", Name::Due),
            (json!({"event_type": 7, "data": {}}), "due", Name::Due),
            (notification(&named, json!({})), "", Name::SessionOpened),
            (notification(&named, attributes.clone()), "", Name::SessionClosed),
            (notification(&named, attributes), "due", Name::Due),
            (json!({"detail-type": "due", "detail": named}), "", Name::SessionOpened),
            (json!({"detail-type": "due", "detail": nameless}), "", Name::Due),
            (json!({"specversion": "1.0", "type": "due", "data": named}), "", Name::SessionOpened),
            (json!({"specversion": "1.0", "type": "due", "data": {}}), "", Name::Due),
            (json!({"event_type": "session.opened"}), "", Name::SessionOpened),
        ] {
            let opened = open_with(&body.to_string(), &[("event_type", attribute)]);
            assert_eq!(opened.expect("an envelope").name, name, "{body}");
        }
    }

    #[test]
    fn the_correlation_id_is_looked_for_from_the_inside_outwards() {
        let beside = json!({"event_type": "due", "correlation_id": "beside", "data": {"correlation_id": "in"}});
        let inside = json!({"event_type": "due", "correlation_id": "", "data": {"correlation_id": "in"}});
        let none = json!({"event_type": "due", "data": {"correlation_id": null}});
        let published = json!({"correlation_id": {"Type": "String", "Value": "published"}});
        for (body, id) in [
            (beside.clone(), "beside"),
            (inside.clone(), "in"),
            (json!({"event_type": "due", "correlation_id": 12}), "12"),
            (notification(&inside, published.clone()), "in"),
            (notification(&none, published), "published"),
            (json!({"specversion": "1.0", "type": "due", "correlation_id": "outer", "data": none}), "outer"),
            (none, "sent"),
        ] {
            let opened = open_with(&body.to_string(), &[("correlation_id", "sent")]).expect("an envelope");
            assert_eq!(opened.correlation_id.as_deref(), Some(id), "{body}");
        }
        assert_eq!(open(&json!({"event_type": "due"})).expect("an envelope").correlation_id, None);
    }

    #[test]
    fn three_wrappers_are_opened_and_a_fourth_is_not() {
        let mut body = json!({"event_type": "due", "data": {}});
        for wrappers in 1..=4 {
            body = if wrappers % 2 == 0 {
                notification(&body, json!({}))
            } else {
                json!({"detail-type": "label", "detail": body})
            };
            let code = open(&body).err().map(|rejection| rejection.code);
            assert_eq!(code, (wrappers > 3).then_some(Code::TooDeep), "{wrappers}");
        }
    }

    #[test]
    fn nul_escaped_twice_is_removed_inside_a_notification() {
        let inner = r#"{\"event_type\":\"due\",\"data\":{\"project_uuid\":\"p\\u0000\u005cu0000q\"}}"#;
        let body = format!(r#"{{"Type":"Notification","Message":"{inner}"}}"#);
        let mut envelope = open_with(&body, &[]).expect("an envelope");
        assert_eq!(envelope.data.id("project_uuid", 100), Ok(Some("pq".to_owned())));
    }

    #[test]
    fn a_body_without_a_sound_envelope_is_rejected() {
        for (body, code, field) in [
            (json!({}), Code::MissingEventType, Some("event_type")),
            (json!({"event_type": " ", "data": {}}), Code::MissingEventType, Some("event_type")),
            (json!({"data": {"event_type": "due", "ticket_uuid": "t"}}), Code::MissingEventType, Some("event_type")),
            (json!({"event_type": "party.started"}), Code::UnknownEventType, Some("event_type")),
            (json!({"event_type": ["due"]}), Code::WrongType, Some("event_type")),
            (json!({"event_type": "due", "data": "{}"}), Code::WrongType, Some("data")),
            (json!({"event_type": "due", "data": {}, "correlation_id": {}}), Code::WrongType, Some("correlation_id")),
            (json!({"Type": "Notification", "Message": {}}), Code::WrongType, Some("Message")),
            (json!({"Type": "Notification", "Message": "hello"}), Code::InvalidJson, Some("Message")),
            (json!({"Type": "Notification", "Message": "[]"}), Code::WrongType, Some("Message")),
            (json!({"detail-type": "due"}), Code::MissingField, Some("detail")),
            (json!({"detail-type": 1, "detail": {}}), Code::WrongType, Some("detail-type")),
            (json!({"specversion": "1.0", "type": "due"}), Code::MissingField, Some("data")),
            (json!({"specversion": "1.0", "data": {}}), Code::MissingEventType, Some("event_type")),
            (json!([]), Code::WrongType, None),
        ] {
            let rejection = open(&body).expect_err("a rejection");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, field), "{body}");
        }
    }

    #[test]
    fn a_body_at_its_limit_is_taken_and_one_over_it_is_rejected_unread() {
        let mut body = json!({"event_type": "due"}).to_string();
        body.push_str(&" ".repeat(BODY_LIMIT - body.len()));
        assert!(open_with(&body, &[]).is_ok());
        assert_eq!(open_with(&"{".repeat(BODY_LIMIT + 1), &[]).expect_err("too large").code, Code::TooLarge);
    }
}
