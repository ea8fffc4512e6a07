//! Rounds of letters → SendMessageBatch, until each is taken, refused for good, or given up.

use std::time::Duration;

use aws_sdk_sqs::{
    Client,
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    types::{BatchResultErrorEntry, QueueAttributeName, SendMessageBatchRequestEntry},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::{
    lines::{Letter, Refused},
    progress::Progress,
    window,
};

/// How often the depth of a full queue is asked for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The queue, as a publisher sees it.
pub(super) struct Sender<'a> {
    pub client: Client,
    pub url: String,
    pub progress: &'a Progress,
    pub stop: CancellationToken,
}

/// What became of some letters.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Taken.
    pub taken: u64,
    /// Refused for good.
    pub refused: Vec<Refused>,
    /// The earliest line that is neither, and why; absent when it was the operator who stopped.
    pub left: Option<(u64, Option<String>)>,
}

impl Sender<'_> {
    /// Sends a round, at most one letter of a group, and sees to each of them.
    pub(super) async fn send(&self, round: Vec<Letter>) -> Sent {
        let calls = window::batches(round).into_iter().map(|batch| self.send_batch(batch));
        let mut all = Sent::default();
        for sent in join_all(calls).await {
            all.taken += sent.taken;
            all.refused.extend(sent.refused);
            all.left = match (all.left, sent.left) {
                (Some((line, why)), Some((other, also))) => Some((line.min(other), why.or(also))),
                (one, other) => one.or(other),
            };
        }
        all
    }

    async fn send_batch(&self, mut letters: Vec<Letter>) -> Sent {
        let mut sent = Sent::default();
        let mut pauses = pauses();
        loop {
            let why = match self.call(&letters).await {
                Ok(failed) => {
                    let tried = letters.len();
                    letters = self.settle(letters, &failed, &mut sent.refused);
                    sent.taken += (tried - failed.len()) as u64;
                    failed.first().map_or_else(String::new, |entry| entry.code().to_owned())
                }
                Err(Trouble::Refused(code)) => {
                    sent.left = letters.first().map(|first| (first.line, Some(code)));
                    return sent;
                }
                Err(Trouble::Unavailable(why)) => why,
            };
            let Some(first) = letters.iter().map(|letter| letter.line).min() else { return sent };
            match pauses.next() {
                None => {
                    sent.left = Some((first, Some(why)));
                    return sent;
                }
                Some(pause) if !self.pause(pause, &why).await => {
                    sent.left = Some((first, None));
                    return sent;
                }
                Some(_) => {}
            }
        }
    }

    /// One call. Sent again after a lost answer, an entry keeps its deduplication id: SQS takes it once.
    async fn call(&self, letters: &[Letter]) -> Result<Vec<BatchResultErrorEntry>, Trouble> {
        let entry = |(place, letter): (usize, &Letter)| {
            SendMessageBatchRequestEntry::builder()
                .id(place.to_string())
                .message_body(&letter.body)
                .message_group_id(&letter.group)
                .message_deduplication_id(&letter.dedup)
                .build()
        };
        let entries = letters.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|_| Trouble::Refused("the request could not be built".into()))?;
        let sent = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries)).send().await;
        Ok(sent.map_err(trouble)?.failed)
    }

    /// Which of `letters` are to be tried again, now that the others are taken or refused.
    fn settle(
        &self,
        letters: Vec<Letter>,
        failed: &[BatchResultErrorEntry],
        refused: &mut Vec<Refused>,
    ) -> Vec<Letter> {
        let mut again = Vec::new();
        for (place, letter) in letters.into_iter().enumerate() {
            let Some(entry) = failed.iter().find(|entry| entry.id() == place.to_string()) else { continue };
            if entry.sender_fault() && !is_throttling(entry.code()) {
                let reason = "is refused by the queue".to_owned();
                refused.push(Refused { line: letter.line, code: entry.code().to_owned(), field: None, reason });
            } else {
                again.push(letter);
            }
        }
        again
    }

    /// How many messages may be sent until the queue is to be looked at again; waits while it holds `most` or more.
    ///
    /// `None` when the operator stopped it.
    pub(super) async fn room(&self, most: u64) -> anyhow::Result<Option<u64>> {
        let mut pauses = pauses();
        loop {
            match self.depth().await {
                Ok(depth) if depth < most => return Ok(Some(most - depth)),
                Ok(depth) => {
                    pauses = self::pauses();
                    self.progress.waiting(depth, most);
                    tokio::select! {
                        () = self.stop.cancelled() => return Ok(None),
                        () = tokio::time::sleep(LOOK_AGAIN) => {}
                    }
                }
                Err(Trouble::Unavailable(why)) => match pauses.next() {
                    None => anyhow::bail!("the queue does not answer ({why})"),
                    Some(pause) if !self.pause(pause, &why).await => return Ok(None),
                    Some(_) => {}
                },
                Err(Trouble::Refused(code)) => anyhow::bail!(
                    "the queue does not tell how much it holds ({code}): check SQS_CONVERSATION_QUEUE_URL, or the right to \
                     sqs:GetQueueAttributes; --max-depth 0 publishes without asking"
                ),
            }
        }
    }

    async fn depth(&self) -> Result<u64, Trouble> {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        let got = call.set_attribute_names(Some(wanted.to_vec())).send().await.map_err(trouble)?;
        let attributes = got.attributes.unwrap_or_default();
        Ok(wanted.iter().filter_map(|name| attributes.get(name)?.parse::<u64>().ok()).sum())
    }

    /// Waits before another try. Returns whether there is to be one.
    async fn pause(&self, pause: Duration, why: &str) -> bool {
        if pause > Duration::from_secs(1) {
            self.progress.tell(&format!("the queue does not take messages ({why}): trying again"));
        }
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Why a call did not do it.
#[derive(Debug, PartialEq, Eq)]
enum Trouble {
    /// Try again.
    Unavailable(String),
    /// Trying again will not help.
    Refused(String),
}

/// About a minute in all, besides what each call tries by itself.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(15))
        .with_max_times(10)
        .with_jitter()
        .build()
}

fn is_throttling(code: &str) -> bool {
    code.to_ascii_lowercase().contains("throttl")
}

fn trouble<E: ProvideErrorMetadata>(failure: SdkError<E, HttpResponse>) -> Trouble {
    let code = failure.code().map(|code| code.rsplit(['.', '#']).next().unwrap_or(code));
    let status = failure.raw_response().map(|response| response.status().as_u16());
    match (code, status) {
        (Some(code), Some(400..=499)) if !is_throttling(code) => Trouble::Refused(code.to_owned()),
        (Some(code), _) => Trouble::Unavailable(code.to_owned()),
        (None, _) => Trouble::Unavailable(failure.to_string()),
    }
}
