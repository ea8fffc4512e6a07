//! A rating: stored with the conversation it was given for. It never opens one.

use super::{Decision, Rated, Seen, before};
use crate::domain::{Head, Open, Policy, Rating};

pub(super) fn handle(seen: &Seen, open: Option<(&Head, &Open)>, rating: &Rating, policy: &Policy) -> Decision {
    let at = rating.answered_at.min(rating.received_at);
    let in_time = before(seen).filter(|closed| at < closed.closed_at + policy.late_rating);
    Decision::Rate(match (open, in_time) {
        // given before this conversation began: it speaks of the one before
        (Some((_, open)), Some(closed)) if at < open.record.opened_at => Rated::Closed(closed),
        (Some(_), _) => Rated::Open,
        (None, Some(closed)) => Rated::Closed(closed),
        (None, None) => Rated::Nothing,
    })
}
