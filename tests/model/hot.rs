//! The hot store in memory: conditional head writes, unconditional puts under derived keys, pages, and the due index.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use conversationd::{
    domain::{Conversation, ConversationId, EventId, Head, Message, Record, Sequence, ThreadKey},
    hot::{
        Control, Controls, Cursor, DUE_SHARDS, DeadLetter, DeadLetters, DueHead, HotError, HotStore, Page, Put, Row,
        Settled, Settlement, Walk, Walked, Way,
    },
};

use super::{
    mutant::Mutant,
    witness::{self, About},
    world::{Link, State, Unanswered, short},
};

/// Messages in a page: few, so that small conversations have several.
const PAGE: usize = 2;

/// How far behind an inconsistent read may be.
const STALENESS: Duration = Duration::from_millis(200);

/// Sorts as the table's sort key does. The last part is 0, but for keys that are not derived from the message.
pub type Key = (ThreadKey, ConversationId, DateTime<Utc>, Sequence, EventId, u64);

#[derive(Default)]
pub struct HotState {
    pub heads: BTreeMap<ThreadKey, Head>,
    pub messages: BTreeMap<Key, (Message, Duration)>,
    /// Conversations in the order in which heads named them.
    pub order: Vec<ConversationId>,
    /// The head of each conversation as it opened.
    pub opened: BTreeMap<ConversationId, Head>,
    /// Messages that the store refuses, each time.
    pub refused: BTreeSet<EventId>,
    /// Messages whose handling kills the process.
    pub kills: BTreeSet<EventId>,
    /// One of them was just being put.
    pub killed: bool,
    /// Failed attempts, by message.
    pub attempts: BTreeMap<String, u32>,
    /// The index of dead letters, by time and message.
    pub dead_letters: BTreeMap<(DateTime<Utc>, String), DeadLetter>,
    /// Small rows, by partition and name.
    pub rows: BTreeMap<(String, String), Row>,
    /// Messages whose letter an operator once sent back.
    pub settled_once: BTreeSet<String>,
    /// What all replicas are told.
    pub controls: Controls,
    /// Event types whose exhaustion parks their group, for replicas that start.
    pub parks: BTreeSet<String>,
    /// A head was written with older details than stood.
    pub overwritten: bool,
    puts: u64,
}

impl HotState {
    /// An operator sent a dead letter back.
    pub fn settle_row(&mut self, message_id: &str, at: DateTime<Utc>) {
        for row in self.dead_letters.values_mut().filter(|row| row.message_id == message_id) {
            row.settled = Some(Settled { how: Settlement::Redriven, at });
            self.settled_once.insert(message_id.to_owned());
        }
    }

    fn head_written(&mut self, thread: &ThreadKey, head: &Head) {
        let id = head.conversation.record().id;
        let same = self.heads.get(thread).map(|head| head.conversation.record()).filter(|record| record.id == id);
        let older = |stands: &Record| stands.details.changed_by > head.conversation.record().details.changed_by;
        self.overwritten |= same.is_some_and(older);
        if !self.order.contains(&id) {
            self.order.push(id);
            self.opened.insert(id, head.clone());
        }
        self.heads.insert(thread.clone(), head.clone());
    }
}

/// The hot store as one replica sees it.
pub struct ModelHot(pub Link);

fn unavailable(_: Unanswered) -> HotError {
    HotError::Unavailable("no answer".into())
}

fn write_head(state: &mut State, thread: &ThreadKey, head: &Head, now: Duration) -> bool {
    state.detail(|| format!(" v{} {}", head.version, short(head.conversation.record().id)));
    let stored = state.hot.heads.get(thread);
    let expected = stored.map_or(0, |stored| stored.version) + 1 == head.version;
    let closing = matches!(head.conversation, Conversation::Closing(_));
    let closed = matches!(head.conversation, Conversation::Closed(_));
    let same = stored.is_some_and(|stored| stored.conversation.record().id == head.conversation.record().id);
    let write = match state.mutant {
        Mutant::NoHeadVersion => true,
        Mutant::NoClosedVersion if closed => true,
        Mutant::NoSeal if closing => return expected,
        Mutant::NoSeal if closed => same,
        _ => expected,
    };
    if !write {
        state.saw("a head write lost the race");
        return false;
    }
    let before = state.hot.heads.get(thread).cloned();
    witness::head_written(state, before.as_ref(), head, now);
    state.hot.head_written(thread, head);
    true
}

#[async_trait]
impl HotStore for ModelHot {
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
        let asked = threads.len();
        let _doing = self.0.doing("heads", |_| threads.iter().cloned().map(About::Thread).collect());
        let read = self.0.io("heads", false, move |state: &mut State, _| {
            let heads: Vec<Option<Head>> = threads.iter().map(|thread| state.hot.heads.get(thread).cloned()).collect();
            for head in heads.iter().flatten() {
                state.detail(|| format!(" v{} {}", head.version, short(head.conversation.record().id)));
            }
            heads
        });
        match read.await {
            Ok(heads) => heads.into_iter().map(Ok).collect(),
            Err(failure) => vec![Err(unavailable(failure)); asked],
        }
    }

    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        let (thread, head) = (thread.clone(), head.clone());
        let what = match &head.conversation {
            Conversation::Open(_) => "head_open",
            Conversation::Closing(_) => "head_closing",
            Conversation::Closed(_) => "head_closed",
        };
        let _doing = self.0.doing(what, |_| vec![About::Thread(thread.clone())]);
        let written = self.0.io(what, true, move |state: &mut State, now| write_head(state, &thread, &head, now));
        written.await.map_err(unavailable)
    }

    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>> {
        let deadly = {
            let mut state = self.0.world.state();
            let deadly = puts.iter().any(|put| state.hot.kills.contains(&put.message.event_id));
            state.hot.killed |= deadly;
            deadly
        };
        if deadly {
            std::future::pending::<()>().await;
        }
        let asked = puts.len();
        let about = |put: &Put| About::Put(put.thread.clone(), put.message.event_id);
        let _doing = self.0.doing("put", |_| puts.iter().map(about).collect());
        let put = self.0.io("put", true, move |state: &mut State, now| {
            let mut results = Vec::with_capacity(puts.len());
            for put in &puts {
                let partial = state.faults.partial;
                if state.rng.chance(partial) {
                    state.saw("one entry of a batch failed alone");
                    results.push(Err(HotError::Unavailable("left unprocessed".into())));
                    continue;
                }
                if state.hot.refused.contains(&put.message.event_id) {
                    results.push(Err(HotError::Refused("it is wrong".into())));
                    continue;
                }
                state.hot.puts += 1;
                let unique = if state.mutant == Mutant::RandomKeys { state.hot.puts } else { 0 };
                let m = &put.message;
                state.detail(|| format!(" {} into {}", short(m.event_id), short(put.conversation)));
                let key = (put.thread.clone(), put.conversation, m.occurred_at, m.sequence, m.event_id, unique);
                let open = state.hot.heads.get(&put.thread).is_some_and(|head| {
                    head.conversation.record().id == put.conversation
                        && matches!(head.conversation, Conversation::Open(_))
                });
                if !open {
                    state.saw("a put landed in a conversation that was no longer open");
                }
                if state.hot.messages.insert(key, ((**m).clone(), now)).is_some() {
                    state.saw("a put was repeated");
                }
                witness::put(state, put.conversation, m.event_id, m.sequence, now);
                results.push(Ok(()));
            }
            results
        });
        put.await.unwrap_or_else(|failure| vec![Err(unavailable(failure)); asked])
    }

    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        let thread = thread.clone();
        let _doing = self.0.doing("page", |_| vec![About::Thread(thread.clone())]);
        let page = self.0.io("page", false, move |state: &mut State, now| {
            let one_page = state.mutant == Mutant::OnePage;
            let stale = state.mutant == Mutant::StaleReads;
            let seen = |written: &Duration| !stale || *written + STALENESS < now;
            let from = after.as_ref().map_or(0, |cursor| cursor.as_str().parse().expect("our own cursor"));
            let all: Vec<&Message> = state
                .hot
                .messages
                .iter()
                .filter(|((of, id, ..), (_, written))| *of == thread && *id == conversation && seen(written))
                .map(|(_, (message, _))| message)
                .collect();
            let messages: Vec<Message> = all.iter().skip(from).take(PAGE).map(|message| (*message).clone()).collect();
            let next = from + messages.len();
            let more = next < all.len() && !one_page;
            let found: Vec<String> = messages.iter().map(|message| short(message.event_id)).collect();
            state.detail(|| format!(" of {}: {}", short(conversation), found.join(" ")));
            Page { messages, next: more.then(|| Cursor::at(next.to_string())) }
        });
        page.await.map_err(unavailable)
    }

    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError> {
        let walk = walk.clone();
        let walked = self.0.io("walk", false, move |state: &mut State, now| {
            let stale = state.mutant == Mutant::StaleAnswers;
            let of = state.hot.messages.iter();
            let mut all: Vec<&Message> = of
                .filter(|((of, id, ..), _)| *of == walk.thread && *id == walk.conversation)
                .filter(|(_, (_, put))| !stale || *put + Duration::from_secs(5) < now)
                .map(|(_, (message, _))| message)
                .filter(|message| match walk.way {
                    Way::Back => walk.from.is_none_or(|from| message.spot() < from),
                    Way::Forward => walk.from.is_none_or(|from| message.spot() > from),
                })
                .collect();
            if walk.way == Way::Back {
                all.reverse();
            }
            let messages: Vec<Message> = all.iter().take(walk.most).map(|message| (*message).clone()).collect();
            Walked { more: messages.len() < all.len(), messages }
        });
        walked.await.map_err(unavailable)
    }

    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        let thread = thread.clone();
        let _doing = self.0.doing("last_received", |_| vec![About::Thread(thread.clone())]);
        let last = self.0.io("last_received", false, move |state: &mut State, _| {
            let of = state.hot.messages.iter().rev().find(|((of, id, ..), _)| *of == thread && *id == conversation);
            of.map(|(_, (message, _))| message.received_at)
        });
        last.await.map_err(unavailable)
    }

    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        let _doing = self.0.doing("overtook", |_| vec![About::Thread(thread.clone())]);
        let own = (thread.clone(), conversation, message.occurred_at, message.sequence, message.event_id, 0);
        let overtook = self.0.io("overtook", false, move |state: &mut State, _| {
            let behind = state.hot.messages.range(own.clone()..);
            let mut behind = behind.take_while(|((of, id, ..), _)| *of == own.0 && *id == own.1);
            behind.any(|((_, _, _, sequence, ..), _)| *sequence >= own.3)
        });
        overtook.await.map_err(unavailable)
    }

    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError> {
        let due = self.0.io("due", false, move |state: &mut State, _| {
            let mut due: Vec<DueHead> = state
                .hot
                .heads
                .iter()
                .filter(|(thread, _)| thread.spread() % u64::from(DUE_SHARDS) == u64::from(shard))
                .filter_map(|(thread, head)| {
                    Some(DueHead {
                        thread: thread.clone(),
                        conversation: head.conversation.record().id,
                        group_id: head.group_id.clone(),
                        due_at: head.conversation.due()?,
                    })
                })
                .filter(|head| head.due_at <= until)
                .collect();
            due.sort_by_key(|head| head.due_at);
            due.truncate(limit);
            due
        });
        due.await.map_err(unavailable)
    }

    async fn charge(&self, message_id: &str, by: i32, _: DateTime<Utc>) -> Result<u32, HotError> {
        let message_id = message_id.to_owned();
        let about = |state: &State| state.sqs.group_of(&message_id).map(About::Group).into_iter().collect();
        let _doing = self.0.doing("charge", about);
        let charged = self.0.io("charge", true, move |state: &mut State, _| {
            let attempts = state.hot.attempts.entry(message_id).or_default();
            *attempts = attempts.saturating_add_signed(by);
            *attempts
        });
        charged.await.map_err(unavailable)
    }

    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        let letter = letter.clone();
        let _doing = self.0.doing("dead_letter_row", |_| vec![About::Group(letter.group_id.clone())]);
        let written = self.0.io("dead_letter_row", true, move |state: &mut State, _| {
            state.detail(|| format!(" {}", letter.message_id));
            if state.mutant != Mutant::NoRow {
                state.hot.dead_letters.insert((letter.sent_at, letter.message_id.clone()), letter);
            }
        });
        written.await.map_err(unavailable)
    }

    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError> {
        let read = self.0.io("dead_letters", false, move |state: &mut State, _| {
            let from = after.as_ref().map_or(0, |cursor| cursor.as_str().parse().expect("our own cursor"));
            let of_day = state.hot.dead_letters.values().filter(|letter| letter.sent_at.date_naive() == day);
            let all: Vec<&DeadLetter> = of_day.collect();
            let letters: Vec<DeadLetter> = all.iter().skip(from).take(PAGE).map(|letter| (*letter).clone()).collect();
            let next = from + letters.len();
            DeadLetters { letters, next: (next < all.len()).then(|| Cursor::at(next.to_string())) }
        });
        read.await.map_err(unavailable)
    }

    async fn mark_dead_letter(&self, at: DateTime<Utc>, id: &str, settled: Settled) -> Result<bool, HotError> {
        let key = (at, id.to_owned());
        let marked = self.0.io("mark_dead_letter", true, move |state: &mut State, _| {
            let row = state.hot.dead_letters.get_mut(&key);
            row.map(|row| row.settled = Some(settled)).is_some()
        });
        marked.await.map_err(unavailable)
    }

    async fn write_row(&self, row: &Row) -> Result<bool, HotError> {
        let row = row.clone();
        let written = self.0.io("write_row", true, move |state: &mut State, _| {
            let place = (row.partition.clone(), row.name.clone());
            let newer = state.hot.rows.get(&place).is_none_or(|stands| stands.rank < row.rank);
            if newer {
                state.hot.rows.insert(place, row);
            }
            newer
        });
        written.await.map_err(unavailable)
    }

    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        let (partition, prefix) = (partition.to_owned(), prefix.to_owned());
        let rows = self.0.io("rows", false, move |state: &mut State, _| {
            let of = state.hot.rows.iter().filter(|((of, name), _)| *of == partition && name.starts_with(&prefix));
            of.map(|(_, row)| row.clone()).collect()
        });
        rows.await.map_err(unavailable)
    }

    async fn controls(&self) -> Result<Controls, HotError> {
        self.0.io("controls", false, |state: &mut State, _| state.hot.controls.clone()).await.map_err(unavailable)
    }

    async fn control(&self, control: &Control, _: DateTime<Utc>) -> Result<bool, HotError> {
        let control = control.clone();
        self.0.io("control", true, move |state: &mut State, _| tell(state, control)).await.map_err(unavailable)
    }
}

/// Returns whether it changed anything.
pub fn tell(state: &mut State, control: Control) -> bool {
    let Controls { pause, parked, skips } = &mut state.hot.controls;
    match control {
        Control::Pause(told) => pause.is_none() && pause.replace(told).is_none(),
        Control::Resume => pause.take().is_some(),
        Control::Park(group, told) => !parked.contains_key(&group) && parked.insert(group, told).is_none(),
        Control::Unpark(group) => parked.remove(&group).is_some(),
        Control::Skip(name, told) => {
            skips.insert(name, told);
            true
        }
        Control::Skipped(name) => skips.remove(&name).is_some(),
    }
}
