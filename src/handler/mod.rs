//! One event and what is stored → one decision. Pure: no I/O, no clock, no randomness, cannot fail.
//!
//! One file per event. Every change to a thread is decided here and nowhere else.

mod conversation_close;
mod crm;
mod details;
mod due;
mod message;
mod rating;
mod session;
mod variable;
mod window;

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        Changes, Classification, Close, Closing, Conversation, ConversationId, Head, Open, Place, Policy,
        ProjectSettings, Stretch, Variable,
    },
    event::{Event, Kind, Rejection},
};

/// What was read for the decision.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The thread's head; `None` for a thread never heard of, or forgotten.
    pub head: Option<Head>,
    /// When the queue took the conversation's latest message. Read for `due` only.
    pub last_received: Option<DateTime<Utc>>,
    /// Whether this message, or one that came after it, stands in the closed conversation. Read only where a message would
    /// open the next one.
    pub overtaken: bool,
    /// Where a session goes on. Read only for what happens to a session that is known by its id alone.
    pub session: Option<Place>,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing changes; why, for the log.
    Nothing(&'static str),
    /// A sealed conversation stands in the way: finish it, then decide again (W5).
    Finish(Box<Closing>),
    /// Write the head. One that seals a conversation is then decided upon again.
    Write(Box<Head>),
    /// Write the head if there is one, put the message, then verify that its conversation still takes messages (W2).
    Append {
        /// The head that opens or resumes the conversation.
        head: Option<Box<Head>>,
        /// The conversation the message is assigned to.
        conversation: ConversationId,
    },
    /// Append the message to an archived conversation.
    Late(Stretch),
    /// Copy the messages so far into the archive, then write the head.
    Checkpoint(Box<Checkpoint>),
    /// Store the rating in the archive.
    Rate(Rated),
    /// Change what the archive says of a closed conversation.
    Amend(Stretch, Box<Changes>),
    /// Say in the archive how a closed conversation ended, unless that is known already.
    Classify(Box<Classification>),
    /// Write the variable.
    SetVariable(Box<Variable>),
    /// Store what the project says from now on.
    SetProject(ProjectSettings),
    /// Store which customer record the conversation belongs to.
    Link(ConversationId),
    /// Note in the archive that the contact is to be erased.
    Erase,
    /// Send the event into the group of the thread it belongs to.
    Forward(Box<Place>),
    /// What it speaks of is not known yet; it may be, later.
    Wait(&'static str),
    /// It cannot be taken.
    Reject(Rejection),
}

/// A copy of an open conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The head once the messages are copied.
    pub done: Head,
    /// The head when they cannot be copied now: messages must not wait for that.
    pub put_off: Head,
    /// Whether it is taken for others to be told, before it is needed.
    pub early: bool,
    /// Ages that the conversation has reached and others want to be told of.
    pub reached: Vec<Duration>,
}

/// What a rating belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Rated {
    /// The open conversation.
    Open,
    /// One that closed.
    Closed(Stretch),
    /// None that is known.
    Nothing,
}

/// The resolution of a conversation that a person took over: it has a chat room.
const HAS_CHAT_ROOM: u8 = 4;

/// Decides.
pub fn decide(seen: &Seen, event: &Event, policy: &Policy) -> Decision {
    match &event.kind {
        Kind::ProjectUpdated(settings) => return Decision::SetProject(settings.clone()),
        Kind::ContactErase => return Decision::Erase,
        Kind::Request(_) => return Decision::Nothing("a request changes nothing"),
        Kind::HubSpotRaw(_) | Kind::CrmRecordChanged(_) => {
            return Decision::Nothing("what a CRM tells is taken before any thread is looked at");
        }
        Kind::SessionOpened(_) | Kind::SessionClosed(_) if event.thread.is_project_alone() => {
            return session::elsewhere(seen);
        }
        _ => {}
    }
    let open = match seen.head.as_ref().map(|head| (head, &head.conversation)) {
        Some((_, Conversation::Closing(closing))) => return Decision::Finish(Box::new(closing.clone())),
        Some((head, Conversation::Open(open))) => Some((head, open)),
        Some((_, Conversation::Closed(_))) | None => None,
    };
    match (&event.kind, open) {
        (Kind::Message(message), open) => message::handle(seen, open, event, message, policy),
        (Kind::Rating(rating), open) => rating::handle(seen, open, rating, policy),
        (Kind::ConversationWindow(window), open) => window::handle(seen, open, event, window, policy),
        (Kind::ConversationUpdate(changes), open) => details::handle(seen, open, event, changes),
        (Kind::CrmLinked(_), open) => crm::linked(seen, open, event),
        (Kind::SetVariable(set), open) => variable::handle(seen, open, event, set),
        (Kind::ConversationClassified(said), _) => Decision::Classify(said.clone()),
        (_, None) => Decision::Nothing("no conversation is open"),
        (_, Some((_, open))) if event.received_at < open.record.opened_received_at => {
            Decision::Nothing("queued before this conversation opened: it spoke of an earlier one")
        }
        (Kind::SessionOpened(session), Some((head, open))) => session::opened(head, open, event, session, policy),
        (Kind::SessionClosed(session), Some((head, open))) => session::closed(head, open, event, session, policy),
        (Kind::ConversationClose(close), Some((head, open))) => {
            conversation_close::handle(head, open, event, close, policy)
        }
        (Kind::Due(due), Some((head, open))) => due::handle(seen, head, open, event, due, policy),
        (
            Kind::ProjectUpdated(_)
            | Kind::ContactErase
            | Kind::Request(_)
            | Kind::HubSpotRaw(_)
            | Kind::CrmRecordChanged(_),
            Some(_),
        ) => Decision::Nothing("it is not about a thread"),
    }
}

/// The thread's last closed conversation.
fn before(seen: &Seen) -> Option<Stretch> {
    match &seen.head.as_ref()?.conversation {
        Conversation::Open(open) => open.record.previous,
        Conversation::Closing(closing) => closing.record.previous,
        Conversation::Closed(closed) => Some(closed.stretch()),
    }
}

/// Whether the event was queued before the present or last conversation opened: it speaks of what went before.
fn is_older(seen: &Seen, event: &Event) -> bool {
    seen.head.as_ref().is_some_and(|head| event.received_at < head.conversation.record().opened_received_at)
}

/// The conversation before the present or last one, for such an event.
fn last_but_one(seen: &Seen, event: &Event) -> Option<Stretch> {
    seen.head.as_ref()?.conversation.record().previous.filter(|_| is_older(seen, event))
}

/// What such an event about the time `at` changes: the one before, unless it speaks of one before that.
fn amended(seen: &Seen, event: &Event, at: DateTime<Utc>, changes: &Changes) -> Decision {
    let spoken_of = |closed: &Stretch| closed.opened_received_at <= event.received_at && closed.opened_at <= at;
    match last_but_one(seen, event).filter(spoken_of) {
        Some(closed) => Decision::Amend(closed, Box::new(changes.clone())),
        None => Decision::Nothing("queued before this conversation opened: it spoke of an earlier one, or of none"),
    }
}

/// A head that goes on with `open`.
fn going_on(head: &Head, open: Open) -> Box<Head> {
    Box::new(head.next(Conversation::Open(open)))
}

/// Seals the conversation. What remains of the event is decided once it is closed. Nobody who closes it without a resolution
/// takes away that a person took over.
fn sealed(head: &Head, open: &Open, close: Close, event: &Event, policy: &Policy) -> Decision {
    let taken_over = open.record.details.has_chats_room.then_some(HAS_CHAT_ROOM);
    let close = Close { resolution: close.resolution.or(taken_over), ..close };
    let closing = open.clone().close(close, event.received_at, policy);
    Decision::Write(Box::new(head.next(Conversation::Closing(closing))))
}

#[cfg(test)]
mod tests;
