//! The AsyncAPI 3 document: the queues, what goes through each, and which of it the daemon takes and sends.

use serde_json::{Map, Value, json};

use crate::event::contract::{Described, described, shared};

const ABOUT: &str = "Events of chat conversations go into one SQS FIFO queue; what cannot be taken comes out of its dead-letter \
                     queue with the reason. The group of an event is its thread (project_uuid:channel_uuid:contact_urn), its \
                     deduplication id the same on every try. `conversationd lint` checks events before they are sent.";

/// The whole document.
pub(super) fn document() -> Value {
    let events = described();
    let messages: Map<String, Value> = events.iter().map(|event| (key(event), message(event))).collect();
    let of_channel: Map<String, Value> = events
        .iter()
        .map(|event| (key(event), json!({"$ref": format!("#/components/messages/{}", key(event))})))
        .collect();
    let taken: Vec<Value> =
        events.iter().map(|event| json!({"$ref": format!("#/channels/events/messages/{}", key(event))})).collect();
    let mut components =
        json!({ "messages": messages, "schemas": shared(), "messageTraits": {"attributes": {"headers": headers()}} });
    components["messages"]["deadLetter"] = dead_letter();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "conversationd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "events": {
                "address": "{prefix}.fifo",
                "title": "The inbound queue",
                "description": "An SQS FIFO queue; SQS_CONVERSATION_QUEUE_URL names it.",
                "parameters": {"prefix": prefix()},
                "messages": of_channel,
            },
            "deadLetters": {
                "address": "{prefix}-dlq.fifo",
                "title": "The dead-letter queue",
                "description": "An SQS FIFO queue; SQS_CONVERSATION_DLQ_URL names it.",
                "parameters": {"prefix": prefix()},
                "messages": {"deadLetter": {"$ref": "#/components/messages/deadLetter"}},
            },
        },
        "operations": {
            "takeEvents": {
                "action": "receive",
                "summary": "The daemon takes events, in order within each group.",
                "channel": {"$ref": "#/channels/events"},
                "messages": taken,
            },
            "putAside": {
                "action": "send",
                "summary": "What cannot be taken is put aside as it came, with the reason.",
                "channel": {"$ref": "#/channels/deadLetters"},
                "messages": [{"$ref": "#/channels/deadLetters/messages/deadLetter"}],
            },
        },
        "components": components,
    })
}

fn prefix() -> Value {
    json!({"default": "conversationd", "description": "What the deployment's names begin with."})
}

/// A name without dots: what a key of the document may be.
fn key(event: &Described) -> String {
    event.name.replace('.', "-").replace('_', "-")
}

fn message(event: &Described) -> Value {
    let mut payload = event.schema();
    payload.remove("examples"); // they stand beside it
    let payload = referring(payload.into());
    let mut message = json!({
        "name": event.name,
        "title": event.name,
        "summary": event.summary,
        "traits": [{"$ref": "#/components/messageTraits/attributes"}],
        "payload": payload,
        "examples": [{"name": "example", "payload": event.example}],
    });
    if !event.event_types.is_empty() {
        let known_by = "What makes copies of the event one event.";
        message["correlationId"] = json!({"location": "$message.payload#/correlation_id", "description": known_by});
    }
    message
}

/// The same schema, its definitions among the document's.
fn referring(schema: Value) -> Value {
    let moved =
        |text: String| text.strip_prefix("#/$defs/").map(|name| format!("#/components/schemas/{name}")).unwrap_or(text);
    match schema {
        Value::String(text) => moved(text).into(),
        Value::Array(values) => values.into_iter().map(referring).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, referring(value))).collect(),
        plain => plain,
    }
}

/// Message attributes that are read.
fn headers() -> Value {
    json!({"type": "object", "description": "SQS message attributes of type String.", "properties": {
        "event_type": {"type": "string", "description": "Names the event, before its body does."},
        "correlation_id": {"type": "string", "description": "Read when the body has none."},
        "traceparent": {"type": "string", "description": "W3C trace context: the trace goes on in the daemon."},
    }})
}

fn dead_letter() -> Value {
    let note = "Why, as JSON: code, field, reason, source_queue, attempts, original_message_id, original_sequence, \
                original_sent_at, and what redrives added. Nothing of the body is quoted.";
    json!({
        "name": "deadLetter",
        "title": "Dead letter",
        "summary": "The body as it came, whatever it was.",
        "contentType": "text/plain",
        "headers": {"type": "object", "properties": {"x-dlq": {"type": "string", "description": note}}},
        "payload": {"type": "string"},
    })
}
