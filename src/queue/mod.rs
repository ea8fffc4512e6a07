//! SQS FIFO: what a delivery is and how it is settled.
//!
//! [`Queue`] is the edge (SQS, or a model of it); [`Inbox`] is how the house uses it, with deletes sharing calls.

mod dead_letter;
mod fifo_id;
mod leases;
mod replies;
mod senders;
mod sqs;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

use crate::{
    coalesce::{Batching, Coalescer},
    domain::Sequence,
};

pub use dead_letter::{NOTE, Note, TRACE_HEADER};
pub use fifo_id::fifo_id;
pub use leases::{Asked, Leases};
pub use replies::{Reply, ReplyList, ReplyQueue, ReplyQueues, SqsReplies, Unnamed};
pub use senders::{SENDER, Senders};
pub use sqs::{SqsClients, SqsQueue};

/// Deliveries one receive returns at most, and entries of one batch call (SQS's limits).
pub const BATCH: usize = 10;

/// One receipt of one SQS message. Shares its body: a delivery is held by its group and by its turn at once.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// SQS's id of the message; a redrive changes it.
    pub message_id: String,
    /// Proof of this receipt: settles it while the visibility timeout lasts.
    pub receipt: Receipt,
    /// FIFO group.
    pub group_id: String,
    /// Place within the group.
    pub sequence: Sequence,
    /// When SQS took the message.
    pub sent_at: DateTime<Utc>,
    /// Receipts so far, this one included; whole batches are charged, tried or not (fact F7).
    pub receive_count: u32,
    /// The message.
    pub body: Arc<str>,
    /// Its string attributes; and the trace header that AWS keeps beside them, under [`TRACE_HEADER`], and if it was
    /// asked for, who sent it, under [`SENDER`].
    pub attributes: BTreeMap<String, String>,
}

/// A receipt handle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub Arc<str>);

/// How a delivery is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Its effect is durable: delete it.
    Ack,
    /// It can never be handled: keep it in the dead-letter queue with the reason, then delete it.
    Reject(DeadLetterReason),
}

/// Why a delivery is in the dead-letter queue, as its `x-dlq` attribute says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterReason {
    /// One word for machines.
    pub code: String,
    /// The field at fault, by our name for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// A sentence for people; quotes nothing that came from outside.
    pub reason: String,
}

/// Something to send into a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// FIFO group.
    pub group_id: String,
    /// Deduplication id: seen again within five minutes it is accepted and silently dropped (fact F13).
    pub dedup_id: String,
    /// The body.
    pub body: String,
    /// Its string attributes; few commands have any.
    pub attributes: BTreeMap<String, String>,
}

/// The edge: one call each.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Waits up to `wait` for deliveries, at most [`BATCH`]. Repeated with the same `attempt` after a lost answer, it returns
    /// the same deliveries again (fact F8).
    async fn receive(&self, attempt: Uuid, wait: Duration) -> Result<Vec<Delivery>, QueueError>;

    /// Deletes at most [`BATCH`] deliveries; each has its own result, in order. Deleting again is harmless.
    async fn delete(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>>;

    /// Sets how long at most [`BATCH`] deliveries stay hidden from now on, in one call.
    async fn hide(&self, receipts: Vec<(Receipt, Duration)>) -> Vec<Result<(), QueueError>>;

    /// Sends a command into the inbound queue.
    async fn send(&self, command: Command) -> Result<(), QueueError>;

    /// Copies a delivery into the dead-letter queue, same group, with the reason. Does not delete it.
    async fn dead_letter(&self, delivery: &Delivery, reason: &DeadLetterReason) -> Result<(), QueueError>;
}

/// Why the queue did not do it, or perhaps did.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum QueueError {
    /// The receipt has expired: somebody else may hold the delivery now, and will settle it.
    #[error("the lease on the delivery is lost")]
    LeaseLost,
    /// It cannot be reached, throttles, is not set up, or answered with a fault of its own: try again, and charge nobody.
    #[error("the queue is unavailable: {0}")]
    Unavailable(String),
    /// It refused the request as such: what is asked of it is wrong.
    #[error("the queue refused the request: {0}")]
    Refused(String),
}

/// What AWS answers when rights or credentials are not as they should be, without its suffixes.
const DENIED: [&str; 12] = [
    "AccessDenied",
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "KmsAccessDenied",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
];

impl QueueError {
    /// Whether rights or credentials are missing: a person has to mend that.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Unavailable(code) if DENIED.contains(&code.strip_suffix("Exception").unwrap_or(code)))
    }
}

/// Delete calls on their way at once.
const PARALLEL_DELETES: usize = 4;

/// The queue as pipeline and consumer use it.
pub struct Inbox {
    queue: Arc<dyn Queue>,
    deletes: Coalescer<Receipt, Result<(), QueueError>>,
}

impl Inbox {
    /// Puts the batching of deletes in front of `queue`. `linger` is how long a first delete waits for company.
    pub fn over(queue: Arc<dyn Queue>, linger: Duration) -> Self {
        let deleter = queue.clone();
        let batching = Batching { most: BATCH, linger, parallel: PARALLEL_DELETES };
        Self {
            queue,
            deletes: Coalescer::start(batching, move |receipts| {
                let queue = deleter.clone();
                async move { queue.delete(receipts).await }
            }),
        }
    }

    /// Deletes a delivery.
    pub async fn delete(&self, receipt: Receipt) -> Result<(), QueueError> {
        let unanswered = || Err(QueueError::Unavailable("the call ended without an answer".into()));
        self.deletes.ask(receipt).await.unwrap_or_else(unanswered)
    }

    /// The edge itself, for what is not batched here.
    pub fn edge(&self) -> &dyn Queue {
        self.queue.as_ref()
    }
}
