//! `session.opened`, `session.closed`: a session's end starts the grace period, its beginning cancels it.

use super::{Decision, Seen, going_on};
use crate::{
    domain::{DueReason, Head, Open, Policy},
    event::{Event, SessionClosed, SessionOpened},
};

/// Why an older event changes nothing.
const OLDER: &str = "something later was heard of the conversation's sessions";

pub(super) fn opened(head: &Head, open: &Open, event: &Event, session: &SessionOpened, policy: &Policy) -> Decision {
    if open.has_heard(event.sequence) {
        return Decision::Nothing(OLDER);
    }
    let known = open.sessions.contains(&session.session_id);
    if known && open.due.reason != DueReason::SessionEnded {
        return Decision::Nothing("the session is running already");
    }
    let mut open =
        open.clone().session_opened(session.session_id.clone(), session.agent_id.clone()).hearing(event.sequence);
    if open.due.reason == DueReason::SessionEnded {
        open = open.resume(event.received_at, policy);
    }
    Decision::Write(going_on(head, open))
}

pub(super) fn closed(head: &Head, open: &Open, event: &Event, session: &SessionClosed, policy: &Policy) -> Decision {
    if open.has_heard(event.sequence) {
        return Decision::Nothing(OLDER);
    }
    if open.due.reason == DueReason::SessionEnded {
        return Decision::Nothing("the grace period is running already");
    }
    let open = open.clone().session_closed(&session.session_id, event.received_at, policy).hearing(event.sequence);
    Decision::Write(going_on(head, open))
}

/// What happens to a session that is known by its id alone happens in the thread where the session was opened.
pub(super) fn elsewhere(seen: &Seen) -> Decision {
    match &seen.session {
        Some(place) => Decision::Forward(Box::new(place.clone())),
        None => Decision::Wait("no session of this id was opened with its contact and channel"),
    }
}
