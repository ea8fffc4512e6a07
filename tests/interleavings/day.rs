//! A thread's day, drawn: what is published.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    domain::Sequence,
    queue::{Delivery, Receipt},
};
use serde_json::{Value, json};

use crate::model::{rng::Rng, scenario::thread};

/// Pauses between two events, in milliseconds: none, within the grace, past it, past the idle time.
const PAUSES: [u64; 6] = [1, 1_000, 3_000, 8_000, 14_000, 70_000];

/// Deliveries in the order in which the queue took them.
pub struct Day {
    pub deliveries: Vec<Delivery>,
}

impl Day {
    /// So many events.
    pub fn drawn(rng: &mut Rng, events: usize) -> Self {
        let mut now = DateTime::from_timestamp(1_795_240_800, 0).expect("in range");
        let one = |n| {
            now += TimeDelta::milliseconds(PAUSES[rng.below(PAUSES.len() as u64) as usize] as i64);
            delivery((n as u128 + 1) * 1000, drawn(rng, n, now), now)
        };
        Self { deliveries: (0..events).map(one).collect() }
    }
}

/// A delivery at a place of its own in the group.
pub fn delivery(place: u128, body: String, sent_at: DateTime<Utc>) -> Delivery {
    Delivery {
        message_id: place.to_string(),
        receipt: Receipt(place.to_string().into()),
        group_id: "group".into(),
        sequence: Sequence(place),
        sent_at,
        receive_count: 1,
        body: body.into(),
        attributes: Default::default(),
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.deliveries.iter().enumerate().try_for_each(|(n, delivery)| {
            writeln!(f, "{n:>3} {} {}", delivery.sent_at.format("%H:%M:%S%.3f"), delivery.body)
        })
    }
}

/// The `n`-th thing that happens.
fn drawn(rng: &mut Rng, n: usize, now: DateTime<Utc>) -> String {
    let ago = |rng: &mut Rng| now - TimeDelta::seconds(if rng.chance(300) { rng.below(40) as i64 } else { 0 });
    let (kind, fields) = match rng.below(20) {
        0..=7 => {
            let message = json!({ "id": n.to_string(), "text": "olá", "created_at": ago(rng) });
            ("message.received", json!({ "message": message }))
        }
        8 | 9 => ("survey.nps", json!({ "value": rng.below(11), "created_at": ago(rng) })),
        10 | 11 => ("conversation.update", json!({ "title": format!("title {n}") })),
        12 => ("state.delete", variable(rng)),
        13 | 14 => {
            let mut set = variable(rng);
            (set["state_value"], set["carry_over"]) = (json!(n), json!(rng.chance(300)));
            ("state.set", set)
        }
        15 => {
            let (start, end) = (ago(rng), now + TimeDelta::seconds(rng.below(60) as i64));
            ("conversation.window", json!({ "external_id": n.to_string(), "start": start, "end": end }))
        }
        16 => {
            let ticket = format!("ticket {n}");
            ("conversation.window", json!({ "ticket_uuid": ticket, "created_on": ago(rng) }))
        }
        17 => ("session.opened", json!({ "session_id": rng.below(2).to_string() })),
        18 => ("session.closed", json!({ "session_id": rng.below(2).to_string() })),
        _ => ("conversation.close", json!({ "resolution": rng.below(3) })),
    };
    let thread = thread(0);
    let mut data = json!({
        "project_uuid": thread.project, "contact_urn": thread.contact, "channel_uuid": thread.channel,
    });
    if let (Some(data), Value::Object(fields)) = (data.as_object_mut(), fields) {
        data.extend(fields);
    }
    json!({ "event_type": kind, "correlation_id": n.to_string(), "data": data }).to_string()
}

fn variable(rng: &mut Rng) -> Value {
    json!({ "state_type": "flow", "state_key": rng.below(2).to_string() })
}
