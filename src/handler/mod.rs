//! One event and what is stored → one decision. Pure: no I/O, no clock, no randomness, cannot fail.
//!
//! One file per event. Every change to a thread is decided here and nowhere else.

mod conversation_close;
mod due;
mod message;
mod session;

use chrono::{DateTime, Utc};

use crate::{
    domain::{Closing, Conversation, ConversationId, Head, Open, Policy, Stretch},
    event::{Event, Kind},
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
    Checkpoint(Box<Head>),
}

/// Decides.
pub fn decide(seen: &Seen, event: &Event, policy: &Policy) -> Decision {
    let open = match seen.head.as_ref().map(|head| (head, &head.conversation)) {
        Some((_, Conversation::Closing(closing))) => return Decision::Finish(Box::new(closing.clone())),
        Some((head, Conversation::Open(open))) => Some((head, open)),
        Some((_, Conversation::Closed(_))) | None => None,
    };
    match (&event.kind, open) {
        (Kind::Message(message), open) => message::handle(seen, open, event, message, policy),
        (_, None) => Decision::Nothing("no conversation is open"),
        (_, Some((_, open))) if event.received_at < open.record.opened_received_at => {
            Decision::Nothing("queued before this conversation opened: it spoke of an earlier one")
        }
        (Kind::SessionOpened(session), Some((head, open))) => session::opened(head, open, event, session, policy),
        (Kind::SessionClosed(session), Some((head, open))) => session::closed(head, open, event, session, policy),
        (Kind::ConversationClose(close), Some((head, open))) => {
            conversation_close::handle(head, open, event, close, policy)
        }
        (Kind::Request(_), Some(_)) => Decision::Nothing("a request changes nothing"),
        (Kind::Due(due), Some((head, open))) => due::handle(seen, head, open, event, due, policy),
    }
}

/// A head that goes on with `open`.
fn going_on(head: &Head, open: Open) -> Box<Head> {
    Box::new(head.next(Conversation::Open(open)))
}

/// A head whose conversation is sealed.
fn sealed(head: &Head, closing: Closing) -> Decision {
    Decision::Write(Box::new(head.next(Conversation::Closing(closing))))
}

#[cfg(test)]
mod tests;
