//! What happens besides messages: ratings, updates, variables, windows and takeovers; and what must be true of them at the end.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use conversationd::domain::{CloseReason, Conversation, EventId, Thread, ThreadKey};
use serde_json::{Value, json};

use super::{
    checker::{Published, Violation},
    rng::Rng,
    scenario,
    sqs::FIRST_SEQUENCE,
    world::{State, World},
};

/// What was published of it.
#[derive(Default)]
pub struct Life {
    /// Ratings, and the thread each was given in.
    ratings: BTreeMap<EventId, ThreadKey>,
    /// The variable of each thread: the last event that set it, and to what.
    variables: BTreeMap<ThreadKey, (u64, Value)>,
}

impl Life {
    /// A body was sent, for the first time or again.
    pub fn sent(&mut self, body: &str, number: Option<u64>) {
        let Ok(body) = serde_json::from_str::<Value>(body) else { return };
        let Some(thread) = thread_of(&body) else { return };
        let correlation = body["correlation_id"].as_str().unwrap_or_default();
        match (body["event_type"].as_str(), number) {
            (Some("survey.nps"), _) => {
                let event = EventId::derive(&thread, "rating:weni_nps", correlation);
                self.ratings.insert(event, thread);
            }
            (Some("state.set"), Some(number)) => {
                self.variables.insert(thread, (number, body["data"]["state_value"].clone()));
            }
            _ => {}
        }
    }
}

fn contact_of(thread: &Thread) -> Option<usize> {
    thread.contact.as_deref()?.strip_prefix("contact ")?.parse().ok()
}

fn thread_of(body: &Value) -> Option<ThreadKey> {
    let contact = body["data"]["contact_urn"].as_str()?.strip_prefix("contact ")?.parse().ok()?;
    Some(scenario::thread(contact).key())
}

/// Something happens in a thread after its `n`-th message.
pub fn publish(
    world: &World,
    group: &str,
    rng: &mut Rng,
    sends: &mut u64,
    thread: &Thread,
    n: u64,
    published: &mut Published,
) {
    let now = world.server_time();
    let soon = |rng: &mut Rng| now + TimeDelta::milliseconds(rng.below(60_000) as i64);
    let (kind, mut data) = match rng.below(6) {
        0 | 1 => ("survey.nps", json!({ "value": rng.below(11) })),
        2 => ("conversation.update", json!({ "title": format!("title {n}") })),
        3 => ("state.set", json!({ "state_type": "flow", "state_key": "step", "state_value": n })),
        4 => ("conversation.window", json!({ "external_id": n.to_string(), "start": now, "end": soon(rng) })),
        _ => ("conversation.window", json!({ "ticket_uuid": format!("ticket {n}"), "created_on": now })),
    };
    data["project_uuid"] = json!(thread.project);
    data["contact_urn"] = json!(thread.contact);
    data["channel_uuid"] = json!(thread.channel);
    let body = json!({ "event_type": kind, "correlation_id": format!("life {n}"), "data": data }).to_string();
    let number = scenario::send(world, group, sends, body.clone());
    published.life.sent(&body, number);
    if let Some(contact) = contact_of(thread) {
        published.questions.sent(contact, &body);
    }
    world.state().saw(match kind {
        "survey.nps" => "somebody rated",
        "state.set" => "a variable was set",
        "conversation.update" => "a conversation was updated",
        _ => "a window was given, or a person took over",
    });
}

/// Checks all of it.
pub fn check(state: &State, life: &Life) -> Vec<Violation> {
    let mut violations = Vec::new();
    let archive = &state.archive;
    let kept = |(event, thread): (&EventId, &ThreadKey)| match archive.ratings.get(event) {
        Some(Some(conversation)) => archive.threads.get(conversation) == Some(thread),
        Some(None) => true,
        None => false,
    };
    if !life.ratings.iter().all(kept) || archive.ratings.len() != life.ratings.len() {
        violations.push(Violation::I9Unrated);
    }
    let stands = |(thread, (number, value)): (&ThreadKey, &(u64, Value))| {
        let row = state.hot.rows.get(&(thread.as_str().to_owned(), "S#flow#step".to_owned()));
        row.is_some_and(|row| {
            let body: Value = serde_json::from_str(&row.body).unwrap_or_default();
            row.rank.0 == FIRST_SEQUENCE + u128::from(*number) && body["value"] == *value
        })
    };
    let known = |head: &conversationd::domain::Head| match &head.conversation {
        Conversation::Closed(closed) => {
            let kept = archive.details.get(&closed.record.id);
            kept.is_none_or(|kept| kept.changed_by >= closed.record.details.changed_by)
        }
        Conversation::Open(_) | Conversation::Closing(_) => true,
    };
    if !life.variables.iter().all(stands) || state.hot.overwritten || !state.hot.heads.values().all(known) {
        violations.push(Violation::I10Overwritten);
    }
    let taken_over = |(id, close): (&_, &conversationd::domain::Close)| {
        let details = archive.details.get(id).cloned().unwrap_or_default();
        close.resolution == Some(4) || close.reason != CloseReason::HumanTakeover && !details.has_chats_room
    };
    if !archive.closes.iter().all(taken_over) {
        violations.push(Violation::I11NotHandedOver);
    }
    violations
}
