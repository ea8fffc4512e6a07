//! One thread in both stores: what stands in the hot store and not in the archive, and what nobody took up in time.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use crate::{
    archive::{Archive, ConversationRow},
    domain::{
        Close, CloseReason, Conversation, ConversationId, Details, Head, Message, Record, Stretch, Thread, ThreadKey,
    },
    operate::conversations::Stores,
};

/// Messages appended in one transaction: the archive's limit of one insert.
const APPENDED_AT_ONCE: usize = 1_000;

/// Older messages may have been purged from the archive on purpose (`archive purge` takes nothing younger than 60 days).
const MAY_BE_PURGED: TimeDelta = TimeDelta::days(59);

/// What is not looked at: what is younger than this may be on its way, in somebody's hands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub now: DateTime<Utc>,
    pub settled: TimeDelta,
}

impl Bounds {
    fn takes(&self, message: &Message) -> bool {
        let age = self.now - message.received_at;
        age > self.settled && age < MAY_BE_PURGED
    }
}

/// A conversation that was closed, as both stores have it.
#[derive(Debug)]
pub(super) struct Compared {
    pub id: ConversationId,
    /// The day of its close, UTC.
    pub day: NaiveDate,
    /// Different messages in the hot store.
    pub messages: u64,
    /// Those of them that the archive has nowhere.
    pub missing: Vec<Message>,
    /// Whether the archive has a row of it that does not know of its close.
    open_in_archive: bool,
    /// Since when the hot store has had it as closed, if that is known.
    closed_at: Option<DateTime<Utc>>,
}

impl Compared {
    /// Whether the archive should know by now that it closed.
    pub(super) fn should_be_closed(&self, bounds: Bounds) -> bool {
        self.open_in_archive
            && self.closed_at.is_some_and(|at| bounds.now - at > bounds.settled && bounds.now - at < MAY_BE_PURGED)
    }
}

/// Since when a head has waited for the timer, if that is too long.
pub(super) fn overdue(head: &Head, bounds: Bounds) -> Option<DateTime<Utc>> {
    head.conversation.due().filter(|due| bounds.now - *due > bounds.settled)
}

/// Compares every closed conversation of which the hot store has messages; of those that closed on `day`, if one is given.
pub(super) async fn compare(
    stores: &Stores,
    head: &Head,
    day: Option<NaiveDate>,
    bounds: Bounds,
) -> anyhow::Result<Vec<Compared>> {
    let key = head.thread.key();
    let keys = stores.hot.keys_of(&key).await?;
    let mut ids: BTreeSet<ConversationId> =
        keys.iter().filter_map(crate::hot::ItemKey::conversation).map(ConversationId).collect();
    let record = head.conversation.record();
    if !matches!(head.conversation, Conversation::Closed(_)) {
        ids.remove(&record.id);
    }
    let mut compared = Vec::new();
    for id in ids {
        let row = stores.archive.conversation(id).await?;
        let closed_at = row.as_ref().and_then(|row| row.closed_at);
        let stretch = known_stretch(head, id);
        let known = closed_at.or(stretch.map(|stretch| stretch.closed_at));
        if day.is_some() && known.is_some() && known.map(|at| at.date_naive()) != day {
            continue;
        }
        let mut found = Compared {
            id,
            day: known.unwrap_or(bounds.now).date_naive(),
            messages: 0,
            missing: Vec::new(),
            open_in_archive: row.is_some() && closed_at.is_none(),
            closed_at: stretch.map(|stretch| stretch.closed_at),
        };
        let mut latest = None;
        gather(stores, &key, id, bounds, &mut found, &mut latest).await?;
        if known.is_none() {
            found.day = latest.unwrap_or(bounds.now).date_naive();
        }
        if day.is_none_or(|day| day == found.day) {
            compared.push(found);
        }
    }
    Ok(compared)
}

async fn gather(
    stores: &Stores,
    key: &ThreadKey,
    id: ConversationId,
    bounds: Bounds,
    found: &mut Compared,
    latest: &mut Option<DateTime<Utc>>,
) -> anyhow::Result<()> {
    let (mut seen, mut after) = (BTreeSet::new(), None);
    loop {
        let page = stores.hot.page(key, id, after).await?;
        let mut messages = page.messages;
        messages.retain(|message| seen.insert(message.event_id));
        *latest = messages.iter().map(|message| message.received_at).max().max(*latest);
        found.messages += messages.len() as u64;
        messages.retain(|message| bounds.takes(message));
        let ids: Vec<_> = messages.iter().map(|message| message.event_id).collect();
        let absent: BTreeSet<_> = stores.archive.absent(&ids).await?.into_iter().collect();
        messages.retain(|message| absent.contains(&message.event_id));
        found.missing.append(&mut messages);
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// The close of a conversation, as far as the thread still remembers.
fn known_stretch(head: &Head, id: ConversationId) -> Option<Stretch> {
    match &head.conversation {
        Conversation::Closed(closed) if closed.record.id == id => Some(closed.stretch()),
        conversation => conversation.record().previous.filter(|stretch| stretch.id == id),
    }
}

/// Appends what is missing, as a late arrival is: under the row's lock, each message once, sums and statistics after it.
///
/// The head is not touched: it is closed already, and what it closed over is only now complete.
pub(super) async fn append(stores: &Stores, head: &Head, compared: &Compared) -> anyhow::Result<()> {
    let row = stores.archive.conversation(compared.id).await?;
    let Some((record, close)) = ended(head, compared, row.as_ref()) else { return Ok(()) };
    let mut left = compared.missing.as_slice();
    loop {
        let (messages, rest) = left.split_at(left.len().min(APPENDED_AT_ONCE));
        let mut transaction = stores.archive.begin().await?;
        transaction.lock(&head.thread, &record).await?;
        transaction.insert(&record, messages, true).await?;
        transaction.finish(&record, Some(&close)).await?;
        left = rest;
        if left.is_empty() {
            return Ok(());
        }
    }
}

/// What is known of the conversation, and how it ended. `None` without a message.
fn ended(head: &Head, compared: &Compared, row: Option<&ConversationRow>) -> Option<(Record, Close)> {
    if let Conversation::Closed(closed) = &head.conversation
        && closed.record.id == compared.id
    {
        return Some((closed.record.clone(), closed.close.clone()));
    }
    let first = compared.missing.iter().min_by_key(|message| message.occurred_at)?;
    let last = compared.missing.iter().map(|message| message.received_at).max()?;
    let stretch = known_stretch(head, compared.id);
    let opened_at = row.map(|row| row.opened_at).or(stretch.map(|stretch| stretch.opened_at));
    let record = Record {
        id: compared.id,
        opened_at: opened_at.unwrap_or(first.occurred_at),
        opened_received_at: first.received_at,
        contact_name: first.contact_name.clone(),
        agent_id: first.agent_id.clone(),
        previous: None,
        details: Details::default(),
        recap: None,
    };
    let close = match stretch {
        Some(stretch) => Close::new(stretch.closed_at, stretch.reason),
        None => Close::new(last, CloseReason::Late),
    };
    Some((record, close))
}

/// The thread as a person may see it: its project, and nothing of its contact.
pub(super) fn named(thread: &Thread, mask: crate::operate::mask::Mask) -> String {
    let contact = thread.contact.as_deref().map(|contact| mask.contact(contact));
    contact.or(thread.conversation.clone()).unwrap_or_default()
}
