//! Reading a conversation from any place, backwards as well: what a context needs, which ends long before the conversation does.

use crate::domain::{ConversationId, Message, Spot, ThreadKey};

/// Which way a conversation is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Towards its beginning.
    Back,
    /// Towards its end.
    Forward,
}

/// What to read.
#[derive(Clone, Debug)]
pub struct Walk {
    /// The thread.
    pub thread: ThreadKey,
    /// The conversation.
    pub conversation: ConversationId,
    /// Beyond this place; `None`: from the end that the way begins at.
    pub from: Option<Spot>,
    /// Which way.
    pub way: Way,
    /// So many messages at most, 1 to 1,000.
    pub most: usize,
}

/// What was read. A message may stand twice when its publisher sent it twice.
#[derive(Clone, Debug, Default)]
pub struct Walked {
    /// Messages, nearest to the beginning of the walk first.
    pub messages: Vec<Message>,
    /// Whether there may be more beyond the last.
    pub more: bool,
}
