//! Small rows beside heads and messages: variables, sessions, project settings. One shape, one rule: an older event never
//! overwrites a newer one.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{
    HotError,
    item::{BODY, EXPIRES_AT, Item, PK, SK, number, string, text},
};
use crate::domain::Sequence;

pub(super) const RANK: &str = "rank";

/// A small row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it belongs to: a thread's key, a project, a session.
    pub partition: String,
    /// Its name in there.
    pub name: String,
    /// What it says, as JSON.
    pub body: String,
    /// The event that says so: written only over rows of older events.
    pub rank: Sequence,
    /// When it may be forgotten; the store takes its time, so readers look at what the row says of its age.
    pub expires_at: DateTime<Utc>,
}

/// A rank as it compares in the store: 128 bits do not fit a DynamoDB number.
pub(super) fn rank(sequence: Sequence) -> String {
    format!("{:032x}", sequence.0)
}

pub(super) fn of_row(row: &Row) -> Item {
    HashMap::from([
        (PK.to_owned(), text(&row.partition)),
        (SK.to_owned(), text(&row.name)),
        (BODY.to_owned(), text(&row.body)),
        (RANK.to_owned(), text(rank(row.rank))),
        (EXPIRES_AT.to_owned(), number(row.expires_at.timestamp())),
    ])
}

pub(super) fn to_row(item: &Item) -> Result<Row, HotError> {
    let seconds = super::item::integer(item, EXPIRES_AT)?;
    let expires_at = i64::try_from(seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    let rank = u128::from_str_radix(string(item, RANK)?, 16).map_err(|_| HotError::Unreadable(RANK))?;
    Ok(Row {
        partition: string(item, PK)?.to_owned(),
        name: string(item, SK)?.to_owned(),
        body: string(item, BODY)?.to_owned(),
        rank: Sequence(rank),
        expires_at: expires_at.ok_or(HotError::Unreadable(EXPIRES_AT))?,
    })
}

/// `#` separates the parts of a name; inside a part it is percent-encoded.
pub(super) fn escaped(part: &str) -> String {
    part.replace('%', "%25").replace('#', "%23")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_reads_back_as_it_was_written() {
        let row = Row {
            partition: "p#c#w".into(),
            name: "S#flow#step".into(),
            body: "{}".into(),
            rank: Sequence(u128::MAX),
            expires_at: DateTime::from_timestamp(1_795_240_800, 0).expect("in range"),
        };
        assert_eq!(to_row(&of_row(&row)).expect("a row"), row);
    }

    #[test]
    fn ranks_compare_as_their_numbers_do() {
        let ranks = [0, 9, 10, 18_882_245_240_547_823_616, u128::MAX].map(|n| rank(Sequence(n)));
        assert!(ranks.is_sorted());
    }
}
