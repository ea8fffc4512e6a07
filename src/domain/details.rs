//! What publishers say about a conversation besides its messages, and how a later word changes an earlier one.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Sequence;

/// Keys that an object of details may have once everything said is merged.
const KEYS: usize = 200;

/// Bytes of an object of details, as JSON: two of them and a head's other parts stay far below an item's 400 KB.
const BYTES: usize = 65_536;

/// What is known of a conversation besides its messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its tags, as last given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Who takes part, as last given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub participants: Vec<Value>,
    /// Whatever the publisher wants kept.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What is known of the contact.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub customer_info: Map<String, Value>,
    /// The platform's window around it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The ticket by which a person took over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
    /// Whether a person took over.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_chats_room: bool,
    /// The latest event that changed any of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<Sequence>,
}

/// The time the platform gives a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// The platform's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<DateTime<Utc>>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<DateTime<Utc>>,
}

/// What one event says about a conversation. What is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// A new title.
    pub title: Option<String>,
    /// All tags there are from now on.
    pub tags: Option<Vec<String>>,
    /// All participants there are from now on.
    pub participants: Option<Vec<Value>>,
    /// Keys to set; null removes one.
    pub metadata: Map<String, Value>,
    /// Keys to set; null removes one.
    pub customer_info: Map<String, Value>,
    /// The agent that serves it.
    pub agent_id: Option<String>,
    /// The contact's name.
    pub contact_name: Option<String>,
    /// The platform's window.
    pub window: Option<Window>,
    /// The ticket by which a person took over.
    pub ticket: Option<String>,
    /// A person took over.
    pub has_chats_room: bool,
    /// How the conversation ended, told after the fact: 0 to 4.
    pub resolution: Option<u8>,
    /// The event's place in its group: an older event never changes what a newer one said.
    pub sequence: Sequence,
}

/// The details would outgrow their limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} would have more than {KEYS} keys or {BYTES} bytes")]
pub struct TooMuch {
    /// Which of them.
    pub field: &'static str,
}

impl Details {
    /// These details after `changes`; an event older than the latest that was heard changes nothing.
    ///
    /// # Errors
    /// An object would outgrow its limit.
    pub fn after(mut self, changes: &Changes) -> Result<Self, TooMuch> {
        if self.changed_by.is_some_and(|latest| changes.sequence <= latest) {
            return Ok(self);
        }
        merge("metadata", &mut self.metadata, &changes.metadata)?;
        merge("customer_info", &mut self.customer_info, &changes.customer_info)?;
        self.title = changes.title.clone().or(self.title);
        self.tags = changes.tags.clone().unwrap_or(self.tags);
        self.participants = changes.participants.clone().unwrap_or(self.participants);
        self.window = changes.window.clone().or(self.window);
        self.ticket = changes.ticket.clone().or(self.ticket);
        self.has_chats_room |= changes.has_chats_room;
        self.changed_by = Some(changes.sequence);
        Ok(self)
    }
}

fn merge(field: &'static str, into: &mut Map<String, Value>, said: &Map<String, Value>) -> Result<(), TooMuch> {
    if said.is_empty() {
        return Ok(());
    }
    for (key, value) in said {
        if value.is_null() {
            into.remove(key);
        } else {
            into.insert(key.clone(), value.clone());
        }
    }
    let bytes = serde_json::to_string(into).map_or(usize::MAX, |json| json.len());
    if into.len() > KEYS || bytes > BYTES { Err(TooMuch { field }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    fn says(sequence: u128, metadata: Value) -> Changes {
        Changes { metadata: keys(metadata), sequence: Sequence(sequence), ..Changes::default() }
    }

    #[test]
    fn what_is_said_replaces_what_is_absent_stays_and_null_removes() {
        let first =
            Changes { title: Some("a".into()), tags: Some(vec!["x".into()]), ..says(1, json!({"a": 1, "b": 2})) };
        let second = Changes { tags: Some(vec![]), ..says(2, json!({"a": null, "c": 3})) };
        let details =
            Details::default().after(&first).and_then(|details| details.after(&second)).expect("within limits");
        assert_eq!((details.title.as_deref(), details.tags.len()), (Some("a"), 0));
        assert_eq!(details.metadata, keys(json!({"b": 2, "c": 3})));
    }

    #[test]
    fn an_older_event_and_the_same_again_change_nothing() {
        let details = Details::default().after(&says(2, json!({"a": 2}))).expect("within limits");
        for sequence in [1, 2] {
            assert_eq!(details.clone().after(&says(sequence, json!({"a": 1}))), Ok(details.clone()));
        }
    }

    #[test]
    fn an_object_never_outgrows_its_limits() {
        let many: Map<String, Value> = (0..KEYS).map(|n| (n.to_string(), json!(n))).collect();
        let full = Details::default().after(&says(1, Value::Object(many))).expect("at the limit");
        assert_eq!(full.clone().after(&says(2, json!({"0": 1}))).map(|details| details.metadata.len()), Ok(KEYS));
        assert_eq!(full.after(&says(2, json!({"one more": 1}))), Err(TooMuch { field: "metadata" }));
        let long = says(1, json!({"a": "x".repeat(BYTES)}));
        assert_eq!(Details::default().after(&long), Err(TooMuch { field: "metadata" }));
    }
}
