//! What a transaction makes true, told to others in that same transaction: both stand, or neither.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::session::within;
use super::{ArchiveError, details};
use crate::domain::{Classification, Close, Ended, EventId, Message, Notice, Rating, Record, Thread};
use crate::outbox;

/// What a transaction did so far that others are told of.
#[derive(Default)]
pub(super) struct Telling {
    thread: Option<Thread>,
    added: Option<Added>,
    ratings: Vec<Rating>,
    amended: bool,
    classified: bool,
    reached: Vec<Duration>,
}

/// Messages inserted.
struct Added {
    first: EventId,
    count: u64,
    last_received_at: DateTime<Utc>,
    late: bool,
}

/// What the row says of its conversation now: a late arrival knows less of it than the row does.
#[derive(sqlx::FromRow)]
struct Standing {
    opened_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    agent_id: Option<String>,
    contact_name: Option<String>,
    resolution: Option<i16>,
    topic: Option<String>,
    subtopic: Option<String>,
    now: DateTime<Utc>,
    is_new: bool,
}

/// Within a transaction `now()` stands still: a row made at that moment was made by this one.
const STANDING: &str = "
    select opened_at, closed_at, agent_id, contact_name, resolution, topic, subtopic, now() as now,
           created_at = now() as is_new
    from conversation where id = $1";

impl Telling {
    pub(super) fn of(&mut self, thread: &Thread) {
        self.thread = Some(thread.clone());
    }

    pub(super) fn inserted(&mut self, message: &Message, late: bool) {
        let (first, last_received_at) = (message.event_id, message.received_at);
        let added = self.added.get_or_insert(Added { first, count: 0, last_received_at, late });
        added.count += 1;
        added.last_received_at = added.last_received_at.max(last_received_at);
    }

    pub(super) fn rated(&mut self, rating: &Rating) {
        self.ratings.push(rating.clone());
    }

    pub(super) fn amended(&mut self) {
        self.amended = true;
    }

    pub(super) fn classified(&mut self) {
        self.classified = true;
    }

    pub(super) fn still_open(&mut self, reached: &[Duration]) {
        self.reached.extend(reached);
    }

    /// Writes the notices: of its beginning, when this transaction is the one that makes its row; of its end when this is the conversation's first `close`, else of what came to stand in the
    /// archive; of ratings; of what was amended; of its classification; of how long it has been open. The conversation has `messages` now.
    pub(super) async fn write(
        self,
        patience: Duration,
        connection: &mut PgConnection,
        record: &Record,
        close: Option<&Close>,
        messages: u64,
    ) -> Result<(), ArchiveError> {
        let Some(thread) = &self.thread else { return Ok(()) };
        let changed = self.amended || self.classified || !self.reached.is_empty();
        if close.is_none() && self.added.is_none() && self.ratings.is_empty() && !changed {
            return Ok(());
        }
        let standing = sqlx::query_as(STANDING).bind(record.id.0);
        let standing: Standing = within(patience, standing.fetch_one(&mut *connection)).await?;
        let record = Record {
            opened_at: standing.opened_at,
            agent_id: standing.agent_id,
            contact_name: standing.contact_name,
            details: details::read(patience, connection, record.id).await?,
            ..record.clone()
        };
        let mut notices: Vec<Notice> = Vec::new();
        if standing.is_new {
            notices.push(Notice::opened(thread, &record));
        }
        notices
            .extend(self.ratings.iter().map(|rating| Notice::rated(thread, Some(&record), standing.closed_at, rating)));
        let ended = Ended {
            at: standing.closed_at,
            resolution: standing.resolution.and_then(|resolution| u8::try_from(resolution).ok()),
            topic: standing.topic,
            subtopic: standing.subtopic,
        };
        if self.amended {
            notices.extend(Notice::updated(thread, &record, &ended, messages, standing.now));
        }
        if self.classified {
            notices.push(Notice::classified(thread, &record, &ended, messages, standing.now));
        }
        match (close, self.added) {
            (Some(close), _) => {
                let closed = Notice::closed(thread, &record, close, messages);
                // nobody said how it ended, and the row reads as unclassified: a classifier is asked
                let awaited = close.resolution.is_none() && ended.resolution == Some(Classification::UNCLASSIFIED);
                notices.push(if awaited { closed.awaiting_resolution() } else { closed });
            }
            (None, Some(added)) => {
                let (at, late) = (added.last_received_at, added.late);
                notices.push(Notice::archived(thread, &record, added.first, added.count, messages, late, at));
            }
            (None, None) => {}
        }
        notices.extend(self.reached.iter().map(|age| Notice::open_for_long(thread, &record, *age)));
        within(patience, outbox::enqueue(connection, &notices)).await?;
        Ok(())
    }
}
