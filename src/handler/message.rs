//! `message.received`, `message.sent`: append to the open conversation, opening one if the thread has none.

use super::{Decision, Seen, going_on};
use crate::{
    domain::{Conversation, DueReason, Head, Message, Open, Policy, Stretch},
    event::Event,
};

pub(super) fn handle(
    seen: &Seen,
    open: Option<(&Head, &Open)>,
    event: &Event,
    message: &Message,
    policy: &Policy,
) -> Decision {
    // what occurred inside a closed conversation belongs to it, whenever it arrives
    if let Some(stretch) = before(seen).filter(|stretch| seen.overtaken || stretch.covers(message.occurred_at)) {
        return Decision::Late(stretch);
    }
    match open {
        Some((head, open)) => {
            let resumed = open.due.reason == DueReason::SessionEnded;
            let head = resumed.then(|| going_on(head, open.clone().resume(event.received_at, policy)));
            Decision::Append { head, conversation: open.record.id }
        }
        None => {
            let head = Head::opened_by(&event.thread, &event.group_id, seen.head.as_ref(), message, policy);
            Decision::Append { conversation: head.conversation.record().id, head: Some(Box::new(head)) }
        }
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
