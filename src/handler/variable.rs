//! `state.set`, `state.delete`: a variable of the open conversation, or of the one that opens next.

use super::{Decision, Seen, before};
use crate::{
    domain::{Head, Open, Variable},
    event::{Event, SetVariable},
};

pub(super) fn handle(seen: &Seen, open: Option<(&Head, &Open)>, event: &Event, set: &SetVariable) -> Decision {
    Decision::SetVariable(Box::new(Variable {
        state_type: set.state_type.clone(),
        key: set.key.clone(),
        value: set.value.clone(),
        expires_at: set.ttl.map(|ttl| event.received_at + ttl),
        conversation: open.map(|(_, open)| open.record.id),
        after: before(seen).filter(|_| open.is_none()).map(|closed| closed.id),
        carry_over: set.carry_over,
        set_at: event.received_at,
        sequence: event.sequence,
    }))
}
