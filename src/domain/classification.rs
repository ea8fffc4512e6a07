//! What a conversation came to, found out by reading it after it had closed.

use super::ConversationId;

/// How a closed conversation ended and what it was about, in the words of whoever read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classification {
    /// The conversation that is meant, of the thread's, open or not.
    pub conversation: ConversationId,
    /// 0 resolved, 1 unresolved, 2 in progress, 3 unclassified. That a person took over (4) is not for a reader to say.
    pub resolution: u8,
    /// What it was about: at most [`TOPIC`](Self::TOPIC) characters.
    pub topic: Option<String>,
    /// What it was about, more closely.
    pub subtopic: Option<String>,
}

impl Classification {
    /// The resolution of a conversation that nobody classified.
    pub const UNCLASSIFIED: u8 = 3;

    /// The highest resolution there is for a reader.
    pub const HIGHEST: u8 = Self::UNCLASSIFIED;

    /// Longest topic or subtopic, in characters.
    pub const TOPIC: usize = 200;
}
