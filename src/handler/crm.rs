//! `crm.linked`: the link is the archive's, whether the conversation is open or closed.

use super::{Decision, Seen, before};
use crate::{
    domain::{Head, Open},
    event::Event,
};

pub(super) fn linked(seen: &Seen, open: Option<(&Head, &Open)>, event: &Event) -> Decision {
    let open = open.map(|(_, open)| &open.record);
    match (open, before(seen)) {
        // queued before this conversation opened: it spoke of the one before
        (Some(record), Some(closed)) if event.received_at < record.opened_received_at => Decision::Link(closed.id),
        (Some(record), _) => Decision::Link(record.id),
        (None, Some(closed)) => Decision::Link(closed.id),
        (None, None) => Decision::Nothing("the thread has no conversation"),
    }
}
