//! Bytes → typed event. The only place that rejects: what decodes here can be decided, stored and archived.
//!
//! Knows every accepted form and alias of the wire contract; knows nothing of what is stored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::domain::{ConversationId, EventId, Message, Sequence, Thread};

/// What a delivery carries, as far as decoding needs it.
#[derive(Clone, Copy, Debug)]
pub struct Raw<'a> {
    /// The SQS message body.
    pub body: &'a str,
    /// String message attributes.
    pub attributes: &'a BTreeMap<String, String>,
    /// SQS `SentTimestamp`: stable over redeliveries.
    pub sent_at: DateTime<Utc>,
    /// SQS `SequenceNumber`.
    pub sequence: Sequence,
    /// SQS `MessageGroupId`.
    pub group_id: &'a str,
}

/// Something that happened in a thread.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its identity, the same for every copy.
    pub id: EventId,
    /// Where it happened.
    pub thread: Thread,
    /// FIFO group it arrived in.
    pub group_id: String,
    /// When the queue took it.
    pub received_at: DateTime<Utc>,
    /// What happened.
    pub kind: Kind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// `message.received` or `message.sent`: somebody spoke.
    Message(Box<Message>),
    /// `session.opened`.
    SessionOpened(SessionOpened),
    /// `session.closed`.
    SessionClosed(SessionClosed),
    /// `conversation.close`.
    ConversationClose(ConversationClose),
    /// `due`: the timer's own command.
    Due(Due),
}

/// A session began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOpened {
    /// The platform's session id.
    pub session_id: String,
    /// Agent that serves it.
    pub agent_id: Option<String>,
}

/// A session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionClosed {
    /// The platform's session id.
    pub session_id: String,
}

/// A publisher or an operator wants the conversation closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationClose {
    /// 0 resolved, 1 unresolved, 2 in progress, 3 unclassified, 4 has chat room.
    pub resolution: Option<u8>,
    /// Why, in the asker's words.
    pub reason: Option<String>,
    /// The one conversation that is meant; absent: whichever is open. Operators always name it.
    pub conversation_id: Option<ConversationId>,
}

/// A conversation's time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The conversation that is meant.
    pub conversation_id: ConversationId,
    /// The due time the timer saw.
    pub due_at: DateTime<Utc>,
}
