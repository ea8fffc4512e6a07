//! Looking into the dead-letter queue: receiving, holding, giving back. Only the first letters of each group can be reached
//! (fact F14): while they are held, those behind them are not handed out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Site, VISIBILITY};
use crate::{
    app::Clients,
    config::QueueConfig,
    operate::{letters, moment::now},
    queue::{BATCH, Delivery, Note, Queue, Receipt, SqsQueue},
};

/// Looking ends early enough to settle what was found before it becomes visible again.
const AT_MOST: Duration = Duration::from_secs(30);

/// How long one receive waits.
const WAIT: Duration = Duration::from_secs(1);

/// Letters in our hands.
pub(in crate::operate) struct Peek {
    queue: Arc<dyn Queue>,
    sqs: aws_sdk_sqs::Client,
    url: String,
    held: BTreeMap<String, Vec<Receipt>>,
    began: Instant,
}

impl Peek {
    pub(super) fn begin(site: &Site) -> Self {
        Self::into(&site.clients, &site.dead)
    }

    /// Into the dead-letter queue `dead`.
    pub(in crate::operate) fn into(clients: &Clients, dead: &QueueConfig) -> Self {
        let queue = Arc::new(SqsQueue::new(clients.sqs.clone(), dead.url.clone(), String::new(), VISIBILITY));
        let (sqs, url) = (clients.sqs.control.clone(), dead.url.clone());
        Self { queue, sqs, url, held: BTreeMap::new(), began: Instant::now() }
    }

    /// Whether all letters there are were handed to us, as the queue counts them.
    pub(in crate::operate) async fn has_all(&self) -> anyhow::Result<bool> {
        if self.began.elapsed() > AT_MOST {
            return Ok(false);
        }
        let (waiting, in_flight) = letters::depth(&self.sqs, &self.url).await?;
        let held: usize = self.held.values().map(Vec::len).sum();
        Ok(waiting == 0 && in_flight <= held as u64)
    }

    /// Deletes one of the letters in our hands, and keeps the others there.
    pub(in crate::operate) async fn take(&mut self, letter: &Delivery) -> anyhow::Result<()> {
        let deleted = self.queue.delete(vec![letter.receipt.clone()]).await;
        deleted.into_iter().collect::<Result<(), _>>().context("a letter is not deleted")?;
        if let Some(held) = self.held.get_mut(&letter.group_id) {
            held.retain(|held| *held != letter.receipt);
        }
        Ok(())
    }

    /// Takes more letters into our hands; none when all that can be reached are there, or time is up.
    pub(in crate::operate) async fn more(&mut self) -> anyhow::Result<Vec<Delivery>> {
        if self.began.elapsed() > AT_MOST {
            return Ok(Vec::new());
        }
        let name = format!("peek:{}:{}", std::process::id(), now().timestamp_micros());
        let letters = self.queue.receive(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), WAIT).await;
        let letters =
            letters.context("nothing can be received from the dead-letter queue; `conversationd doctor` says more")?;
        for letter in &letters {
            self.held.entry(letter.group_id.clone()).or_default().push(letter.receipt.clone());
        }
        Ok(letters)
    }

    /// Looks for the letter that was the message `id`, or is.
    pub(super) async fn find(&mut self, id: &str) -> anyhow::Result<Option<Found>> {
        loop {
            let letters = self.more().await?;
            if letters.is_empty() {
                return Ok(None);
            }
            for letter in letters {
                let note = Note::of_letter(&letter);
                if note.original_message_id == id || letter.message_id == id {
                    let held = self.held.get_mut(&letter.group_id);
                    let before = held.as_ref().and_then(|held| held.iter().position(|held| *held == letter.receipt));
                    if let Some(held) = held {
                        held.retain(|held| *held != letter.receipt);
                    }
                    return Ok(Some(Found { letter, note, before: before.unwrap_or_default() }));
                }
            }
        }
    }

    /// Gives back everything but what was found.
    pub(in crate::operate) async fn end(&mut self) {
        for receipts in std::mem::take(&mut self.held).into_values() {
            for batch in receipts.rchunks(BATCH) {
                self.queue.hide(batch.iter().map(|receipt| (receipt.clone(), Duration::ZERO)).collect()).await;
            }
        }
    }

    /// Gives back what was found too.
    pub(super) async fn end_with(&mut self, found: &Delivery) {
        // in front of its group, so that all go in one call
        self.held.entry(found.group_id.clone()).or_default().insert(0, found.receipt.clone());
        self.end().await;
    }

    /// Deletes what was found, and gives back the rest.
    pub(super) async fn delete(&mut self, found: &Delivery) -> anyhow::Result<()> {
        let deleted = self.queue.delete(vec![found.receipt.clone()]).await;
        self.end().await;
        deleted.into_iter().collect::<Result<(), _>>().context("the letter is not deleted")
    }
}

/// A letter in our hands.
pub(super) struct Found {
    pub letter: Delivery,
    pub note: Note,
    /// Letters before it in its group.
    pub before: usize,
}

/// For when a letter was not found.
pub(super) fn not_reachable(id: &str, known: bool) -> anyhow::Error {
    if known {
        anyhow::anyhow!(
            "the letter {id} stands in the index, but cannot be reached: others of its group are before it, or somebody \
             else holds it for a minute. Only the first ten of a group can be received: settle those first"
        )
    } else {
        anyhow::anyhow!(
            "there is no dead letter {id}, or others of its group are before it; `conversationd dlq list` shows ids"
        )
    }
}
