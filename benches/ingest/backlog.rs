//! A queue full of chat messages: the events of the tests' fixtures, made over for many threads.

use chrono::{DateTime, SecondsFormat};
use hyper::body::Bytes;
use md5::{Digest, Md5};
use serde_json::{Value, json};
use uuid::Uuid;

const RECEIVED: &str = include_str!("../../tests/fixtures/events/message_received.json");
const SENT: &str = include_str!("../../tests/fixtures/events/message_sent.json");

/// Threads are spread over so many projects.
const PROJECTS: usize = 20;

/// Messages one receive brings.
pub const PER_RECEIVE: usize = 10;

/// Time between two messages of a backlog.
const APART_MILLIS: i64 = 5;

/// SQS gives every message a number of about this size.
const FIRST_SEQUENCE: u128 = 18_882_245_240_547_823_616;

/// Whose messages a backlog holds, and in which order they come.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its name.
    pub name: &'static str,
    /// Threads that speak by turns.
    pub threads: usize,
    /// Messages of each thread, all told; a multiple of `run`.
    pub per_thread: usize,
    /// Messages of one thread in a row.
    pub run: usize,
}

/// The first message of 500 threads, then the second of each, and so on: nothing to gain from a thread's messages coming
/// together. The last line is of this shape. The threads are as many as a daemon holds deliveries of, so that none speaks
/// while it is being heard.
pub const ONE_BY_ONE: Shape = Shape { name: "one message of a thread at a time", threads: 500, per_thread: 10, run: 1 };

/// What SQS makes of a backlog: it returns as many messages of one group together as it can.
pub const IN_RUNS: Shape = Shape { name: "five messages of a thread in a row", run: 5, ..ONE_BY_ONE };

/// Of every run, so many come before the measurement: what is loaded once is loaded then.
pub const WARM_UP: usize = ONE_BY_ONE.generation();

impl Shape {
    /// When so many messages have come, all their threads have said everything, and others begin.
    pub const fn generation(&self) -> usize {
        self.threads * self.per_thread
    }
}

/// The answers to the receives that empty a queue of `messages` (a multiple of ten), the first sent at `begins`.
///
/// Every thread has as many messages as its shape says, from both sides in turn, and comes round again only after all others
/// of its generation. So every generation costs the same: of ten messages a thread, a tenth open a conversation.
pub fn receives(messages: usize, shape: Shape, begins: DateTime<chrono::Utc>) -> Vec<Bytes> {
    let (received, sent) = (fixture(RECEIVED), fixture(SENT));
    let answer = |first: usize| {
        let delivery = |n: usize| {
            let (generation, place) = (n / shape.generation(), n % shape.generation());
            let thread = generation * shape.threads + place / shape.run % shape.threads;
            let of_thread = place / (shape.run * shape.threads) * shape.run + n % shape.run;
            let event = if of_thread.is_multiple_of(2) { &received } else { &sent };
            self::delivery(event.clone(), n, thread, begins.timestamp_millis() + n as i64 * APART_MILLIS)
        };
        let deliveries: Vec<Value> = (first..first + PER_RECEIVE).map(delivery).collect();
        Bytes::from(json!({ "Messages": deliveries }).to_string())
    };
    (0..messages).step_by(PER_RECEIVE).map(answer).collect()
}

fn fixture(body: &str) -> Value {
    serde_json::from_str(body).expect("a fixture is JSON")
}

fn delivery(mut event: Value, n: usize, thread: usize, at_millis: i64) -> Value {
    let at = DateTime::from_timestamp_millis(at_millis).expect("in range");
    let (project, contact) = (id("project", thread % PROJECTS), format!("whatsapp:+55119{thread:08}"));
    event["correlation_id"] = json!(id("event", n));
    let fields = &mut event["data"];
    fields["project_uuid"] = json!(project);
    fields["contact_urn"] = json!(contact);
    let channel = fields["channel_uuid"].as_str().expect("a channel").to_owned();
    let message = &mut fields["message"];
    match message.get("id") {
        Some(_) => message["id"] = json!(format!("wamid.{}", id("message", n).simple())),
        None => message["message_id"] = json!(n),
    }
    message["created_at"] = json!(at.to_rfc3339_opts(SecondsFormat::Millis, true));
    let body = event.to_string();
    json!({
        "MessageId": id("delivery", n),
        // as long as those of SQS
        "ReceiptHandle": format!("AQEB{:=<404}", id("receipt", n).simple()),
        "MD5OfBody": format!("{:032x}", u128::from_be_bytes(Md5::digest(body.as_bytes()).into())),
        "Body": body,
        "Attributes": {
            "SentTimestamp": at_millis.to_string(),
            "ApproximateReceiveCount": "1",
            "SequenceNumber": (FIRST_SEQUENCE + n as u128).to_string(),
            "MessageGroupId": format!("{project}:{channel}:{contact}"),
        },
    })
}

/// The same every time: two runs see the same messages.
fn id(of: &str, n: usize) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{of} {n}").as_bytes())
}
