//! The properties that HubSpot must know before anything is sent: made once, by an operator. What is there stays as it is.

use serde_json::{Value, json};

use super::HubSpot;
use crate::sink::Verdict;

/// The group that the properties stand in.
const GROUP: &str = "conversationd";

/// Object type, name, label, type, field type, whether it is unique.
const PROPERTIES: [(&str, &str, &str, &str, &str, bool); 6] = [
    ("contacts", "conversationd_contact_key", "Contact key", "string", "text", true),
    ("contacts", "conversationd_last_conversation_id", "Last conversation", "string", "text", false),
    ("contacts", "conversationd_last_csat", "Last CSAT", "number", "number", false),
    ("contacts", "conversationd_last_csat_at", "Last CSAT at", "datetime", "date", false),
    ("contacts", "conversationd_last_nps", "Last NPS", "number", "number", false),
    ("notes", "conversationd_conversation_id", "Conversation", "string", "text", true),
];

/// A property, and whether it was made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The object type.
    pub object: &'static str,
    /// The property's name.
    pub property: &'static str,
    /// Whether it is new; else it was there.
    pub new: bool,
}

impl HubSpot {
    /// Makes the properties that are missing, in order. Repeating it is harmless.
    ///
    /// # Errors
    /// HubSpot does not answer, or refuses; what was made stays.
    pub(in crate::sink) async fn bootstrap(&self) -> Result<Vec<Prepared>, Verdict> {
        for object in ["contacts", "notes"] {
            self.make(&format!("{object}/groups"), &json!({ "name": GROUP, "label": GROUP })).await?;
        }
        let mut prepared = Vec::new();
        for (object, property, label, kind, field, unique) in PROPERTIES {
            let wanted = json!({
                "name": property,
                "label": label,
                "groupName": GROUP,
                "type": kind,
                "fieldType": field,
                "hasUniqueValue": unique,
            });
            let new = self.make(object, &wanted).await?;
            prepared.push(Prepared { object, property, new });
        }
        Ok(prepared)
    }

    /// Whether it was made now; a conflict says that it is there.
    async fn make(&self, path: &str, wanted: &Value) -> Result<bool, Verdict> {
        let token = self.token()?;
        match self.call_at(&token, "POST", &format!("crm/properties/{}/{path}", self.version), Some(wanted)).await {
            Ok(_) => Ok(true),
            Err(verdict) if verdict.status == Some(409) => Ok(false),
            Err(verdict) => Err(verdict),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        domain::RatingKind,
        sink::{
            hubspot::request,
            shape::testing::{closed, rated},
        },
    };

    #[test]
    fn whatever_is_sent_under_our_name_is_made_before() {
        let known: BTreeSet<&str> = PROPERTIES.iter().map(|(_, property, ..)| *property).collect();
        let contacts = [closed(), rated(RatingKind::Csat, 5), rated(RatingKind::Nps, 0)];
        let mut sent: Vec<Value> = contacts.iter().filter_map(request::contact).collect();
        sent.push(request::note(&closed()));
        let mut ours = BTreeSet::new();
        for request in &sent {
            let properties = request["inputs"][0]["properties"].as_object().expect("properties");
            ours.extend(properties.keys().filter(|name| name.starts_with("conversationd_")).map(String::as_str));
        }
        assert_eq!(ours, known);
    }
}
