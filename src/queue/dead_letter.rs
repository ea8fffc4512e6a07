//! What a dead letter says of itself: the attribute `x-dlq`, and how it goes on through redrives.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Command, DeadLetterReason, Delivery, SENDER};
use crate::domain::Sequence;

/// The attribute that says why a message is dead.
pub const NOTE: &str = "x-dlq";

/// Where a delivery carries the trace header of AWS (X-Ray): SQS keeps it as a system attribute, which counts for nothing.
pub const TRACE_HEADER: &str = "AWSTraceHeader";

/// Largest message SQS takes, body and attributes together.
const LARGEST: usize = 1_048_576;

/// Attributes of one message (SQS's limit) less the one that carries the note.
const ATTRIBUTES_COPIED: usize = 9;

/// Everything known of a dead letter, in one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Why it died.
    #[serde(flatten)]
    pub reason: DeadLetterReason,
    /// The queue it was in.
    pub source_queue: String,
    /// How often it was received there.
    pub attempts: u32,
    /// Its id in that queue: names it for the operator, and its row in the index.
    pub original_message_id: String,
    /// Its place in that queue.
    pub original_sequence: Sequence,
    /// When that queue took it.
    pub original_sent_at: DateTime<Utc>,
    /// How often it was redriven.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub redrive_count: u32,
    /// Before any redrive: its first id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_message_id: Option<String>,
    /// Before any redrive: when a queue first took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_sent_at: Option<DateTime<Utc>>,
    /// The run that redrove it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redrive_run: Option<String>,
    /// Of the body as it was before an operator edited it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_body_sha256: Option<String>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Note {
    /// What `delivery` carries, if it carries one that reads.
    pub fn read(delivery: &Delivery) -> Option<Self> {
        serde_json::from_str(delivery.attributes.get(NOTE)?).ok()
    }

    /// The note of a delivery that dies of `reason`. What an earlier redrive noted goes on.
    pub fn of(delivery: &Delivery, reason: &DeadLetterReason, source: &str) -> Self {
        let before = Self::read(delivery);
        let fresh = Self {
            reason: reason.clone(),
            source_queue: source.rsplit('/').next().unwrap_or_default().to_owned(),
            attempts: delivery.receive_count,
            original_message_id: delivery.message_id.clone(),
            original_sequence: delivery.sequence,
            original_sent_at: delivery.sent_at,
            redrive_count: 0,
            first_message_id: None,
            first_sent_at: None,
            redrive_run: None,
            original_body_sha256: None,
        };
        match before {
            None => fresh,
            Some(before) => Self {
                redrive_count: before.redrive_count,
                first_message_id: before.first_message_id,
                first_sent_at: before.first_sent_at,
                redrive_run: before.redrive_run,
                original_body_sha256: before.original_body_sha256,
                ..fresh
            },
        }
    }

    /// The note of a letter in the dead-letter queue. One that SQS moved there by itself carries none: what the delivery tells.
    pub fn of_letter(letter: &Delivery) -> Self {
        // a redriven message that SQS moved keeps the note it travelled with, which is not about this death
        if let Some(note) = Self::read(letter)
            && note.reason.code != REDRIVEN
        {
            return note;
        }
        let reason = DeadLetterReason {
            code: "moved_by_sqs".into(),
            field: None,
            reason: "it was received too often, and the queue's redrive policy moved it: no reason is known".into(),
        };
        Self::of(letter, &reason, "")
    }

    /// The note that goes with the message when `run` sends it back.
    pub fn redriven(self, run: &str) -> Self {
        Self {
            redrive_count: self.redrive_count + 1,
            first_message_id: Some(self.first_id().to_owned()),
            first_sent_at: Some(self.first_sent_at.unwrap_or(self.original_sent_at)),
            redrive_run: Some(run.to_owned()),
            reason: DeadLetterReason {
                code: REDRIVEN.into(),
                field: None,
                reason: format!("was dead of {}", self.reason.code),
            },
            ..self
        }
    }

    /// The id it had before any redrive.
    pub fn first_id(&self) -> &str {
        self.first_message_id.as_deref().unwrap_or(&self.original_message_id)
    }

    /// The attributes of a message that carries this note: the others as far as count and size allow. A body that fills a
    /// message alone goes alone.
    pub fn attributes(&self, others: &BTreeMap<String, String>, body_bytes: usize) -> BTreeMap<String, String> {
        let note = (NOTE.to_owned(), serde_json::to_string(self).unwrap_or_default());
        let trace = others.get_key_value(TRACE_HEADER).map(|(name, value)| (name.clone(), value.clone()));
        let copies = others.iter().filter(|(name, _)| ![NOTE, SENDER, TRACE_HEADER].contains(&name.as_str()));
        let copies = copies.take(ATTRIBUTES_COPIED).map(|(name, value)| (name.clone(), value.clone()));
        let mut room = LARGEST.saturating_sub(body_bytes);
        let fits = |(name, value): &(String, String)| {
            let size = name.len() + value.len() + "String".len();
            let fits = size <= room;
            room = if fits { room - size } else { room };
            fits
        };
        std::iter::once(note).chain(copies).filter(fits).chain(trace).collect()
    }

    /// What sends `letter`, whose note this is, back into its group.
    ///
    /// The deduplication id is another with every redrive, and the same however often one redrive is tried: a used one would
    /// be accepted and silently dropped (fact F13), and deleting the letter then would lose it.
    pub fn command(self, letter: &Delivery, run: &str) -> Command {
        let note = self.redriven(run);
        Command {
            group_id: letter.group_id.clone(),
            dedup_id: super::fifo_id(&format!("{}#r{}", note.first_id(), note.redrive_count)),
            attributes: note.attributes(&letter.attributes, letter.body.len()),
            body: letter.body.to_string(),
        }
    }
}

/// The code of a note that travels with a redriven message.
const REDRIVEN: &str = "redriven";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Receipt;

    fn delivery(body: &str, attributes: &[(&str, &str)]) -> Delivery {
        Delivery {
            message_id: "m".into(),
            receipt: Receipt("r".into()),
            group_id: "g".into(),
            sequence: Sequence(18_882_245_240_547_823_616),
            sent_at: DateTime::UNIX_EPOCH,
            receive_count: 1,
            body: body.into(),
            attributes: attributes.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        }
    }

    fn reason() -> DeadLetterReason {
        DeadLetterReason { code: "invalid_json".into(), field: None, reason: "not JSON".into() }
    }

    #[test]
    fn a_dead_letter_keeps_its_attributes_and_says_why() {
        let dead = delivery("{", &[("event_type", "x")]);
        let attributes = Note::of(&dead, &reason(), "http://host/q.fifo").attributes(&dead.attributes, 1);
        assert_eq!(attributes["event_type"], "x");
        let why: serde_json::Value = serde_json::from_str(&attributes[NOTE]).expect("json");
        assert_eq!(why["code"], "invalid_json");
        assert_eq!(why["source_queue"], "q.fifo");
        assert_eq!(why["original_sequence"], "18882245240547823616");
    }

    #[test]
    fn the_trace_header_goes_along_and_takes_no_place() {
        let names: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let mut all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "x")).collect();
        all.push((TRACE_HEADER, "Root=1-5759e988-bd862e3fe1be46a994272793"));
        let dead = delivery("x", &all);
        assert_eq!(Note::of(&dead, &reason(), "q").attributes(&dead.attributes, LARGEST).len(), 1);
        assert_eq!(Note::of(&dead, &reason(), "q").attributes(&dead.attributes, 1).len(), 1 + 9 + 1);
    }

    #[test]
    fn a_dead_letter_never_exceeds_what_the_queue_takes() {
        for spare in [0, 10, 400, 5_000] {
            let dead = delivery(&"x".repeat(LARGEST - spare), &[("a", &"y".repeat(1_000)), ("b", "z")]);
            let attributes = Note::of(&dead, &reason(), "q").attributes(&dead.attributes, dead.body.len());
            let size: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
            assert!(size <= spare, "{size} bytes of attributes in {spare}");
        }
    }

    /// Dies, is sent back, dies again: how the queues would show it.
    #[test]
    fn every_redrive_has_a_deduplication_id_of_its_own_and_remembers_the_first_message() {
        let mut message = delivery("{", &[("event_type", "x")]);
        for n in 1..=3 {
            let note = Note::of(&message, &reason(), "q");
            let letter = Delivery {
                message_id: format!("letter {n}"),
                attributes: note.attributes(&message.attributes, 1),
                ..message.clone()
            };
            let again = Note::of_letter(&letter).command(&letter, "run");
            assert_eq!((again.group_id.as_str(), again.dedup_id), ("g", format!("m#r{n}")));
            assert_eq!(again.attributes["event_type"], "x");
            message = Delivery { message_id: format!("m{n}"), attributes: again.attributes.clone(), ..message };
            let note = Note::read(&message).expect("a note");
            assert_eq!((note.redrive_count, note.redrive_run.as_deref()), (n, Some("run")));
        }
    }

    #[test]
    fn a_letter_that_sqs_moved_by_itself_is_known_by_its_own_id() {
        let moved = delivery("{}", &[]);
        assert_eq!(Note::of_letter(&moved).command(&moved, "run").dedup_id, "m#r1");
        let redriven = Note::of_letter(&moved).command(&moved, "run").attributes;
        let again = Delivery { message_id: "m2".into(), attributes: redriven, ..moved };
        let note = Note::of_letter(&again);
        assert_eq!((note.reason.code.as_str(), note.original_message_id.as_str()), ("moved_by_sqs", "m2"));
        assert_eq!(note.command(&again, "run").dedup_id, "m#r2");
    }
}
