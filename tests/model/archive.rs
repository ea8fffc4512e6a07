//! The archive in memory: transactions with a lock per conversation, insert once, and commits whose answer may be lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use conversationd::{
    archive::{Archive, ArchiveError, Heard, Reach, Summary, Transaction},
    domain::{
        Changes, Classification, Close, Conversation, ConversationId, CrmLink, Details, EventId, Message, Rating,
        Record, RecordChange, Thread, ThreadKey, Variable,
    },
};

use super::{
    mutant::Mutant,
    witness::{self, About},
    world::{Doing, Link, State, Unanswered, short},
};

/// PostgreSQL ends a transaction that is left alone for this long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// A statement that waits longer for a lock is cancelled.
const STATEMENT: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct ArchiveState {
    /// Conversations, and when they closed.
    pub conversations: BTreeMap<ConversationId, Option<DateTime<Utc>>>,
    /// Messages: where each stands, in the order of insertion.
    pub messages: Vec<(ConversationId, EventId)>,
    /// What conversations were told to be, and what was said: what stands is in the two above.
    pub known: BTreeMap<ConversationId, (Thread, Record)>,
    pub said: BTreeMap<EventId, Message>,
    /// Those of them that were appended to a conversation that had closed.
    pub late: BTreeSet<EventId>,
    /// What was announced: the conversation, whether it is an amendment, and which messages.
    pub notices: Vec<(ConversationId, bool, Vec<EventId>)>,
    /// Ratings: the conversation each stands with, if any.
    pub ratings: BTreeMap<EventId, Option<ConversationId>>,
    /// Customer records that conversations belong to.
    pub links: BTreeMap<ConversationId, CrmLink>,
    /// Contacts to be erased, and the events that asked for it.
    pub erasures: BTreeMap<EventId, (String, String)>,
    /// How each closed, and with which resolution since.
    pub closes: BTreeMap<ConversationId, Close>,
    /// What is known of each besides its messages.
    pub details: BTreeMap<ConversationId, Details>,
    /// The thread of each that somebody ever wanted to write.
    pub threads: BTreeMap<ConversationId, ThreadKey>,
    /// Variables each conversation ended with.
    pub variables: BTreeMap<ConversationId, Vec<Variable>>,
    locks: BTreeMap<ConversationId, (u64, Duration)>,
    transactions: u64,
}

impl ArchiveState {
    fn holds(&self, event: EventId) -> bool {
        self.messages.iter().any(|(_, held)| *held == event)
    }

    fn lock_is_free(&self, id: ConversationId, transaction: u64, now: Duration) -> bool {
        self.locks
            .get(&id)
            .is_none_or(|(holder, touched)| *holder == transaction || *touched + IDLE_IN_TRANSACTION < now)
    }
}

/// The archive as one replica sees it.
pub struct ModelArchive(pub Link);

fn unavailable(_: Unanswered) -> ArchiveError {
    ArchiveError::Unavailable("no answer".into())
}

#[async_trait]
impl Archive for ModelArchive {
    async fn begin(&self) -> Result<Box<dyn Transaction>, ArchiveError> {
        let id = self.0.io("begin", false, |state: &mut State, _| {
            state.archive.transactions += 1;
            state.archive.transactions
        });
        let id = id.await.map_err(unavailable)?;
        let written = Written::default();
        Ok(Box::new(ModelTransaction { link: self.0.clone(), id, thread: None, locked: None, written }))
    }

    async fn rate_alone(&self, _: &Thread, rating: &Rating) -> Result<(), ArchiveError> {
        let event = rating.event_id;
        let rated = self.0.io("rate_alone", true, move |state: &mut State, _| {
            state.archive.ratings.entry(event).or_insert(None);
        });
        rated.await.map_err(unavailable)
    }

    async fn link(&self, _: &Thread, conversation: ConversationId, link: &CrmLink) -> Result<(), ArchiveError> {
        let link = link.clone();
        let linked = self.0.io("link", true, move |state: &mut State, _| {
            let newest = state.archive.links.entry(conversation).or_insert_with(|| link.clone());
            if newest.sequence < link.sequence {
                *newest = link;
            }
        });
        linked.await.map_err(unavailable)
    }

    async fn record_changed(&self, _: &RecordChange, _: Reach<'_>) -> Result<Heard, ArchiveError> {
        self.0.io("record_changed", true, |_: &mut State, _| Heard::Stands(Vec::new())).await.map_err(unavailable)
    }

    async fn request_erasure(
        &self,
        of: &str,
        contact: &str,
        event: EventId,
        _: DateTime<Utc>,
    ) -> Result<(), ArchiveError> {
        let wanted = (of.to_owned(), contact.to_owned());
        let requested = self.0.io("request_erasure", true, move |state: &mut State, _| {
            state.archive.erasures.entry(event).or_insert(wanted);
        });
        requested.await.map_err(unavailable)
    }
}

struct ModelTransaction {
    link: Link,
    id: u64,
    thread: Option<ThreadKey>,
    locked: Option<ConversationId>,
    written: Written,
}

/// What a transaction wrote so far.
#[derive(Default)]
struct Written {
    inserted: Vec<EventId>,
    ratings: Vec<EventId>,
    changes: Vec<Changes>,
    variables: Option<Vec<Variable>>,
}

impl ModelTransaction {
    fn doing(&self, what: &'static str) -> Option<Doing> {
        self.link.doing(what, |_| self.thread.iter().cloned().map(About::Thread).collect())
    }
}

impl Drop for ModelTransaction {
    /// The connection is closed: the server rolls back.
    fn drop(&mut self) {
        if let Some(conversation) = self.locked {
            let mut state = self.link.world.state();
            if state.archive.locks.get(&conversation).is_some_and(|(holder, _)| *holder == self.id) {
                state.archive.locks.remove(&conversation);
            }
        }
    }
}

#[async_trait]
impl Transaction for ModelTransaction {
    async fn lock(&mut self, thread: &Thread, record: &Record) -> Result<(), ArchiveError> {
        let (id, transaction, key) = (record.id, self.id, thread.key());
        let waited = self.link.world.elapsed();
        self.link.world.state().archive.known.insert(id, (thread.clone(), record.clone()));
        self.locked = Some(id);
        self.thread = Some(key.clone());
        let _doing = self.doing("lock");
        loop {
            let key = key.clone();
            let locked = self.link.io("lock", true, move |state: &mut State, now| {
                if state.mutant == Mutant::CloseFirst {
                    close_head(state, &key, id);
                }
                let free = state.archive.lock_is_free(id, transaction, now);
                if free {
                    state.archive.threads.insert(id, key);
                    state.archive.locks.insert(id, (transaction, now));
                } else {
                    state.saw("a closer waited for another");
                }
                free
            });
            if locked.await.map_err(unavailable)? {
                return Ok(());
            }
            if self.link.world.elapsed() > waited + STATEMENT {
                return Err(ArchiveError::Unavailable("lock not available".into()));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn insert(
        &mut self,
        record: &Record,
        messages: &[Message],
        late: bool,
    ) -> Result<Vec<EventId>, ArchiveError> {
        let (id, transaction) = (record.id, self.id);
        let events: Vec<EventId> = messages.iter().map(|message| message.event_id).collect();
        self.link.world.state().archive.said.extend(messages.iter().map(|said| (said.event_id, said.clone())));
        let _doing = self.doing("insert");
        let mine: BTreeSet<EventId> = self.written.inserted.iter().copied().collect();
        let inserted = self.link.io("insert", true, move |state: &mut State, now| {
            if !touch(state, id, transaction, now) {
                return None;
            }
            if late {
                state.saw("a message was appended late");
                if state.mutant == Mutant::NoLateAppend {
                    return Some(Vec::new());
                }
            }
            let mut new = Vec::new();
            for event in events {
                let stands = match state.mutant {
                    Mutant::PlainInsert | Mutant::RandomKeys => false,
                    Mutant::EventIdNotUnique => state.archive.messages.contains(&(id, event)),
                    _ => state.archive.holds(event),
                };
                let repeated = mine.contains(&event) || new.contains(&event);
                if !(stands || repeated && state.mutant != Mutant::RandomKeys) {
                    new.push(event);
                }
            }
            if late {
                state.archive.late.extend(&new);
            }
            let said: Vec<String> = new.iter().map(short).collect();
            state.detail(|| format!(" into {}: {}", short(id), said.join(" ")));
            Some(new)
        });
        let inserted = inserted.await.map_err(unavailable)?.ok_or_else(rolled_back)?;
        self.written.inserted.extend(&inserted);
        Ok(inserted)
    }

    async fn rate(&mut self, _: &Thread, _: &Record, rating: &Rating) -> Result<bool, ArchiveError> {
        let event = rating.event_id;
        let new = self.link.io("rate", true, move |state: &mut State, _| !state.archive.ratings.contains_key(&event));
        let new = new.await.map_err(unavailable)?;
        self.written.ratings.push(event);
        Ok(new)
    }

    async fn amend(&mut self, _: &Record, changes: &Changes) -> Result<(), ArchiveError> {
        self.link.io("amend", true, |_: &mut State, _| ()).await.map_err(unavailable)?;
        self.written.changes.push(changes.clone());
        Ok(())
    }

    async fn classify(&mut self, _: &Thread, _: &Classification) -> Result<bool, ArchiveError> {
        self.link.io("classify", true, |_: &mut State, _| ()).await.map_err(unavailable)?;
        Ok(false)
    }

    async fn still_open(&mut self, _: &[Duration]) -> Result<(), ArchiveError> {
        Ok(())
    }

    async fn keep_variables(&mut self, _: &Record, variables: &[Variable]) -> Result<(), ArchiveError> {
        self.link.io("keep_variables", true, |_: &mut State, _| ()).await.map_err(unavailable)?;
        self.written.variables = Some(variables.to_vec());
        Ok(())
    }

    async fn finish(mut self: Box<Self>, record: &Record, close: Option<&Close>) -> Result<Summary, ArchiveError> {
        let (id, transaction) = (record.id, self.id);
        let (details, close) = (record.details.clone(), close.cloned());
        let written = std::mem::take(&mut self.written);
        let _doing = self.doing("commit");
        let summary = self.link.io("commit", true, move |state: &mut State, now| {
            if !touch(state, id, transaction, now) {
                return None;
            }
            let summary = commit(state, id, details, close, written);
            state.archive.locks.remove(&id);
            witness::archived(state, now);
            Some(summary)
        });
        summary.await.map_err(unavailable)?.ok_or_else(rolled_back)
    }
}

fn close_head(state: &mut State, thread: &ThreadKey, id: ConversationId) {
    let Some(head) = state.hot.heads.get_mut(thread) else { return };
    if let Conversation::Closing(closing) = head.conversation.clone()
        && closing.record.id == id
    {
        *head = head.next(Conversation::Closed(closing.archived()));
    }
}

/// Whether the transaction still lives, and holds its lock.
fn touch(state: &mut State, id: ConversationId, transaction: u64, now: Duration) -> bool {
    match state.archive.locks.get_mut(&id) {
        Some((holder, touched)) if *holder == transaction && now <= *touched + IDLE_IN_TRANSACTION => {
            *touched = now;
            true
        }
        _ => {
            state.saw("a transaction had ended before its commit");
            false
        }
    }
}

fn rolled_back() -> ArchiveError {
    ArchiveError::Unavailable("the transaction has ended".into())
}

fn commit(state: &mut State, id: ConversationId, details: Details, close: Option<Close>, written: Written) -> Summary {
    let (mutant, closed_at) = (state.mutant, close.as_ref().map(|close| close.at));
    let archive = &mut state.archive;
    let unique = !matches!(mutant, Mutant::PlainInsert | Mutant::RandomKeys | Mutant::EventIdNotUnique);
    let new: Vec<EventId> = written.inserted.into_iter().filter(|event| !(unique && archive.holds(*event))).collect();
    let said: Vec<String> = new.iter().map(short).collect();
    archive.messages.extend(new.iter().map(|event| (id, *event)));
    let message_count = archive.messages.iter().filter(|(of, _)| *of == id).count() as u64;
    state.detail(|| format!(" of {}: {}", short(id), said.join(" ")));
    let archive = &mut state.archive;
    for event in written.ratings.into_iter().filter(|_| mutant != Mutant::RatingForgotten) {
        archive.ratings.entry(event).or_insert(Some(id));
    }
    if message_count == 0 && !archive.ratings.values().any(|of| *of == Some(id)) {
        return Summary { message_count, content_hash: None, closed_at: None };
    }
    let stored = archive.conversations.entry(id).or_default();
    let first_close = stored.is_none() && closed_at.is_some();
    *stored = stored.or(closed_at);
    let closed_at = *stored;
    if let Some(close) = close.filter(|_| first_close) {
        archive.closes.insert(id, close);
        if archive.details.get(&id).is_none_or(|stands| stands.changed_by <= details.changed_by) {
            archive.details.insert(id, details);
        }
        archive.variables.extend(written.variables.map(|variables| (id, variables)));
    }
    for changes in written.changes {
        let stands = archive.details.remove(&id).unwrap_or_default();
        let amended = stands.clone().after(&changes).unwrap_or(stands.clone());
        let close = archive.closes.get_mut(&id).filter(|_| amended.changed_by != stands.changed_by);
        if let (Some(close), Some(resolution)) = (close, changes.resolution) {
            close.resolution = Some(resolution);
        }
        archive.details.insert(id, amended);
    }
    if first_close {
        let covered = archive.messages.iter().filter(|(of, _)| *of == id).map(|(_, event)| *event).collect();
        archive.notices.push((id, false, covered));
    } else if !new.is_empty() && closed_at.is_some() {
        archive.notices.push((id, true, new));
        state.saw("an archived conversation was amended");
    }
    Summary { message_count, content_hash: None, closed_at }
}
