//! A reply as a person reads it, with persons masked.

use serde_json::Value;

use crate::operate::{
    mask::Mask,
    output::harmless,
    rows::{aligned, cell},
    stats::table,
};

/// Fields that hold what people said or are, whatever is in them.
const HIDDEN: [&str; 8] = [
    "state_value",
    "prospect_data",
    "metadata",
    "attachments",
    "entities",
    "customer_info",
    "participants",
    "sender_id",
];

/// Masks everything in a reply that says something of a person.
pub(super) fn mask(reply: &mut Value, mask: Mask) {
    match reply {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| match (name.as_str(), &value) {
            ("text" | "title", Value::String(text)) => *value = mask.text(text).into(),
            ("contact_urn", Value::String(urn)) => *value = mask.contact(urn).into(),
            ("contact_name", Value::String(name)) => *value = mask.name(name).into(),
            (name, held) if HIDDEN.contains(&name) && mask == Mask::On => {
                if !is_empty(held) {
                    *value = "[hidden]".into();
                }
            }
            _ => self::mask(value, mask),
        }),
        Value::Array(values) => values.iter_mut().for_each(|value| self::mask(value, mask)),
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The lines that say what a reply says.
pub(super) fn lines(reply: &Value) -> Vec<String> {
    let (status, answer) = (text(&reply["status"]), &reply["data"]);
    let mut lines = Vec::new();
    if status != "ok" {
        lines.push(format!("{status}: {}", text(&reply["reason"])));
    }
    match reply["event_type"].as_str().unwrap_or_default() {
        _ if answer.is_null() => {}
        "get_context.reply" => lines.extend(context(answer)),
        "get_conversation.reply" => lines.extend(conversation(answer)),
        "list_conversations.reply" => lines.extend(conversations(answer)),
        "get_stats.reply" => lines.extend(table::shown(answer)),
        "get_state.reply" => lines.extend(state(&answer["state"])),
        "get_crm_link.reply" => lines.extend(links(std::slice::from_ref(answer))),
        "list_crm_links.reply" => {
            lines.extend(links(list(&answer["links"])));
            lines.push(format!("{} of {}", text(&answer["returned"]), text(&answer["total"])));
        }
        _ => lines.push(harmless(&answer.to_string())),
    }
    if let Some(cursor) = answer["next_cursor"].as_str() {
        lines.push(format!("(there is more: --cursor {})", harmless(cursor)));
    }
    lines
}

fn context(answer: &Value) -> Vec<String> {
    let receipt = &answer["receipt"];
    let least = if receipt["dropped_is_lower_bound"] == true { " at least" } else { "" };
    let mut lines = vec![
        format!("conversation {}, {}", text(&answer["conversation_id"]), text(&answer["conversation_status"])),
        format!(
            "{} of {} tokens ({}, {}); {} messages, {} dropped{least}",
            text(&receipt["tokens"]),
            text(&receipt["limit"]),
            text(&receipt["strategy"]),
            text(&receipt["tokenizer"]),
            text(&receipt["messages_kept"]),
            text(&receipt["messages_dropped"]),
        ),
    ];
    if let Some(warning) = receipt["warning"].as_str() {
        lines.push(format!("warning: {}", harmless(warning)));
    }
    lines.push(String::new());
    lines.extend(list(&answer["messages"]).iter().map(|message| {
        let role = if message["summary"] == true { "summary".to_owned() } else { text(&message["role"]) };
        format!("{role:<9}  {}", text(&message["text"]))
    }));
    if answer.get("state").is_some() {
        lines.push(String::new());
        lines.extend(state(&answer["state"]));
    }
    lines
}

fn conversation(answer: &Value) -> Vec<String> {
    let mut lines = vec![
        format!("conversation {}, {}", text(&answer["conversation_id"]), text(&answer["status"])),
        format!("contact {}, opened {}", text(&answer["contact_urn"]), text(&answer["opened_at"])),
        String::new(),
    ];
    let rows = list(&answer["messages"]).iter().map(|message| {
        let said = if message["too_large"] == true { "[too large]".to_owned() } else { text(&message["text"]) };
        let at = message.get("occurred_at").unwrap_or(&message["created_at"]);
        [text(at), text(&message["direction"]), said]
    });
    lines.extend(aligned(["WHEN", "DIRECTION", "TEXT"], &rows.collect::<Vec<_>>()));
    lines
}

fn conversations(answer: &Value) -> Vec<String> {
    let rows = list(&answer["conversations"]).iter().map(|row| {
        ["conversation_id", "status", "opened_at", "closed_at", "contact_urn", "agent_id"].map(|name| text(&row[name]))
    });
    let mut lines = aligned(["ID", "STATUS", "OPENED", "CLOSED", "CONTACT", "AGENT"], &rows.collect::<Vec<_>>());
    if answer["open_incomplete"] == true {
        lines.push("(more are open than were looked at)".to_owned());
    }
    lines
}

fn state(variables: &Value) -> Vec<String> {
    let rows = list(variables).iter().map(|variable| {
        let value = match &variable["state_value"] {
            Value::String(text) => text.clone(),
            value => value.to_string(),
        };
        [text(&variable["state_type"]), text(&variable["state_key"]), value, text(&variable["expires_at"])]
    });
    aligned(["TYPE", "NAME", "VALUE", "EXPIRES"], &rows.collect::<Vec<_>>())
}

fn links(links: &[Value]) -> Vec<String> {
    let rows = links
        .iter()
        .map(|link| ["conversation_id", "crm", "crm_id", "contact_urn", "updated_at"].map(|name| text(&link[name])));
    aligned(["CONVERSATION", "CRM", "CRM ID", "CONTACT", "UPDATED"], &rows.collect::<Vec<_>>())
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => cell(None::<u8>),
        Value::String(text) => harmless(text),
        value => harmless(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_of_a_person_is_shown_unless_it_is_wanted() {
        let reply = json!({"event_type": "get_context.reply", "status": "ok", "data": {
            "conversation_id": "id-1", "conversation_status": "open", "contact_urn": "whatsapp:+5511999990000",
            "contact_name": "Maria José",
            "messages": [{"role": "human", "text": "my secret", "metadata": {"cpf": "123"}, "attachments": []}],
            "state": [{"state_type": "t", "state_key": "k", "state_value": {"cpf": "123"}}],
            "receipt": {"tokens": 3, "limit": 10, "warning": "x\u{1b}[2J"},
        }});
        let mut masked = reply.clone();
        mask(&mut masked, Mask::On);
        let shown = format!("{masked} {}", lines(&masked).join("\n"));
        for secret in ["secret", "123", "Maria", "99999", "\u{1b}"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(shown.contains("[9 characters]") && shown.contains("…0000"), "{shown}");
        let mut revealed = reply.clone();
        mask(&mut revealed, Mask::Off);
        assert_eq!(revealed, reply);
        assert!(lines(&revealed).join("\n").contains("human      my secret"));
    }

    #[test]
    fn every_answer_has_lines_and_none_needs_all_its_fields() {
        for name in [
            "get_context",
            "get_conversation",
            "list_conversations",
            "get_stats",
            "get_state",
            "get_crm_link",
            "list_crm_links",
            "what_comes_later",
        ] {
            let reply = json!({"event_type": format!("{name}.reply"), "status": "ok", "data": {}});
            assert!(!lines(&reply).is_empty(), "{name}");
            let reply =
                json!({"event_type": format!("{name}.reply"), "status": "error", "reason": "why", "data": null});
            assert_eq!(lines(&reply), ["error: why"]);
        }
    }
}
