//! Watches the consumer's laws C1 to C6 from outside: every call that leaves a process, and every change it makes, is compared
//! with what the queue and the stores hold at that moment. The daemon knows nothing of it.
//!
//! A turn is what a process does between two reads of a thread's head that begin with a decision; from outside it is seen by its
//! calls. C7 is about the moment after a process ended, and is looked at there (`tests/laws/stop.rs`).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use conversationd::{
    domain::{Conversation, ConversationId, EventId, Head, Sequence, ThreadKey},
    event::{self, Kind, Raw},
    queue::DeadLetterReason,
};

use super::{scenario::thread, sqs::Entry, world::State};

/// Failed attempts after which the model's daemons give a delivery up.
pub const ATTEMPTS: u32 = 8;

/// A request that left its turn may still lie in a batch when its delivery is given back.
const IN_A_BATCH: Duration = Duration::from_secs(1);

/// The laws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// No two turns of one group run at once in a process.
    C1OneTurn,
    /// Message n+1 of a group does not start before n is durable, but for messages of one turn, which go side by side.
    C2InOrder,
    /// What is done again changes nothing.
    C3Idempotent,
    /// Nothing is deleted before its effect, or its copy in the dead-letter queue, is durable.
    C4Durable,
    /// Nothing reaches the dead-letter queue without an attempt recorded for it.
    C5Attempted,
    /// A process without a lease commits nothing; what is committed stays.
    C6Fenced,
}

/// A law that was broken.
#[derive(Clone, Debug)]
pub struct Breach {
    pub law: Law,
    pub at: Duration,
    pub what: String,
}

/// A process: the replica, and its how-manieth start.
pub type Process = (u32, u64);

/// A call that a process waits for.
pub type Call = u64;

/// What a call is about.
#[derive(Clone, Debug)]
pub enum About {
    Thread(ThreadKey),
    Put(ThreadKey, EventId),
    Group(String),
}

struct Open {
    process: Process,
    what: &'static str,
    groups: BTreeSet<String>,
}

/// What a delivery says, as far as the laws care.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    Poison,
    Message(EventId),
    Close(ThreadKey),
    Other,
}

/// The observer of one world.
#[derive(Default)]
pub struct Witness {
    pub breaches: Vec<Breach>,
    /// Calls looked at, by name: a witness that saw none proves nothing.
    pub seen: BTreeMap<&'static str, u64>,
    groups: BTreeMap<ThreadKey, String>,
    open: BTreeMap<Call, Open>,
    calls: Call,
    /// What a process began to put since it last read the head of the group's thread.
    runs: BTreeMap<(Process, String), BTreeSet<EventId>>,
    /// Messages that somebody tried to put.
    tried: BTreeSet<EventId>,
    /// Messages whose delivery was deleted because they were durable.
    acked: BTreeSet<EventId>,
    archived: BTreeSet<(ConversationId, EventId)>,
    closed: BTreeSet<ConversationId>,
}

/// Seals, puts, and the like: what changes a store on behalf of a delivery.
const WRITES: [&str; 7] =
    ["head_open", "head_closing", "head_closed", "put", "commit", "dead_letter_row", "dead_letter"];

impl Witness {
    /// A witness of so many contacts, each in a group of its own.
    pub fn of(contacts: u64) -> Box<Self> {
        let groups = (0..contacts).map(|contact| (thread(contact).key(), format!("group {contact}"))).collect();
        Box::new(Self { groups, ..Self::default() })
    }

    fn breach(&mut self, law: Law, at: Duration, what: String) {
        self.breaches.push(Breach { law, at, what });
    }

    fn group(&self, about: &About) -> Option<String> {
        match about {
            About::Thread(thread) | About::Put(thread, _) => self.groups.get(thread).cloned(),
            // a broken queue calls one group by several names
            About::Group(group) => group.split('~').next().map(str::to_owned),
        }
    }

    fn begins(&mut self, state: &State, process: Process, what: &'static str, about: &[About], now: Duration) -> Call {
        *self.seen.entry(what).or_default() += 1;
        let groups: BTreeSet<String> = about.iter().filter_map(|about| self.group(about)).collect();
        let side_by_side = matches!(what, "put" | "delete");
        let others = self.open.values().filter(|open| open.process == process && !(side_by_side && open.what == what));
        let at_once: Vec<String> = others
            .filter_map(|open| {
                Some(format!("{what} and {} of {}", open.what, open.groups.intersection(&groups).next()?))
            })
            .collect();
        at_once.into_iter().for_each(|both| self.breach(Law::C1OneTurn, now, format!("{process:?}: {both}")));
        if what == "heads" {
            self.runs.retain(|(of, group), _| *of != process || !groups.contains(group));
        }
        if what == "put" {
            self.puts(state, process, about, now);
        }
        if WRITES.contains(&what) {
            for group in groups.iter().filter(|group| !holds(state, process, group, now)) {
                let said = format!("{process:?} begins {what} of {group} without a lease");
                self.breaches.push(Breach { law: Law::C6Fenced, at: now, what: said });
            }
        }
        self.calls += 1;
        self.open.insert(self.calls, Open { process, what, groups });
        self.calls
    }

    /// C2, at the put: what stands before it in its group is durable, or goes with it.
    fn puts(&mut self, state: &State, process: Process, about: &[About], now: Duration) {
        let puts = about.iter().filter_map(|about| match about {
            About::Put(_, event) => Some((self.group(about)?, *event)),
            _ => None,
        });
        let puts: Vec<(String, EventId)> = puts.collect();
        for (group, event) in &puts {
            self.tried.insert(*event);
            self.runs.entry((process, group.clone())).or_default().insert(*event);
        }
        for (group, event) in &puts {
            let entries = state.sqs.entries(group);
            let mine = |entry: &Entry| entry.holder == Some(process) && says(entry, group) == Says::Message(*event);
            let Some(place) = entries.iter().position(mine) else { continue };
            let run = self.runs.get(&(process, group.clone()));
            let with_it = |says: &Says| matches!(says, Says::Message(e) if run.is_some_and(|run| run.contains(e)));
            let before = entries[..place].iter().map(|entry| (entry.id, says(entry, group), entry));
            let undone: Vec<u64> = before
                .filter(|(_, says, entry)| !with_it(says) && !durable(state, entry, group))
                .map(|(id, ..)| id)
                .collect();
            if !undone.is_empty() {
                let id = entries[place].id;
                self.breach(Law::C2InOrder, now, format!("{process:?} puts {id} of {group} before {undone:?}"));
            }
        }
    }

    fn deletes(&mut self, state: &State, group: &str, id: u64, now: Duration) {
        let entries = state.sqs.entries(group);
        let Some(place) = entries.iter().position(|entry| entry.id == id) else { return };
        let undone = |entry: &&Entry| !durable(state, entry, group);
        if undone(&&entries[place]) {
            self.breach(Law::C4Durable, now, format!("{id} of {group} is deleted and not durable"));
        } else if let Says::Message(event) = says(&entries[place], group)
            && stands(state, event)
        {
            self.acked.insert(event);
        }
        let before: Vec<u64> = entries[..place].iter().filter(undone).map(|entry| entry.id).collect();
        if !before.is_empty() {
            self.breach(Law::C2InOrder, now, format!("{id} of {group} is deleted before {before:?} are durable"));
        }
    }

    fn stays(&mut self, state: &State, now: Duration) {
        let archived: BTreeSet<_> = state.archive.messages.iter().copied().collect();
        if !self.archived.is_subset(&archived) {
            self.breach(Law::C6Fenced, now, "an archived message has gone".into());
        }
        let mut events = BTreeSet::new();
        if state.archive.messages.iter().any(|(_, event)| !events.insert(*event)) {
            self.breach(Law::C3Idempotent, now, "a message stands twice in the archive".into());
        }
        let standing = state.hot.messages.keys().map(|key| key.4).chain(archived.iter().map(|(_, event)| *event));
        let standing: BTreeSet<EventId> = standing.collect();
        let gone: Vec<&EventId> = self.acked.difference(&standing).collect();
        if !gone.is_empty() {
            let said = format!("settled messages have gone: {gone:?}");
            self.breach(Law::C6Fenced, now, said);
        }
        self.archived = archived;
    }
}

/// Runs `with` on the witness, if there is one.
fn told<T>(state: &mut State, with: impl FnOnce(&mut Witness, &State) -> T) -> Option<T> {
    let mut witness = state.witness.take()?;
    let told = with(&mut witness, state);
    state.witness = Some(witness);
    Some(told)
}

/// A process begins a call.
pub fn begins(
    state: &mut State,
    process: impl FnOnce() -> Process,
    what: &'static str,
    about: impl FnOnce(&State) -> Vec<About>,
    now: Duration,
) -> Option<Call> {
    told(state, |witness, state| witness.begins(state, process(), what, &about(state), now))
}

/// A process no longer waits for a call.
pub fn ends(state: &mut State, call: Call) {
    told(state, |witness, _| drop(witness.open.remove(&call)));
}

/// A delivery is about to be deleted, by a receipt that is good.
pub fn deletes(state: &mut State, group: &str, id: u64, now: Duration) {
    told(state, |witness, state| witness.deletes(state, group, id, now));
}

/// A message was put.
pub fn put(state: &mut State, conversation: ConversationId, event: EventId, sequence: Sequence, now: Duration) {
    told(state, |witness, state| {
        let same = |key: &&super::hot::Key| (key.1, key.3, key.4) == (conversation, sequence, event);
        if state.hot.messages.keys().filter(same).count() > 1 {
            witness.breach(Law::C3Idempotent, now, "a message that was put again stands twice".into());
        }
    });
}

/// A head was written over another.
pub fn head_written(state: &mut State, before: Option<&Head>, head: &Head, now: Duration) {
    told(state, |witness, _| {
        let id = head.conversation.record().id;
        if before.map_or(0, |before| before.version) + 1 != head.version {
            witness.breach(Law::C6Fenced, now, "a head was written over one that its writer had not seen".into());
        }
        match head.conversation {
            Conversation::Closed(_) => drop(witness.closed.insert(id)),
            _ if witness.closed.contains(&id) => {
                witness.breach(Law::C6Fenced, now, "a closed conversation was opened again".into());
            }
            _ => {}
        }
    });
}

/// The archive committed, or this is the end.
pub fn archived(state: &mut State, now: Duration) {
    told(state, |witness, state| witness.stays(state, now));
}

/// A message has reached the dead-letter queue: with a reason from the daemon, or moved there by the queue.
pub fn died(state: &mut State, id: &str, group: &str, body: &str, reason: Option<&DeadLetterReason>, now: Duration) {
    told(state, |witness, state| {
        let says = says_body(body, group);
        let attempts = state.hot.attempts.get(id).copied().unwrap_or_default();
        let tried = match &says {
            Says::Message(event) => witness.tried.contains(event) || state.hot.kills.contains(event),
            _ => true,
        };
        let attempted = match reason {
            Some(reason) if reason.code == "attempts_exhausted" => attempts >= ATTEMPTS && tried,
            Some(_) => says == Says::Poison,
            None => attempts > 0 && tried,
        };
        if !attempted {
            let how = reason.map_or("moved by the queue", |reason| &reason.code);
            witness.breach(Law::C5Attempted, now, format!("{id} of {group} died ({how}) after {attempts} attempts"));
        }
    });
}

fn says(entry: &Entry, group: &str) -> Says {
    says_body(&entry.body, group)
}

fn says_body(body: &str, group: &str) -> Says {
    let raw = Raw {
        body,
        attributes: &BTreeMap::new(),
        sent_at: chrono::DateTime::UNIX_EPOCH,
        sequence: Sequence(1),
        group_id: group,
    };
    match event::decode(&raw) {
        Err(_) => Says::Poison,
        Ok(event) => match event.kind {
            Kind::Message(_) => Says::Message(event.id),
            Kind::ConversationClose(_) => Says::Close(event.thread.key()),
            _ => Says::Other,
        },
    }
}

/// Whether a message stands in either store.
fn stands(state: &State, event: EventId) -> bool {
    state.hot.messages.keys().any(|key| key.4 == event) || state.archive.messages.iter().any(|(_, held)| *held == event)
}

/// Whether what a delivery asks for is done, or the delivery is kept.
fn durable(state: &State, entry: &Entry, group: &str) -> bool {
    if state.sqs.was_kept(entry.id) {
        return true;
    }
    match says(entry, group) {
        Says::Poison => false,
        Says::Message(event) => stands(state, event),
        // nothing that opened before it was asked for is open any more
        Says::Close(thread) => state.hot.heads.get(&thread).is_none_or(|head| match &head.conversation {
            Conversation::Open(open) => open.record.opened_received_at > entry.sent_at,
            Conversation::Closing(closing) => closing.record.opened_received_at > entry.sent_at,
            Conversation::Closed(_) => true,
        }),
        // a session's end and the timer's command change a due time only: that all closes in the end is the simulation's L1
        Says::Other => true,
    }
}

/// Whether a process holds a delivery of the group, as the queue knows it.
fn holds(state: &State, process: Process, group: &str, now: Duration) -> bool {
    let held = |entry: &Entry| entry.holder == Some(process) && now < entry.held_until + IN_A_BATCH;
    state.sqs.entries(group).iter().any(held)
}
