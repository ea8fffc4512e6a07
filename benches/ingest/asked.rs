//! From a request to its reply: `get_context` of short and long conversations, while messages come in.

use std::{collections::BTreeMap, time::Duration};

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{
    backlog::{self, PER_RECEIVE, Shape},
    kept,
    null::Receive,
};

/// Messages of the conversations that are asked for.
pub const LENGTHS: [usize; 3] = [10, 1_000, 50_000];

/// A receive comes this often: 1,000 deliveries a second.
pub const EVERY: Duration = Duration::from_millis(10);

/// A request comes with every tenth receive, so each conversation is asked for three times a second: more would wait for each
/// other, being of one group.
pub const ASKED_EVERY: usize = 10;

/// Where replies go.
pub const REPLIES: &str = "answers.fifo";

const REQUEST: &str = include_str!("../../tests/fixtures/events/get_context.json");

/// So many receives, some with a request in place of their last message.
pub fn receives(many: usize, shape: Shape, begins: chrono::DateTime<chrono::Utc>) -> Vec<Receive> {
    let bodies = backlog::receives(many * PER_RECEIVE, shape, begins);
    let mut asked = (0..).zip(LENGTHS.into_iter().cycle());
    let receive = |(n, body): (usize, Bytes)| {
        let Some((place, length)) = n.is_multiple_of(ASKED_EVERY).then(|| asked.next()).flatten() else {
            return Receive { body, asks: Vec::new() };
        };
        let id = format!("{length} {place}");
        let mut messages: Value = serde_json::from_slice(&body).expect("a receive");
        ask(&mut messages["Messages"][PER_RECEIVE - 1], length, &id);
        Receive { body: messages.to_string().into(), asks: vec![id] }
    };
    bodies.into_iter().enumerate().map(receive).collect()
}

fn ask(delivery: &mut Value, length: usize, id: &str) {
    let mut request: Value = serde_json::from_str(REQUEST).expect("a fixture is JSON");
    request["correlation_id"] = json!(id);
    request["reply_to"] = json!(REPLIES);
    request["deadline"] = Value::Null;
    request["data"]["contact_urn"] = json!(kept::contact(length));
    // what moves into a summary once is not asked of the next answer
    request["data"]["strategy"] = json!("token_buffer");
    request["data"]["include_state"] = json!(false);
    delivery["Body"] = json!(request.to_string());
    delivery["Attributes"]["MessageGroupId"] = json!(kept::contact(length));
}

/// The table of what the server saw: correlation ids, and how long each took.
pub fn report(answered: &[(String, Duration)]) -> String {
    let mut by_length: BTreeMap<usize, Vec<Duration>> = BTreeMap::new();
    for (id, took) in answered {
        let length = id.split(' ').next().and_then(|length| length.parse().ok());
        by_length.entry(length.unwrap_or_default()).or_default().push(*took);
    }
    let mut text =
        String::from("get_context, from the request's receipt to its reply, 1,000 deliveries a second meanwhile\n");
    text += &format!("  {:>10} {:>8} {:>10} {:>10}\n", "messages", "asked", "p50 ms", "p99 ms");
    for (length, mut took) in by_length {
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize].as_secs_f64() * 1e3;
        text += &format!("  {length:>10} {:>8} {:>10.1} {:>10.1}\n", took.len(), at(0.5), at(0.99));
    }
    text
}
