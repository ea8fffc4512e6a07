//! A chat message, as it is kept.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{EventId, Sequence};

/// Who spoke to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the contact.
    Incoming,
    /// To the contact.
    Outgoing,
    /// From neither: a notice of the platform.
    System,
}

impl Direction {
    /// The name used on the wire and in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
            Self::System => "system",
        }
    }
}

/// What kind of sender wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SenderType {
    /// The contact.
    User,
    /// A person or a language model answering for the company.
    Agent,
    /// The platform.
    System,
}

impl SenderType {
    /// The name used on the wire and in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::Agent => "AGENT",
            Self::System => "SYSTEM",
        }
    }
}

/// One attachment, kept as the publisher described it.
pub type Attachment = Value;

/// How many tokens a message is, its role in front.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Who counted: the tokenizer's name.
    pub tokenizer: Cow<'static, str>,
    /// How many.
    pub count: u32,
}

/// Where a message stands in its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Spot {
    /// Event time.
    pub occurred_at: DateTime<Utc>,
    /// Place in its group.
    pub sequence: Sequence,
    /// The message.
    pub event_id: EventId,
}

/// A chat message. Ordered within its conversation by `(occurred_at, sequence, event_id)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Identity: unique over the whole archive.
    pub event_id: EventId,
    /// When it was written, in UTC, to the microsecond.
    pub occurred_at: DateTime<Utc>,
    /// When the queue took it (SQS `SentTimestamp`): one server clock for all publishers.
    pub received_at: DateTime<Utc>,
    /// Its place in its group.
    pub sequence: Sequence,
    /// Who spoke to whom.
    pub direction: Direction,
    /// The text; empty when only attachments were sent.
    pub text: String,
    /// The publisher's own message id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The contact's display name at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// MIME type or the publisher's own word for the kind of content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What kind of sender wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_type: Option<SenderType>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<String>,
    /// Agent (person or bot) that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Language model that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_used: Option<String>,
    /// Tokens the publisher was charged for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_used: Option<u32>,
    /// Tokens it costs in a model's window, counted when it was saved; no part of what was said, so of no content hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// The publisher's reading of its mood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentiment: Option<String>,
    /// The publisher's reading of its purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    /// What the publisher found in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<Value>,
    /// What came with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Whatever else the publisher wants kept.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Message {
    /// Where it stands in its conversation.
    pub fn spot(&self) -> Spot {
        Spot { occurred_at: self.occurred_at, sequence: self.sequence, event_id: self.event_id }
    }

    /// When it happened, for deciding what it belongs to: nothing happens after the queue took the word of it.
    pub fn happened_at(&self) -> DateTime<Utc> {
        self.occurred_at.min(self.received_at)
    }
}
