//! `crm.record_changed`: what happened to one record of a CRM. HubSpot's webhooks and its journal are split into these; whoever
//! bridges another CRM may publish them.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::fields::{Fields, ID_LIMIT, LABEL_LIMIT, required};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape, given};
use crate::domain::{RecordChange, Thread, What};

/// The event's name on the wire.
pub(super) const NAME: &str = "crm.record_changed";

/// Longest value of a property, in bytes: it goes into what is known of a customer.
pub const VALUE_LIMIT: usize = 8_192;

const CHANGES: [&str; 5] = ["property", "merge", "deletion", "privacy_deletion", "restore"];

/// Where what happens to a record is handled in turn: not a thread of any project.
pub fn place(crm: &str, account: &str, crm_id: &str) -> Thread {
    let conversation = Some(crm_id.to_owned());
    Thread { project: format!("crm:{crm}:{account}"), contact: None, channel: None, conversation }
}

/// Writes the body that decodes to `change`.
pub fn to_body(change: &RecordChange) -> String {
    let mut data = Map::from_iter([
        ("crm".to_owned(), json!(change.crm)),
        ("account_id".to_owned(), json!(change.account)),
        ("crm_id".to_owned(), json!(change.crm_id)),
        ("change".to_owned(), json!(change.what.as_str())),
        ("occurred_at".to_owned(), json!(change.occurred_at.to_rfc3339_opts(SecondsFormat::Millis, true))),
    ]);
    match &change.what {
        What::Property { name, value } => {
            data.insert("property".to_owned(), json!(name));
            data.insert("value".to_owned(), json!(value));
        }
        What::Merged { from } => {
            data.insert("merged_ids".to_owned(), json!(from));
        }
        What::Deleted | What::Erased | What::Restored => {}
    }
    json!({ "event_type": NAME, "correlation_id": change.fingerprint(), "data": data }).to_string()
}

/// Reads `crm.record_changed`.
///
/// # Errors
/// A field is missing, of another type or over its limit; a property's change names none, a merge nobody.
pub(super) fn read(data: &mut Fields) -> Result<RecordChange, Rejection> {
    let crm = required(data.id("crm", super::crm::CRM_LIMIT)?, "crm")?;
    let account = required(data.id("account_id", ID_LIMIT)?, "account_id")?;
    let crm_id = required(data.id("crm_id", ID_LIMIT)?, "crm_id")?;
    let change = required(data.label("change")?, "change")?;
    let (property, value) = (data.label("property")?, data.id("value", VALUE_LIMIT)?);
    let merged = data.list("merged_ids")?;
    let occurred_at = required(data.label("occurred_at")?, "occurred_at")?;
    let what = match change.as_str() {
        "property" => What::Property { name: required(property, "property")?, value },
        "merge" => What::Merged { from: ids(merged)? },
        "deletion" => What::Deleted,
        "privacy_deletion" => What::Erased,
        "restore" => What::Restored,
        _ => return Err(Rejection::field(Code::OutOfRange, "change", "is none of the changes of the contract")),
    };
    let occurred_at = DateTime::parse_from_rfc3339(&occurred_at)
        .map_err(|_| Rejection::field(Code::WrongType, "occurred_at", "must be an RFC 3339 time"))?;
    Ok(RecordChange { crm, account, crm_id, what, occurred_at: whole_milliseconds(occurred_at.to_utc()) })
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    let occurred_at = Form::label().says("When, as RFC 3339: of two words on one property the later one stands.");
    // what a change cannot do without, once it is that change
    let needs = |change: &str, field: &str| {
        let another = json!({"properties": {"change": {"not": {"const": change}}}});
        json!({"anyOf": [another, given(&[field])]})
    };
    let ids = Form::list().says("Ids of the records that were merged into it; for `merge`.");
    Shape::default()
        .rule(needs("property", "property"))
        .rule(needs("merge", "merged_ids"))
        .must("crm", Form::id(super::crm::CRM_LIMIT).says("The CRM's name, as links have it."))
        .must("account_id", Form::id(ID_LIMIT).says("The account there: HubSpot's portal."))
        .must("crm_id", Form::id(ID_LIMIT).says("The record's id there; after a merge, of the one that is left."))
        .must("change", Form::any().but(json!({ "enum": CHANGES })).says("What happened."))
        .may("property", Form::label().says("Which property changed; for `property`."))
        .may("value", Form::id(VALUE_LIMIT).says("Its value now; none when it was cleared."))
        .may("merged_ids", ids)
        .must("occurred_at", occurred_at)
}

fn ids(values: Vec<Value>) -> Result<Vec<String>, Rejection> {
    let wrong = || Rejection::field(Code::WrongType, "merged_ids", "must be ids");
    let id = |value: Value| match value {
        Value::String(id) if !id.is_empty() && id.len() <= LABEL_LIMIT => Ok(id),
        Value::Number(id) if id.is_u64() => Ok(id.to_string()),
        _ => Err(wrong()),
    };
    let ids = values.into_iter().map(id).collect::<Result<Vec<_>, _>>()?;
    if ids.is_empty() { Err(Rejection::missing("merged_ids")) } else { Ok(ids) }
}

/// CRMs count milliseconds; what is finer would not survive being written.
fn whole_milliseconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(at.timestamp_millis()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Kind;
    use crate::event::testing::decode_body;

    fn change(what: What) -> RecordChange {
        let occurred_at = DateTime::from_timestamp_millis(1_795_240_800_733).expect("a time");
        RecordChange { crm: "hubspot".into(), account: "48807704".into(), crm_id: "512".into(), what, occurred_at }
    }

    #[test]
    fn every_change_is_read_as_it_was_written() {
        let property = |value: Option<&str>| What::Property { name: "email".into(), value: value.map(str::to_owned) };
        for what in [
            property(Some("ana@example.com")),
            property(None),
            What::Merged { from: vec!["77".into(), "78".into()] },
            What::Deleted,
            What::Erased,
            What::Restored,
        ] {
            let event = decode_body(&to_body(&change(what.clone()))).expect("an event");
            assert_eq!(event.thread.group_name(), "crm:hubspot:48807704:512");
            assert_eq!(event.kind, Kind::CrmRecordChanged(Box::new(change(what))));
        }
    }

    #[test]
    fn what_says_nothing_is_rejected() {
        let whole = json!({"crm": "hubspot", "account_id": 1, "crm_id": 512, "occurred_at": "2026-03-01T12:00:00Z"});
        for (more, field) in [
            (json!({}), "change"),
            (json!({"change": "explosion"}), "change"),
            (json!({"change": "property"}), "property"),
            (json!({"change": "merge"}), "merged_ids"),
            (json!({"change": "merge", "merged_ids": [{}]}), "merged_ids"),
            (json!({"change": "deletion", "occurred_at": "yesterday"}), "occurred_at"),
            (json!({"change": "deletion", "account_id": null}), "account_id"),
            (json!({"change": "property", "property": "p", "value": "x".repeat(8_193)}), "value"),
        ] {
            let mut data = whole.clone();
            data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            let rejection = decode_body(&json!({"event_type": NAME, "data": data}).to_string()).expect_err(field);
            assert_eq!(rejection.field.as_deref(), Some(field), "{more}");
        }
    }
}
