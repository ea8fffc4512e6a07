//! What HubSpot is sent. Pure. Every property is a text there.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::{
    domain::{Notice, NoticeKind},
    sink::shape,
};

/// A note's body at most, in characters.
const LONGEST_NOTE: usize = 65_536;

/// The contact, by our own key: partial updates by e-mail are not supported there, by a unique property they are.
pub(super) fn contact(notice: &Notice) -> Option<Value> {
    let key = key(notice)?;
    let mut properties = Map::new();
    properties.insert("conversationd_contact_key".into(), json!(key));
    // a later word on an earlier conversation does not make it the last
    if let Some(conversation) = notice.text("conversation_id").filter(|_| notice.kind != NoticeKind::Updated) {
        properties.insert("conversationd_last_conversation_id".into(), json!(conversation));
    }
    match notice.kind {
        NoticeKind::Rated => {
            let score = notice.number("score")?.to_string();
            match notice.text("rating")? {
                "csat" => {
                    properties.insert("conversationd_last_csat".into(), json!(score));
                    let at = notice.occurred_at.timestamp_millis().to_string();
                    properties.insert("conversationd_last_csat_at".into(), json!(at));
                }
                "nps" => {
                    properties.insert("conversationd_last_nps".into(), json!(score));
                }
                _ => return None,
            }
        }
        NoticeKind::Closed => {}
        NoticeKind::Updated if notice.text("ended_at").is_some() => {}
        _ => return None,
    }
    Some(upsert(&key, "conversationd_contact_key", notice, &properties))
}

/// What a person sees of a contact that was not there before.
pub(super) fn first_seen(notice: &Notice) -> Option<Value> {
    let mut properties = Map::new();
    if let Some(name) = notice.text("contact_name") {
        properties.insert("firstname".into(), json!(name));
    }
    let number = notice.text("contact_urn").and_then(|urn| urn.split_once(':')).map(|(_, number)| number);
    let digits = number.map(|number| number.trim_start_matches('+'));
    if let Some(digits) = digits.filter(|digits| digits.len() > 5 && digits.chars().all(|c| c.is_ascii_digit())) {
        properties.insert("phone".into(), json!(format!("+{digits}")));
    }
    (!properties.is_empty()).then(|| json!({ "properties": properties }))
}

/// The conversation's note.
pub(super) fn note(notice: &Notice) -> Value {
    let id = notice.text("conversation_id").unwrap_or_default();
    let properties = Map::from_iter([
        ("conversationd_conversation_id".to_owned(), json!(id)),
        ("hs_timestamp".to_owned(), json!(ended_at(notice).timestamp_millis().to_string())),
        ("hs_note_body".to_owned(), json!(cut(body(notice)))),
    ]);
    upsert(id, "conversationd_conversation_id", notice, &properties)
}

/// When the conversation ended: the note stands there, whenever more is known of it.
fn ended_at(notice: &Notice) -> DateTime<Utc> {
    let ended_at = notice.text("ended_at").and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    ended_at.map_or(notice.occurred_at, |at| at.to_utc())
}

fn body(notice: &Notice) -> String {
    let messages = notice.number("message_count").unwrap_or_default();
    let mut lines =
        vec![format!("<b>Conversation {}</b>", escaped(notice.text("conversation_id").unwrap_or_default()))];
    lines.push(format!("{messages} messages, {}", shape::resolution(notice.number("resolution"))));
    if let (Some(from), Some(to)) = (notice.text("started_at"), notice.text("ended_at")) {
        lines.push(format!("{} to {}", escaped(from), escaped(to)));
    }
    let topics: Vec<String> =
        ["topic", "subtopic"].into_iter().filter_map(|name| notice.text(name)).map(escaped).collect();
    if !topics.is_empty() {
        lines.push(topics.join(", "));
    }
    if let Some(name) = notice.text("contact_name") {
        lines.push(escaped(name));
    }
    lines.join("<br>")
}

fn upsert(id: &str, property: &str, notice: &Notice, properties: &Map<String, Value>) -> Value {
    json!({ "inputs": [{
        "id": id,
        "idProperty": property,
        // ties an error to this input, and makes HubSpot tell errors by input
        "objectWriteTraceId": shape::event_id(notice),
        "properties": properties,
    }] })
}

/// One contact of one project, in all its channels.
fn key(notice: &Notice) -> Option<String> {
    Some(format!("{}|{}", notice.project.as_deref()?, notice.text("contact_urn")?))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST_NOTE) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::RatingKind;
    use crate::sink::shape::testing::{closed, rated};

    #[test]
    fn html_escaped_and_cut_at_65536() {
        let mut notice = closed();
        let note_body = |notice: &Notice| note(notice)["inputs"][0]["properties"]["hs_note_body"].clone();
        let body = note_body(&notice);
        assert!(body.as_str().is_some_and(|body| body.ends_with("Ana &lt;b&gt;")), "{body}");
        notice.content.insert("contact_name".into(), json!("é".repeat(70_000)));
        assert_eq!(note_body(&notice).as_str().map(|body| body.chars().count()), Some(LONGEST_NOTE));
    }

    #[test]
    fn every_property_is_a_text() {
        for value in [
            contact(&closed()),
            contact(&rated(RatingKind::Csat, 5)),
            contact(&rated(RatingKind::Nps, 0)),
            Some(note(&closed())),
        ] {
            let properties = value.expect("a request")["inputs"][0]["properties"].clone();
            assert!(properties.as_object().is_some_and(|all| all.values().all(Value::is_string)), "{properties}");
        }
        assert_eq!(
            contact(&rated(RatingKind::Nps, 0)).expect("a request")["inputs"][0]["properties"]["conversationd_last_nps"],
            "0"
        );
    }

    #[test]
    fn a_contact_is_one_in_all_channels_of_its_project() {
        assert_eq!(key(&closed()).as_deref(), Some("p|whatsapp:5511999990000"));
        let patch = first_seen(&closed()).expect("a patch");
        assert_eq!(patch, json!({ "properties": { "firstname": "Ana <b>", "phone": "+5511999990000" } }));
    }
}
