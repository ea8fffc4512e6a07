//! From a request to its reply: `get_context` of short and long conversations, while messages come in.

use std::{collections::BTreeMap, time::Duration};

use anyhow::ensure;
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::{
    backlog::{self, ONE_BY_ONE, PER_RECEIVE, Shape, WARM_UP},
    kept,
    null::{NullAws, Receive},
    part::Found,
    path::Path,
    plot::{Chart, Row, shown},
    process::{self, RUN},
    spread::Spread,
};

/// How long requests are asked, by the number of receives.
const ASKED: usize = 6_000;

/// Messages of the conversations that are asked for.
const LENGTHS: [usize; 3] = [10, 1_000, 50_000];

/// A receive comes this often: 1,000 deliveries a second.
const EVERY: Duration = Duration::from_millis(10);

/// A request comes with every tenth receive, so each conversation is asked for three times a second: more would wait for each
/// other, being of one group.
const ASKED_EVERY: usize = 10;

/// Where replies go.
const REPLIES: &str = "answers.fifo";

const REQUEST: &str = include_str!("../../tests/fixtures/events/get_context.json");

/// So many receives, some with a request in place of their last message.
fn receives(many: usize, shape: Shape, begins: chrono::DateTime<chrono::Utc>) -> Vec<Receive> {
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

/// How long each request took, by the length of its conversation, from the correlation ids that the server saw.
fn by_length(answered: &[(String, Duration)]) -> BTreeMap<usize, Vec<f64>> {
    let mut by_length: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (id, took) in answered {
        let length = id.split(' ').next().and_then(|length| length.parse().ok());
        by_length.entry(length.unwrap_or_default()).or_default().push(took.as_secs_f64() * 1e3);
    }
    by_length
}

/// Requests among messages.
///
/// # Errors
/// A request was not answered.
pub fn measure(aws: &NullAws) -> anyhow::Result<Found> {
    process::keep(aws, &LENGTHS)?;
    aws.hand_out(receives(ASKED, ONE_BY_ONE, chrono::Utc::now()), EVERY);
    let messages = (ASKED * PER_RECEIVE).to_string();
    let asked = [RUN, Path::Ours.name(), &WARM_UP.to_string(), &messages];
    process::child(aws, &asked, &[("CONVERSATIOND_REPLY_QUEUES", REPLIES)])?;
    let (replied, wanted) = (aws.replied(), ASKED.div_ceil(ASKED_EVERY));
    ensure!(replied.len() == wanted, "{} of {wanted} requests were answered", replied.len());
    let mut text =
        String::from("get_context, from the request's receipt to its reply, 1,000 deliveries a second meanwhile\n");
    text += &format!("  {:>10} {:>8} {:>10} {:>10}\n", "messages", "asked", "p50 ms", "p99 ms");
    let mut rows = Vec::new();
    for (length, mut took) in by_length(&replied) {
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took[((took.len() - 1) as f64 * part).round() as usize];
        text += &format!("  {length:>10} {:>8} {:>10.1} {:>10.1}\n", took.len(), at(0.5), at(0.99));
        let value = Spread { least: at(0.5), median: at(0.5), most: at(0.99) };
        rows.push(Row { label: format!("{} messages", shown(length as f64)), series: 0, value });
    }
    let chart = Chart {
        name: "answers",
        title: "get_context, from its receipt to its reply, by the conversation's length",
        unit: "ms",
        legend: "bar: half were answered by then; line: up to the 99th of a hundred",
        by_tens: false,
        series: &[],
        rows,
    };
    Ok(Found { text, charts: vec![chart] })
}
