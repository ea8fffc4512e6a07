//! What stands beside conversations: ratings, dead letters, holds, wishes to be erased.

use std::collections::BTreeSet;

use chrono::Utc;
use serde_json::json;

use super::timeline::{Entry, Timeline};
use crate::{
    archive::RatingRow,
    domain::{Head, Thread},
    operate::{conversations::Stores, letters, mask::Mask, moment::shown},
    queue::fifo_id,
};

/// Ratings of no conversation, and dead letters, told at most.
const RATINGS: u32 = 100;
const LETTERS: usize = 1_000;

/// A rating.
pub(super) fn rated(rating: &RatingRow, mask: Mask) -> Entry {
    let value = match rating.score {
        Some(score) => score.to_string(),
        None => mask.text(&rating.value),
    };
    let mut said = format!("{} {value} ({})", rating.kind, rating.key);
    if let Some(comment) = &rating.comment {
        said += &format!("; comment: {}", mask.text(comment));
    }
    if rating.arrived_after_close {
        said += "; came after the close";
    }
    if rating.conversation_id.is_none() {
        said += "; belongs to no conversation: none was open, or had closed lately enough";
    }
    Entry {
        at: rating.answered_at,
        conversation: rating.conversation_id,
        what: "rated",
        stands: "archive",
        said,
        facts: json!({
            "event_id": rating.event_id,
            "kind": rating.kind,
            "score": rating.score,
            "arrived_after_close": rating.arrived_after_close,
        }),
    }
}

/// The dead letters of some threads, and of a person's other threads if one is given, as the index knows them.
pub(super) async fn dead_letters(
    timeline: &mut Timeline,
    stores: &Stores,
    threads: &[(Thread, Option<Head>)],
    person: Option<(&str, &str)>,
) -> anyhow::Result<()> {
    let named = threads.iter().map(|(thread, _)| fifo_id(&thread.group_name()));
    let heads = threads.iter().filter_map(|(_, head)| head.as_ref().map(|head| head.group_id.clone()));
    let groups: BTreeSet<String> = named.chain(heads).collect();
    let theirs = |group: &str| {
        groups.contains(group) || person.is_some_and(|(project, contact)| letters::is_group_of(group, project, contact))
    };
    for letter in letters::rows(&*stores.hot, None, LETTERS, |row| theirs(&row.group_id)).await? {
        let kind = letter.event_type.as_deref().unwrap_or("an event of no known type");
        let field = letter.field.as_deref().map(|field| format!(" (field {field})")).unwrap_or_default();
        let now = match &letter.settled {
            None => format!("waits in the dead-letter queue: `conversationd dlq show {}`", letter.message_id),
            Some(settled) => format!("{} {}", settled.how.as_str(), shown(settled.at)),
        };
        timeline.tell(Entry {
            at: letter.sent_at,
            conversation: None,
            what: "dead_letter",
            stands: "dead letters",
            said: format!("{kind} died of {}{field}: {}; {now}", letter.code, letter.reason),
            facts: json!({
                "message_id": letter.message_id,
                "event_type": letter.event_type,
                "code": letter.code,
                "field": letter.field,
                "attempts": letter.attempts,
                "redrives": letter.redrives,
                "settled": letter.settled,
            }),
        });
    }
    Ok(())
}

/// What was kept of a person besides conversations.
pub(super) async fn of_person(
    timeline: &mut Timeline,
    stores: &Stores,
    project: &str,
    contact: &str,
    mask: Mask,
) -> anyhow::Result<()> {
    for rating in stores.archive.ratings_alone(project, contact, RATINGS).await? {
        timeline.tell(rated(&rating, mask));
    }
    for hold in stores.archive.holds(Some(project)).await? {
        if hold.contact.as_deref().is_none_or(|held| held == contact) {
            let whom = if hold.contact.is_some() { "the contact" } else { "the whole project" };
            timeline.tell(beside(
                hold.created_at,
                "held",
                format!("a legal hold on {whom}: neither erased nor purged; {}", mask.text(&hold.reason)),
            ));
        }
    }
    for request in stores.archive.erasures_pending().await? {
        if request.project == project && request.contact == contact {
            let said = "asked to be erased, and not done yet: `conversationd erase --pending`".to_owned();
            timeline.tell(beside(request.requested_at, "erasure", said));
        }
    }
    Ok(())
}

fn beside(at: chrono::DateTime<Utc>, what: &'static str, said: String) -> Entry {
    Entry { at, conversation: None, what, stands: "archive", said, facts: serde_json::Value::Null }
}
