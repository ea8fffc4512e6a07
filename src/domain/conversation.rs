//! A conversation's life: open → closing (sealed) → closed, and the head that records it.
//!
//! Each state is a type with the transitions it allows, and no others.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ConversationId, Details, EventId, Message, Policy, Recap, Sequence, Thread, ThreadKey};

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
    /// What publishers say about it besides its messages.
    #[serde(default)]
    pub details: Details,
    /// The summary of its older messages, once one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recap: Option<Recap>,
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
    /// How it ended, if anybody said so: 0 to 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<u8>,
    /// When the queue took the event that opened it; what was queued before speaks of none that is still remembered.
    #[serde(default)]
    pub opened_received_at: DateTime<Utc>,
}

impl Stretch {
    /// Whether something that occurred at `at` belongs to it: it was open then, or would have been, had this come in time.
    ///
    /// Its first message is the first that came, not the first that was said: it reaches back, within its day, as far as a
    /// silence may last.
    pub fn takes(&self, at: DateTime<Utc>, policy: &Policy) -> bool {
        let near = self.opened_at - policy.idle <= at && policy.day_end(at) == policy.day_end(self.opened_at);
        at < self.closed_at && (self.opened_at <= at || near)
    }

    /// The conversation of a day that ended at `end` before anybody had heard of it. All that is said of that day finds it.
    pub fn of_day(thread: &ThreadKey, at: DateTime<Utc>, end: DateTime<Utc>) -> Self {
        let day = EventId::derive(thread, "day", &end.timestamp_micros().to_string());
        let end = End::of_day(end);
        Self {
            id: ConversationId::derive(thread, day, 0),
            opened_at: at,
            closed_at: end.at,
            reason: end.reason,
            resolution: end.resolution,
            opened_received_at: at,
        }
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
    /// It was open for the longest time a conversation may be.
    MaxAge,
    /// Its day ended.
    DayEnded,
    /// The platform's window around it ended.
    WindowEnded,
    /// A person took over.
    HumanTakeover,
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
            Self::MaxAge => "max_age",
            Self::DayEnded => "day_ended",
            Self::WindowEnded => "window_ended",
            Self::HumanTakeover => "human_takeover",
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
    /// What it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// What it was about, more closely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subtopic: Option<String>,
}

impl Close {
    /// A close of which no more is known.
    pub fn new(at: DateTime<Utc>, reason: CloseReason) -> Self {
        Self { at, reason, resolution: None, detail: None, topic: None, subtopic: None }
    }
}

/// Where a conversation ends in event time, known beforehand: what occurs at this time or later belongs to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: DateTime<Utc>,
    /// Why.
    pub reason: CloseReason,
    /// How it ended, if the end says that too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<u8>,
}

impl End {
    /// The end of a day at `at`.
    pub fn of_day(at: DateTime<Utc>) -> Self {
        Self { at, reason: CloseReason::DayEnded, resolution: None }
    }

    /// The close that this end asks for.
    pub fn close(self) -> Close {
        Close { resolution: self.resolution, ..Close::new(self.at, self.reason) }
    }
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
    /// Where it ends in event time, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<End>,
    /// The latest event that began, ended or resumed a session: an older one that comes again changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Sequence>,
}

impl Open {
    /// Opens a conversation with its first message.
    fn with(id: ConversationId, first: &Message, previous: Option<Stretch>, policy: &Policy) -> Self {
        let record = Record {
            id,
            opened_at: first.occurred_at,
            opened_received_at: first.received_at,
            contact_name: first.contact_name.clone(),
            agent_id: first.agent_id.clone(),
            previous,
            details: Details::default(),
            recap: None,
        };
        Self::taking(record, policy.day_end(first.happened_at()).map(End::of_day), policy)
    }

    fn taking(record: Record, ends: Option<End>, policy: &Policy) -> Self {
        let active_at = record.opened_received_at;
        let due = Due { at: active_at, reason: DueReason::Look };
        Self { record, due, sessions: BTreeSet::new(), checkpointed_at: None, ends, heard: None }
            .look_again(active_at, policy)
    }

    /// Somebody spoke, or a session began, within the grace period: the conversation goes on.
    pub fn resume(self, at: DateTime<Utc>, policy: &Policy) -> Self {
        self.look_again(at, policy)
    }

    /// Whether what `sequence` says of sessions was said before the latest that was heard.
    pub fn has_heard(&self, sequence: Sequence) -> bool {
        self.heard.is_some_and(|latest| sequence <= latest)
    }

    /// The event at `sequence` was the latest to speak of sessions.
    pub fn hearing(mut self, sequence: Sequence) -> Self {
        self.heard = Some(sequence);
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

    /// Nothing to do yet: look again when the conversation, last active at `active_at`, could be idle, too long or at its end.
    pub fn look_again(mut self, active_at: DateTime<Utc>, policy: &Policy) -> Self {
        let times = [
            Some(active_at + policy.idle),
            Some(self.checkpoint_at(policy)),
            self.too_old_at(policy),
            self.ends.map(|end| end.at),
        ];
        let at = times.into_iter().flatten().min().unwrap_or(active_at);
        self.due = Due { at, reason: DueReason::Look };
        self
    }

    /// When it is older than a conversation may be.
    pub fn too_old_at(&self, policy: &Policy) -> Option<DateTime<Utc>> {
        policy.max_age.map(|age| self.record.opened_received_at + age)
    }

    /// When its messages should next be copied into the archive.
    pub fn checkpoint_at(&self, policy: &Policy) -> DateTime<Utc> {
        let early = self.untold(policy).map(|(_, at)| at).min();
        early.map_or(self.usual_checkpoint_at(policy), |early| early.min(self.usual_checkpoint_at(policy)))
    }

    /// The same if nobody wanted to be told of it.
    pub fn usual_checkpoint_at(&self, policy: &Policy) -> DateTime<Utc> {
        self.checkpointed_at.unwrap_or(self.record.opened_received_at) + policy.checkpoint
    }

    /// The ages, but for its beginning, that it has reached by `at` and that no checkpoint told of.
    pub fn reached(&self, at: DateTime<Utc>, policy: &Policy) -> Vec<Duration> {
        let untold = self.untold(policy).filter(|(age, reached_at)| *reached_at <= at && !age.is_zero());
        untold.map(|(age, _)| age).collect()
    }

    /// Ages that others want to be told of, and when it reaches them, which no checkpoint told of.
    fn untold(&self, policy: &Policy) -> impl Iterator<Item = (Duration, DateTime<Utc>)> {
        let (opened_at, told) = (self.record.opened_received_at, self.checkpointed_at);
        let reached = policy.told_at.into_iter().flatten().map(move |age| (age, opened_at + age));
        reached.filter(move |(_, at)| told.is_none_or(|told| told < *at))
    }

    /// A checkpoint has to wait until `at`: nothing else is due before.
    pub fn put_off(mut self, at: DateTime<Utc>) -> Self {
        self.due = Due { at, reason: DueReason::Look };
        self
    }

    /// Its messages up to now stand in the archive.
    pub fn checkpointed(mut self, at: DateTime<Utc>) -> Self {
        self.checkpointed_at = Some(at);
        self
    }

    /// Where it ends, if something that happened at `at` is past that.
    pub fn ended_by(&self, at: DateTime<Utc>) -> Option<End> {
        self.ends.filter(|end| end.at <= at)
    }

    /// It ends there, unless it ends earlier anyway.
    pub fn ending(mut self, end: End) -> Self {
        self.ends = Some(self.ends.filter(|known| known.at <= end.at).unwrap_or(end));
        self.due.at = self.due.at.min(end.at);
        self
    }

    /// Seals it at queue time `now`: from here on it takes nothing more.
    pub fn close(self, close: Close, now: DateTime<Utc>, policy: &Policy) -> Closing {
        Closing { record: self.record, close, due_at: now + policy.unfinished }
    }
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
            resolution: self.close.resolution,
            opened_received_at: self.record.opened_received_at,
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
        Self::opening(thread, group_id, before, first.event_id, |id, previous| Open::with(id, first, previous, policy))
    }

    /// The same, opened by the platform's window before any of its messages: `end` closes it when it comes up.
    pub fn opened_by_window(opening: &Opening<'_>, before: Option<&Head>, details: Details, end: Option<End>) -> Self {
        Self::opening(opening.thread, opening.group_id, before, opening.event_id, |id, previous| {
            let record = Record {
                id,
                opened_at: opening.opened_at,
                opened_received_at: opening.received_at,
                contact_name: None,
                agent_id: None,
                previous,
                details,
                recap: None,
            };
            let mut open = Open::taking(record, end, opening.policy);
            // a window that is over already: its messages may be right behind it
            open.due.at = open.due.at.max(opening.received_at + opening.policy.grace);
            open
        })
    }

    fn opening(
        thread: &Thread,
        group_id: &str,
        before: Option<&Head>,
        by: EventId,
        open: impl FnOnce(ConversationId, Option<Stretch>) -> Open,
    ) -> Self {
        let previous = before.and_then(|head| match &head.conversation {
            Conversation::Closed(closed) => Some(closed.stretch()),
            Conversation::Open(_) | Conversation::Closing(_) => None,
        });
        let version = before.map_or(1, |head| head.version + 1);
        let id = ConversationId::derive(&thread.key(), by, version);
        Self {
            version,
            thread: thread.clone(),
            group_id: group_id.to_owned(),
            conversation: Conversation::Open(open(id, previous)),
        }
    }
}

/// What opens a conversation that has no message yet.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Where.
    pub thread: &'a Thread,
    /// FIFO group of the thread.
    pub group_id: &'a str,
    /// The event that opens it.
    pub event_id: EventId,
    /// From when on it takes messages, in event time.
    pub opened_at: DateTime<Utc>,
    /// When the queue took the event.
    pub received_at: DateTime<Utc>,
    /// When conversations close.
    pub policy: &'a Policy,
}
