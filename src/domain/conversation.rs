//! A conversation's life: open → closing (sealed) → closed, and the head that records it.
//!
//! Each state is a type with the transitions it allows, and no others.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ConversationId, Message, Policy, Thread};

/// What the hot store says of a thread: its present conversation, or its last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Raised by every write; a write names the version it read.
    pub version: u64,
    /// The thread this head belongs to.
    pub thread: Thread,
    /// FIFO group that commands for this thread must be sent into.
    pub group_id: String,
    /// The thread's latest conversation.
    pub conversation: Conversation,
}

/// A conversation in one of its three states.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Conversation {
    /// Takes messages.
    Open(Open),
    /// Sealed: takes nothing more, its transcript is on its way into the archive.
    Closing(Closing),
    /// Archived.
    Closed(Closed),
}

impl Conversation {
    /// What is the same in every state.
    pub fn record(&self) -> &Record {
        match self {
            Self::Open(open) => &open.record,
            Self::Closing(closing) => &closing.record,
            Self::Closed(closed) => &closed.record,
        }
    }

    /// When the timer must bring it up; a closed one never.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Open(open) => Some(open.due.at),
            Self::Closing(closing) => Some(closing.due_at),
            Self::Closed(_) => None,
        }
    }
}

/// What is known of a conversation whatever its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub id: ConversationId,
    /// Event time of its first message.
    pub opened_at: DateTime<Utc>,
    /// Queue time of its first message: what was queued before it speaks of an earlier conversation.
    pub opened_received_at: DateTime<Utc>,
    /// The contact's name as last heard when the head was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contact_name: Option<String>,
    /// The agent as last heard when the head was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// The conversation before this one in the thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Stretch>,
}

/// A closed stretch of a thread, as its successor remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// The conversation.
    pub id: ConversationId,
    /// Event time of its first message.
    pub opened_at: DateTime<Utc>,
    /// When it closed.
    pub closed_at: DateTime<Utc>,
    /// Why it closed.
    pub reason: CloseReason,
}

impl Stretch {
    /// Whether something that occurred at `at` happened while this conversation was open.
    pub fn covers(&self, at: DateTime<Utc>) -> bool {
        self.opened_at <= at && at < self.closed_at
    }
}

/// Why the timer brings a conversation up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DueReason {
    /// Its session ended; the grace period is running.
    SessionEnded,
    /// It may have been idle, or open for long: look.
    Look,
}

/// When and why the timer brings a conversation up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: DueReason,
}

/// Why a conversation closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// Its session ended and nothing came within the grace period.
    SessionEnded,
    /// Nothing was said for the idle time.
    Idle,
    /// A publisher asked for it.
    Requested,
    /// An operator asked for it.
    Operator,
    /// It had closed without a message; its first came late.
    Late,
}

impl CloseReason {
    /// The name used in the archive.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionEnded => "session_ended",
            Self::Idle => "idle",
            Self::Requested => "requested",
            Self::Operator => "operator",
            Self::Late => "late",
        }
    }
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Close {
    /// When, by the queue's clock.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: CloseReason,
    /// 0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<u8>,
    /// The publisher's own words for why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A conversation that takes messages.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Open {
    /// What is known of it.
    pub record: Record,
    /// When the timer brings it up, and why: an open conversation always has such a time, so none is forgotten.
    pub due: Due,
    /// Sessions that are running.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sessions: BTreeSet<String>,
    /// Messages received before this are in the archive already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpointed_at: Option<DateTime<Utc>>,
}

impl Open {
    /// Opens a conversation with its first message.
    pub fn with(id: ConversationId, first: &Message, previous: Option<Stretch>, policy: &Policy) -> Self {
        Self {
            record: Record {
                id,
                opened_at: first.occurred_at,
                opened_received_at: first.received_at,
                contact_name: first.contact_name.clone(),
                agent_id: first.agent_id.clone(),
                previous,
            },
            due: look_after(first.received_at, policy),
            sessions: BTreeSet::new(),
            checkpointed_at: None,
        }
    }

    /// Somebody spoke, or a session began, within the grace period: the conversation goes on.
    pub fn resume(mut self, at: DateTime<Utc>, policy: &Policy) -> Self {
        self.due = look_after(at, policy);
        self
    }

    /// A session began.
    pub fn session_opened(mut self, session: String, agent: Option<String>) -> Self {
        self.sessions.insert(session);
        self.record.agent_id = agent.or(self.record.agent_id);
        self
    }

    /// A session ended; with the last one the grace period begins.
    pub fn session_closed(mut self, session: &str, at: DateTime<Utc>, policy: &Policy) -> Self {
        self.sessions.remove(session);
        if self.sessions.is_empty() {
            self.due = Due { at: at + policy.grace, reason: DueReason::SessionEnded };
        }
        self
    }

    /// Nothing to do yet: look again when the conversation, last active at `active_at`, could be idle or long.
    pub fn look_again(mut self, active_at: DateTime<Utc>, policy: &Policy) -> Self {
        let idle_at = active_at + policy.idle;
        self.due = Due { at: idle_at.min(self.checkpoint_at(policy)), reason: DueReason::Look };
        self
    }

    /// When its messages should next be copied into the archive.
    pub fn checkpoint_at(&self, policy: &Policy) -> DateTime<Utc> {
        self.checkpointed_at.unwrap_or(self.record.opened_received_at) + policy.checkpoint
    }

    /// Its messages up to now stand in the archive.
    pub fn checkpointed(mut self, at: DateTime<Utc>) -> Self {
        self.checkpointed_at = Some(at);
        self
    }

    /// Seals it: from here on it takes nothing more.
    pub fn close(self, close: Close, policy: &Policy) -> Closing {
        let due_at = close.at + policy.unfinished;
        Closing { record: self.record, close, due_at }
    }
}

fn look_after(at: DateTime<Utc>, policy: &Policy) -> Due {
    Due { at: at + policy.idle.min(policy.checkpoint), reason: DueReason::Look }
}

/// A sealed conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closing {
    /// What is known of it.
    pub record: Record,
    /// How it ends.
    pub close: Close,
    /// When the timer brings it up, should whoever sealed it not finish.
    pub due_at: DateTime<Utc>,
}

impl Closing {
    /// Its transcript stands in the archive.
    pub fn archived(self) -> Closed {
        Closed { record: self.record, close: self.close }
    }
}

/// An archived conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// What is known of it.
    pub record: Record,
    /// How it ended.
    pub close: Close,
}

impl Closed {
    /// What the thread's next conversation remembers of it.
    pub fn stretch(&self) -> Stretch {
        Stretch {
            id: self.record.id,
            opened_at: self.record.opened_at,
            closed_at: self.close.at,
            reason: self.close.reason,
        }
    }
}

impl Head {
    /// The same thread one version on, with its conversation in another state.
    pub fn next(&self, conversation: Conversation) -> Self {
        Self { version: self.version + 1, thread: self.thread.clone(), group_id: self.group_id.clone(), conversation }
    }

    /// The first head of a thread, or one that follows `before`, with a conversation opened by `first`.
    pub fn opened_by(thread: &Thread, group_id: &str, before: Option<&Head>, first: &Message, policy: &Policy) -> Self {
        let previous = before.and_then(|head| match &head.conversation {
            Conversation::Closed(closed) => Some(closed.stretch()),
            Conversation::Open(_) | Conversation::Closing(_) => None,
        });
        let version = before.map_or(1, |head| head.version + 1);
        let id = ConversationId::derive(&thread.key(), first.event_id, version);
        Self {
            version,
            thread: thread.clone(),
            group_id: group_id.to_owned(),
            conversation: Conversation::Open(Open::with(id, first, previous, policy)),
        }
    }
}
