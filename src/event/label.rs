//! What a body that may not decode still tells of itself: which event it means to be, and whose. For the index of dead letters.

use serde_json::Value;

use super::Raw;

/// Longer, and it is not a name.
const LONGEST: usize = 64;

/// As far as it can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The event type, as its publisher writes it.
    pub event_type: Option<String>,
    /// The project.
    pub project: Option<String>,
}

impl Label {
    /// Looks at the attributes, then at the body. Names of people have no place in either field: what does not look like a
    /// name or an id of a program is left out.
    pub fn of(raw: &Raw<'_>) -> Self {
        let body: Value = serde_json::from_str(raw.body).unwrap_or_default();
        let named = |attribute: &str, places: &[&str]| {
            let said = places.iter().filter_map(|place| body.pointer(place)?.as_str());
            raw.attributes.get(attribute).map(String::as_str).into_iter().chain(said).find(|name| plain(name))
        };
        Self {
            event_type: named("event_type", &["/event_type", "/detail-type", "/type"]).map(str::to_owned),
            project: named("project_uuid", &["/data/project_uuid", "/project_uuid", "/detail/project_uuid"])
                .map(str::to_owned),
        }
    }
}

/// Letters, digits, dots, hyphens and underscores, and not digits alone: those may be a phone number.
fn plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && name.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::DateTime;

    use super::*;
    use crate::domain::Sequence;

    #[test]
    fn what_cannot_be_decoded_is_named_as_far_as_it_says() {
        let label = |body: &str, attribute: Option<&str>| {
            let attributes: BTreeMap<String, String> =
                attribute.map(|name| ("event_type".to_owned(), name.to_owned())).into_iter().collect();
            let (sent_at, sequence) = (DateTime::UNIX_EPOCH, Sequence(1));
            let label = Label::of(&Raw { body, attributes: &attributes, sent_at, sequence, group_id: "g" });
            (label.event_type.unwrap_or_default(), label.project.unwrap_or_default())
        };
        for (body, attribute, event_type, project) in [
            ("{", None, "", ""),
            ("{", Some("message.received"), "message.received", ""),
            (r#"{"event_type":"message.shouted","data":{"project_uuid":"p-1"}}"#, None, "message.shouted", "p-1"),
            (r#"{"event_type":"call +5511 now","project_uuid":"5511999990000"}"#, None, "", ""),
        ] {
            assert_eq!(label(body, attribute), (event_type.to_owned(), project.to_owned()), "{body}");
        }
    }
}
