//! What requests are made of, as `request` reads them.

use serde_json::{Value, json};

use super::fields::{ID_LIMIT, URN_LIMIT};
use super::name::Asked;
use super::request::CURSOR_LIMIT;
use super::shape::{Form, Shape, given};

/// The fields of a request's data.
pub(super) fn shape(asked: Asked) -> Shape {
    let shape = match asked {
        Asked::Context => context(),
        Asked::State => Shape::default()
            .in_thread()
            .may("state_type", Form::id(ID_LIMIT).says("Variables of this kind alone."))
            .may("state_key", Form::id(ID_LIMIT).says("Variables of this name alone.")),
        Asked::Conversation => paged(of_conversation()),
        Asked::CrmLink => of_conversation(),
        Asked::Conversations => paged(Shape::default().of_project())
            .may("status", Form::label().says("open or closed."))
            .may("contact_urn", Form::id(URN_LIMIT).says("With this contact."))
            .may("agent_id", Form::id(ID_LIMIT).says("Of this agent."))
            .may("tag", Form::label().says("With this tag."))
            .may("from", Form::exact_time().says("Opened at this time or later."))
            .may("to", Form::exact_time().says("Opened before this time.")),
        Asked::Stats => Shape::default()
            .of_project()
            .may("from", Form::exact_time().says("Of conversations closed at this time or later."))
            .may("to", Form::exact_time().says("Of conversations closed before this time."))
            .may("agent_id", Form::id(ID_LIMIT).says("Of this agent."))
            .may("group_by", Form::label().says("day or agent.")),
        Asked::CrmLinks => {
            paged(Shape::default().of_project()).may("crm_id", Form::id(ID_LIMIT).says("To this contact of the CRM."))
        }
    };
    addressed(shape)
}

/// With where the answer goes and how long it is waited for: in the data, which goes first, or beside it.
pub(super) fn addressed(shape: Shape) -> Shape {
    let reply_to = "Name or URL of the queue that waits for the answer: one of CONVERSATIOND_REPLY_QUEUES. Also a message attribute.";
    let deadline = "From when on nobody waits any more: a time, or seconds since 1970. Also a message attribute.";
    shape.may("reply_to", Form::id(ID_LIMIT).says(reply_to)).may("deadline", Form::id(ID_LIMIT).says(deadline))
}

/// `reply_to` stands beside the data, or in it.
pub(super) fn answerable() -> Value {
    json!({"anyOf": [given(&["reply_to"]), {"properties": {"data": given(&["reply_to"])}}]})
}

fn context() -> Shape {
    let whole = json!({"type": ["integer", "string", "null"], "minimum": i64::MIN, "maximum": i64::MAX,
        "pattern": r"^\s*[+-]?[0-9]+\s*$"});
    Shape::default()
        .in_thread()
        .may("model", Form::label().says("The model's name: it says window, tokenizer and strategy."))
        .may("window", Form::id(ID_LIMIT).says("Its window, such as 8192 or 128k."))
        .may("max_tokens", Form::any().but(whole).says("Tokens at most; 0 or below asks for none."))
        .may("strategy", Form::label().says("token_buffer or summary_buffer."))
        .may("tokenizer", Form::label().says("The tokenizer's name."))
        .may("budget_includes_summary", yes_or_no().says("Whether the summary is within the limit; it is unless said."))
        .may("include_state", yes_or_no().says("Whether the thread's variables are wanted too."))
}

fn of_conversation() -> Shape {
    let id = "The conversation's id, or the publisher's own.";
    let part = "With the channel, the thread that it is looked for in.";
    Shape::default()
        .of_project()
        .must("conversation_id", Form::id(ID_LIMIT).says(id))
        .may("contact_urn", Form::id(URN_LIMIT).says(part))
        .may("channel_uuid", Form::id(ID_LIMIT).says("With the contact, the same."))
}

fn paged(shape: Shape) -> Shape {
    shape
        .may("cursor", Form::id(CURSOR_LIMIT).says("Where the last page ended: `next_cursor` of the answer before."))
        .may("limit", Form::count().says("So many at most."))
}

/// Read by `yes_or_no`.
fn yes_or_no() -> Form {
    Form::any().but(json!({"enum": [null, true, false, "true", "false"]}))
}
