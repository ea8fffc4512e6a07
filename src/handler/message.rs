//! `message.received`, `message.sent`: append to the open conversation, opening one if the thread has none.

use chrono::{DateTime, Utc};

use super::{Decision, Seen, before, going_on, is_older, last_but_one, sealed};
use crate::{
    domain::{DueReason, Head, Message, Open, Policy, Stretch},
    event::Event,
};

pub(super) fn handle(
    seen: &Seen,
    open: Option<(&Head, &Open)>,
    event: &Event,
    message: &Message,
    policy: &Policy,
) -> Decision {
    if let Some(stretch) = earlier(seen, event, message, policy) {
        return Decision::Late(stretch);
    }
    match open {
        // what occurred past the end belongs to the next one
        Some((head, open)) if let Some(end) = open.ended_by(message.happened_at()) => {
            sealed(head, open, end.close(), event, policy)
        }
        Some((head, open)) => {
            let resumed = open.due.reason == DueReason::SessionEnded && !open.has_heard(event.sequence);
            let resume = || open.clone().resume(event.received_at, policy).hearing(event.sequence);
            let head = resumed.then(|| going_on(head, resume()));
            Decision::Append { head, conversation: open.record.id }
        }
        None => {
            let head = Head::opened_by(&event.thread, &event.group_id, seen.head.as_ref(), message, policy);
            Decision::Append { conversation: head.conversation.record().id, head: Some(Box::new(head)) }
        }
    }
}

/// What occurred inside a conversation that has closed belongs to it, whenever it arrives.
fn earlier(seen: &Seen, event: &Event, message: &Message, policy: &Policy) -> Option<Stretch> {
    let at = message.happened_at();
    before(seen)
        .filter(|stretch| seen.overtaken || stretch.takes(at, policy))
        // queued before the present conversation opened: an earlier one has it already, or should have had it
        .or_else(|| last_but_one(seen, event).filter(|stretch| at < stretch.closed_at))
        .or_else(|| of_a_day_gone_by(seen, event, at, policy))
        // queued before the last one opened: whichever has it, it opens no other
        .or_else(|| before(seen).filter(|closed| is_older(seen, event) && is_last(seen, closed)))
}

/// Its day was over before anything began that the thread still knows of: it has a conversation of its own.
fn of_a_day_gone_by(seen: &Seen, event: &Event, at: DateTime<Utc>, policy: &Policy) -> Option<Stretch> {
    let (end, record) = (policy.day_end(at)?, seen.head.as_ref()?.conversation.record());
    let began = record.opened_at.min(record.opened_received_at);
    (end <= began).then(|| Stretch::of_day(&event.thread.key(), at, end))
}

/// Whether the thread has none after it.
fn is_last(seen: &Seen, closed: &Stretch) -> bool {
    seen.head.as_ref().is_some_and(|head| head.conversation.record().id == closed.id)
}
