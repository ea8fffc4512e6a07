//! What cannot be handled: a row in the index, a copy in the dead-letter queue, and only then the delete.

use tracing::warn;

use super::{Failure, Pipeline, Work};
use crate::{
    alert::Alert,
    event::{Label, Rejection},
    hot::{DeadLetter, HotError},
    queue::{DeadLetterReason, Note},
};

/// Characters of a reason in the index.
const LONGEST_REASON: usize = 1_000;

impl Pipeline {
    /// Keeps what cannot be decoded.
    pub(super) async fn reject(&self, work: &Work, rejection: &Rejection) -> Result<(), Failure> {
        let reason = DeadLetterReason {
            code: rejection.code.as_str().to_owned(),
            field: rejection.field.clone(),
            reason: rejection.reason.clone(),
        };
        self.keep(work, &reason).await
    }

    /// The row comes first: a letter without one would be found by luck only.
    pub(super) async fn keep(&self, work: &Work, reason: &DeadLetterReason) -> Result<(), Failure> {
        self.still_ours(work)?;
        match self.hot.write_dead_letter(&row(work, reason)).await {
            // the letter itself matters more than its row
            Err(HotError::Refused(why)) => warn!(why, "a dead letter has no row in the index"),
            written => written?,
        }
        self.still_ours(work)?;
        self.inbox.edge().dead_letter(&work.delivery, reason).await?;
        let alert = Alert::DeadLettered {
            code: &reason.code,
            field: reason.field.as_deref(),
            reason: &reason.reason,
            message_id: &work.delivery.message_id,
        };
        alert.raise(&self.counters);
        Ok(())
    }
}

fn row(work: &Work, reason: &DeadLetterReason) -> DeadLetter {
    let delivery = &work.delivery;
    let label = Label::of(&work.raw());
    let before = Note::read(delivery);
    DeadLetter {
        sent_at: delivery.sent_at,
        message_id: delivery.message_id.clone(),
        group_id: delivery.group_id.clone(),
        project: work.event.as_ref().ok().map(|event| event.thread.project.clone()).or(label.project),
        event_type: label.event_type,
        code: reason.code.clone(),
        field: reason.field.clone(),
        reason: reason.reason.chars().take(LONGEST_REASON).collect(),
        attempts: delivery.receive_count,
        bytes: delivery.body.len(),
        redrives: before.as_ref().map_or(0, |note| note.redrive_count),
        redrive_run: before.and_then(|note| note.redrive_run),
        settled: None,
    }
}
