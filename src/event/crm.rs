//! `crm.linked` and `crm.contact_updated`: what a CRM says of the contact.

use serde_json::{Map, Value, json};

use super::fields::{Fields, ID_LIMIT, required};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::{Raw, thread};
use crate::domain::{Changes, CrmLink, Thread};

/// The names on the wire.
pub(super) const LINKED: &str = "crm.linked";
pub(super) const UPDATED: &str = "crm.contact_updated";

/// Longest name of a CRM, in bytes: the archive's limit.
pub(super) const CRM_LIMIT: usize = 256;

/// Largest object, in bytes as JSON.
const OBJECT_BYTES: usize = 32_768;

/// Reads a link.
///
/// # Errors
/// No CRM or no id there, or a field is of another type or over its limit.
pub(super) fn read_linked(data: &mut Fields, raw: &Raw<'_>) -> Result<CrmLink, Rejection> {
    let (crm, crm_id) = record(data)?;
    let prospect = data.object_within("prospect_data", OBJECT_BYTES)?;
    Ok(CrmLink { crm, crm_id, prospect, sequence: raw.sequence })
}

/// Reads what changed of a contact in its CRM: it becomes what is known of the customer.
///
/// # Errors
/// No CRM, no id there or no properties, or a field is of another type or over its limit.
pub(super) fn read_updated(data: &mut Fields, raw: &Raw<'_>) -> Result<Changes, Rejection> {
    record(data)?;
    let customer_info = data.object_within("properties", OBJECT_BYTES)?;
    if customer_info.is_empty() {
        return Err(Rejection::field(Code::MissingField, "properties", "must have at least one property"));
    }
    Ok(Changes { customer_info, sequence: raw.sequence, ..Changes::default() })
}

/// Writes the body that decodes to what changed of a contact, for one of its threads. `correlation_id` names the change.
pub fn to_body(
    thread: &Thread,
    crm: &str,
    crm_id: &str,
    properties: Map<String, Value>,
    correlation_id: &str,
) -> String {
    let fields = Map::from_iter([
        ("crm".to_owned(), crm.into()),
        ("crm_id".to_owned(), crm_id.into()),
        ("properties".to_owned(), properties.into()),
        ("correlation_id".to_owned(), correlation_id.into()),
    ]);
    thread::body(UPDATED, thread, fields)
}

/// What `read_linked` reads.
pub(super) fn linked_shape() -> Shape {
    record_shape().may("prospect_data", Form::object_within(OBJECT_BYTES).says("What the CRM knows of the contact."))
}

/// What `read_updated` reads.
pub(super) fn updated_shape() -> Shape {
    let properties = Form::object_within(OBJECT_BYTES).but(json!({"minProperties": 1}));
    record_shape()
        .must("properties", properties.says("What changed, merged key by key into what is known of the contact."))
}

fn record_shape() -> Shape {
    Shape::default()
        .in_thread()
        .must("crm", Form::id(CRM_LIMIT).says("The CRM's name."))
        .must("crm_id", Form::id(ID_LIMIT).says("The record's id there."))
}

fn record(data: &mut Fields) -> Result<(String, String), Rejection> {
    Ok((required(data.id("crm", CRM_LIMIT)?, "crm")?, required(data.id("crm_id", ID_LIMIT)?, "crm_id")?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::domain::Sequence;
    use crate::event::Kind;
    use crate::event::testing::decode_body;

    fn decoded(name: &str, said: Value) -> Result<Kind, Rejection> {
        let mut data = json!({"project_uuid": "p", "contact_urn": "c", "channel_uuid": "ch"});
        data.as_object_mut().expect("an object").extend(said.as_object().expect("an object").clone());
        decode_body(&json!({"event_type": name, "data": data}).to_string()).map(|event| event.kind)
    }

    fn keys(value: Value) -> Map<String, Value> {
        value.as_object().cloned().expect("an object")
    }

    #[test]
    fn a_link_names_a_record_and_may_say_who_it_is() {
        let said = json!({"crm": "hubspot", "crm_id": 512, "prospect_data": {"rol": "CEO"}});
        let (crm, crm_id) = ("hubspot".to_owned(), "512".to_owned());
        let link = CrmLink { crm, crm_id, prospect: keys(json!({"rol": "CEO"})), sequence: Sequence(7) };
        assert_eq!(decoded(LINKED, said), Ok(Kind::CrmLinked(Box::new(link.clone()))));
        let bare = CrmLink { prospect: Map::new(), ..link };
        assert_eq!(decoded(LINKED, json!({"crm": "hubspot", "crm_id": "512"})), Ok(Kind::CrmLinked(Box::new(bare))));
    }

    #[test]
    fn what_a_crm_says_of_a_contact_is_what_is_known_of_the_customer() {
        let said =
            json!({"crm": "hubspot", "crm_id": "512", "properties": {"lifecyclestage": "customer", "gone": null}});
        let Ok(Kind::ConversationUpdate(changes)) = decoded(UPDATED, said) else { panic!("not an update") };
        assert_eq!(changes.customer_info, keys(json!({"lifecyclestage": "customer", "gone": null})));
        assert_eq!(changes.sequence, Sequence(7));
    }

    #[test]
    fn what_names_no_record_or_says_nothing_is_rejected() {
        for (name, said, field) in [
            (LINKED, json!({"crm_id": "1"}), "crm"),
            (LINKED, json!({"crm": "hubspot"}), "crm_id"),
            (LINKED, json!({"crm": "hubspot", "crm_id": "1", "prospect_data": "x"}), "prospect_data"),
            (LINKED, json!({"crm": "x".repeat(257), "crm_id": "1"}), "crm"),
            (UPDATED, json!({"crm": "hubspot", "crm_id": "1"}), "properties"),
            (UPDATED, json!({"crm": "hubspot", "properties": {"a": 1}}), "crm_id"),
        ] {
            let rejection = decoded(name, said.clone()).expect_err("no link");
            assert_eq!(rejection.field.as_deref(), Some(field), "{name} {said}");
        }
    }
}
