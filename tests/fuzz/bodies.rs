//! Bodies to begin with: the fixtures of the contract, the committed corpus, and those too large to commit.

use std::{collections::BTreeMap, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    domain::Sequence,
    event::{Event, Kind, Raw, Rejection, decode},
};
use serde_json::{Map, Value, json};

/// Stands where a person's words would; no rejection may repeat it.
pub const CANARY: &str = "canary5511999990000";

/// Bodies by name, as they stand on disk.
fn on_disk(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut found: Vec<_> = fs::read_dir(&folder)
        .expect("a folder of bodies")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("UTF-8"))
        })
        .collect();
    found.sort();
    found
}

/// The committed corpus. A name begins with what becomes of the body: `accepted`, or the code of its rejection.
pub fn corpus() -> Vec<(String, String)> {
    on_disk("fuzz/corpus")
}

/// Everything that mutations begin with, messages first, and how many these are.
pub fn seeds() -> (usize, Vec<String>) {
    let bodies = [on_disk("fixtures/events"), corpus()].concat().into_iter().map(|(_, body)| body);
    let is_message = |body: &String| decoded(body, 0).is_ok_and(|event| matches!(event.kind, Kind::Message(_)));
    let (messages, others): (Vec<String>, Vec<String>) = bodies.partition(is_message);
    (messages.len(), [messages, others].concat())
}

/// When the `number`th delivery was sent.
pub fn sent_at(number: u32) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_772_368_246_001).expect("a time") + TimeDelta::milliseconds(number.into())
}

/// Decodes a body as the `number`th delivery. Sequences lie on both sides of 64 bits, and one is the largest there is.
pub fn decoded(body: &str, number: u32) -> Result<Event, Rejection> {
    let sequence = match number % 3 {
        0 => u128::from(u64::MAX) - 500 + u128::from(number),
        1 => 18_882_245_240_547_823_616 + u128::from(number),
        _ => u128::MAX - u128::from(number / 3),
    };
    let attributes = BTreeMap::new();
    let (sent_at, sequence) = (sent_at(number), Sequence(sequence));
    decode(&Raw { body, attributes: &attributes, sent_at, sequence, group_id: "group" })
}

/// A message with these fields, in an envelope.
pub fn message(fields: Value) -> String {
    in_thread("p", "c", "ch", fields)
}

pub fn in_thread(project: &str, contact: &str, channel: &str, message: Value) -> String {
    let thread = json!({"project_uuid": project, "contact_urn": contact, "channel_uuid": channel, "message": message});
    json!({"event_type": "message.received", "data": thread}).to_string()
}

/// JSON of `levels` levels, arrays and objects in turn.
pub fn nested(levels: usize) -> String {
    let (mut opening, mut closing) = (String::new(), String::new());
    for level in 0..levels {
        opening.push_str(if level % 2 == 0 { "{\"k\":" } else { "[" });
        closing.insert(0, if level % 2 == 0 { '}' } else { ']' });
    }
    format!("{opening}\"{CANARY}\"{closing}")
}

/// A message whose metadata makes the whole body `levels` deep.
pub fn deep(levels: usize) -> String {
    // envelope, data, message, metadata
    message(json!({"metadata": {"deep": "here"}})).replace("\"here\"", &nested(levels - 4))
}

fn keys(count: usize) -> Value {
    Value::Object((0..count).map(|number| (format!("key {number}"), json!(number))).collect::<Map<_, _>>())
}

/// Large bodies, with what becomes of them.
pub fn large() -> Vec<(&'static str, &'static str, String)> {
    let mut full = message(json!({"text": ""}));
    full.push_str(&" ".repeat(1_048_576 - full.len()));
    let over = format!("{full} ");
    vec![
        ("127 levels", "accepted", deep(127)),
        ("128 levels", "too_deep", deep(128)),
        ("129 levels", "too_deep", deep(129)),
        ("10,000 keys", "too_many", message(json!({"metadata": keys(10_000)}))),
        ("10,000 keys one level down", "accepted", message(json!({"metadata": {"inside": keys(10_000)}}))),
        ("200 keys", "accepted", message(json!({"metadata": keys(200)}))),
        ("a key of 300,000 bytes", "accepted", message(json!({"metadata": {"k".repeat(300_000): 1}}))),
        ("a million letters", "accepted", message(json!({"text": "x".repeat(1_000_000)}))),
        ("half a million accents", "accepted", message(json!({"text": "é".repeat(500_000)}))),
        ("emoji over every seam", "accepted", message(json!({"text": format!("x{}", "👋".repeat(250_000))}))),
        ("nothing but escapes", "accepted", message(json!({"text": "\u{1}".repeat(170_000)}))),
        ("quotes and backslashes", "accepted", message(json!({"text": "\"\\".repeat(250_000)}))),
        ("100 attachments", "accepted", message(json!({"attachments": vec!["x".repeat(10_000); 100]}))),
        ("101 attachments", "too_many", message(json!({"attachments": vec![CANARY; 101]}))),
        ("numbers of 309 digits", "accepted", message(json!({"entities": vec![vec![f64::MAX; 400]; 100]}))),
        ("filled to the limit", "accepted", full),
        ("one byte over the limit", "too_large", over),
        ("a number of 900,000 digits", "invalid_json", {
            message(json!({"metadata": {"n": "here"}})).replace("\"here\"", &"9".repeat(900_000))
        }),
        ("a fraction of 900,000 digits", "accepted", {
            message(json!({"metadata": {"n": "here"}})).replace("\"here\"", &format!("0.{}", "3".repeat(900_000)))
        }),
    ]
}
