//! What a person should hear of without looking: counted by what it is, and one log line at a target that stays the same.
//!
//! Whoever pushes alerts outward, today a rule on the log or on the counts, begins here. The lines carry ids and codes, nothing
//! personal.

use tracing::{info, warn};

use crate::counters::Counters;

/// The target of the lines.
pub const TARGET: &str = "conversationd::alert";

/// Code of a dead letter that failed too often.
pub const EXHAUSTED: &str = "attempts_exhausted";

/// Code of a dead letter whose group is parked.
pub const PARKED: &str = "group_parked";

/// Code of a dead letter that an operator gave up.
pub const SKIPPED: &str = "skipped";

/// Something that a person should hear of.
#[derive(Clone, Copy, Debug)]
pub enum Alert<'a> {
    /// A delivery was kept in the dead-letter queue, and its index names it by this id.
    DeadLettered {
        /// Why, in a word.
        code: &'a str,
        /// The field at fault.
        field: Option<&'a str>,
        /// Why, in a sentence that quotes nothing.
        reason: &'a str,
        /// SQS's id of the message.
        message_id: &'a str,
    },
    /// A group is parked: what comes in it becomes a dead letter until an operator says otherwise.
    GroupParked {
        /// The type of the event that failed too often.
        event_type: &'a str,
        /// SQS's id of its message.
        message_id: &'a str,
    },
    /// A group should have been parked, but too many are: it goes on without the message.
    GroupNotParked {
        /// SQS's id of the message that failed too often.
        message_id: &'a str,
    },
    /// This replica polls no more: an operator paused consuming.
    Paused,
    /// It polls again.
    Resumed,
    /// An outage of DynamoDB lasts: deliveries are taken from the queue into the spool.
    Spooling,
    /// It is over: the spool is worked off.
    Unspooling,
}

impl Alert<'_> {
    /// Counts it and logs it, once for each time it happens in this process.
    pub fn raise(self, counters: &Counters) {
        match self {
            Self::DeadLettered { code, field, reason, message_id } => {
                let count = match code {
                    EXHAUSTED => &counters.dead_exhausted,
                    PARKED => &counters.dead_parked,
                    SKIPPED => &counters.dead_skipped,
                    _ => &counters.dead_rejected,
                };
                count.add(1);
                counters.dead_lettered.add(1);
                warn!(
                    target: TARGET,
                    alert = "dead_lettered", code, field, sqs.message_id = message_id, "delivery dead-lettered: {reason}"
                );
            }
            Self::GroupParked { event_type, message_id } => {
                counters.parkings.add(1);
                warn!(
                    target: TARGET,
                    alert = "group_parked", event_type, sqs.message_id = message_id, "a group was parked"
                );
            }
            Self::GroupNotParked { message_id } => {
                counters.parkings_refused.add(1);
                warn!(
                    target: TARGET,
                    alert = "group_not_parked", sqs.message_id = message_id, "too many groups are parked: this one goes on"
                );
            }
            Self::Paused => warn!(target: TARGET, alert = "paused", "consuming is paused"),
            Self::Resumed => info!(target: TARGET, alert = "resumed", "consuming goes on"),
            Self::Spooling => {
                warn!(target: TARGET, alert = "spooling", "DynamoDB is away: deliveries go into PostgreSQL until it is back");
            }
            Self::Unspooling => {
                info!(target: TARGET, alert = "unspooling", "DynamoDB is back: the spool is worked off")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_is_counted_by_its_code() {
        let counters = Counters::default();
        for code in [EXHAUSTED, PARKED, PARKED, SKIPPED, "invalid_json", "wrong_type"] {
            Alert::DeadLettered { code, field: None, reason: "for a test", message_id: "m" }.raise(&counters);
        }
        let totals = counters.totals();
        let by_code = (totals.dead_exhausted, totals.dead_parked, totals.dead_skipped, totals.dead_rejected);
        assert_eq!((by_code, totals.dead_lettered), ((1, 2, 1, 2), 6));
    }
}
