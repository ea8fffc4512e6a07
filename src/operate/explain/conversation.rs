//! One conversation's life: opened, said, rated, closed, archived; out of the head, the row and the messages.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    messages::Fates,
    timeline::{Entry, Timeline, short},
    why,
};
use crate::{
    archive::ConversationRow,
    domain::{Conversation, ConversationId, Head, Thread},
    operate::{
        conversations::{Stores, close::why_due},
        mask::Mask,
        moment::shown,
    },
};

/// Late arrivals told of one conversation.
const LATE: u32 = 100;

/// Where one conversation stands.
pub(super) struct Life<'a> {
    pub id: Uuid,
    /// Its thread, if anything still names it: an erased conversation has none.
    pub thread: Option<&'a Thread>,
    /// The thread's head, if it is about this conversation.
    pub head: Option<&'a Head>,
    /// Its row.
    pub row: Option<&'a ConversationRow>,
}

impl Life<'_> {
    /// Tells it.
    pub(super) async fn tell(
        &self,
        timeline: &mut Timeline,
        stores: &Stores,
        mask: Mask,
        most: usize,
    ) -> anyhow::Result<()> {
        let id = ConversationId(self.id);
        let fates = Fates::of(stores, id, self.thread.map(Thread::key).as_ref(), mask).await?;
        self.opened(timeline);
        fates.tell(timeline, self.id, most);
        if let Some(head) = self.head {
            self.in_hot_store(timeline, head, mask, &fates);
        }
        if let Some(row) = self.row {
            self.in_archive(timeline, stores, row, mask, &fates).await?;
            self.rated(timeline, stores, mask).await?;
        }
        Ok(())
    }

    fn entry(&self, at: DateTime<Utc>, what: &'static str, stands: &'static str, said: String, facts: Value) -> Entry {
        Entry { at, conversation: Some(self.id), what, stands, said, facts }
    }

    fn opened(&self, timeline: &mut Timeline) {
        let record = self.head.map(|head| head.conversation.record());
        let opened_at = self.row.map(|row| row.opened_at).or(record.map(|record| record.opened_at));
        let Some(opened_at) = opened_at else { return };
        let before = record.and_then(|record| record.previous);
        let previous = before.map(|before| before.id.0).or(self.row.and_then(|row| row.previous_id));
        let mut said = format!("conversation {} opened", self.id);
        if let Some(previous) = previous {
            said += &format!("; before it in its thread: {}", short(previous));
        }
        if let Some(before) = before {
            let because = why::close(before.reason.as_str());
            said += &format!(", closed {}: {because}", shown(before.closed_at));
        }
        let stands = match (self.head, self.row) {
            (Some(_), Some(_)) => "hot, archive",
            (Some(_), None) => "hot",
            (None, _) => "archive",
        };
        timeline.tell(self.entry(opened_at, "opened", stands, said, json!({ "previous": previous })));
    }

    fn in_hot_store(&self, timeline: &mut Timeline, head: &Head, mask: Mask, fates: &Fates) {
        if let Conversation::Open(open) = &head.conversation
            && let Some(at) = open.checkpointed_at
        {
            let said = "open for so long that its messages so far were copied into the archive".to_owned();
            timeline.tell(self.entry(at, "checkpointed", "archive", said, Value::Null));
        }
        let counts = json!({
            "head_version": head.version,
            "messages": fates.count(),
            "in_hot_store": fates.in_hot,
            "repeats": fates.repeats(),
            "not_archived": fates.not_archived(),
        });
        match &head.conversation {
            Conversation::Open(_) => {}
            Conversation::Closing(closing) => {
                let said = format!("sealed, on its way into the archive: {}", why::of_close(&closing.close, mask));
                timeline.tell(self.entry(closing.close.at, "closing", "hot", said, counts.clone()));
            }
            // its row says so too, unless it was closed without a word
            Conversation::Closed(closed) if self.row.is_none_or(|row| row.closed_at.is_none()) => {
                let why = why::of_close(&closed.close, mask);
                let said = match fates.count() {
                    0 => format!("{why}; nothing was said in it, so the archive has no row of it"),
                    _ => format!("{why}; THE ARCHIVE DOES NOT HAVE IT: `conversationd reconcile` says more"),
                };
                timeline.tell(self.entry(closed.close.at, "closed", "hot", said, counts.clone()));
            }
            Conversation::Closed(_) => {}
        }
        if let (Some(due_at), Some(why)) = (head.conversation.due(), why_due(&head.conversation)) {
            let said = format!("the timer looks at it: {why}; messages so far: {}{}", fates.count(), repeats(fates));
            timeline.tell(self.entry(due_at, "due", "hot", said, counts));
        }
    }

    async fn in_archive(
        &self,
        timeline: &mut Timeline,
        stores: &Stores,
        row: &ConversationRow,
        mask: Mask,
        fates: &Fates,
    ) -> anyhow::Result<()> {
        if let Some(at) = row.window_end {
            timeline.tell(self.entry(
                at,
                "window",
                "archive",
                "the platform's window around it ends".into(),
                Value::Null,
            ));
        }
        if let Some(at) = row.erased_at {
            let said = "its person was erased: texts and identifiers are gone, counts stay".to_owned();
            timeline.tell(self.entry(at, "erased", "archive", said, Value::Null));
        }
        let Some(closed_at) = row.closed_at else {
            let said = "its row was made before its close: it was checkpointed or rated while open".to_owned();
            timeline.tell(self.entry(row.created_at, "archived", "archive", said, Value::Null));
            return Ok(());
        };
        timeline.tell(self.entry(closed_at, "closed", "archive", why::of_row(row, mask), Value::Null));
        let check = stores.archive.recheck(&[row.id]).await?.pop();
        let holds = check.as_ref().is_some_and(crate::archive::Recheck::holds);
        let hash: String = row.content_hash.as_deref().unwrap_or("none").chars().take(16).collect();
        let mut said = format!(
            "{} messages, {} tokens, SHA-256 {hash}…; computed again now: {}",
            row.message_count,
            row.token_count,
            if holds { "the same" } else { "ANOTHER; `conversationd verify` says what differs" }
        );
        let missing = fates.not_archived();
        if missing > 0 {
            said += &format!("; {missing} stand in the hot store only: on their way, or see `conversationd reconcile`");
        }
        said += &repeats(fates);
        if fates.cut {
            said += "; very long: only its first 100,000 messages were looked at";
        }
        let statistics = stores.archive.statistics(ConversationId(row.id)).await?;
        let facts = json!({
            "message_count": row.message_count,
            "token_count": row.token_count,
            "content_hash": row.content_hash,
            "holds": holds,
            "in_hot_store": fates.in_hot,
            "repeats": fates.repeats(),
            "not_archived": missing,
            "statistics": statistics,
            "updated_at": row.updated_at,
        });
        timeline.tell(self.entry(row.created_at.max(closed_at), "archived", "archive", said, facts));
        for late in stores.archive.late(ConversationId(row.id), LATE).await? {
            let said = format!(
                "a message of {}, queued {}, came when it was closed already: appended, statistics computed again",
                shown(late.occurred_at),
                shown(late.received_at)
            );
            timeline.tell(self.entry(late.created_at, "late", "archive", said, json!({ "event_id": late.event_id })));
        }
        Ok(())
    }

    async fn rated(&self, timeline: &mut Timeline, stores: &Stores, mask: Mask) -> anyhow::Result<()> {
        for rating in stores.archive.ratings(ConversationId(self.id)).await? {
            timeline.tell(super::beside::rated(&rating, mask));
        }
        Ok(())
    }
}

fn repeats(fates: &Fates) -> String {
    match fates.repeats() {
        0 => String::new(),
        1 => ", one copy came again and changed nothing".to_owned(),
        count => format!(", {count} copies came again and changed nothing"),
    }
}
