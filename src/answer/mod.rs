//! Requests → answers: what is read for a question, and the one attempt to send what was found.
//!
//! An answer never fails its delivery: what cannot be read is told to whoever asks. Reads stay within the asker's project. The
//! only thing written is the summary on the head of a conversation, in its group's turn.

mod context;
mod conversation;
mod cursor;
mod figures;
mod found;
mod history;
mod links;
mod listing;
mod outcome;
mod permits;
mod schema;
mod state;
mod summariser;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use permits::Permits;
pub use schema::{reply_schema, schema_of_reply};
pub use summariser::{Endpoint, Summariser};

use self::outcome::{Outcome, Unanswered};
use crate::{
    archive::ArchiveReader,
    clock::Clock,
    context::{Counting, Line, Models, Role, Tokenizer},
    counters::Counters,
    domain::{Message, Tokens},
    event::{Event, Question, Rejection, Request},
    hot::Hot,
    queue::{Reply, ReplyList, ReplyQueues, fifo_id},
};

/// How long the one attempt to send a reply may take.
const SEND: Duration = Duration::from_secs(5);

/// How answers are limited.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long an answer may take when the asker sets no earlier deadline.
    pub patience: Duration,
    /// Bytes of a reply.
    pub bytes: usize,
    /// How long messages stay in the hot store: what is older stands in the archive only.
    pub hot_ttl: Duration,
}

/// Everything an answer needs besides the hot store.
pub struct Answers {
    /// Where replies go.
    pub replies: Arc<dyn ReplyQueues>,
    /// Which queues they may go to.
    pub list: ReplyList,
    /// The archive.
    pub archive: Arc<dyn ArchiveReader>,
    /// A replica of it, if there is one: figures are read there.
    pub replica: Option<Arc<dyn ArchiveReader>>,
    /// What is known of models.
    pub models: Models,
    /// Who counts a message's tokens when it is saved.
    pub tokenizer: Tokenizer,
    /// Who summarises.
    pub summariser: Summariser,
    /// The limits.
    pub limits: Limits,
    /// How many at once.
    pub permits: Permits,
    /// What happened so far.
    pub counters: Arc<Counters>,
    /// For deadlines.
    pub clock: Arc<dyn Clock>,
}

/// A question as it is being answered.
struct Asking<'a> {
    answers: &'a Answers,
    hot: &'a Hot,
    event: &'a Event,
    now: DateTime<Utc>,
    /// When the answer must be there.
    until: Instant,
    /// The group's turn, if the thread's group waits for the answer: every earlier event is seen, and the head may be written.
    turn: Option<Turn<'a>>,
}

/// Whether a turn's delivery is still ours: asked before its thread is written to.
pub type Turn<'a> = &'a (dyn Fn() -> bool + Sync);

impl Answers {
    /// Counts a message's tokens: so it is stored.
    pub fn count(&self, message: &mut Message) {
        let line = Line::new(Role::of(message.direction), message.text.as_str());
        let count = Counting::Lines(self.tokenizer).line(&line);
        message.tokens = Some(Tokens { tokenizer: self.tokenizer.name().into(), count });
    }

    /// Answers a request, once, within its time. `turn` is there when the thread's group waits for it.
    ///
    /// # Errors
    /// The answer is wanted where none may be sent; nothing was.
    pub async fn answer(
        &self,
        hot: &Hot,
        event: &Event,
        request: &Request,
        turn: Option<Turn<'_>>,
    ) -> Result<(), Rejection> {
        let queue = self.list.find(&request.reply_to).ok_or_else(Rejection::reply_not_allowed)?;
        self.counters.requests.add(1);
        let now = self.clock.now();
        let outcome = match request.deadline {
            Some(deadline) if deadline <= now => {
                self.counters.requests_expired.add(1);
                Outcome::expired()
            }
            deadline => {
                let left = deadline.and_then(|deadline| (deadline - now).to_std().ok());
                let patience = left.map_or(self.limits.patience, |left| left.min(self.limits.patience));
                let until = Instant::now() + patience;
                let asking = Asking { answers: self, hot, event, now, until, turn };
                let found = AssertUnwindSafe(asking.permitted(&request.question)).catch_unwind();
                let found = timeout_at(until, found).await;
                let found = found.unwrap_or(Ok(Err(Unanswered::Late))).unwrap_or(Err(Unanswered::Fault));
                found.unwrap_or_else(|why| self.unanswered(request, &why))
            }
        };
        let reply = Reply {
            queue,
            group_id: fifo_id(request.correlation_id.as_deref().unwrap_or(&event.id.to_string())),
            dedup_id: event.id.to_string(),
            body: outcome.into_body(request, self.limits.bytes),
        };
        match timeout_at(Instant::now() + SEND, self.replies.reply(reply)).await {
            Ok(Ok(())) => self.counters.replies.add(1),
            Ok(Err(failure)) => self.unsent(request, &failure.to_string()),
            Err(_) => self.unsent(request, "no answer in time"),
        }
        Ok(())
    }

    fn unanswered(&self, request: &Request, why: &Unanswered) -> Outcome {
        if why.is_ours() {
            self.counters.requests_failed.add(1);
            warn!(request = request.name(), error = %why, "a request could not be answered");
        }
        Outcome::unanswered(request, why)
    }

    fn unsent(&self, request: &Request, why: &str) {
        self.counters.replies_lost.add(1);
        warn!(request = request.name(), error = why, "a reply could not be sent; it is not tried again");
    }
}

impl Asking<'_> {
    async fn permitted(&self, question: &Question) -> Result<Outcome, Unanswered> {
        let _permit = self.answers.permits.take(question).await?;
        match question {
            Question::Context(wanted) => self.context(wanted).await,
            Question::Conversation(wanted) => self.conversation(wanted).await,
            Question::Conversations(wanted) => self.conversations(wanted).await,
            Question::State(wanted) => self.state(wanted).await,
            Question::Stats(wanted) => self.stats(wanted).await,
            Question::CrmLink(wanted) => self.link(wanted).await,
            Question::CrmLinks(wanted) => self.links(wanted).await,
        }
    }

    fn project(&self) -> &str {
        &self.event.thread.project
    }
}
