//! `crm.linked`: the link is the archive's, whether the conversation is open or closed.

use super::{Decision, Seen, before, last_but_one};
use crate::{
    domain::{Head, Open},
    event::Event,
};

pub(super) fn linked(seen: &Seen, open: Option<(&Head, &Open)>, event: &Event) -> Decision {
    let earlier = last_but_one(seen, event).map(|closed| closed.id);
    let present = open.map(|(_, open)| open.record.id).or_else(|| before(seen).map(|closed| closed.id));
    match earlier.or(present) {
        Some(conversation) => Decision::Link(conversation),
        None => Decision::Nothing("the thread has no conversation"),
    }
}
