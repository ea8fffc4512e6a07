//! `due`: the timer's command. The timer says when to look; what is then to be done is decided here, from the head as it is.

use super::{Decision, Seen, going_on, sealed};
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
    let close = |reason| Close::new(now, reason);
    if open.due.reason == DueReason::SessionEnded {
        return sealed(head, open.clone().close(close(CloseReason::SessionEnded), now, policy));
    }
    let active_at = seen.last_received.unwrap_or_default().max(open.record.opened_received_at);
    if now >= active_at + policy.idle {
        return sealed(head, open.clone().close(close(CloseReason::Idle), now, policy));
    }
    if now >= open.checkpoint_at(policy) {
        let open = open.clone().checkpointed(now).look_again(active_at, policy);
        return Decision::Checkpoint(going_on(head, open));
    }
    Decision::Write(going_on(head, open.clone().look_again(active_at, policy)))
}
