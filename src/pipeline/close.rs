//! The close: seal, then read, then archive, then close the head.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tracing::{debug, info};

use super::{Failure, Pipeline, Work};
use crate::{
    archive::{ArchiveError, Summary, Transaction},
    domain::{
        Close, CloseReason, Closing, Conversation, ConversationId, Head, Message, Record, Thread, ThreadKey, Variable,
    },
    handler::Checkpoint,
};

/// A thread's messages wait this long at most while a copy is taken that nobody needs yet.
const LONGEST_EARLY: Duration = Duration::from_secs(10);

/// Messages given to the archive in one insert (its limit).
const INSERTED_AT_ONCE: usize = 1000;

impl Pipeline {
    /// Finishes the close of a sealed conversation (W5, W6: it was sealed before this reads it).
    ///
    /// Returns the head as it is afterwards, if that is known.
    pub(super) async fn finish(
        &self,
        work: &Work,
        thread: &ThreadKey,
        head: &Head,
        closing: Closing,
    ) -> Result<Option<Head>, Failure> {
        let (record, close) = (&closing.record, &closing.close);
        if let Some(summary) = self.archive_messages(work, thread, &head.thread, record, Some(close), &[]).await? {
            let (id, messages) = (record.id, summary.message_count);
            if summary.closed_at.is_some() {
                self.counters.archived.add(1);
                info!(conversation.id = %id, messages, reason = close.reason.as_str(), "conversation archived");
            }
        }
        // W8: on the version that was sealed; whoever finished it before us wrote the same
        let closed = head.next(Conversation::Closed(closing.archived()));
        self.still_ours(work)?;
        if self.hot.write_head(thread, &closed).await? {
            return Ok(Some(closed));
        }
        self.counters.head_conflicts.add(1);
        Ok(None)
    }

    /// Copies an open conversation's messages so far into the archive. Returns the head that goes with what came of it: messages
    /// wait for no archive that is away, nor, when the copy is early, for one that is slow.
    pub(super) async fn checkpoint(
        &self,
        work: &Work,
        thread: &ThreadKey,
        checkpoint: Checkpoint,
    ) -> Result<Head, Failure> {
        let Checkpoint { done, put_off, early, reached } = checkpoint;
        let record = done.conversation.record();
        let copy = self.archive_messages(work, thread, &done.thread, record, None, &reached);
        let copied = if early { timeout(LONGEST_EARLY, copy).await } else { Ok(copy.await) };
        let summary = match copied {
            Ok(Ok(summary)) => summary,
            Ok(Err(Failure::Archive(ArchiveError::Unavailable(_)))) | Err(_) => {
                debug!(conversation.id = %record.id, early, "the archive is away or slow: the checkpoint is put off");
                return Ok(put_off);
            }
            Ok(Err(failure)) => return Err(failure),
        };
        self.counters.checkpoints.add(1);
        let messages = summary.map_or(0, |summary| summary.message_count);
        info!(conversation.id = %record.id, messages, "conversation checkpointed");
        Ok(done)
    }

    /// Streams a conversation's messages from the hot store into one transaction of the archive.
    ///
    /// Memory is bounded by a page. Of a conversation without any message or rating nothing is kept or announced (W9).
    async fn archive_messages(
        &self,
        work: &Work,
        key: &ThreadKey,
        thread: &Thread,
        record: &Record,
        close: Option<&Close>,
        reached: &[Duration],
    ) -> Result<Option<Summary>, Failure> {
        // read first: no connection of the archive waits for the hot store more often than it must
        let variables = match close {
            Some(_) => self.hot.variables(key).await?,
            None => Vec::new(),
        };
        let mut transaction: Option<Box<dyn Transaction>> = None;
        let mut after = None;
        loop {
            let page = self.hot.page(key, record.id, after).await?;
            if !page.messages.is_empty() {
                let open = match transaction.take() {
                    Some(open) => open,
                    None => {
                        let mut open = self.archive.begin().await?;
                        open.lock(thread, record).await?;
                        open
                    }
                };
                let transaction = transaction.insert(open);
                for messages in page.messages.chunks(INSERTED_AT_ONCE) {
                    transaction.insert(record, messages, false).await?;
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let mut transaction = match (transaction, close) {
            (Some(transaction), _) => transaction,
            (None, None) => return Ok(None),
            // nothing was said in it; if it was rated all the same, the archive has it and must know that it closed
            (None, Some(_)) => {
                let mut open = self.archive.begin().await?;
                open.lock(thread, record).await?;
                open
            }
        };
        if let Some(close) = close {
            let live: Vec<Variable> =
                variables.into_iter().filter(|variable| variable.is_live(record, close.at)).collect();
            transaction.keep_variables(record, &live).await?;
        }
        if !reached.is_empty() {
            transaction.still_open(reached).await?;
        }
        self.still_ours(work)?;
        Ok(Some(transaction.finish(record, close).await?))
    }

    /// The conversation closed while its messages were being put: whoever closed it may or may not have seen them.
    ///
    /// If it is still being closed, finish that first: its reading comes after our puts. Then append what the archive
    /// does not have. Either way each message stands in the archive once.
    pub(super) async fn settle_displaced(
        &self,
        work: &Work,
        key: &ThreadKey,
        assigned: &Head,
        now: Option<Head>,
        run: &[Arc<Message>],
    ) -> Result<(), Failure> {
        // the latest that is known of it: a close that found nothing has kept nothing of what was said meanwhile
        let same = now.as_ref().filter(|head| head.conversation.record().id == assigned.conversation.record().id);
        let record = same.unwrap_or(assigned).conversation.record();
        let mut close = None;
        if let Some(head) = &now {
            match &head.conversation {
                Conversation::Closing(closing) if closing.record.id == record.id => {
                    self.counters.helped.add(1);
                    self.finish(work, key, head, closing.clone()).await?;
                    close = Some(closing.close.clone());
                }
                conversation => close = close_of(conversation, record.id),
            }
        }
        let last = run.iter().map(|message| message.received_at).max().unwrap_or(record.opened_received_at);
        let late = Close::new(last, CloseReason::Late);
        let messages: Vec<Message> = run.iter().map(|message| Message::clone(message)).collect();
        self.append_archived(work, &assigned.thread, record, &close.unwrap_or(late), &messages).await
    }
}

/// How conversation `id` ended, as far as the thread still remembers.
fn close_of(conversation: &Conversation, id: ConversationId) -> Option<Close> {
    if let Conversation::Closed(closed) = conversation
        && closed.record.id == id
    {
        return Some(closed.close.clone());
    }
    let before = conversation.record().previous.filter(|stretch| stretch.id == id)?;
    Some(Close { resolution: before.resolution, ..Close::new(before.closed_at, before.reason) })
}
