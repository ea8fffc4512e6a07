//! The content hash of a transcript, computed from what was read: SHA-256 over the digests of its messages, in order.
//!
//! `message_digest` in migrations/0001_archive.sql says the same in SQL. The canonical form of a message is the text of
//! a JSON array, exactly as PostgreSQL writes it: `", "` and `": "` between things, object keys by length and then by
//! bytes, numbers without exponent, nothing escaped that need not be.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::columns::to_the_microsecond;
use crate::domain::{EventId, Message, Sequence};

/// A transcript's content hash in the making: takes its messages one by one, holds none.
#[derive(Clone, Debug, Default)]
pub struct ContentHash {
    hasher: Sha256,
    messages: u64,
    last: Option<(DateTime<Utc>, Sequence, EventId)>,
    out_of_order: bool,
}

impl ContentHash {
    /// Adds the next message. One that does not come after the last makes the hash unknown.
    pub fn push(&mut self, message: &Message) {
        let place = (to_the_microsecond(message.occurred_at), message.sequence, message.event_id);
        self.out_of_order |= self.last.is_some_and(|last| last >= place);
        self.last = Some(place);
        self.messages += 1;
        self.hasher.update(digest(message));
    }

    /// How many messages were added.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The hash; `None` for no message, or for messages that came out of order.
    pub fn finish(self) -> Option<[u8; 32]> {
        (self.messages > 0 && !self.out_of_order).then(|| self.hasher.finalize().into())
    }
}

fn digest(message: &Message) -> [u8; 32] {
    Sha256::digest(canonical(message)).into()
}

fn canonical(message: &Message) -> String {
    let mut fields = Fields(String::with_capacity(512 + message.text.len()));
    fields.text(Some(&message.event_id.to_string()));
    fields.number(Some(to_the_microsecond(message.occurred_at).timestamp_micros()));
    fields.number(Some(to_the_microsecond(message.received_at).timestamp_micros()));
    fields.number(Some(message.sequence.0));
    fields.text(Some(message.direction.as_str()));
    fields.text(Some(&message.text));
    fields.text(message.external_id.as_deref());
    fields.text(message.contact_name.as_deref());
    fields.text(message.content_type.as_deref());
    fields.text(message.sender_type.map(|kind| kind.as_str()));
    fields.text(message.sender_id.as_deref());
    fields.text(message.agent_id.as_deref());
    fields.text(message.model_used.as_deref());
    fields.number(message.tokens_used);
    fields.text(message.sentiment.as_deref());
    fields.text(message.intent.as_deref());
    fields.array(&message.entities);
    fields.array(&message.attachments);
    fields.object(&message.metadata);
    fields.close()
}

/// The elements of a JSON array, as they are written. What is empty is stored as null, and so it is null here.
struct Fields(String);

impl Fields {
    fn next(&mut self) -> &mut String {
        self.0.push_str(if self.0.is_empty() { "[" } else { ", " });
        &mut self.0
    }

    fn text(&mut self, text: Option<&str>) {
        let out = self.next();
        match text {
            Some(text) => push_text(out, text),
            None => out.push_str("null"),
        }
    }

    fn number<T: std::fmt::Display>(&mut self, number: Option<T>) {
        let out = self.next();
        let _ = match number {
            Some(number) => write!(out, "{number}"),
            None => out.write_str("null"),
        };
    }

    fn array(&mut self, items: &[Value]) {
        let out = self.next();
        if items.is_empty() { out.push_str("null") } else { push_array(out, items) }
    }

    fn object(&mut self, map: &Map<String, Value>) {
        let out = self.next();
        if map.is_empty() { out.push_str("null") } else { push_object(out, map) }
    }

    fn close(mut self) -> String {
        self.0.push(']');
        self.0
    }
}

fn push_value(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => push_decimal(out, &number.to_string()),
        Value::String(text) => push_text(out, text),
        Value::Array(items) => push_array(out, items),
        Value::Object(map) => push_object(out, map),
    }
}

fn push_array(out: &mut String, items: &[Value]) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        push_value(out, item);
    }
    out.push(']');
}

fn push_object(out: &mut String, map: &Map<String, Value>) {
    let mut entries: Vec<(&String, &Value)> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| (key.len(), key.as_bytes()));
    out.push('{');
    for (i, (key, value)) in entries.into_iter().enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        push_text(out, key);
        out.push_str(": ");
        push_value(out, value);
    }
    out.push('}');
}

fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Writes a JSON number as `numeric` does: the exponent spelled out, the decimals kept, no zero below zero.
fn push_decimal(out: &mut String, number: &str) {
    let (sign, magnitude) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let length = digits.len() as i64;
    let point = whole.len() as i64 + exponent.parse::<i64>().unwrap_or(0);

    let split = usize::try_from(point.clamp(0, length)).unwrap_or(0);
    let integer = [&digits[..split], &zeros(point - length)].concat();
    let decimals = [&zeros(-point), &digits[split..]].concat();
    let integer = integer.trim_start_matches('0');

    if digits.contains(|digit| digit != '0') {
        out.push_str(sign);
    }
    out.push_str(if integer.is_empty() { "0" } else { integer });
    if !decimals.is_empty() {
        out.push('.');
        out.push_str(&decimals);
    }
}

fn zeros(count: i64) -> String {
    "0".repeat(usize::try_from(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(number: &str) -> String {
        let mut out = String::new();
        push_decimal(&mut out, number);
        out
    }

    #[test]
    fn a_number_is_written_as_numeric_writes_it() {
        for (number, numeric) in [
            ("0", "0"),
            ("-0.0", "0.0"),
            ("-17", "-17"),
            ("18446744073709551615", "18446744073709551615"),
            ("1.50", "1.50"),
            ("1e3", "1000"),
            ("1.25e1", "12.5"),
            ("1.5e-3", "0.0015"),
            ("-1e-7", "-0.0000001"),
            ("1.5e+3", "1500"),
            ("12.5e-1", "1.25"),
        ] {
            assert_eq!(decimal(number), numeric);
        }
        assert_eq!(decimal("1.7976931348623157e308").len(), 309);
    }

    #[test]
    fn keys_go_by_length_and_then_by_bytes() {
        let mut out = String::new();
        push_value(&mut out, &serde_json::json!({"aa": 1, "b": [true, null], "é": {}, "ab": "\u{1}\"\n\u{7f}"}));
        assert_eq!(out, "{\"b\": [true, null], \"aa\": 1, \"ab\": \"\\u0001\\\"\\n\u{7f}\", \"é\": {}}");
    }

    #[test]
    fn messages_out_of_order_have_no_hash() {
        let message = |sequence: u128| -> Message {
            serde_json::from_value(serde_json::json!({
                "event_id": "00000000-0000-0000-0000-000000000001",
                "occurred_at": "2025-01-01T00:00:00Z", "received_at": "2025-01-01T00:00:00Z",
                "sequence": sequence.to_string(), "direction": "incoming", "text": "",
            }))
            .expect("message")
        };
        let hash = |sequences: &[u128]| {
            let mut hash = ContentHash::default();
            sequences.iter().for_each(|sequence| hash.push(&message(*sequence)));
            hash.finish()
        };
        assert!(hash(&[1, 2]).is_some());
        assert_ne!(hash(&[1, 2]), hash(&[1, 3]));
        assert_eq!(hash(&[2, 1]), None);
        assert_eq!(hash(&[1, 1]), None);
        assert_eq!(hash(&[]), None);
    }

    #[test]
    fn the_canonical_form_stays_as_it_is() {
        let message: Message = serde_json::from_value(serde_json::json!({
            "event_id": "00000000-0000-0000-0000-0000000000ff",
            "occurred_at": "2025-01-01T00:00:00.000001Z", "received_at": "2025-01-01T00:00:01Z",
            "sequence": "18882245240547823616999", "direction": "outgoing", "text": "olá \"mundo\" 👋",
            "tokens_used": 7, "attachments": [{"url": "x", "n": 1.0}],
        }))
        .expect("message");
        assert_eq!(
            canonical(&message),
            "[\"00000000-0000-0000-0000-0000000000ff\", 1735689600000001, 1735689601000000, 18882245240547823616999, \
             \"outgoing\", \"olá \\\"mundo\\\" 👋\", null, null, null, null, null, null, null, 7, null, null, null, \
             [{\"n\": 1.0, \"url\": \"x\"}], null]"
        );
    }
}
