//! A conversation's variables: what a bot wants to know again after a restart.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ConversationId, Record, Sequence};

/// One variable as last set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// The publisher's word for the kind of state it belongs to.
    pub state_type: String,
    /// Its name within the kind.
    pub key: String,
    /// Its value; `None` once it was deleted.
    pub value: Option<Value>,
    /// When it is forgotten; `None`: with the conversation's messages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// The conversation it was set in; `None`: none was open, and it belongs to the one that opens next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The conversation that was the thread's last when this was set while none was open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<ConversationId>,
    /// Whether the thread's next conversations have it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub carry_over: bool,
    /// When the queue took the event that set it.
    pub set_at: DateTime<Utc>,
    /// That event's place in its group: an older event never overwrites a newer one.
    pub sequence: Sequence,
}

impl Variable {
    /// Whether the conversation of `record` has it at `now`.
    pub fn is_live(&self, record: &Record, now: DateTime<Utc>) -> bool {
        let belongs = match self.conversation {
            _ if self.carry_over => true,
            Some(conversation) => conversation == record.id,
            // set while none was open: it is the next one's alone
            None => record.previous.map(|closed| closed.id) == self.after,
        };
        belongs && self.value.is_some() && self.expires_at.is_none_or(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{CloseReason, Details, Stretch};

    #[test]
    fn a_variable_lives_in_its_conversation_until_it_expires_or_is_deleted() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
        let record = |n, previous| Record {
            id: ConversationId(Uuid::from_u128(n)),
            opened_at: at(0),
            opened_received_at: at(0),
            contact_name: None,
            agent_id: None,
            previous,
            details: Details::default(),
            recap: None,
        };
        let closed = |n| {
            let id = ConversationId(Uuid::from_u128(n));
            let (opened_at, closed_at, reason) = (at(0), at(0), CloseReason::Idle);
            Some(Stretch { id, opened_at, closed_at, reason, resolution: None, opened_received_at: at(0) })
        };
        let (mine, next) = (record(1, closed(0)), record(2, closed(1)));
        let set = Variable {
            state_type: "flow".into(),
            key: "step".into(),
            value: Some(json!(0)),
            expires_at: Some(at(60)),
            conversation: Some(mine.id),
            after: None,
            carry_over: false,
            set_at: at(0),
            sequence: Sequence(1),
        };
        let carried = Variable { carry_over: true, ..set.clone() };
        let early = Variable { conversation: None, after: mine.previous.map(|closed| closed.id), ..set.clone() };
        let deleted = Variable { value: None, ..set.clone() };
        for (variable, record, now, lives) in [
            (&set, &mine, 59, true),
            (&set, &mine, 60, false),
            (&set, &next, 59, false),
            (&carried, &next, 59, true),
            (&early, &mine, 59, true),
            (&early, &next, 59, false),
            (&deleted, &mine, 0, false),
        ] {
            assert_eq!(variable.is_live(record, at(now)), lives, "{variable:?} in {:?} at {now}", record.id);
        }
    }
}
