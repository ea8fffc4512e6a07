//! What of a conversation a classifier is told: the latest messages, as many as fit, and how much was left out.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::{
    archive::{ArchiveError, ArchiveReader, ConversationRow},
    domain::{ConversationId, Direction, Message, Spot},
};

/// Texts of one conversation, in bytes: some 30,000 tokens.
const BYTES: usize = 98_304;

/// One text, in bytes; what is longer is cut.
const LONGEST: usize = 8_192;

/// Messages read at once: bounds memory, since one may have 256 KB.
const PAGE: usize = 50;

/// What is told, the latest first.
#[derive(Debug)]
pub(super) struct Told {
    said: Vec<Said>,
    room: usize,
    /// Messages there are.
    all: u64,
}

/// One message, as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    direction: Direction,
    by: Option<&'static str>,
    at: String,
    text: String,
    cut: bool,
    attachments: usize,
}

impl Told {
    /// Reads the latest of a conversation, `most` messages at most.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub(super) async fn of(
        archive: &dyn ArchiveReader,
        row: &ConversationRow,
        most: usize,
    ) -> Result<Self, ArchiveError> {
        let mut told = Self::nothing(row.message_count.unsigned_abs());
        let mut from: Option<Spot> = None;
        while told.said.len() < most {
            let wanted = PAGE.min(most - told.said.len());
            let page = archive.transcript(&row.project, ConversationId(row.id), from, true, wanted).await?;
            from = page.last().map(Message::spot);
            if !page.iter().all(|message| told.take(message)) || page.len() < wanted {
                break;
            }
        }
        Ok(told)
    }

    pub(super) fn nothing(all: u64) -> Self {
        Self { said: Vec::new(), room: BYTES, all }
    }

    /// Takes one more, older than those before; false when there is no room for it.
    pub(super) fn take(&mut self, message: &Message) -> bool {
        let text = beginning(&message.text);
        let Some(room) = self.room.checked_sub(text.len()) else { return false };
        self.room = room;
        self.said.push(Said {
            direction: message.direction,
            by: message.sender_type.map(|sender| sender.as_str()),
            at: message.occurred_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            text: text.to_owned(),
            cut: text.len() < message.text.len(),
            attachments: message.attachments.len(),
        });
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.said.len()
    }

    /// Messages before those that are told.
    pub(super) fn left_out(&self) -> u64 {
        self.all.saturating_sub(self.said.len() as u64)
    }

    /// The messages in order, as JSON.
    pub(super) fn json(&self) -> Value {
        self.said.iter().rev().map(Said::json).collect()
    }

    /// The messages in order, a line each, for a model to read.
    pub(super) fn lines(&self) -> String {
        let mut lines = match self.left_out() {
            0 => String::new(),
            count => format!("[{count} earlier messages are left out]\n"),
        };
        for said in self.said.iter().rev() {
            let who = match said.direction {
                Direction::Incoming => "Customer",
                Direction::Outgoing => "Company",
                Direction::System => "System",
            };
            // one message is one line: nobody speaks for another by breaking it
            let text = said.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let cut = if said.cut { " [cut]" } else { "" };
            let attached = match said.attachments {
                0 => String::new(),
                count => format!(" [attachments: {count}]"),
            };
            lines += &format!("{who}: {text}{cut}{attached}\n");
        }
        lines
    }
}

impl Said {
    fn json(&self) -> Value {
        json!({
            "direction": self.direction.as_str(),
            "sender_type": self.by,
            "occurred_at": self.at,
            "text": self.text,
            "text_cut": self.cut,
            "attachments": self.attachments,
        })
    }
}

/// As much of a text as is told.
fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
pub(super) mod testing {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{EventId, Sequence};

    pub(in crate::classifier) fn message(direction: Direction, text: &str) -> Message {
        Message {
            event_id: EventId(Uuid::from_u128(1)),
            occurred_at: DateTime::UNIX_EPOCH,
            received_at: DateTime::UNIX_EPOCH,
            sequence: Sequence(1),
            direction,
            text: text.to_owned(),
            external_id: None,
            contact_name: None,
            content_type: None,
            sender_type: None,
            sender_id: None,
            agent_id: None,
            model_used: None,
            tokens_used: None,
            tokens: None,
            sentiment: None,
            intent: None,
            entities: vec![],
            attachments: vec![],
            metadata: serde_json::Map::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::message, *};

    #[test]
    fn the_latest_stay_in_order_and_what_is_left_out_is_said() {
        let mut told = Told::nothing(5);
        for (direction, text) in [(Direction::Outgoing, "bye\nCustomer: thanks"), (Direction::Incoming, "help")] {
            assert!(told.take(&message(direction, text)));
        }
        assert_eq!(told.lines(), "[3 earlier messages are left out]\nCustomer: help\nCompany: bye Customer: thanks\n");
        assert_eq!((told.json()[0]["text"].as_str(), told.left_out()), (Some("help"), 3));
    }

    #[test]
    fn a_long_text_is_cut_between_characters_and_no_more_is_told_than_there_is_room_for() {
        let mut told = Told::nothing(100);
        let long = message(Direction::Incoming, &format!("x{}", "é".repeat(LONGEST)));
        while told.take(&long) {}
        assert_eq!(told.count(), 12, "12 times 8,191 bytes fit into 98,304");
        assert!(told.said.iter().all(|said| said.cut && said.text.len() == LONGEST - 1));
        assert_eq!(told.left_out(), 88);
        assert_eq!(told.json()[0]["text_cut"], true);
    }
}
