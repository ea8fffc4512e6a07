//! Requests among the events of the simulated days, and what must be true of their answers.
//!
//! A question stands in its thread's group, so everything sent there before it has been handled when it is answered. Messages
//! that were sent again or went through the dead-letter queue are left out: their place is somebody else's doing.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use conversationd::domain::{ConversationId, EventId, Thread};
use serde_json::{Value, json};

use super::{
    checker::{Published, Violation},
    rng::Rng,
    scenario,
    world::{State, World},
};

/// Who must be told nothing.
const FOREIGN: &str = "another project";

/// A question, by the id of its event.
struct Asked {
    body: String,
    name: &'static str,
    /// Of a project that has no such thread.
    foreign: bool,
    /// The conversation it names.
    conversation: Option<ConversationId>,
    /// By nothing else: then an open one is not found.
    alone: bool,
    /// The thread's messages that were sent before it.
    before: usize,
    contact: usize,
    /// What the thread's variable was last set to before it, and by which event.
    variable: Option<(u64, EventId)>,
}

/// All that were asked.
#[derive(Default)]
pub struct Questions {
    asked: BTreeMap<String, Asked>,
    /// What each thread's variable was last set to.
    set: BTreeMap<usize, (u64, EventId)>,
}

impl Questions {
    /// A body was sent for the first time.
    pub fn sent(&mut self, contact: usize, body: &str) {
        let body: Value = serde_json::from_str(body).expect("JSON");
        if body["event_type"] == "state.set" {
            let correlation = body["correlation_id"].as_str().expect("an id");
            let event = EventId::derive(&scenario::thread(contact as u64).key(), "state.set", correlation);
            let value = body["data"]["state_value"].as_u64().expect("a number");
            self.set.insert(contact, (value, event));
        }
    }
}

/// Somebody asks, right behind what was sent to the group before.
pub fn ask(world: &World, group: &str, rng: &mut Rng, sends: &mut u64, contact: usize, published: &mut Published) {
    let thread = scenario::thread(contact as u64);
    let foreign = rng.chance(250);
    let project = if foreign { FOREIGN.to_owned() } else { thread.project.clone() };
    let head = world.state().hot.heads.get(&thread.key()).map(|head| head.conversation.record().id);
    let (name, conversation) = match (rng.below(4), head) {
        (0, _) => ("get_state", None),
        (1 | 2, Some(id)) => ("get_conversation", Some(id)),
        _ => ("get_context", None),
    };
    let mut data = json!({ "project_uuid": project, "contact_urn": thread.contact, "channel_uuid": thread.channel });
    let mut alone = false;
    if let Some(id) = conversation {
        data["conversation_id"] = json!(id);
        alone = rng.chance(300);
        if alone {
            data["channel_uuid"] = Value::Null;
        }
    }
    if rng.chance(200) {
        data["deadline"] = json!(world.server_time() + TimeDelta::milliseconds(rng.below(20_000) as i64));
    }
    let correlation = format!("question {}", published.questions.asked.len());
    let body = json!({ "event_type": name, "correlation_id": correlation, "reply_to": "answers.fifo", "data": data });
    // the thread is the one the decoder reads
    let asked_in = match conversation.filter(|_| alone) {
        Some(id) => Thread { contact: None, channel: None, conversation: Some(id.to_string()), ..thread },
        None => thread,
    };
    let id = EventId::derive(&Thread { project, ..asked_in }.key(), name, &correlation).to_string();
    let body = body.to_string();
    scenario::send(world, group, sends, body.clone());
    let (before, variable) = (published.threads[contact].len(), published.questions.set.get(&contact).copied());
    let asked = Asked { body, name, foreign, conversation, alone, before, contact, variable };
    published.questions.asked.insert(id, asked);
    world.state().saw(if foreign { "a foreign project asked" } else { "somebody asked" });
}

/// Checks all answers.
pub fn check(state: &State, published: &Published) -> Vec<Violation> {
    let mut violations = BTreeSet::new();
    let places: BTreeMap<EventId, ConversationId> =
        state.archive.messages.iter().map(|(id, event)| (*event, *id)).collect();
    for reply in &state.replies {
        let Some(asked) = published.questions.asked.get(&reply.dedup_id) else {
            violations.insert(Violation::I14AskedOnce); // nobody asked
            continue;
        };
        let answer: Value = serde_json::from_str(&reply.body).expect("JSON");
        let told = matches!(answer["status"].as_str(), Some("ok"));
        let project = &answer["data"]["project_uuid"];
        let foreign = asked.foreign && told || !project.is_null() && *project != scenario::thread(0).project;
        if foreign || reply.queue.url != "https://sqs.model/1/answers.fifo" {
            violations.insert(Violation::I13Foreign);
        }
        if !asked.foreign && stale(state, published, asked, &answer, &places) {
            violations.insert(Violation::I12Stale);
        }
    }
    for (id, attempts) in &state.reply_attempts {
        let received = published.questions.asked.get(id).and_then(|asked| state.sqs.asked.get(asked.body.as_str()));
        if received.is_none_or(|received| attempts > received) {
            violations.insert(Violation::I14AskedOnce);
        }
    }
    violations.into_iter().collect()
}

/// Whether an answer does not know of what stood before its question.
fn stale(
    state: &State,
    published: &Published,
    asked: &Asked,
    answer: &Value,
    places: &BTreeMap<EventId, ConversationId>,
) -> bool {
    let status = answer["status"].as_str().expect("a status");
    let order = |id: &ConversationId| state.hot.order.iter().position(|opened| opened == id);
    let sent = &published.threads[asked.contact][..asked.before];
    let sent: Vec<(EventId, ConversationId)> = sent
        .iter()
        .filter(|event| !published.again.contains(event))
        .filter_map(|event| Some((*event, *places.get(event)?)))
        .collect();
    let named = asked.conversation;
    let of_named = sent.iter().any(|(_, place)| named.is_none_or(|named| named == *place));
    match status {
        "not_found" => return of_named && !asked.alone,
        "ok" => {}
        _ => return false,
    }
    let about = answer["data"]["conversation_id"].as_str().and_then(|id| id.parse().ok()).map(ConversationId);
    let about = about.expect("a conversation");
    if named.is_some_and(|named| named != about) {
        return true;
    }
    // an answer that was given late may be about a later conversation, never about an earlier one
    if named.is_none() && sent.iter().any(|(_, place)| order(place) > order(&about)) {
        return true;
    }
    if asked.name == "get_state" {
        let told = answer["data"]["state"].as_array().expect("variables").first();
        let told = told.and_then(|variable| variable["state_value"].as_u64());
        let set = asked.variable.filter(|(_, event)| !published.again.contains(event));
        return told.zip(set).is_some_and(|(told, (set, _))| told < set);
    }
    let told: BTreeSet<&str> = answer["data"]["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .filter_map(|message| message["event_id"].as_str())
        .collect();
    sent.iter().any(|(event, place)| *place == about && !told.contains(event.to_string().as_str()))
}
