//! The world at one moment: the queue, the hot store, the archive, two replicas, and what is still allowed to go wrong.
//!
//! One thread. Time is the number of sends so far: a send's number is its sequence number, its queue time, and (unless the
//! publisher's clock is off) the time at which its message occurred.

use super::list::List;

/// A conversation's id: derived from the event that opened it and the head's version, so it is both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId {
    /// The head's version when it opened: later conversations have higher ones.
    pub version: u8,
    pub event: u8,
}

/// What a delivery says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Body {
    #[default]
    Nothing,
    /// A chat message: which, and when it occurred.
    Message { event: u8, occurred: u8 },
    /// `conversation.close`: whatever is open.
    Close,
    /// `session.closed`: the grace period begins.
    SessionEnd,
    /// The timer's command for one conversation.
    Due(ConversationId),
}

/// A message in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    pub sequence: u8,
    pub group: u8,
    pub body: Body,
    /// Receipts so far; counted only where there is a dead-letter queue.
    pub received: u8,
    /// Whether a replica holds it.
    pub hidden: bool,
}

/// A closed stretch of the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stretch {
    pub conversation: ConversationId,
    pub opened: u8,
    pub closed: u8,
}

impl Stretch {
    /// Whether something that occurred at `at` happened while it was open. The default covers nothing.
    pub fn covers(&self, at: u8) -> bool {
        self.opened <= at && at < self.closed
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// There is no head.
    #[default]
    None,
    Open,
    Closing,
    Closed,
}

/// The thread's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Head {
    pub version: u8,
    pub status: Status,
    /// Whether the grace period after a session's end is running.
    pub grace: bool,
    pub conversation: ConversationId,
    /// When its first message occurred.
    pub opened: u8,
    /// When the queue took its first message.
    pub opened_received: u8,
    /// When it closed; 0 while it is open.
    pub closed: u8,
    /// Due commands sent up to here find that it is not due any more.
    pub not_due: u8,
    /// The conversation before it.
    pub previous: Stretch,
}

impl Head {
    /// What a successor remembers of it.
    pub fn stretch(&self) -> Stretch {
        Stretch { conversation: self.conversation, opened: self.opened, closed: self.closed }
    }

    /// The conversation before the one a message would be put into now.
    pub fn before(&self) -> Stretch {
        if self.status == Status::Open { self.previous } else { self.stretch() }
    }
}

/// A message in the hot store; sorts as its key does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub conversation: ConversationId,
    pub occurred: u8,
    pub sequence: u8,
    pub event: u8,
}

/// What was announced of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Notice {
    pub conversation: ConversationId,
    pub amended: bool,
    /// The events it names, as bits.
    pub events: u8,
}

/// A transaction of the archive, as one write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Writing {
    pub conversation: ConversationId,
    /// The events it inserts, as bits.
    pub events: u8,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    #[default]
    Close,
    Checkpoint,
    /// Rolled back when nothing was inserted.
    Append,
}

/// A write whose caller gave up and which may still land.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ghost {
    #[default]
    Nothing,
    Put(Row),
    Head(Head),
    Archive(Writing),
}

/// A delivery held by a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Work {
    pub sequence: u8,
    pub body: Body,
    /// Whether its lease still holds.
    pub ours: bool,
}

/// Some deliveries of a turn, side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    pub length: u8,
    /// Those whose call has not ended, as bits.
    pub pending: u8,
    pub failed: bool,
}

/// Why pages are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Goal {
    /// Finish the close, then decide again.
    #[default]
    Finish,
    /// Finish the close, then append a displaced run of this length.
    Settle(u8),
    /// Copy the messages so far.
    Checkpoint,
    /// The head is closed already (a broken rule).
    Late,
}

/// A reading of a conversation, page by page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reading {
    pub head: Head,
    pub goal: Goal,
    /// The last row read.
    pub last: Row,
    /// The events found, as bits.
    pub found: u8,
}

/// What follows a head write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Then {
    /// Put the message, and those that share its turn.
    #[default]
    Append,
    /// Decide again, from the head just written.
    Decide,
    Ack,
    /// Append a displaced run of this length, written or not.
    Settle(u8),
    /// Read and archive what was closed (a broken rule).
    Archive,
}

/// The next remote call of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    #[default]
    Idle,
    ReadHead,
    /// Whether the message stands in the closed conversation.
    Look(Head),
    WriteHead(Head, Then),
    Put(ConversationId, Run),
    Verify(ConversationId, Run),
    Page(Reading),
    Commit(Reading),
    /// Delete the archived rows from the hot store (a broken rule).
    Remove(Reading),
    /// Append the first messages held to a conversation that closed.
    Append(ConversationId, u8),
    Delete(Run),
}

/// A replica at work on one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Replica {
    pub call: Call,
    pub works: List<Work, 3>,
}

/// What may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    pub messages: u8,
    pub closes: u8,
    pub session_ends: u8,
    pub dues: u8,
    pub expiries: u8,
    pub crashes: u8,
    pub net: u8,
    pub ghosts: u8,
    pub resends: u8,
}

/// Everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub left: Budget,
    /// Sends so far.
    pub sent: u8,
    /// Chat messages published so far.
    pub published: u8,
    /// When each published message occurred, as first sent.
    pub occurred: List<u8, 3>,
    /// Messages whose order nobody promises, as bits: sent again, dead-lettered, sent into one of two groups, or said at a
    /// time that was not theirs.
    pub unordered: u8,
    pub queue: List<Entry, 8>,
    pub dead: List<Body, 4>,
    pub head: Head,
    /// The head before the last write: what a stale read may answer. Kept only for that broken rule.
    pub stale: Head,
    pub rows: List<Row, 12>,
    pub archive: List<(ConversationId, u8), 8>,
    pub notices: List<Notice, 8>,
    pub ghosts: List<Ghost, 2>,
    pub replicas: [Replica; 2],
}

/// The bit of an event.
pub fn bit(event: u8) -> u8 {
    1 << event
}

impl State {
    /// Whether nothing is on its way.
    pub fn at_rest(&self) -> bool {
        self.queue.is_empty()
            && self.dead.is_empty()
            && self.ghosts.is_empty()
            && self.replicas.iter().all(|replica| replica.call == Call::Idle)
    }

    /// The events of a conversation in the archive, as bits.
    pub fn archived(&self, conversation: ConversationId) -> u8 {
        let of = self.archive.iter().filter(|(id, _)| *id == conversation);
        of.fold(0, |events, (_, event)| events | bit(*event))
    }

    /// The events of a conversation in the hot store, as bits.
    pub fn held(&self, conversation: ConversationId) -> u8 {
        let of = self.rows.iter().filter(|row| row.conversation == conversation);
        of.fold(0, |events, row| events | bit(row.event))
    }

    /// The two replicas are alike: the state with them exchanged is the same state. Returns whether they were.
    pub fn order_replicas(&mut self) -> bool {
        let exchange = self.replicas[1] < self.replicas[0];
        if exchange {
            self.replicas.swap(0, 1);
        }
        exchange
    }
}
