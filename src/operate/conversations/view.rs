//! A conversation as it is shown, whichever store it comes from.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    archive::ConversationRow,
    domain::{CloseReason, Conversation, Head},
    operate::mask::Mask,
};

/// A conversation, masked as asked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct View {
    pub id: Uuid,
    /// `open`, `closing` (sealed, on its way into the archive) or `closed`.
    pub status: &'static str,
    pub project: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// The publisher's conversation id, when that alone names the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    pub opened_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<DateTime<Utc>>,
    /// When the timer looks at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<DateTime<Utc>>,
    /// Known once it is archived.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<i16>,
}

impl View {
    /// Of an archived conversation.
    pub(super) fn of_row(row: &ConversationRow, mask: Mask) -> Self {
        Self {
            id: row.id,
            status: if row.closed_at.is_some() { "closed" } else { "open" },
            project: row.project.clone(),
            channel: row.channel.clone(),
            contact: row.contact.as_deref().map(|contact| mask.contact(contact)),
            contact_name: row.contact_name.as_deref().map(|name| mask.name(name)),
            external_id: row.external_id.clone(),
            agent_id: row.agent_id.clone(),
            opened_at: row.opened_at,
            closed_at: row.closed_at,
            due_at: None,
            messages: row.closed_at.map(|_| row.message_count),
            reason: row.close_reason.clone(),
            detail: row.close_detail.as_deref().map(|detail| mask.text(detail)),
            resolution: row.resolution,
        }
    }

    /// Of a thread's present conversation.
    pub(super) fn of_head(head: &Head, mask: Mask) -> Self {
        let record = head.conversation.record();
        let (status, close) = match &head.conversation {
            Conversation::Open(_) => ("open", None),
            Conversation::Closing(closing) => ("closing", Some(&closing.close)),
            Conversation::Closed(closed) => ("closed", Some(&closed.close)),
        };
        Self {
            id: record.id.0,
            status,
            project: head.thread.project.clone(),
            channel: head.thread.channel.clone(),
            contact: head.thread.contact.as_deref().map(|contact| mask.contact(contact)),
            contact_name: record.contact_name.as_deref().map(|name| mask.name(name)),
            external_id: head.thread.conversation.clone(),
            agent_id: record.agent_id.clone(),
            opened_at: record.opened_at,
            closed_at: close.map(|close| close.at),
            due_at: head.conversation.due(),
            messages: None,
            reason: close.map(|close| CloseReason::as_str(close.reason).to_owned()),
            detail: close.and_then(|close| close.detail.as_deref()).map(|detail| mask.text(detail)),
            resolution: close.and_then(|close| close.resolution).map(i16::from),
        }
    }
}
