//! The AsyncAPI 3 document: the queues, what goes through each, and which of it the daemon takes and sends.

use serde_json::{Map, Value, json};

use crate::{
    answer::schema_of_reply,
    event::contract::{Described, described, shared},
};

const ABOUT: &str = "Events of chat conversations go into one SQS FIFO queue; what cannot be taken comes out of its dead-letter \
                     queue with the reason. The group of an event is its thread (project_uuid:channel_uuid:contact_urn), its \
                     deduplication id the same on every try. `conversationd lint` checks events before they are sent.";

/// The whole document.
pub(super) fn document() -> Value {
    let every = described();
    let (requests, events): (Vec<_>, Vec<_>) = every.iter().partition(|event| event.is_request);
    let mut messages: Map<String, Value> = every.iter().map(|event| (key(event), message(event))).collect();
    let replies: Vec<(String, Value)> = requests.iter().copied().filter_map(reply).collect();
    let answers: Vec<String> = replies.iter().map(|(key, _)| key.clone()).collect();
    messages.extend(replies);
    messages.insert("dead-letter".to_owned(), dead_letter());
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "conversationd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels(
            &every.iter().map(key).collect::<Vec<_>>(),
            &requests.iter().copied().map(key).collect::<Vec<_>>(),
            &answers,
        ),
        "operations": {
            "takeEvents": {
                "action": "receive",
                "summary": "The daemon takes events, in order within each group.",
                "channel": {"$ref": "#/channels/events"},
                "messages": within("events", &events),
            },
            "answerInOrder": {
                "action": "receive",
                "summary": "A request among the events of its thread is answered after all that came before it.",
                "channel": {"$ref": "#/channels/events"},
                "messages": within("events", &requests),
                "reply": answered(&answers),
            },
            "answer": {
                "action": "receive",
                "summary": "A request by its own queue is answered at once.",
                "channel": {"$ref": "#/channels/requests"},
                "messages": within("requests", &requests),
                "reply": answered(&answers),
            },
            "putAside": {
                "action": "send",
                "summary": "What cannot be taken is put aside as it came, with the reason.",
                "channel": {"$ref": "#/channels/deadLetters"},
                "messages": [{"$ref": "#/channels/deadLetters/messages/dead-letter"}],
            },
        },
        "components": {
            "messages": messages,
            "schemas": shared(),
            "messageTraits": {"attributes": {"headers": headers()}},
        },
    })
}

fn channels(every: &[String], requests: &[String], replies: &[String]) -> Value {
    let holding = |keys: &[String]| -> Map<String, Value> {
        keys.iter().map(|key| (key.clone(), json!({"$ref": format!("#/components/messages/{key}")}))).collect()
    };
    json!({
        "events": {
            "address": "{prefix}.fifo",
            "title": "The inbound queue",
            "description": "An SQS FIFO queue; SQS_CONVERSATION_QUEUE_URL names it.",
            "parameters": {"prefix": prefix()},
            "messages": holding(every),
        },
        "requests": {
            "address": null,
            "title": "The request queue",
            "description": "An SQS queue, FIFO or not; SQS_CONVERSATION_REQUEST_QUEUE_URL names it, if there is one.",
            "messages": holding(requests),
        },
        "replies": {
            "address": null,
            "title": "A reply queue",
            "description": "An SQS queue of the asker's, FIFO or not, on the list CONVERSATIOND_REPLY_QUEUES. In a FIFO queue the \
                            group of a reply is its correlation id.",
            "messages": holding(replies),
        },
        "deadLetters": {
            "address": "{prefix}-dlq.fifo",
            "title": "The dead-letter queue",
            "description": "An SQS FIFO queue; SQS_CONVERSATION_DLQ_URL names it.",
            "parameters": {"prefix": prefix()},
            "messages": holding(&["dead-letter".to_owned()]),
        },
    })
}

fn within(channel: &str, events: &[&Described]) -> Vec<Value> {
    events.iter().map(|event| json!({"$ref": format!("#/channels/{channel}/messages/{}", key(event))})).collect()
}

fn answered(replies: &[String]) -> Value {
    let messages: Vec<Value> =
        replies.iter().map(|key| json!({"$ref": format!("#/channels/replies/messages/{key}")})).collect();
    json!({
        "address": {"location": "$message.payload#/reply_to", "description": "One of CONVERSATIOND_REPLY_QUEUES."},
        "channel": {"$ref": "#/channels/replies"},
        "messages": messages,
    })
}

fn prefix() -> Value {
    json!({"default": "conversationd", "description": "What the deployment's names begin with."})
}

/// A name without dots: what a key of the document may be.
fn key(event: &Described) -> String {
    event.name.replace(['.', '_'], "-")
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

/// The answer to a request, and its key.
fn reply(request: &Described) -> Option<(String, Value)> {
    let name = format!("{}.{}", request.name, super::REPLY);
    let message = json!({
        "name": name,
        "title": name,
        "summary": format!("The answer to {}, or why there is none.", request.name),
        "correlationId": {"location": "$message.payload#/correlation_id", "description": "The request's."},
        "payload": schema_of_reply(request.name)?,
    });
    Some((format!("{}-{}", key(request), super::REPLY), message))
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
