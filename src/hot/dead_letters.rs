//! The index of dead letters: what a FIFO queue cannot tell, for only the heads of its groups can be received (fact F14).
//!
//! A row is filed under the day on which the queue took the message, so that writing it again gives the same row. It holds no
//! body. Rows leave by TTL alone, like messages: settled ones are marked.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Cursor, HotError,
    item::{EXPIRES_AT, Item, PK, SK, millis, number, string, text},
};

/// A row outlives its letter: 14 days in the queue, 14 in the dead-letter queue, and two to read about it.
const KEPT: TimeDelta = TimeDelta::days(30);

const LETTER: &str = "letter";
pub(super) const SETTLED: &str = "settled";
pub(super) const SETTLED_AT: &str = "settled_at";

/// A row of the index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// When the queue took the message.
    pub sent_at: DateTime<Utc>,
    /// SQS's id of the message in that queue.
    pub message_id: String,
    /// FIFO group; it may name a person.
    pub group_id: String,
    /// Project, as far as it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Event type, as far as it could be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    /// Why it died, in a word.
    pub code: String,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Why it died, in a sentence.
    pub reason: String,
    /// How often it was received.
    pub attempts: u32,
    /// Size of its body.
    pub bytes: usize,
    /// How often it had been redriven before.
    #[serde(default)]
    pub redrives: u32,
    /// The run that redrove it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_run: Option<String>,
    /// What became of it; `None` while it waits in the dead-letter queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
}

/// What an operator did with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// What.
    pub how: Settlement,
    /// When.
    pub at: DateTime<Utc>,
}

/// What can be done with a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Settlement {
    /// Sent back as it was.
    Redriven,
    /// Sent back with another body.
    Edited,
    /// Deleted.
    Discarded,
}

impl Settlement {
    /// As a row says it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Edited => "edited",
            Self::Discarded => "discarded",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Redriven, Self::Edited, Self::Discarded].into_iter().find(|how| how.as_str() == text)
    }
}

/// Some rows of one day, oldest first.
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    /// The rows.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// What all rows of a day share.
pub(super) fn day_key(day: NaiveDate) -> String {
    format!("DEAD#{day}")
}

/// The key of a row.
pub(super) fn row_key(sent_at: DateTime<Utc>, message_id: &str) -> Item {
    let sk = format!("{:016}#{message_id}", sent_at.timestamp_millis().max(0));
    HashMap::from([(PK.to_owned(), text(day_key(sent_at.date_naive()))), (SK.to_owned(), text(sk))])
}

/// What a row says as long as nobody settled its letter.
pub(super) fn written(letter: &DeadLetter) -> Result<String, HotError> {
    let unsettled = DeadLetter { settled: None, ..letter.clone() };
    serde_json::to_string(&unsettled).map_err(|_| HotError::Unreadable("dead letter"))
}

/// The row that says `body`, and was marked so.
pub(super) fn read(body: &str, how: Option<&str>, at: Option<DateTime<Utc>>) -> Result<DeadLetter, HotError> {
    let letter: DeadLetter = serde_json::from_str(body).map_err(|_| HotError::Unreadable("dead letter"))?;
    let settled = how.and_then(Settlement::parse).zip(at).map(|(how, at)| Settled { how, at });
    Ok(DeadLetter { settled, ..letter })
}

/// When a row may be forgotten.
pub(super) fn kept_until(letter: &DeadLetter) -> DateTime<Utc> {
    letter.sent_at + KEPT
}

pub(super) fn of_dead_letter(letter: &DeadLetter) -> Result<Item, HotError> {
    let mut item = row_key(letter.sent_at, &letter.message_id);
    item.insert(LETTER.to_owned(), text(written(letter)?));
    item.insert(EXPIRES_AT.to_owned(), number(kept_until(letter).timestamp()));
    Ok(item)
}

pub(super) fn to_dead_letter(item: &Item) -> Result<DeadLetter, HotError> {
    read(string(item, LETTER)?, string(item, SETTLED).ok(), millis(item, SETTLED_AT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            sent_at: DateTime::from_timestamp_millis(1_795_240_800_123).expect("in range"),
            message_id: "m".into(),
            group_id: "g".into(),
            project: Some("p".into()),
            event_type: None,
            code: "invalid_json".into(),
            field: None,
            reason: "not JSON".into(),
            attempts: 1,
            bytes: 12,
            redrives: 0,
            redrive_run: None,
            settled: None,
        }
    }

    #[test]
    fn a_row_reads_back_as_it_was_written_and_as_it_was_marked() {
        let mut item = of_dead_letter(&letter()).expect("an item");
        assert_eq!(string(&item, PK).expect("a key"), "DEAD#2026-11-21");
        assert_eq!(to_dead_letter(&item).expect("a row"), letter());
        item.insert(SETTLED.into(), text(Settlement::Discarded.as_str()));
        item.insert(SETTLED_AT.into(), number(1_795_240_900_000i64));
        let settled = to_dead_letter(&item).expect("a row").settled.expect("settled");
        assert_eq!((settled.how, settled.at.timestamp()), (Settlement::Discarded, 1_795_240_900));
    }

    #[test]
    fn the_same_message_gives_the_same_row() {
        assert_eq!(row_key(letter().sent_at, "m"), row_key(letter().sent_at, "m"));
        assert_ne!(row_key(letter().sent_at, "m"), row_key(letter().sent_at, "n"));
    }
}
