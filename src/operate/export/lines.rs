//! Conversations, messages and ratings as lines of JSON or CSV, masked as asked.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Format;
use crate::{
    archive::{ConversationRow, MessageRow, RatingRow},
    operate::{
        mask::{Mask, masked},
        moment::written,
    },
};

/// How lines are written.
pub(super) struct Lines {
    format: Format,
    mask: Mask,
}

/// The columns of CSV: of the conversation first, then of the message.
const COLUMNS: [&str; 22] = [
    "conversation_id",
    "project",
    "channel",
    "contact",
    "contact_name",
    "agent_id",
    "opened_at",
    "closed_at",
    "close_reason",
    "resolution",
    "csat",
    "nps",
    "event_id",
    "occurred_at",
    "direction",
    "sender_type",
    "message_agent_id",
    "content_type",
    "attachments",
    "tokens_used",
    "arrived_after_close",
    "text",
];

impl Lines {
    pub(super) fn of(format: Format, mask: Mask) -> Self {
        Self { format, mask }
    }

    /// What stands before the first line.
    pub(super) fn begin(&self, to: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Jsonl => Ok(()),
            Format::Csv => record(to, COLUMNS.iter().map(|name| (*name).to_owned())),
        }
    }

    pub(super) fn conversation(&self, row: &ConversationRow, to: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Jsonl => line(to, &json!({"conversation": masked_row(row, self.mask)?})),
            Format::Csv => Ok(()),
        }
    }

    pub(super) fn message(&self, of: &ConversationRow, row: &MessageRow, to: &mut impl Write) -> io::Result<()> {
        match self.format {
            Format::Jsonl => {
                let mut message = masked_message(row, self.mask)?;
                message["conversation_id"] = of.id.to_string().into();
                line(to, &json!({"message": message}))
            }
            Format::Csv => record(to, cells(of, row, self.mask)),
        }
    }

    pub(super) fn rating(&self, row: &RatingRow, to: &mut impl Write) -> io::Result<()> {
        if self.format == Format::Csv {
            return Ok(());
        }
        let mut rating = serde_json::to_value(row)?;
        if self.mask == Mask::On {
            rating["comment"] = row.comment.as_deref().map(|comment| self.mask.text(comment)).into();
            if row.score.is_none() {
                rating["value"] = self.mask.text(&row.value).into();
            }
        }
        line(to, &json!({"rating": rating}))
    }
}

fn line(to: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *to, value)?;
    to.write_all(b"\n")
}

/// The row as stored; masked, without whatever publishers may have said of the person.
fn masked_row(row: &ConversationRow, mask: Mask) -> io::Result<Value> {
    if mask == Mask::Off {
        return Ok(serde_json::to_value(row)?);
    }
    let text = |text: &Option<String>| text.as_deref().map(|text| mask.text(text));
    let masked = ConversationRow {
        contact: row.contact.as_deref().map(|contact| mask.contact(contact)),
        contact_name: row.contact_name.as_deref().map(|name| mask.name(name)),
        close_detail: text(&row.close_detail),
        title: text(&row.title),
        participants: None,
        metadata: None,
        customer_info: None,
        variables: None,
        ..row.clone()
    };
    Ok(serde_json::to_value(masked)?)
}

/// The message as stored, or masked.
fn masked_message(row: &MessageRow, mask: Mask) -> io::Result<Value> {
    let message = &row.message;
    if mask == Mask::Off {
        return Ok(serde_json::to_value(row)?);
    }
    let mut json = masked(message);
    json["model_used"] = json!(message.model_used);
    json["tokens_used"] = json!(message.tokens_used);
    json["arrived_after_close"] = row.arrived_after_close.into();
    Ok(json)
}

fn cells(of: &ConversationRow, row: &MessageRow, mask: Mask) -> impl Iterator<Item = String> {
    fn may<T: ToString>(value: Option<T>) -> String {
        value.map(|value| value.to_string()).unwrap_or_default()
    }
    let message = &row.message;
    [
        of.id.to_string(),
        of.project.clone(),
        may(of.channel.as_deref()),
        may(of.contact.as_deref().map(|contact| mask.contact(contact))),
        may(of.contact_name.as_deref().map(|name| mask.name(name))),
        may(of.agent_id.as_deref()),
        written(of.opened_at),
        may(of.closed_at.map(written)),
        may(of.close_reason.as_deref()),
        may(of.resolution),
        may(of.csat),
        may(of.nps),
        message.event_id.to_string(),
        written(message.occurred_at),
        message.direction.as_str().to_owned(),
        may(message.sender_type.map(|kind| kind.as_str())),
        may(message.agent_id.as_deref()),
        may(message.content_type.as_deref()),
        message.attachments.len().to_string(),
        may(message.tokens_used),
        row.arrived_after_close.to_string(),
        mask.text(&message.text),
    ]
    .into_iter()
}

/// A record as RFC 4180 has it.
fn record(to: &mut impl Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    for (place, cell) in cells.enumerate() {
        if place > 0 {
            to.write_all(b",")?;
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            write!(to, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            to.write_all(cell.as_bytes())?;
        }
    }
    to.write_all(b"\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_holds_a_separator_is_quoted() {
        let mut out = Vec::new();
        record(&mut out, ["a", "b,c", "say \"hi\"", "two\nlines", ""].map(str::to_owned).into_iter()).expect("write");
        assert_eq!(String::from_utf8(out).expect("text"), "a,\"b,c\",\"say \"\"hi\"\"\",\"two\nlines\",\r\n");
    }
}
