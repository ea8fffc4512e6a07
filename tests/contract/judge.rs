//! The schemas and the decoder are asked about the same bodies, and must agree.
//!
//! The judge of the schemas is another program, Python's `jsonschema`: it also checks them against their meta-schema.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use conversationd::{
    domain::Sequence,
    event::{Event, Kind, Raw, Rejection, decode},
};
use serde_json::json;

use crate::{bodies, tools::verdicts};

/// What the decoder alone can say: a field's form is right, and its content is not.
const BEYOND_A_SCHEMA: [(&str, &[&str]); 4] = [
    (
        "no time",
        &["start", "start_date", "end", "end_date", "created_on", "due_at", "from", "to", "deadline", "occurred_at"],
    ),
    ("no UUID", &["classified_conversation_id", "close_conversation_id", "due_conversation_id"]),
    ("no time zone", &["timezone"]),
    (
        "digits out of range",
        &["ttl", "close_policy.idle_seconds", "close_policy.max_age_seconds", "close_policy.grace_seconds"],
    ),
];

fn decoded(body: &str) -> Result<Event, Rejection> {
    let attributes = BTreeMap::new();
    let sent_at = DateTime::UNIX_EPOCH;
    decode(&Raw { body, attributes: &attributes, sent_at, sequence: Sequence(1), group_id: "g" })
}

#[test]
fn a_body_is_accepted_by_its_schema_if_and_only_if_the_decoder_takes_it() {
    let bodies = bodies::all();
    let asked: String = bodies
        .iter()
        .map(|body| format!("{}\n", json!({"schema": body.schema, "body": body.value.to_string()})))
        .collect();
    let verdicts = verdicts(&asked);
    assert_eq!(verdicts.lines().count(), bodies.len());

    let (mut faults, mut beyond) = (Vec::new(), BTreeSet::new());
    let (mut accepted, mut rejected) = (0, 0);
    for (body, verdict) in bodies.iter().zip(verdicts.lines()) {
        let decoded = decoded(&body.value.to_string());
        let shown = || format!("{}: {:?}\n{}", body.schema, decoded.as_ref().err(), shortened(&body.value.to_string()));
        match (verdict, &decoded) {
            // without a key it is a message, of which another schema speaks
            ("0", Ok(Event { kind: Kind::Message(_), .. })) if body.schema == "message.scored" => {}
            ("1", Ok(_)) => accepted += 1,
            ("0", Err(_)) => rejected += 1,
            ("0", Ok(_)) if body.second_name => {}
            ("1", Err(rejection)) => {
                let field = rejection.field.as_deref().unwrap_or_default();
                match BEYOND_A_SCHEMA.iter().find(|(_, fields)| fields.contains(&field)) {
                    Some((why, _)) => drop(beyond.insert(*why)),
                    None => faults.push(format!("only the schema accepts {}", shown())),
                }
            }
            _ => faults.push(format!("only the decoder accepts {}", shown())),
        }
    }
    let all: usize = faults.len();
    faults.truncate(20);
    assert!(faults.is_empty(), "{all} faults:\n{}", faults.join("\n"));
    assert_eq!(beyond.len(), BEYOND_A_SCHEMA.len(), "excuses that nothing needs any more; needed: {beyond:?}");
    println!("{accepted} accepted, {rejected} rejected by both");
    assert!(accepted > 2_000 && rejected > 2_000, "{accepted} accepted, {rejected} rejected: too few to tell");
}

fn shortened(text: &str) -> String {
    text.chars().take(700).collect()
}
