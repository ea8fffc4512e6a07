//! A world with a daemon in it, and somebody who asks.

use std::{sync::Arc, time::Duration};

use conversationd::domain::{Head, Thread, ThreadKey};
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::model::{
    mutant::Mutant,
    replica::VISIBILITY,
    scenario::{ending, send, thread},
    world::{Faults, World},
};

/// The world.
pub struct House {
    pub world: Arc<World>,
    sends: u64,
}

impl House {
    pub fn new() -> Self {
        let world = World::new(1, Faults { longest_stall: 1, ..Faults::default() }, Mutant::Shipped, true);
        world.state().sqs.visibility = VISIBILITY;
        world.state().sqs.max_receive_count = 1000;
        world.state().sqs.locked = true;
        Self { world, sends: 0 }
    }

    /// A contact says something.
    pub fn says(&mut self, contact: u64, text: &str) {
        let thread = thread(contact);
        let body = json!({
            "event_type": "message.received",
            "correlation_id": format!("said {}", self.sends),
            "data": {
                "project_uuid": thread.project,
                "contact_urn": thread.contact,
                "channel_uuid": thread.channel,
                "message": { "id": self.sends.to_string(), "text": text, "created_at": self.world.server_time() },
            },
        });
        send(&self.world, &format!("group {contact}"), &mut self.sends, body.to_string());
    }

    /// Its conversation is closed.
    pub fn ends(&mut self, contact: u64) {
        let body = ending(&thread(contact), "conversation.close", self.sends);
        send(&self.world, &format!("group {contact}"), &mut self.sends, body);
    }

    /// Somebody asks, in a contact's group. Returns what the answer goes by.
    pub fn asks(&mut self, contact: u64, name: &str, data: Value) -> String {
        let id = format!("question-{}", self.sends);
        self.asks_as(
            contact,
            json!({"event_type": name, "correlation_id": id, "reply_to": "answers.fifo", "data": data}),
        );
        id
    }

    /// The same with the whole body as given.
    pub fn asks_as(&mut self, contact: u64, body: Value) {
        send(&self.world, &format!("group {contact}"), &mut self.sends, body.to_string());
    }

    /// Waits until the queue is empty.
    pub async fn rests(&self) {
        let began = self.world.elapsed();
        while !self.world.state().sqs.is_empty() {
            assert!(self.world.elapsed() - began < Duration::from_secs(3_600), "the queue never runs dry");
            sleep(Duration::from_millis(100)).await;
        }
        // what was acked may still be on its way out
        sleep(Duration::from_secs(1)).await;
    }

    /// The answer to a question.
    pub fn answer(&self, id: &str) -> Value {
        let state = self.world.state();
        let bodies = state.replies.iter().map(|reply| serde_json::from_str::<Value>(&reply.body).expect("JSON"));
        let mut answers: Vec<Value> = bodies.filter(|body| body["correlation_id"] == id).collect();
        assert_eq!(answers.len(), 1, "one answer to {id}: {:?}", state.replies);
        answers.remove(0)
    }

    /// Calls of one kind so far.
    pub fn calls(&self, what: &str) -> usize {
        let state = self.world.state();
        let lines = state.trace.lines.as_ref().expect("a trace");
        lines.iter().filter(|line| line.split_whitespace().nth(3) == Some(what)).count()
    }

    pub fn head(&self, contact: u64) -> Head {
        self.world.state().hot.heads.get(&thread(contact).key()).cloned().expect("a head")
    }

    pub fn dead(&self) -> Vec<String> {
        let dead = &self.world.state().sqs.dead;
        dead.iter()
            .map(|letter| letter.reason.as_ref().map_or_else(String::new, |reason| reason.code.clone()))
            .collect()
    }
}

/// The thread of a contact as a request names it, and more.
pub fn of(contact: u64, more: Value) -> Value {
    let Thread { project, contact, channel, .. } = thread(contact);
    let mut data = json!({"project_uuid": project, "contact_urn": contact, "channel_uuid": channel});
    merge(&mut data, &more);
    data
}

/// The project of all contacts, and more.
pub fn all(more: Value) -> Value {
    let mut data = json!({"project_uuid": thread(0).project});
    merge(&mut data, &more);
    data
}

fn merge(data: &mut Value, more: &Value) {
    let empty = Map::new();
    for (key, value) in more.as_object().unwrap_or(&empty) {
        data[key] = value.clone();
    }
}

/// What is said in the messages of an answer.
pub fn texts(answer: &Value) -> Vec<String> {
    let messages = answer["data"]["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["text"].as_str().expect("a text").to_owned()).collect()
}

pub fn key(contact: u64) -> ThreadKey {
    thread(contact).key()
}
