//! `due`: the timer's command. The timer says when to look; what is then to be done is decided here, from the head as it is.

use super::{Checkpoint, Decision, Seen, going_on, sealed};
use crate::{
    domain::{Close, CloseReason, DueReason, Head, Open, Policy},
    event::{Due, Event},
};

pub(super) fn handle(seen: &Seen, head: &Head, open: &Open, event: &Event, due: &Due, policy: &Policy) -> Decision {
    let now = event.received_at;
    if due.conversation_id != open.record.id {
        return Decision::Nothing("another conversation is meant");
    }
    if now < open.due.at {
        return Decision::Nothing("it is not due yet, or no longer");
    }
    let close = |reason| sealed(head, open, Close::new(now, reason), event, policy);
    if let Some(end) = open.ended_by(now) {
        return sealed(head, open, end.close(), event, policy);
    }
    if open.due.reason == DueReason::SessionEnded {
        return close(CloseReason::SessionEnded);
    }
    if open.too_old_at(policy).is_some_and(|at| at <= now) {
        return close(CloseReason::MaxAge);
    }
    let active_at = seen.last_received.unwrap_or_default().max(open.record.opened_received_at);
    if now >= active_at + policy.idle {
        return close(CloseReason::Idle);
    }
    if now >= open.checkpoint_at(policy) {
        let done = open.clone().checkpointed(now).look_again(active_at, policy);
        return Decision::Checkpoint(Box::new(Checkpoint {
            done: *going_on(head, done),
            put_off: *going_on(head, open.clone().put_off(now + policy.unfinished)),
            early: now < open.usual_checkpoint_at(policy),
            reached: open.reached(now, policy),
        }));
    }
    Decision::Write(going_on(head, open.clone().look_again(active_at, policy)))
}
