//! The rules of the discipline, and the protocol with one of them broken.

/// A broken rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// None: the protocol as shipped.
    #[default]
    Nothing,
    /// Heads are written whatever their version.
    HeadCas,
    /// Messages are read and archived before the seal: the head goes from open to closed.
    SealFirst,
    /// The head is closed at once; then the messages are read and archived.
    ArchiveFirst,
    /// A message that finds a sealed conversation opens the next one over it.
    Help,
    /// The head is not read again after the put.
    Verify,
    /// What was put into a conversation that closed meanwhile is not appended to the archive.
    LateAppend,
    /// A displaced run is appended without finishing the close that displaced it.
    SettleFinishes,
    /// The archive knows an event only within a conversation.
    UniqueEvent,
    /// The archive takes a row again and again.
    InsertOnce,
    /// The head is closed whatever it is by then.
    ClosedVersion,
    /// The head is closed if this conversation is sealed, at whatever version.
    ClosedStatusOnly,
    /// A conversation without messages is announced like any other.
    SkipEmpty,
    /// Only what closes first is announced: what is appended later is not.
    Amend,
    /// A conversation is opened without looking whether the message stands in the closed one.
    LookBeforeOpen,
    /// What occurred inside a closed conversation does not go there.
    EventTime,
    /// The two before at once.
    LookAndEventTime,
    /// A failed turn does not hold its group back.
    StrictOrder,
    /// A turn that could not delete what it applied goes on all the same.
    ConfirmedDelete,
    /// A page may lack rows just written.
    ConsistentPages,
    /// The head read before a decision may be the one before the last write.
    ConsistentHead,
    /// The head read after the put may be the one before the last write.
    ConsistentVerify,
    /// A page is taken for the whole conversation.
    AllPages,
    /// The messages of a conversation that closed are deleted, whichever are there.
    DeleteByQuery,
    /// The same after a checkpoint.
    DeleteAtCheckpoint,
    /// The messages that were archived at the close are deleted.
    DeleteExact,
}

/// Every broken rule.
pub const EVERY: [Broken; 25] = [
    Broken::HeadCas,
    Broken::SealFirst,
    Broken::ArchiveFirst,
    Broken::Help,
    Broken::Verify,
    Broken::LateAppend,
    Broken::SettleFinishes,
    Broken::UniqueEvent,
    Broken::InsertOnce,
    Broken::ClosedVersion,
    Broken::ClosedStatusOnly,
    Broken::SkipEmpty,
    Broken::Amend,
    Broken::LookBeforeOpen,
    Broken::EventTime,
    Broken::LookAndEventTime,
    Broken::StrictOrder,
    Broken::ConfirmedDelete,
    Broken::ConsistentPages,
    Broken::ConsistentHead,
    Broken::ConsistentVerify,
    Broken::AllPages,
    Broken::DeleteByQuery,
    Broken::DeleteAtCheckpoint,
    Broken::DeleteExact,
];

impl Broken {
    /// Whether this rule is broken.
    pub fn is(self, other: Broken) -> bool {
        self == other
    }

    /// Whether the messages are deleted once they are archived, at the close or before.
    pub fn deletes(self, at_close: bool) -> bool {
        self == Self::DeleteAtCheckpoint || (at_close && matches!(self, Self::DeleteByQuery | Self::DeleteExact))
    }

    pub fn looks(self) -> bool {
        !matches!(self, Self::LookBeforeOpen | Self::LookAndEventTime)
    }

    pub fn knows_event_time(self) -> bool {
        !matches!(self, Self::EventTime | Self::LookAndEventTime)
    }
}
