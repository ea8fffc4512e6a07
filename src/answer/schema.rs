//! What replies look like, in the words of JSON Schema: what each file of this room tells, field by field.
//!
//! A field that may come later is no break of the contract, so nothing is closed here; the tests ask real replies whether
//! they have a field that does not stand here.

use serde_json::{Map, Value, json};

use super::outcome::{Status, reply_name};

/// The schema of a reply to any of these requests: what all have in common.
pub fn reply_schema(requests: &[&str]) -> Map<String, Value> {
    let names: Vec<String> = requests.iter().map(|name| reply_name(name)).collect();
    let content =
        json!({"type": ["object", "null"], "description": "The answer; each request's own schema says more."});
    envelope(json!({"enum": names}), &Status::ALL, content)
}

/// The schema of a reply to this request. None for what is no request.
pub fn schema_of_reply(request: &str) -> Option<Map<String, Value>> {
    let content = content(request)?;
    let is_context = request == "get_context";
    let statuses: Vec<Status> =
        Status::ALL.into_iter().filter(|status| is_context || !matches!(status, Status::Empty)).collect();
    let name = json!({"const": reply_name(request)});
    let mut schema = envelope(name, &statuses, json!({"description": "The answer."}));
    let unanswered: Vec<&str> = statuses
        .iter()
        .filter(|status| !matches!(status, Status::Ok | Status::Empty))
        .map(|status| status.as_str())
        .collect();
    let mut forms = vec![
        json!({"properties": {"status": {"const": Status::Ok.as_str()}, "data": content}}),
        json!({"properties": {"status": {"enum": unanswered}, "data": {"type": "null"}}, "required": ["reason"]}),
    ];
    if is_context {
        let status = json!({"const": Status::Empty.as_str()});
        forms.push(json!({"properties": {"status": status, "data": no_context()}, "required": ["reason"]}));
    }
    schema.insert("oneOf".to_owned(), forms.into());
    Some(schema)
}

fn envelope(event_type: Value, statuses: &[Status], content: Value) -> Map<String, Value> {
    let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    let id = "The request's, if that is at most 64 printable characters.";
    let must = json!({"event_type": event_type, "status": {"enum": statuses}, "data": content});
    let may = json!({
        "correlation_id": {"type": "string", "description": id},
        "reason": {"type": "string", "description": "Why there is less than asked for."},
    });
    match object(must, may) {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// An object with all of the first fields, and perhaps the others.
fn object(must: Value, may: Value) -> Value {
    let names: Vec<String> = must.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    let mut properties = must;
    if let (Some(all), Value::Object(may)) = (properties.as_object_mut(), may) {
        all.extend(may);
    }
    json!({"type": "object", "properties": properties, "required": names})
}

fn list(of: Value) -> Value {
    json!({"type": "array", "items": of})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

fn number_or_null() -> Value {
    json!({"type": ["number", "null"]})
}

fn flag() -> Value {
    json!({"type": "boolean"})
}

fn id() -> Value {
    json!({"type": "string", "format": "uuid"})
}

fn id_or_null() -> Value {
    json!({"type": ["string", "null"], "format": "uuid"})
}

fn time() -> Value {
    json!({"type": "string", "format": "date-time"})
}

fn time_or_null() -> Value {
    json!({"type": ["string", "null"], "format": "date-time"})
}

fn cursor() -> Value {
    json!({"type": ["string", "null"], "description": "The next page's `cursor`; null at the end."})
}

/// What stands in `data` when it is answered.
fn content(request: &str) -> Option<Value> {
    Some(match request {
        "get_context" => context(),
        "get_conversation" => conversation_with_messages(),
        "list_conversations" => conversations(),
        "get_stats" => stats(),
        "get_state" => object(json!({"conversation_id": id(), "state": list(variable())}), json!({})),
        "get_crm_link" => link(),
        "list_crm_links" => links(),
        _ => return None,
    })
}

fn context() -> Value {
    let told = object(
        json!({"id": text_or_null(), "event_id": id(), "role": {"enum": ["human", "ai", "system"]}, "text": text(),
            "created_at": time(), "tokens": count()}),
        json!({}),
    );
    let summary = object(json!({"role": {"const": "system"}, "text": text(), "summary": {"const": true}}), json!({}));
    let status = json!({"enum": ["open", "closing", "closed"]});
    let messages = json!({"description": "Oldest first; a summary stands before them.",
        "type": "array", "items": {"anyOf": [told, summary]}});
    object(
        json!({"conversation_id": id(), "conversation_status": status, "messages": messages, "receipt": receipt()}),
        json!({"state": list(variable())}),
    )
}

fn receipt() -> Value {
    let summary = object(
        json!({"through": id(), "messages": count(), "made_at": time(), "stored": {"type": ["boolean", "null"]},
            "behind": flag()}),
        json!({}),
    );
    object(
        json!({
            "strategy": {"enum": ["token_buffer", "summary_buffer"]},
            "tokenizer": text(),
            "window": count(),
            "limit": {"type": "integer"},
            "budget_includes_summary": flag(),
            "tokens": count(),
            "message_tokens": count(),
            "summary_tokens": count(),
            "messages_kept": count(),
            "messages_dropped": count(),
            "dropped_is_lower_bound": flag(),
            "cut_by_reply_size": flag(),
            "first_message_id": id_or_null(),
            "last_message_id": id_or_null(),
            "last_message_at": time_or_null(),
            "summary": {"anyOf": [summary, {"type": "null"}]},
            "archive_read": flag(),
            "in_order": flag(),
            "as_of": time(),
            "warning": text_or_null(),
        }),
        json!({}),
    )
}

/// A context that could not be had.
fn no_context() -> Value {
    let nothing = json!({"type": "array", "maxItems": 0});
    let receipt = object(json!({"tokens": {"const": 0}, "messages_kept": {"const": 0}, "warning": text()}), json!({}));
    object(json!({"messages": nothing, "receipt": receipt}), json!({}))
}

/// A conversation's fields: those that are always told, and those of an archived one.
fn of_conversation() -> (Value, Value) {
    let tags = json!({"type": ["array", "null"], "items": {"type": "string"}});
    let must = json!({
        "conversation_id": id(), "project_uuid": text(), "contact_urn": text_or_null(),
        "channel_uuid": text_or_null(), "external_id": text_or_null(),
        "status": {"enum": ["open", "closing", "closed"]}, "opened_at": time(), "closed_at": time_or_null(),
        "agent_id": text_or_null(), "contact_name": text_or_null(), "title": text_or_null(), "tags": tags,
        "ticket_uuid": text_or_null(), "has_chats_room": flag(),
    });
    let resolution = "0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.";
    let number = json!({"type": ["integer", "null"]});
    let may = json!({
        "close_reason": text_or_null(), "resolution": {"type": ["integer", "null"], "description": resolution},
        "topic": text_or_null(), "subtopic": text_or_null(), "csat": number, "nps": number, "message_count": count(),
    });
    (must, may)
}

fn conversation_with_messages() -> Value {
    let (mut must, mut may) = of_conversation();
    let said = object(
        json!({"event_id": id(), "occurred_at": time(), "received_at": time(),
            "direction": {"enum": ["incoming", "outgoing", "system"]}, "text": text()}),
        json!({"external_id": text(), "contact_name": text(), "content_type": text(),
            "sender_type": {"enum": ["USER", "AGENT", "SYSTEM"]}, "sender_id": text(), "agent_id": text(),
            "model_used": text(), "tokens_used": count(), "sentiment": text(), "intent": text(), "entities": list(json!({})),
            "attachments": list(json!({})), "metadata": {"type": "object"}}),
    );
    let too_large = object(json!({"event_id": id(), "created_at": time(), "too_large": {"const": true}}), json!({}));
    must["messages"] = list(json!({"anyOf": [said, too_large]}));
    must["next_cursor"] = cursor();
    may["truncated"] = json!({"const": true});
    object(must, may)
}

fn conversations() -> Value {
    let (must, may) = of_conversation();
    let incomplete = json!({"type": "boolean", "description": "Whether there may be more open ones than are told."});
    object(
        json!({"conversations": list(object(must, may)), "returned": count(), "next_cursor": cursor()}),
        json!({"open_incomplete": incomplete, "truncated": {"const": true}}),
    )
}

fn stats() -> Value {
    let busiest = object(json!({"agent_id": text(), "conversations": count()}), json!({}));
    let mut group = figures();
    group["group"] = text_or_null();
    object(
        json!({"stats": object(figures(), json!({})), "groups": list(object(group, json!({}))),
            "busiest_agents": list(busiest), "as_of": time_or_null(), "from": time(), "to": time(),
            "from_replica": flag()}),
        json!({}),
    )
}

/// Fields of the figures of a group.
fn figures() -> Value {
    let counts = |names: &[&str]| -> Value {
        let fields: Map<String, Value> = names.iter().map(|name| ((*name).to_owned(), count())).collect();
        object(fields.into(), json!({}))
    };
    let spread = || json!({"average": number_or_null(), "median": number_or_null(), "p95": number_or_null()});
    let mut first_response = spread();
    first_response["answered"] = count();
    let scored = |buckets: &[&str]| json!({"rated": count(), "average": number_or_null(), "buckets": counts(buckets)});
    let mut nps = scored(&["detractors", "passives", "promoters"]);
    nps["score"] = number_or_null();
    let resolutions = ["resolved", "unresolved", "in_progress", "unclassified", "chat_room", "not_said"];
    let tokens = "What the messages cost in a model's window.";
    json!({
        "conversations": count(),
        "resolution": counts(&resolutions),
        "messages": counts(&["all", "incoming", "outgoing", "system"]),
        "tokens": {"type": "integer", "minimum": 0, "description": tokens},
        "duration_ms": object(spread(), json!({})),
        "first_response_ms": object(first_response, json!({})),
        "csat": object(scored(&["1", "2", "3", "4", "5"]), json!({})),
        "nps": object(nps, json!({})),
    })
}

fn variable() -> Value {
    object(
        json!({"state_type": text(), "state_key": text(), "state_value": {}, "set_at": time(),
            "expires_at": time_or_null()}),
        json!({}),
    )
}

fn link() -> Value {
    object(
        json!({"conversation_id": id(), "contact_urn": text_or_null(), "crm": text(), "crm_id": text(),
            "prospect_data": {"type": ["object", "null"]}, "created_at": time(), "updated_at": time()}),
        json!({}),
    )
}

fn links() -> Value {
    object(
        json!({"total": count(), "total_is_lower_bound": flag(), "returned": count(), "links": list(link()),
            "next_cursor": cursor()}),
        json!({}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::contract::described;

    #[test]
    fn every_request_has_a_schema_of_its_reply_and_nothing_else_has() {
        for event in described() {
            assert_eq!(schema_of_reply(event.name).is_some(), event.is_request, "{}", event.name);
        }
    }
}
