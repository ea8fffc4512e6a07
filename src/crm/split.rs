//! What HubSpot tells at once, split into what happened to each record. Contacts only; what is not known is counted, so that
//! HubSpot may tell more one day.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Forged, HUBSPOT, Portal, is_ours};
use crate::{
    domain::{RecordChange, What},
    event::crm_record::VALUE_LIMIT,
};

/// HubSpot's number for the type of contacts.
const CONTACTS: &str = "0-1";

/// What was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What happened to records, in the order it was told.
    pub changes: Vec<RecordChange>,
    /// Our own doing, coming back.
    pub echoes: usize,
    /// Of other portals, other types, or of a kind that is not known.
    pub ignored: usize,
}

/// Which record something happened to.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its portal.
    pub portal: &'a str,
    /// Its id there.
    pub id: &'a str,
    /// When it happened.
    pub at: DateTime<Utc>,
}

impl Object<'_> {
    /// What happened to it.
    pub fn change(&self, what: What) -> RecordChange {
        RecordChange {
            crm: HUBSPOT.to_owned(),
            account: self.portal.to_owned(),
            crm_id: self.id.to_owned(),
            what,
            occurred_at: self.at,
        }
    }
}

/// Splits the body of a webhook, of whose portals `known` says which are taken.
///
/// # Errors
/// It is no list.
pub fn split<'p>(body: &str, known: &dyn Fn(&str) -> Option<&'p Portal>) -> Result<Told, Forged> {
    let events: Vec<Value> = serde_json::from_str(body).map_err(|_| Forged::Unreadable)?;
    let mut told = Told::default();
    for event in &events {
        match one(event, known) {
            One::Change(change) => told.changes.push(change),
            One::Echo => told.echoes += 1,
            One::Unknown => told.ignored += 1,
        }
    }
    Ok(told)
}

enum One {
    Change(RecordChange),
    Echo,
    Unknown,
}

fn one<'p>(event: &Value, known: &dyn Fn(&str) -> Option<&'p Portal>) -> One {
    read(event, known).unwrap_or(One::Unknown)
}

fn read<'p>(event: &Value, known: &dyn Fn(&str) -> Option<&'p Portal>) -> Option<One> {
    let portal = known(&id(&event["portalId"])?)?;
    // some examples call it eventType; what is told of any type of object says which
    let kind = event["subscriptionType"].as_str().or(event["eventType"].as_str())?;
    let (object_type, action) = kind.split_once('.')?;
    let is_contact = object_type == "contact" || (object_type == "object" && event["objectTypeId"] == CONTACTS);
    if !is_contact {
        return None;
    }
    let at = event["occurredAt"].as_i64().and_then(DateTime::from_timestamp_millis)?;
    let source = |field: &str| event[field].as_str();
    let property = source("propertyName");
    if is_ours(portal, property, source("changeSource"), source("sourceId")) {
        return Some(One::Echo);
    }
    let of = |id: &str, what| One::Change(Object { portal: &portal.id, id, at }.change(what));
    Some(match action {
        "propertyChange" => of(&id(&event["objectId"])?, changed(property?, &event["propertyValue"])?),
        "merge" => {
            let winner = id(&event["newObjectId"]).or_else(|| id(&event["primaryObjectId"]))?;
            let primary = id(&event["primaryObjectId"]);
            let merged = event["mergedObjectIds"].as_array()?.iter().filter_map(id);
            let from: Vec<String> = merged.chain(primary).filter(|id| *id != winner).collect();
            if from.is_empty() {
                return None;
            }
            of(&winner, What::Merged { from })
        }
        "deletion" => of(&id(&event["objectId"])?, What::Deleted),
        "privacyDeletion" => of(&id(&event["objectId"])?, What::Erased),
        "restore" => of(&id(&event["objectId"])?, What::Restored),
        _ => return None,
    })
}

/// What the journal's word for it means; `None` for what it does not tell of one record alone.
pub fn of_action(action: &str) -> Option<What> {
    match action {
        "DELETE" => Some(What::Deleted),
        "GDPR_DELETE" => Some(What::Erased),
        "RESTORE" => Some(What::Restored),
        _ => None,
    }
}

/// A property's change; `None` for a value that is longer than anybody would want to know of a customer.
pub fn changed(name: &str, value: &Value) -> Option<What> {
    let value = match value {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(_) | Value::Object(_) => return None,
    };
    let fits = value.as_ref().is_none_or(|value| value.len() <= VALUE_LIMIT);
    (fits && !name.is_empty() && name.len() <= 256).then(|| What::Property { name: name.to_owned(), value })
}

/// An id, which some write as a number and some as a text.
pub fn id(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        Value::String(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => Some(text.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn portal() -> Portal {
        Portal { id: "1".into(), projects: None, webhook: None, ours: BTreeSet::from(["16111050".to_owned()]) }
    }

    fn told(events: &Value) -> Told {
        let portal = portal();
        split(&events.to_string(), &|id| (id == portal.id).then_some(&portal)).expect("a list")
    }

    fn event(more: Value) -> Value {
        let mut event = json!({"eventId": 1, "portalId": 1, "occurredAt": 1_752_613_920_733_i64, "objectId": 512,
            "subscriptionType": "contact.propertyChange", "changeSource": "CRM_UI", "sourceId": "userId:7"});
        event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        event
    }

    #[test]
    fn every_kind_that_is_known_becomes_a_change_of_its_record() {
        let property = |value: Option<&str>| What::Property { name: "email".into(), value: value.map(str::to_owned) };
        for (more, crm_id, what) in [
            (json!({"propertyName": "email", "propertyValue": "a@b"}), "512", property(Some("a@b"))),
            (json!({"propertyName": "email", "propertyValue": ""}), "512", property(None)),
            (
                json!({"propertyName": "email", "propertyValue": "7", "subscriptionType": "object.propertyChange", "objectTypeId": "0-1"}),
                "512",
                property(Some("7")),
            ),
            (
                json!({"subscriptionType": "contact.merge", "primaryObjectId": 512, "mergedObjectIds": [77, "78"], "newObjectId": 900}),
                "900",
                What::Merged { from: vec!["77".into(), "78".into(), "512".into()] },
            ),
            (
                json!({"subscriptionType": "contact.merge", "primaryObjectId": 512, "mergedObjectIds": [77, 512]}),
                "512",
                What::Merged { from: vec!["77".into()] },
            ),
            (json!({"subscriptionType": "contact.deletion"}), "512", What::Deleted),
            (json!({"eventType": "contact.deletion", "subscriptionType": null}), "512", What::Deleted),
            (json!({"subscriptionType": "contact.privacyDeletion"}), "512", What::Erased),
            (json!({"subscriptionType": "contact.restore"}), "512", What::Restored),
        ] {
            let told = told(&json!([event(more.clone())]));
            assert_eq!((told.echoes, told.ignored), (0, 0), "{more}");
            assert_eq!((told.changes[0].crm_id.as_str(), &told.changes[0].what), (crm_id, &what));
            assert_eq!(told.changes[0].occurred_at.timestamp_millis(), 1_752_613_920_733);
        }
    }

    #[test]
    fn what_is_not_known_is_counted_and_our_own_doing_is_too() {
        let changed = |source: &str, id: &str, name: &str| {
            event(json!({"propertyName": name, "propertyValue": "x", "changeSource": source, "sourceId": id}))
        };
        let told = told(&json!([
            event(json!({"subscriptionType": "contact.teleportation"})),
            event(json!({"subscriptionType": "company.deletion"})),
            event(json!({"subscriptionType": "object.deletion", "objectTypeId": "0-2"})),
            event(json!({"portalId": 2, "subscriptionType": "contact.deletion"})),
            event(json!({"objectId": "../512", "subscriptionType": "contact.deletion"})),
            event(json!({"propertyName": "bio", "propertyValue": "x".repeat(8_193)})),
            event(json!({"subscriptionType": "contact.creation"})),
            json!("hello"),
            changed("INTEGRATION", "16111050", "firstname"),
            changed("API", "16111050", "phone"),
            changed("CRM_UI", "userId:7", "conversationd_last_csat"),
            changed("CRM_UI", "16111050", "phone"),
            changed("INTEGRATION", "4711", "phone"),
        ]));
        assert_eq!((told.ignored, told.echoes, told.changes.len()), (8, 3, 2));
        assert_eq!(split("{}", &|_| None), Err(Forged::Unreadable));
    }
}
