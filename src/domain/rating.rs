//! What a contact thinks of a conversation: CSAT, NPS, and whatever else a publisher asks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{EventId, Sequence};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RatingKind {
    /// Customer satisfaction: 1 to 5.
    Csat,
    /// Net promoter score: 0 to 10; 0 is a score.
    Nps,
    /// A question of the publisher's own; any value.
    Custom,
}

impl RatingKind {
    /// The name used in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Csat => "csat",
            Self::Nps => "nps",
            Self::Custom => "custom",
        }
    }
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rating {
    /// Identity: unique over the whole archive.
    pub event_id: EventId,
    /// What was asked.
    pub kind: RatingKind,
    /// The publisher's key for it (`weni_csat`, `weni_nps`, or its own).
    pub key: String,
    /// The answer as text: a score's digits, or whatever a custom question got.
    pub value: String,
    /// The score, for CSAT and NPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u8>,
    /// What the contact wrote with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// The agent who is rated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// When it was given, in UTC.
    pub answered_at: DateTime<Utc>,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
    /// Its place in its group.
    pub sequence: Sequence,
}
