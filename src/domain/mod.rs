//! The nouns: what a thread, a conversation and a message are, and what may happen to them.
//!
//! Imports nothing of ours and cannot fail: no I/O, no clock, no randomness. What a conversation may not do is a
//! method that does not exist ([`Closed`] has no `append`).

mod conversation;
mod ids;
mod message;
mod notice;
mod policy;

pub use conversation::{
    Close, CloseReason, Closed, Closing, Conversation, Due, DueReason, Head, Open, Record, Stretch,
};
pub use ids::{ConversationId, EventId, Sequence, Thread, ThreadKey};
pub use message::{Attachment, Direction, Message, SenderType};
pub use notice::{Notice, NoticeId, NoticeKind, Rated};
pub use policy::Policy;
