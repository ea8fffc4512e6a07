//! How a conversation ended, asked of an endpoint after it has closed: one more sink of `conversation.closed`, so that retries,
//! breaker, pause and attempts are the relay's, and neither the close nor the archive ever waits for it.
//!
//! It reads the transcript, asks, and sends what it heard into the thread's own group as `conversation.classified`; it writes
//! nothing. Texts go to the endpoint of the sinks file alone, and never into a log.

mod answer;
mod question;
mod transcript;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use tracing::debug;

use crate::{
    archive::{ArchiveReader, ConversationRow},
    config::{ClassifierTarget, Protocol, Secret},
    domain::{Classification, ConversationId, Notice},
    event,
    hot::HotStore,
    http::{Http, Outgoing},
    queue::{Command, Queue, QueueError, fifo_id},
    sink::{Dispatch, Outcome, Sink, Verdict},
};
use transcript::Told;

/// Answers that make no sense, before a conversation stays unclassified.
const TRIES: u32 = 3;

/// What a classifier reads, and where it sends what it heard.
#[derive(Clone)]
pub struct Stores {
    /// The archive, over connections that no close needs; not a replica, which may not have the conversation yet.
    pub archive: Arc<dyn ArchiveReader>,
    /// Which group a thread is in.
    pub hot: Arc<dyn HotStore>,
    /// The inbound queue.
    pub queue: Arc<dyn Queue>,
}

/// The sink.
pub struct Classifier {
    target: ClassifierTarget,
    stores: Stores,
    http: Arc<Http>,
}

/// Why a dispatch ends here: nothing is left to ask, or it did not work.
type Ends<T> = Result<T, Verdict>;

impl Classifier {
    /// A classifier at `target`. Connects to nothing yet.
    pub fn new(target: &ClassifierTarget, stores: Stores, http: Arc<Http>) -> Self {
        Self { target: target.clone(), stores, http }
    }

    async fn classify(&self, notice: &Notice) -> Ends<Verdict> {
        let row = self.to_be_asked(notice).await?;
        let told = Told::of(self.stores.archive.as_ref(), &row, self.target.messages).await;
        let told = told.map_err(|_| again("the archive cannot be read"))?;
        if told.is_empty() {
            return Ok(passed("nothing was said in it"));
        }
        debug!(messages = told.count(), left_out = told.left_out(), "a classifier is asked");
        let heard = self.ask(notice, &row, &told).await?;
        self.send(&row, heard).await?;
        Ok(Verdict::delivered(Some(200)))
    }

    /// The conversation, if it is still unknown how it ended: a notice may wait for days, or come again.
    async fn to_be_asked(&self, notice: &Notice) -> Ends<ConversationRow> {
        let (Some(project), Some(id), true) = (&notice.project, notice.conversation, notice.awaits_resolution()) else {
            return Err(passed("nobody is to be asked: how it ended was said"));
        };
        let found = self.stores.archive.find(project, id).await.map_err(|_| again("the archive cannot be read"))?;
        match found {
            Some(row) if row.erased_at.is_some() => Err(passed("its person was erased")),
            Some(row) if is_open_question(&row) => Ok(row),
            Some(_) => Err(passed("how it ended is known by now")),
            None => Err(passed("the archive does not have it any more")),
        }
    }

    async fn ask(&self, notice: &Notice, row: &ConversationRow, told: &Told) -> Ends<answer::Heard> {
        let body = match &self.target.protocol {
            Protocol::Plain => question::plain(row, told),
            Protocol::OpenAi { model } => question::chat(row, told, model),
        };
        let none = || Verdict::failed(Outcome::Misconfigured, None, "the token is not where it should be");
        let token = self.target.token.as_ref().map(|token| token.read().ok_or_else(none)).transpose()?;
        let mut outgoing = Outgoing::json(&self.target.url, token.as_ref().map(Secret::reveal), &body);
        outgoing.headers.push(("idempotency-key", format!("evt_{}", notice.id.0.simple())));
        let answered = self.http.send(outgoing).await;
        let verdict = Verdict::of_http(&answered);
        match (verdict.outcome, answered) {
            (Outcome::Delivered, Ok(said)) => answer::read(&self.target.protocol, &said.body)
                .map_err(|wrong| Verdict::failed(Outcome::Refused { tries: TRIES }, Some(said.status), wrong)),
            _ => Err(verdict),
        }
    }

    /// Sends what was heard into the thread's group; the same again within five minutes is one.
    async fn send(&self, row: &ConversationRow, heard: answer::Heard) -> Ends<()> {
        let thread = row.thread();
        let answer::Heard { resolution, topic, subtopic } = heard;
        let classification = Classification { conversation: ConversationId(row.id), resolution, topic, subtopic };
        let head = self.stores.hot.heads(vec![thread.key()]).await.pop();
        let group_id = match head {
            Some(Ok(Some(head))) => head.group_id,
            // the hot store has forgotten the thread: no other group of it is left to get in the way of
            Some(Ok(None)) => fifo_id(&thread.group_name()),
            Some(Err(_)) | None => return Err(again("the hot store cannot be read")),
        };
        let command = Command {
            group_id,
            dedup_id: fifo_id(&format!("classified:{}", row.id)),
            body: event::classified::to_body(&thread, &classification),
            attributes: BTreeMap::new(),
        };
        match self.stores.queue.send(command).await {
            Ok(()) => Ok(()),
            Err(QueueError::Refused(_)) => {
                Err(Verdict::failed(Outcome::Refused { tries: TRIES }, None, "the queue does not take the answer"))
            }
            Err(_) => Err(again("the queue cannot be reached")),
        }
    }
}

#[async_trait]
impl Sink for Classifier {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        match self.classify(dispatch.notice).await {
            Ok(verdict) | Err(verdict) => verdict,
        }
    }
}

/// Whether nobody has said yet how a closed conversation ended.
fn is_open_question(row: &ConversationRow) -> bool {
    let unclassified = row.resolution.is_none_or(|resolution| resolution == i16::from(Classification::UNCLASSIFIED));
    row.closed_at.is_some() && unclassified && !row.has_chats_room
}

/// There is nothing to ask.
fn passed(why: &str) -> Verdict {
    Verdict { reason: Some(why.to_owned()), ..Verdict::delivered(None) }
}

fn again(why: &str) -> Verdict {
    Verdict::failed(Outcome::Retry { after: None }, None, why)
}
