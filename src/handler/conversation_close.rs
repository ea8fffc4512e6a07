//! `conversation.close`: seal the open conversation at once.

use super::{Decision, sealed};
use crate::{
    domain::{Close, CloseReason, Head, Open, Policy},
    event::{ConversationClose, Event},
};

pub(super) fn handle(head: &Head, open: &Open, event: &Event, asked: &ConversationClose, policy: &Policy) -> Decision {
    let reason = match asked.conversation_id {
        Some(meant) if meant != open.record.id => return Decision::Nothing("another conversation is meant"),
        Some(_) => CloseReason::Operator,
        None => CloseReason::Requested,
    };
    let (resolution, detail) = (asked.resolution, asked.reason.clone());
    let (topic, subtopic) = (asked.topic.clone(), asked.subtopic.clone());
    let close = Close { resolution, detail, topic, subtopic, ..Close::new(event.received_at, reason) };
    sealed(head, open, close, event, policy)
}
