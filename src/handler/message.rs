//! `message.received`, `message.sent`: append to the open conversation, opening one if the thread has none.

use super::{Decision, Seen, before, going_on, sealed};
use crate::{
    domain::{DueReason, Head, Message, Open, Policy},
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
    let at = message.happened_at();
    if let Some(stretch) = before(seen).filter(|stretch| seen.overtaken || stretch.covers(at)) {
        return Decision::Late(stretch);
    }
    match open {
        // what occurred past the end belongs to the next one
        Some((head, open)) if let Some(end) = open.ended_by(at) => sealed(head, open, end.close(), event, policy),
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
