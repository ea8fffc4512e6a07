//! What happened, in one order: for people a table, for machines JSON Lines.

use std::io;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::operate::{moment::shown, output::Output, rows::aligned};

/// Something that happened, or will.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// The conversation it belongs to; `None` for what is beside all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation: Option<Uuid>,
    /// What: `opened`, `message`, `dead_letter`, …
    pub what: &'static str,
    /// Where it stands: `hot`, `archive`, both, or nowhere.
    pub stands: &'static str,
    /// What happened and why, for people; masked as asked.
    pub said: String,
    /// The same for machines.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub facts: Value,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    entries: Vec<Entry>,
}

impl Timeline {
    pub(super) fn tell(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// In order of time; what is of one time, in the order of a conversation's life.
    pub(super) fn in_order(mut self) -> Vec<Entry> {
        const LIFE: [&str; 10] =
            ["held", "opened", "message", "rated", "closing", "closed", "archived", "late", "told", "attempt"];
        let rank = |entry: &Entry| LIFE.iter().position(|what| *what == entry.what).unwrap_or(LIFE.len());
        self.entries.sort_by_key(|entry| (entry.at, rank(entry)));
        self.entries
    }
}

/// Prints what happened; what lies beyond `now` under a line of its own.
pub(super) fn print(entries: &[Entry], now: DateTime<Utc>, json: bool) -> io::Result<()> {
    let mut output = Output::new();
    if json {
        entries.iter().try_for_each(|entry| output.json(entry))?;
        return output.flush();
    }
    let rows: Vec<_> = entries.iter().map(row).collect();
    let lines = aligned(["WHEN (UTC)", "CONVERSATION", "WHAT", "STANDS IN", "WHAT HAPPENED, AND WHY"], &rows);
    let to_come = entries.iter().position(|entry| entry.at > now);
    for (place, line) in lines.iter().enumerate() {
        if to_come.is_some_and(|first| first + 1 == place) {
            output.line(format!("-- now: {} --", shown(now)))?;
        }
        output.line(line)?;
    }
    output.flush()
}

fn row(entry: &Entry) -> [String; 5] {
    let conversation = entry.conversation.map_or_else(|| "-".to_owned(), short);
    [shown(entry.at), conversation, entry.what.replace('_', " "), entry.stands.to_owned(), entry.said.clone()]
}

/// The beginning of an id: enough to tell a thread's conversations apart.
pub(super) fn short(id: Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(at: i64, what: &'static str) -> Entry {
        let at = DateTime::from_timestamp(at, 0).expect("in range");
        Entry { at, conversation: None, what, stands: "-", said: String::new(), facts: Value::Null }
    }

    #[test]
    fn what_is_of_one_time_stands_in_the_order_of_a_life() {
        let mut timeline = Timeline::default();
        for told in [entry(2, "closed"), entry(1, "message"), entry(2, "message"), entry(1, "opened")] {
            timeline.tell(told);
        }
        let order: Vec<&str> = timeline.in_order().iter().map(|entry| entry.what).collect();
        assert_eq!(order, ["opened", "message", "message", "closed"]);
    }
}
