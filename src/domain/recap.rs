//! The summary of what was said earlier in a conversation, and up to where it reaches.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Spot;

/// A summary and its watermark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recap {
    /// The summary.
    pub text: String,
    /// The last message it covers; all before it are covered too.
    pub through: Spot,
    /// How many messages it covers.
    pub messages: u64,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}
