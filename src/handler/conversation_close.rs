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
    let close = Close { at: event.received_at, reason, resolution: asked.resolution, detail: asked.reason.clone() };
    sealed(head, open.clone().close(close, policy))
}
