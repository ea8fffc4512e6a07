//! One question on its way: the reply queue, the sending, the waiting, and the clearing away.

use std::time::Duration;

use anyhow::Context;
use aws_sdk_sqs::types::{Message, QueueAttributeName as Attribute};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::queue::SqsClients;

/// How long a poll waits (SQS's limit).
pub(super) const WAIT: Duration = Duration::from_secs(20);

/// SQS says that a new queue can be used after a second; a reply sent earlier may find none, and is sent once.
const NEW_QUEUE: Duration = Duration::from_secs(1);

/// What is left in a queue that could not be removed goes after this many seconds (60 at least).
const RETENTION: &str = "300";

/// A question that has a reply queue.
pub(super) struct Errand {
    sqs: SqsClients,
    replies: String,
    /// It was made for this, and goes with it.
    own: bool,
}

impl Errand {
    /// Makes the reply queue `name`, or finds it beside the inbound queue at `inbound` when it is not to be this one's own.
    pub(super) async fn prepare(sqs: SqsClients, inbound: &str, name: &str, own: bool) -> anyhow::Result<Self> {
        if !own {
            let beside = inbound.rsplit_once('/').map_or("", |(beside, _)| beside);
            return Ok(Self { sqs, replies: format!("{beside}/{name}"), own });
        }
        let made = sqs.control.create_queue().queue_name(name).attributes(Attribute::MessageRetentionPeriod, RETENTION);
        let made = made.send().await.context(
            "a reply queue cannot be made: it takes sqs:CreateQueue, or --reply-queue with the name of one that stands",
        )?;
        let errand = Self { sqs, replies: made.queue_url.unwrap_or_default(), own };
        sleep(NEW_QUEUE).await;
        Ok(errand)
    }

    /// Sends the question.
    pub(super) async fn send(&self, url: &str, group: &str, id: &str, body: &str) -> anyhow::Result<()> {
        let call = self.sqs.control.send_message().queue_url(url).message_body(body);
        let call = match url.ends_with(".fifo") {
            true => call.message_group_id(group).message_deduplication_id(id),
            false => call,
        };
        call.send().await.map(|_| ()).context("nothing was asked; `conversationd doctor` says more")
    }

    /// Waits for the answer to `id`, `patience` at most. Replies to others, in a queue that is shared, are left there.
    pub(super) async fn wait(&self, id: &str, patience: Duration) -> anyhow::Result<Option<Value>> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let wait = i32::try_from(left.min(WAIT).as_secs()).unwrap_or_default();
            let poll = self.sqs.poll.receive_message().queue_url(&self.replies).max_number_of_messages(10);
            let got = poll.wait_time_seconds(wait).send().await.context("the reply queue cannot be read")?;
            let mut answer = None;
            for message in got.messages.unwrap_or_default() {
                let reply = message.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok());
                match reply.filter(|reply| reply["correlation_id"] == id) {
                    Some(reply) => {
                        answer = Some(reply);
                        self.settle(&message).await;
                    }
                    None => self.leave(&message).await,
                }
            }
            if answer.is_some() {
                return Ok(answer);
            }
            if wait == 0 {
                sleep(left).await;
            }
        }
    }

    async fn settle(&self, message: &Message) {
        if !self.own {
            let handle = message.receipt_handle.clone().unwrap_or_default();
            // it comes to another reader, who does not know it
            let _ = self.sqs.control.delete_message().queue_url(&self.replies).receipt_handle(handle).send().await;
        }
    }

    async fn leave(&self, message: &Message) {
        let handle = message.receipt_handle.clone().unwrap_or_default();
        let call = self.sqs.control.change_message_visibility().queue_url(&self.replies).receipt_handle(handle);
        // else it is seen again a little later
        let _ = call.visibility_timeout(0).send().await;
    }

    /// Removes the reply queue, if it was made for this.
    pub(super) async fn end(self) {
        if self.own && self.sqs.control.delete_queue().queue_url(&self.replies).send().await.is_err() {
            eprintln!("conversationd: the reply queue could not be removed: {}", self.replies);
        }
    }
}
