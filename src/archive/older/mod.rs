//! The older service's conversations: how its database has them, and how they come to stand in the archive.
//!
//! Ids are derived from what stands there, so that taking them over again adds nothing. Nobody is told of them: their outside
//! systems heard of them when they closed.

mod keep;
mod link;
mod shape;
mod source;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{ConversationId, Message, Rating, Thread, Window};

pub use link::OlderLink;
pub use source::OlderService;

/// A closed conversation of the older service, as the archive would have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Older {
    /// Its id there, and here.
    pub id: ConversationId,
    /// Its thread; where it had no contact or channel, one of its own.
    pub thread: Thread,
    /// When it opened.
    pub opened_at: DateTime<Utc>,
    /// When it closed.
    pub closed_at: DateTime<Utc>,
    /// The contact's name.
    pub contact_name: Option<String>,
    /// 0 resolved, 1 unresolved, 3 unclassified, 4 has chat room.
    pub resolution: Option<u8>,
    /// What it was about, and more closely.
    pub topic: Option<String>,
    /// What it was about, more closely.
    pub subtopic: Option<String>,
    /// The platform's window.
    pub window: Window,
    /// The ticket by which a person took over.
    pub ticket: Option<String>,
    /// Whether a person took over.
    pub has_chats_room: bool,
    /// What was said, the oldest first.
    pub messages: Vec<Message>,
    /// Its CSAT and NPS.
    pub ratings: Vec<Rating>,
    /// Entries and values that could not be read: no object where a message should be, a score that is none.
    pub unreadable: u64,
}

/// Which of its conversations.
#[derive(Clone, Copy, Debug, Default)]
pub struct OlderSpan {
    /// Of this project only.
    pub project: Option<Uuid>,
    /// That began at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// That began before this time.
    pub before: Option<DateTime<Utc>>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OlderCount {
    /// Closed: to be taken over.
    pub closed: u64,
    /// In progress: they stay where they are.
    pub open: u64,
}

/// What the archive has of a conversation of the older service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OlderHeld {
    /// Whether its row stands.
    pub row: bool,
    /// Its person was erased here: nothing of it comes back.
    pub erased: bool,
    /// Its messages that stand in it.
    pub here: u64,
    /// Its messages that stand in another conversation, which said them first.
    pub elsewhere: u64,
    /// Its messages that stand nowhere.
    pub missing: u64,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OlderKept {
    /// New conversations.
    pub conversations: u64,
    /// New messages.
    pub messages: u64,
    /// New ratings.
    pub ratings: u64,
}
