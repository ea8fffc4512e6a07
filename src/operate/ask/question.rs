//! The questions as flags, and the fields of the request they become.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::operate::moment::moment;

/// What to ask.
#[derive(Clone, Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub(super) enum Question {
    /// What a model should be told of a thread's conversation, within its window, and a receipt for it.
    GetContext(Context),
    /// A conversation with its messages, open or closed, page by page.
    GetConversation(Conversation),
    /// A project's conversations, page by page.
    ListConversations(Conversations),
    /// What a project's closed conversations add up to.
    GetStats(Stats),
    /// The variables of a thread's conversation.
    GetState(State),
    /// The contact of a CRM that a conversation belongs to.
    GetCrmLink(CrmLink),
    /// A project's conversations and the contacts of a CRM they belong to, page by page.
    ListCrmLinks(CrmLinks),
}

/// A thread: its contact and channel, or the id that its publisher gave it.
#[derive(Clone, Debug, Args, Serialize)]
struct Thread {
    /// The project.
    #[arg(long)]
    #[serde(rename = "project_uuid")]
    project: String,
    /// Contact of the thread, as a URN.
    #[arg(long, value_name = "URN", requires = "channel")]
    #[serde(rename = "contact_urn", skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    /// Channel of the thread.
    #[arg(long, requires = "contact")]
    #[serde(rename = "channel_uuid", skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
}

/// A page of a list.
#[derive(Clone, Debug, Args, Serialize)]
struct Page {
    /// Where the page before this one ended: its next_cursor.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// So many at most.
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct Context {
    #[command(flatten)]
    #[serde(flatten)]
    thread: Thread,
    /// The id that the thread's publisher gave it, or a closed conversation's own, instead of contact and channel.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    /// The model: its window and tokenizer are looked up.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    /// The model's window in tokens: 8192, 8k, 128k.
    #[arg(long, value_name = "TOKENS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<String>,
    /// Tokens of the answer at most.
    #[arg(long, value_name = "TOKENS", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<i64>,
    /// token_buffer: the newest messages; summary_buffer: and a summary of those before.
    #[arg(long, value_name = "token_buffer|summary_buffer")]
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<String>,
    /// Who counts: o200k_base, cl100k_base.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tokenizer: Option<String>,
    /// Tell the thread's variables too.
    #[arg(long)]
    include_state: bool,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct Conversation {
    #[command(flatten)]
    #[serde(flatten)]
    thread: Thread,
    /// Its id, or the id that its thread's publisher gave it.
    #[arg(long = "id", value_name = "ID")]
    conversation_id: String,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct Conversations {
    /// The project.
    #[arg(long)]
    #[serde(rename = "project_uuid")]
    project: String,
    /// open or closed.
    #[arg(long, value_name = "open|closed")]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    /// With this contact.
    #[arg(long, value_name = "URN")]
    #[serde(rename = "contact_urn", skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
    /// Of this agent.
    #[arg(long)]
    #[serde(rename = "agent_id", skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// With this tag.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// Opened at this time or later: a time, a date, or how long ago (90m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    /// Opened before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<DateTime<Utc>>,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct Stats {
    /// The project.
    #[arg(long)]
    #[serde(rename = "project_uuid")]
    project: String,
    /// Of conversations closed at this time or later: a time, a date, or how long ago. 30 days unless given.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<DateTime<Utc>>,
    /// Of conversations closed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<DateTime<Utc>>,
    /// Of this agent.
    #[arg(long)]
    #[serde(rename = "agent_id", skip_serializing_if = "Option::is_none")]
    agent: Option<String>,
    /// day or agent.
    #[arg(long, value_name = "day|agent")]
    #[serde(skip_serializing_if = "Option::is_none")]
    group_by: Option<String>,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct State {
    #[command(flatten)]
    #[serde(flatten)]
    thread: Thread,
    /// The id that the thread's publisher gave it, instead of contact and channel.
    #[arg(long, value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<String>,
    /// Of this kind.
    #[arg(long, value_name = "KIND")]
    #[serde(skip_serializing_if = "Option::is_none")]
    state_type: Option<String>,
    /// Of this name.
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    state_key: Option<String>,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct CrmLink {
    /// The project.
    #[arg(long)]
    #[serde(rename = "project_uuid")]
    project: String,
    /// The conversation's id.
    #[arg(long = "id", value_name = "ID")]
    conversation_id: String,
}

#[derive(Clone, Debug, Args, Serialize)]
pub(super) struct CrmLinks {
    /// The project.
    #[arg(long)]
    #[serde(rename = "project_uuid")]
    project: String,
    /// To this contact of the CRM.
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    crm_id: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    page: Page,
}

impl Question {
    /// The request's name.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::GetContext(_) => "get_context",
            Self::GetConversation(_) => "get_conversation",
            Self::ListConversations(_) => "list_conversations",
            Self::GetStats(_) => "get_stats",
            Self::GetState(_) => "get_state",
            Self::GetCrmLink(_) => "get_crm_link",
            Self::ListCrmLinks(_) => "list_crm_links",
        }
    }

    /// The request's fields.
    pub(super) fn fields(&self) -> serde_json::Result<Map<String, Value>> {
        let fields = match self {
            Self::GetContext(it) => serde_json::to_value(it),
            Self::GetConversation(it) => serde_json::to_value(it),
            Self::ListConversations(it) => serde_json::to_value(it),
            Self::GetStats(it) => serde_json::to_value(it),
            Self::GetState(it) => serde_json::to_value(it),
            Self::GetCrmLink(it) => serde_json::to_value(it),
            Self::ListCrmLinks(it) => serde_json::to_value(it),
        };
        Ok(fields?.as_object().cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::event::{Kind, request::to_body};
    use crate::operate::ask::decoded;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        question: Question,
    }

    #[test]
    fn every_flag_becomes_a_field_that_a_daemon_takes() {
        for line in [
            "get_context --project p --contact tel:1 --channel c --model m --window 8k --max-tokens -1 --strategy \
             token_buffer --tokenizer o200k_base --include-state",
            "get_context --project p --conversation-id x",
            "get_conversation --project p --id x --contact tel:1 --channel c --cursor 00 --limit 3",
            "list_conversations --project p --status open --contact tel:1 --agent a --tag t --from 7d --to 2026-03-01 \
             --cursor 00 --limit 3",
            "get_stats --project p --from 7d --to 1h --agent a --group-by day",
            "get_state --project p --contact tel:1 --channel c --state-type t --state-key k",
            "get_crm_link --project p --id x",
            "list_crm_links --project p --crm-id x --cursor 00 --limit 3",
        ] {
            let parsed = Line::try_parse_from(["ask"].into_iter().chain(line.split_whitespace())).expect(line);
            let (name, fields) = (parsed.question.name(), parsed.question.fields().expect("fields"));
            let flags = line.split_whitespace().filter(|word| word.starts_with("--")).count();
            let always = usize::from(name == "get_context" && !line.contains("--include-state"));
            assert_eq!(fields.len(), flags + always, "{line}: {fields:?}");
            let event = decoded(&to_body(name, "queue", "id", &fields)).expect(line);
            let Kind::Request(request) = event.kind else { panic!("{line}") };
            assert_eq!(request.name(), name);
        }
    }
}
