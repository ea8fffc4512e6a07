//! What goes into the archive beside a close: late messages, ratings, and what is said of a closed conversation.

use std::sync::Arc;

use tracing::debug;

use super::{Failure, Pipeline, Work};
use crate::{
    domain::{Changes, Classification, Close, Conversation, Details, Head, Message, Rating, Record, Stretch, Thread},
    event::Event,
    handler::Rated,
    hot::Put,
};

/// What is known of a closed conversation, and how it ended. Its head says all of it, as long as that is its head: if nothing was
/// said in it before it closed, nobody else knows.
fn remembered(head: Option<&Head>, stretch: Stretch) -> (Record, Close) {
    match head.map(|head| &head.conversation) {
        Some(Conversation::Closed(closed)) if closed.record.id == stretch.id => {
            (closed.record.clone(), closed.close.clone())
        }
        _ => {
            let close = Close::new(stretch.closed_at, stretch.reason);
            (record(stretch), Close { resolution: stretch.resolution, ..close })
        }
    }
}

/// What is known of a conversation that its thread remembers as a stretch.
fn record(stretch: Stretch) -> Record {
    Record {
        id: stretch.id,
        opened_at: stretch.opened_at,
        opened_received_at: stretch.opened_at,
        contact_name: None,
        agent_id: None,
        previous: None,
        details: Details::default(),
        recap: None,
    }
}

impl Pipeline {
    /// Appends one message to a conversation that has closed. It stands in the hot store too, as all others do: should the archive
    /// ever forget what it has committed, `reconcile` finds it there.
    pub(super) async fn append_late(
        &self,
        work: &Work,
        thread: &Thread,
        head: Option<&Head>,
        stretch: Stretch,
        message: &Arc<Message>,
    ) -> Result<(), Failure> {
        self.hot.put(Put { thread: thread.key(), conversation: stretch.id, message: message.clone() }).await?;
        self.still_ours(work)?;
        let (record, close) = remembered(head, stretch);
        let record = Record {
            contact_name: message.contact_name.clone().or(record.contact_name),
            agent_id: message.agent_id.clone().or(record.agent_id),
            ..record
        };
        self.append_archived(work, thread, &record, &close, std::slice::from_ref(&**message)).await
    }

    pub(super) async fn append_archived(
        &self,
        work: &Work,
        thread: &Thread,
        record: &Record,
        close: &Close,
        messages: &[Message],
    ) -> Result<(), Failure> {
        let mut transaction = self.archive.begin().await?;
        transaction.lock(thread, record).await?;
        let inserted = transaction.insert(record, messages, true).await?.len();
        if inserted > 0 {
            self.still_ours(work)?;
            transaction.finish(record, Some(close)).await?;
            self.counters.late_messages.add(inserted);
        }
        debug!(conversation.id = %record.id, inserted, "appended to an archived conversation");
        Ok(())
    }

    /// Stores a rating. One of the open conversation stands in the archive before the conversation itself does.
    pub(super) async fn rate(
        &self,
        work: &Work,
        thread: &Thread,
        head: Option<&Head>,
        rated: Rated,
        rating: &Rating,
    ) -> Result<(), Failure> {
        let (record, close) = match (rated, head) {
            (Rated::Closed(stretch), head) => {
                let (record, close) = remembered(head, stretch);
                (record, Some(close))
            }
            (Rated::Open, Some(head)) => (head.conversation.record().clone(), None),
            (Rated::Open, None) | (Rated::Nothing, _) => {
                self.archive.rate_alone(thread, rating).await?;
                self.counters.ratings.add(1);
                return Ok(());
            }
        };
        let mut transaction = self.archive.begin().await?;
        transaction.lock(thread, &record).await?;
        if transaction.rate(thread, &record, rating).await? {
            self.still_ours(work)?;
            transaction.finish(&record, close.as_ref()).await?;
            self.counters.ratings.add(1);
        }
        debug!(conversation.id = %record.id, kind = rating.kind.as_str(), "rated");
        Ok(())
    }

    /// Changes what the archive says of a conversation that has closed.
    pub(super) async fn amend(
        &self,
        work: &Work,
        thread: &Thread,
        stretch: Stretch,
        changes: &Changes,
    ) -> Result<(), Failure> {
        let record = record(stretch);
        let mut transaction = self.archive.begin().await?;
        transaction.lock(thread, &record).await?;
        transaction.amend(&record, changes).await?;
        self.still_ours(work)?;
        transaction.finish(&record, None).await?;
        debug!(conversation.id = %record.id, "a closed conversation was amended");
        Ok(())
    }

    /// Says in the archive how a closed conversation ended, unless somebody said so before. It may be any of the thread's: what
    /// is not there, not closed, or not of this thread, stays as it is.
    pub(super) async fn classify(&self, work: &Work, event: &Event, said: &Classification) -> Result<(), Failure> {
        // only for the lock: if the archive has no such conversation, nothing of this stands at the end
        let record = Record {
            id: said.conversation,
            opened_at: event.received_at,
            opened_received_at: event.received_at,
            contact_name: None,
            agent_id: None,
            previous: None,
            details: Details::default(),
            recap: None,
        };
        let mut transaction = self.archive.begin().await?;
        transaction.lock(&event.thread, &record).await?;
        let classified = transaction.classify(&event.thread, said).await?;
        self.still_ours(work)?;
        transaction.finish(&record, None).await?;
        debug!(conversation.id = %record.id, classified, "a closed conversation was classified");
        Ok(())
    }

    /// Notes that a contact is to be erased.
    pub(super) async fn request_erasure(&self, event: &Event) -> Result<(), Failure> {
        let Some(contact) = &event.thread.contact else { return Ok(()) };
        self.archive.request_erasure(&event.thread.project, contact, event.id, event.received_at).await?;
        debug!(event.id = %event.id, "an erasure was asked for");
        Ok(())
    }
}
