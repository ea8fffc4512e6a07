//! Somebody who asks the daemon of a story, with a reply queue of their own.

use std::{sync::Mutex, time::Instant};

use aws_sdk_sqs::{
    Client,
    types::{Message, MessageSystemAttributeName, QueueAttributeName as Attribute},
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::{
    events::{Event, Thread},
    queues,
    stack::Stack,
    tools,
};

/// A story with a queue for answers.
pub struct Asker {
    pub stack: Stack,
    /// The reply queue's name.
    pub replies: String,
    url: String,
    /// Every reply that came.
    seen: Mutex<Vec<String>>,
}

impl Asker {
    /// A story's corner of the stack with these settings, and a standard reply queue.
    pub async fn new(name: &str, settings: &[(&str, &str)]) -> Self {
        Self::by(name, "", settings).await
    }

    /// The same with a FIFO reply queue.
    pub async fn by_fifo(name: &str) -> Self {
        Self::by(name, ".fifo", &[]).await
    }

    async fn by(name: &str, suffix: &str, settings: &[(&str, &str)]) -> Self {
        let mut all = vec![("CONVERSATIOND_REPLY_QUEUES", "it-ask-*")];
        all.extend_from_slice(settings);
        let stack = Stack::with(name, &all).await;
        let replies = format!("it-ask-{}{suffix}", Uuid::now_v7().simple());
        let call = stack.sqs().create_queue().queue_name(&replies);
        let call = if suffix.is_empty() { call } else { call.attributes(Attribute::FifoQueue, "true") };
        let made = call.send().await.expect("a queue");
        Self { stack, replies, url: made.queue_url.expect("its URL"), seen: Mutex::default() }
    }

    /// The request as an event of its thread's group.
    pub fn request(&self, thread: &Thread, name: &str, id: &str, fields: Value) -> Event {
        let mut event: Value = serde_json::from_str(&thread.event(name, fields).body).expect("JSON");
        event["reply_to"] = json!(self.replies);
        event["correlation_id"] = json!(id);
        Event::raw(thread, event.to_string())
    }

    /// Asks, handles everything, and takes the answer.
    pub async fn asks(&self, thread: &Thread, name: &str, fields: Value) -> Value {
        let id = Uuid::now_v7().to_string();
        self.stack.publish(&[self.request(thread, name, &id, fields)]).await;
        self.stack.settle().await;
        self.answer(&id).await
    }

    /// Takes the answer to one question, and drops those to others before it.
    pub async fn answer(&self, id: &str) -> Value {
        loop {
            let body = body(&self.next().await);
            if body["correlation_id"] == id {
                return body;
            }
        }
    }

    /// The next reply, whoever asked.
    pub async fn next(&self) -> Message {
        let reply = next(self.stack.sqs(), &self.url).await;
        self.seen.lock().expect("lock").push(reply.body.clone().expect("a body"));
        reply
    }

    /// How many replies wait.
    pub async fn waiting(&self) -> usize {
        queues::depth(self.stack.sqs(), &self.url).await.visible
    }

    /// The end of the story; every reply was what the contract says.
    pub async fn done(self) {
        let seen = self.seen.into_inner().expect("lock");
        spawn_blocking(move || tools::assert_replies(&seen)).await.expect("replies as the contract has them");
        self.stack.sqs().delete_queue().queue_url(&self.url).send().await.expect("the queue goes");
        self.stack.done().await;
    }
}

/// Takes the next reply.
async fn next(sqs: &Client, url: &str) -> Message {
    let began = Instant::now();
    loop {
        let call = sqs.receive_message().queue_url(url).wait_time_seconds(1);
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
        let got = call.send().await.expect("a receive");
        if let Some(message) = got.messages.unwrap_or_default().pop() {
            let handle = message.receipt_handle.as_deref().expect("a handle");
            sqs.delete_message().queue_url(url).receipt_handle(handle).send().await.expect("it goes");
            return message;
        }
        assert!(began.elapsed().as_secs() < 30, "no answer");
    }
}

/// What a reply says.
pub fn body(reply: &Message) -> Value {
    serde_json::from_str(reply.body.as_deref().expect("a body")).expect("JSON")
}

/// What is said in the messages of an answer.
pub fn texts(answer: &Value) -> Vec<&str> {
    let messages = answer["data"]["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["text"].as_str().expect("a text")).collect()
}
