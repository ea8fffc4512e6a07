//! What stands in one file of HubSpot's journal. Pure.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::crm::{self, Object, Told};
use crate::domain::What;

/// HubSpot's number for the type of contacts.
pub(super) const CONTACTS: &str = "0-1";

/// One file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entries {
    /// When it was published.
    pub(super) published_at: Option<DateTime<Utc>>,
    /// What happened in the portal.
    pub(super) told: Told,
}

/// Reads a file: `{offset, publishedAt, journalEvents: […]}`. `None` when it is none.
pub(super) fn read(file: &[u8], portal: &str) -> Option<Entries> {
    let file: Value = serde_json::from_slice(file).ok()?;
    let published_at = time(&file["publishedAt"]);
    let mut told = Told::default();
    for event in file["journalEvents"].as_array()? {
        match changes(event, portal, &mut told) {
            Some(changes) => told.changes.extend(changes),
            None => told.ignored += 1,
        }
    }
    Some(Entries { published_at, told })
}

/// What one entry tells: of a contact that was updated, each property by itself.
fn changes(event: &Value, portal: &str, told: &mut Told) -> Option<Vec<crate::domain::RecordChange>> {
    let is_ours = crm::id(&event["portalId"]).is_some_and(|id| id == portal) && event["objectTypeId"] == CONTACTS;
    if !is_ours {
        return None;
    }
    let (id, at) = (crm::id(&event["objectId"]), time(&event["occurredAt"])?);
    let object = |id: &str, what: What| Object { portal, id, at }.change(what);
    match event["action"].as_str()? {
        "CREATE" | "UPDATE" | "SNAPSHOT" => {
            let id = id?;
            let properties = event["propertyChanges"].as_object().or(event["properties"].as_object());
            let mut changes = Vec::new();
            for (name, value) in properties.into_iter().flatten() {
                // nobody else writes those
                if name.starts_with("conversationd_") {
                    told.echoes += 1;
                } else if let Some(what) = crm::changed(name, value) {
                    changes.push(object(&id, what));
                } else {
                    told.ignored += 1;
                }
            }
            Some(changes)
        }
        "MERGE" => {
            let winner = crm::id(&event["newObjectId"]).or_else(|| crm::id(&event["primaryObjectId"])).or(id)?;
            let primary = crm::id(&event["primaryObjectId"]);
            let merged = event["mergedObjectIds"].as_array().into_iter().flatten().filter_map(crm::id);
            let from: Vec<String> = merged.chain(primary).filter(|id| *id != winner).collect();
            if from.is_empty() { None } else { Some(vec![object(&winner, What::Merged { from })]) }
        }
        action => Some(vec![object(&id?, crm::of_action(action)?)]),
    }
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    match value {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc()),
        Value::Number(number) => number.as_i64().and_then(DateTime::from_timestamp_millis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_action_that_is_known_is_read_and_the_rest_is_counted() {
        let event = |action: &str, more: Value| {
            let mut event = json!({"type": "crmObject", "portalId": 1, "occurredAt": "2026-11-21T06:00:00.733Z",
                "action": action, "objectTypeId": "0-1", "objectId": 512});
            event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            event
        };
        let file = json!({"offset": "o", "publishedAt": "2026-11-21T06:00:01Z", "journalEvents": [
            event("UPDATE", json!({"propertyChanges": {"lifecyclestage": "customer", "conversationd_last_csat": "5", "phone": ""}})),
            event("SNAPSHOT", json!({"properties": {"email": "a@b"}})),
            event("DELETE", json!({})),
            event("GDPR_DELETE", json!({})),
            event("RESTORE", json!({})),
            event("MERGE", json!({"primaryObjectId": 512, "mergedObjectIds": [77], "newObjectId": 900})),
            event("ASSOCIATION_ADDED", json!({})),
            event("DELETE", json!({"portalId": 2})),
            event("DELETE", json!({"objectTypeId": "0-2"})),
            event("UPDATE", json!({"occurredAt": null, "propertyChanges": {"email": "a@b"}})),
        ]});
        let entries = read(file.to_string().as_bytes(), "1").expect("a file");
        assert_eq!((entries.told.echoes, entries.told.ignored), (1, 4));
        let told: Vec<(String, String)> =
            entries.told.changes.iter().map(|change| (change.crm_id.clone(), format!("{:?}", change.what))).collect();
        let property = |name: &str, value: &str| format!("Property {{ name: {name:?}, value: {value} }}");
        let all = [
            ("512", property("lifecyclestage", "Some(\"customer\")")),
            ("512", property("phone", "None")),
            ("512", property("email", "Some(\"a@b\")")),
            ("512", "Deleted".to_owned()),
            ("512", "Erased".to_owned()),
            ("512", "Restored".to_owned()),
            ("900", "Merged { from: [\"77\", \"512\"] }".to_owned()),
        ];
        assert_eq!(told, all.map(|(id, what)| (id.to_owned(), what)));
        assert_eq!(entries.published_at.map(|at| at.timestamp()), Some(1_795_240_801));
        assert_eq!(read(b"[]", "1"), None);
    }
}
