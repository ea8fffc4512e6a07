//! A conversation's messages as both stores have them: each once, with where it stands and how often it came.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::timeline::{Entry, Timeline};
use crate::{
    domain::{ConversationId, EventId, Message, Sequence, ThreadKey},
    operate::{
        conversations::Stores,
        mask::Mask,
        moment::{length, shown, written},
    },
};

/// Messages read of one conversation in each store; beyond that, counts are of the first.
const MOST: usize = 100_000;

/// Messages read from the archive at once.
const PAGE: u32 = 1_000;

/// A message that was queued so much later than it was written is told so.
const SLOW: TimeDelta = TimeDelta::minutes(1);

/// What became of one message.
#[derive(Debug)]
struct Fate {
    said: String,
    occurred_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    sequence: Sequence,
    /// Copies in the hot store: more than one when its publisher sent it again under a new place in the queue.
    hot: usize,
    /// When the archive took it, and whether that was after the close.
    archived: Option<(DateTime<Utc>, bool)>,
}

/// What the stores have.
#[derive(Debug, Default)]
pub(super) struct Fates {
    all: BTreeMap<EventId, Fate>,
    pub(super) in_hot: usize,
    pub(super) in_archive: usize,
    /// Reading stopped at the limit.
    pub(super) cut: bool,
}

impl Fates {
    /// Reads them.
    pub(super) async fn of(
        stores: &Stores,
        id: ConversationId,
        thread: Option<&ThreadKey>,
        mask: Mask,
    ) -> anyhow::Result<Self> {
        let mut fates = Self::default();
        let mut after = None;
        loop {
            let rows = stores.archive.messages(id, after, PAGE).await?;
            let whole = rows.len() < PAGE as usize;
            after = rows.last().map(crate::archive::MessageRow::cursor);
            for row in rows {
                fates.in_archive += 1;
                fates.fate(&row.message, mask).archived = Some((row.created_at, row.arrived_after_close));
            }
            if whole {
                break;
            }
            if fates.in_archive >= MOST {
                fates.cut = true;
                break;
            }
        }
        let Some(thread) = thread else { return Ok(fates) };
        let mut after = None;
        loop {
            let page = stores.hot.page(thread, id, after).await?;
            for message in &page.messages {
                fates.in_hot += 1;
                fates.fate(message, mask).hot += 1;
            }
            after = page.next;
            if after.is_none() {
                return Ok(fates);
            }
            if fates.in_hot >= MOST {
                fates.cut = true;
                return Ok(fates);
            }
        }
    }

    fn fate(&mut self, message: &Message, mask: Mask) -> &mut Fate {
        self.all.entry(message.event_id).or_insert_with(|| Fate {
            said: format!("{}: {}", message.direction.as_str(), mask.text(&message.text)),
            occurred_at: message.occurred_at,
            received_at: message.received_at,
            sequence: message.sequence,
            hot: 0,
            archived: None,
        })
    }

    /// Messages, each counted once.
    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// Copies beyond the first.
    pub(super) fn repeats(&self) -> usize {
        self.all.values().map(|fate| fate.hot.saturating_sub(1)).sum()
    }

    /// Those that stand in the hot store only.
    pub(super) fn not_archived(&self) -> usize {
        self.all.values().filter(|fate| fate.archived.is_none()).count()
    }

    /// Tells the messages: all of them, or the first and the last when there are more than `most`.
    pub(super) fn tell(&self, timeline: &mut Timeline, id: Uuid, most: usize) {
        let mut fates: Vec<(&EventId, &Fate)> = self.all.iter().collect();
        fates.sort_by_key(|(event, fate)| (fate.occurred_at, fate.sequence, **event));
        let shown = if fates.len() <= most { fates.len() } else { most };
        let (first, last) = (shown.div_ceil(2), fates.len() - shown / 2);
        for (place, (event, fate)) in fates.iter().enumerate() {
            if place < first || place >= last {
                timeline.tell(entry(id, **event, fate));
            } else if place == first {
                timeline.tell(Entry {
                    at: fate.occurred_at,
                    conversation: Some(id),
                    what: "message",
                    stands: "…",
                    said: format!("{} more messages; --messages N shows more", last - first),
                    facts: json!({ "left_out": last - first }),
                });
            }
        }
    }
}

fn entry(id: Uuid, event: EventId, fate: &Fate) -> Entry {
    let mut said = fate.said.clone();
    let mut add = |note: String| said = format!("{said}; {note}");
    let waited = fate.received_at - fate.occurred_at;
    if waited > SLOW {
        add(format!("queued {} after it was written", length(waited)));
    } else if waited < -SLOW {
        add(format!("written {} after it was queued, by its publisher's clock", length(waited)));
    }
    if fate.hot > 1 {
        add(format!("sent {} times, kept once", fate.hot));
    }
    if let Some((at, true)) = fate.archived {
        add(format!("came after the close, appended {}", self::shown(at)));
    }
    let stands = match (fate.hot, fate.archived) {
        (0, _) => "archive",
        (_, None) => "hot",
        (_, Some(_)) => "hot, archive",
    };
    Entry {
        at: fate.occurred_at,
        conversation: Some(id),
        what: "message",
        stands,
        said,
        facts: json!({
            "event_id": event,
            "received_at": written(fate.received_at),
            "sequence": fate.sequence,
            "copies_in_hot_store": fate.hot,
            "archived_at": fate.archived.map(|(at, _)| written(at)),
            "arrived_after_close": fate.archived.is_some_and(|(_, late)| late),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fate(number: i64) -> Fate {
        let at = DateTime::from_timestamp(1_795_240_800 + number, 0).expect("in range");
        let said = number.to_string();
        Fate { said, occurred_at: at, received_at: at, sequence: Sequence(0), hot: 1, archived: None }
    }

    #[test]
    fn the_first_and_the_last_are_told_when_there_are_many() {
        let all = (0..10).map(|number| (EventId(Uuid::from_u128(100 - number as u128)), fate(number))).collect();
        let fates = Fates { all, ..Fates::default() };
        for (most, expected) in [
            (10, vec!["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
            (3, vec!["0", "1", "7 more messages; --messages N shows more", "9"]),
            (0, vec!["10 more messages; --messages N shows more"]),
        ] {
            let mut timeline = Timeline::default();
            fates.tell(&mut timeline, Uuid::nil(), most);
            let said: Vec<String> = timeline.in_order().into_iter().map(|entry| entry.said).collect();
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn a_repeat_a_wait_and_a_late_arrival_are_told() {
        let mut fate = Fate { hot: 3, ..fate(0) };
        fate.received_at = fate.occurred_at + TimeDelta::hours(3);
        fate.archived = Some((fate.received_at, true));
        let told = entry(Uuid::nil(), EventId(Uuid::nil()), &fate);
        assert_eq!(told.stands, "hot, archive");
        assert_eq!(
            told.said,
            "0; queued 3h after it was written; sent 3 times, kept once; came after the close, appended 2026-11-21 09:00:00"
        );
    }
}
