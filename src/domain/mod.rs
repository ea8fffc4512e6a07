//! The nouns: what a thread, a conversation and a message are, and what may happen to them.
//!
//! Imports nothing of ours and cannot fail: no I/O, no clock, no randomness. What a conversation may not do is a
//! method that does not exist ([`Closed`] has no `append`).

mod classification;
mod conversation;
mod crm_link;
mod details;
mod ids;
mod message;
mod notice;
mod policy;
mod rating;
mod recap;
mod record_change;
mod variable;

pub use classification::Classification;
pub use conversation::{
    Close, CloseReason, Closed, Closing, Conversation, Due, DueReason, End, Head, Open, Opening, Record, Stretch,
};
pub use crm_link::CrmLink;
pub use details::{Changes, Details, TooMuch, Window};
pub use ids::{ConversationId, EventId, Place, Sequence, Thread, ThreadKey};
pub use message::{Attachment, Direction, Message, SenderType, Spot, Tokens};
pub use notice::{Ended, Notice, NoticeId, NoticeKind};
pub use policy::{Policy, ProjectSettings, TOLD_AT, next_midnight};
pub use rating::{Rating, RatingKind};
pub use recap::Recap;
pub use record_change::{RecordChange, What, value_digest};
pub use variable::Variable;
