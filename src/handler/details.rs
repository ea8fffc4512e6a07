//! `conversation.update`: the open conversation's head takes it; of a closed one the archive does.

use super::{Decision, Seen, amended, before, going_on, is_older};
use crate::{
    domain::{Changes, Head, Open, Record},
    event::{Event, Rejection},
};

pub(super) fn handle(seen: &Seen, open: Option<(&Head, &Open)>, event: &Event, changes: &Changes) -> Decision {
    if is_older(seen, event) {
        return amended(seen, event, event.received_at, changes);
    }
    match (open, before(seen)) {
        (Some((head, open)), _) => match changed(&open.record, changes) {
            Ok(record) if record == open.record => Decision::Nothing("the conversation says so already"),
            Ok(record) => Decision::Write(going_on(head, Open { record, ..open.clone() })),
            Err(rejection) => Decision::Reject(rejection),
        },
        (None, Some(closed)) => Decision::Amend(closed, Box::new(changes.clone())),
        (None, None) => Decision::Nothing("the thread has no conversation"),
    }
}

/// What is known of the conversation after `changes`.
pub(super) fn changed(record: &Record, changes: &Changes) -> Result<Record, Rejection> {
    let record = record.clone();
    if record.details.changed_by.is_some_and(|latest| changes.sequence <= latest) {
        return Ok(record);
    }
    Ok(Record {
        details: record.details.after(changes).map_err(Rejection::grown)?,
        agent_id: changes.agent_id.clone().or(record.agent_id),
        contact_name: changes.contact_name.clone().or(record.contact_name),
        ..record
    })
}
