//! What is said of one event.

use std::collections::{BTreeMap, HashMap, hash_map::Entry};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::pieces::Piece;
use crate::{
    domain::{EventId, Sequence, Thread},
    event::{self, Event, Label, Odd, Raw},
    operate::{
        mask::Mask,
        publish::lines::{Refused, letter},
    },
};

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Taken.
    Accepted,
    /// Taken, but perhaps not as meant.
    Odd,
    /// Not taken: it would go to the dead-letter queue, or the queue would refuse it.
    Rejected,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Odd => "odd",
            Self::Rejected => "rejected",
        }
    }
}

/// Something to know about an event. Quotes no value; a field is named only where it looks like a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field: Option<String>,
    /// The line of the event that it was seen in first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_line: Option<u64>,
    pub(super) reason: String,
    pub(super) next: &'static str,
}

/// One event and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Linted {
    pub(super) line: u64,
    pub(super) verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message_deduplication_id: Option<String>,
    pub(super) findings: Vec<Finding>,
}

/// Where an event was seen first, and a hash of what it says.
pub(super) type Seen = HashMap<EventId, (u64, [u8; 32])>;

/// Longest name of a field that is shown, in bytes.
const LONGEST_NAME: usize = 128;

/// Looks at an event, in the light of those before it.
pub(super) fn of(piece: Piece<'_>, seen: &mut Seen, now: DateTime<Utc>, mask: Mask) -> Linted {
    let attributes = BTreeMap::new();
    let raw = |body| Raw { body, attributes: &attributes, sent_at: now, sequence: Sequence::default(), group_id: "" };
    let event_type = std::str::from_utf8(piece.bytes).ok().and_then(|body| Label::of(&raw(body)).event_type);
    let rejected = |refused: Refused| Linted {
        line: piece.line,
        verdict: Verdict::Rejected,
        event_type: event_type.clone(),
        message_group_id: None,
        message_deduplication_id: None,
        findings: vec![refusal(refused)],
    };
    let letter = match letter(piece.line, piece.bytes.to_vec(), false) {
        Ok(letter) => letter,
        Err(refused) => return rejected(refused),
    };
    let raw = raw(&letter.body);
    let mut findings: Vec<Finding> = event::oddities(&raw, now).into_iter().map(oddity).collect();
    let mut group = letter.group;
    if let Ok(event) = event::decode(&raw) {
        findings.extend(copy(piece.line, &event, seen));
        if mask == Mask::On {
            group = masked(event.thread, mask);
        }
    }
    Linted {
        line: piece.line,
        verdict: if findings.is_empty() { Verdict::Accepted } else { Verdict::Odd },
        event_type,
        message_group_id: Some(group),
        message_deduplication_id: Some(letter.dedup),
        findings,
    }
}

/// The group's name, without the person in it.
fn masked(thread: Thread, mask: Mask) -> String {
    Thread { contact: thread.contact.map(|contact| mask.contact(&contact)), ..thread }.group_name()
}

fn refusal(refused: Refused) -> Finding {
    let next = match refused.code.as_str() {
        "invalid_json" => "send one JSON object for each message, as UTF-8",
        "too_large" | "too_long" | "too_many" => "shorten it, or send a reference to where it is kept",
        "too_deep" => "send it without so many wrappers or levels",
        "missing_event_type" => "set event_type, in the body or as a message attribute",
        "unknown_event_type" => "use a name of the contract: `conversationd schema --list`",
        "invalid_character" => "remove control characters before sending",
        _ => "compare it with the event's schema: `conversationd schema NAME`",
    };
    Finding { code: refused.code, field: refused.field, first_line: None, reason: refused.reason, next }
}

fn oddity(odd: Odd) -> Finding {
    Finding {
        code: odd.what.code().to_owned(),
        field: odd.field.map(named),
        first_line: None,
        reason: odd.what.reason().to_owned(),
        next: odd.what.next(),
    }
}

/// A field's name, if it looks like one: what a publisher puts in the place of a name may be a person's number.
fn named(field: String) -> String {
    let plain = field.len() <= LONGEST_NAME
        && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && field.split('.').all(|part| part.bytes().filter(u8::is_ascii_digit).count() < 6);
    if plain { field } else { "(a field whose name is not shown)".to_owned() }
}

/// Whether the queue, or the daemon, takes it for one that came before.
fn copy(line: u64, event: &Event, seen: &mut Seen) -> Option<Finding> {
    let hash = <[u8; 32]>::from(Sha256::digest(format!("{:?}", event.kind)));
    let (first_line, first) = match seen.entry(event.id) {
        Entry::Vacant(place) => {
            place.insert((line, hash));
            return None;
        }
        Entry::Occupied(place) => *place.get(),
    };
    let (code, reason, next) = if first == hash {
        ("repeated", "the same event as before: it is kept once", "nothing, if it is a second try")
    } else {
        let next = "give each event of a type in a thread a correlation_id of its own";
        ("same_id", "the id of an event before, which says something else: one of the two is lost", next)
    };
    let field = Some("correlation_id".to_owned());
    Some(Finding { code: code.to_owned(), field, first_line: Some(first_line), reason: reason.to_owned(), next })
}
