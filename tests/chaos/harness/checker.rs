//! The judge: a history and what the stores hold → everything that should not be. Knows nothing of the daemon.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    fault::Fault,
    found::{Found, Stood},
    history::{Entry, Line, Said},
};

/// How long a daemon may take to end after SIGTERM: a poll and a drain, and what it is patient with when a store is away.
const LONGEST_END_MILLIS: u64 = 25_000;

/// Calls a second of one daemon to one server that refuses them all: pollers, probes and tries again, each with its pauses.
const BUSIEST: u64 = 100;

/// Something that should not be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "violation", rename_all = "snake_case")]
pub enum Violation {
    /// The queue had it, and now nobody has it.
    Lost { thread: String, n: u32 },
    /// It stands more than once.
    Doubled { thread: String, n: u32 },
    /// It stands behind one that was said after it.
    Reordered { thread: String, n: u32, behind: u32 },
    /// It stands in a conversation together with what was said before the close in front of it, or apart from its own.
    Misplaced { thread: String, n: u32 },
    /// It stands there and nobody said it.
    Unknown { thread: String },
    /// A conversation that never closed, in either store.
    Unclosed { thread: String },
    /// A conversation whose row does not say what its messages add up to, or that has none.
    Unsound { conversation: Uuid },
    /// Outside systems were told of a close more than once, or never.
    Announced { conversation: Uuid, times: usize },
    /// A notice of a close that never arrived, or arrived as more than one.
    Arrived { conversation: Uuid, times: usize },
    /// The outside system took notices of a close under several keys, or never one.
    Told { conversation: Uuid, keys: usize },
    /// It took the first of a close after that of a conversation which began later in the same thread.
    ToldLate { conversation: Uuid },
    /// More calls a second of a daemon whose every call was refused than anybody should make.
    Busy { daemon: String, calls_a_second: u64 },
    /// It went where what cannot be handled goes.
    DeadLettered { thread: String, n: Option<u32> },
    /// Something was left to do when everything had had time enough.
    NoRest { left: usize },
    /// A daemon that was told to end did not end as it should.
    BadEnd { daemon: String, code: Option<i32>, millis: u64 },
}

impl Violation {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "lost",
            Self::Doubled { .. } => "doubled",
            Self::Reordered { .. } => "reordered",
            Self::Misplaced { .. } => "misplaced",
            Self::Unknown { .. } => "unknown",
            Self::Unclosed { .. } => "unclosed",
            Self::Unsound { .. } => "unsound",
            Self::Announced { .. } => "announced",
            Self::Arrived { .. } => "arrived",
            Self::Told { .. } => "told",
            Self::ToldLate { .. } => "told_late",
            Self::Busy { .. } => "busy",
            Self::DeadLettered { .. } => "dead_lettered",
            Self::NoRest { .. } => "no_rest",
            Self::BadEnd { .. } => "bad_end",
        }
    }
}

/// What one thread was told.
#[derive(Default)]
struct Told {
    /// The stretch between closes that each message belongs to.
    messages: BTreeMap<u32, u32>,
    acknowledged: BTreeSet<u32>,
    stretch: u32,
    /// Whether its conversations end with explicit closes alone, so that what belongs together is known.
    exact: bool,
}

/// Judges one round: its lines, and the stores after it.
pub fn judge(lines: &[Line], found: &Found) -> Vec<Violation> {
    let (threads, mut violations) = tell(lines);
    let mut stands: BTreeMap<&str, Vec<&Stood>> = BTreeMap::new();
    for conversation in &found.conversations {
        stands.entry(&conversation.thread).or_default().push(conversation);
    }
    for (thread, told) in &threads {
        let stands = stands.remove(thread.as_str()).unwrap_or_default();
        let dead = found.dead.iter().filter(|dead| dead.thread == *thread).filter_map(|dead| dead.n);
        violations.extend(judge_thread(thread, told, &stands, &dead.collect()));
    }
    violations.extend(stands.keys().map(|thread| Violation::Unknown { thread: (*thread).to_owned() }));
    violations.extend(found.open.iter().map(|thread| Violation::Unclosed { thread: thread.clone() }));
    violations.extend(found.unsound.iter().map(|conversation| Violation::Unsound { conversation: *conversation }));
    for dead in &found.dead {
        violations.push(Violation::DeadLettered { thread: dead.thread.clone(), n: dead.n });
    }
    for conversation in found.conversations.iter().filter(|conversation| conversation.closed) {
        let id = conversation.id;
        let told = found.announced.get(&id).copied().unwrap_or_default();
        if told != 1 {
            violations.push(Violation::Announced { conversation: id, times: told });
        }
        let arrived = found.arrived.get(&id).map_or(0, BTreeSet::len);
        if arrived != 1 {
            violations.push(Violation::Arrived { conversation: id, times: arrived });
        }
    }
    violations.extend(judge_told(lines, found));
    violations.sort();
    violations.dedup();
    violations
}

/// What the outside system took: each close under one key, and the first of each in the order of its thread.
fn judge_told(lines: &[Line], found: &Found) -> Vec<Violation> {
    let (mut tells, mut forgets) = (false, false);
    let mut taken: BTreeMap<Uuid, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (place, line) in lines.iter().enumerate() {
        match &line.entry {
            Entry::Round { tells: told, fault, .. } => {
                (tells, forgets) = (*told, *fault == Fault::Forgets.name());
            }
            Entry::Told { conversation, key } => {
                taken.entry(*conversation).or_insert_with(|| (place, BTreeSet::new())).1.insert(key);
            }
            _ => {}
        }
    }
    let mut violations = Vec::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for conversation in found.conversations.iter().filter(|conversation| tells && conversation.closed) {
        let id = conversation.id;
        let (place, keys) = taken.remove(&id).map_or((None, 0), |(place, keys)| (Some(place), keys.len()));
        if keys != 1 {
            violations.push(Violation::Told { conversation: id, keys });
        }
        let last = last.entry(&conversation.thread).or_default();
        // what was forgotten is told of when it is found again
        if place.is_some_and(|place| place < *last) && !forgets {
            violations.push(Violation::ToldLate { conversation: id });
        }
        *last = place.unwrap_or_default().max(*last);
    }
    violations.extend(taken.into_keys().map(|conversation| Violation::Told { conversation, keys: 0 }));
    violations
}

/// What was published, thread by thread, and what the lines themselves show to be wrong.
fn tell(lines: &[Line]) -> (BTreeMap<String, Told>, Vec<Violation>) {
    let (mut threads, mut violations, mut throttled) = (BTreeMap::<String, Told>::new(), Vec::new(), false);
    for line in lines {
        match &line.entry {
            Entry::Round { fault, .. } => throttled = *fault == Fault::Throttled.name(),
            Entry::Sent { thread, n, said } => {
                let fresh = || Told { exact: true, ..Told::default() };
                let told = threads.entry(thread.clone()).or_insert_with(fresh);
                match said {
                    Said::Message => {
                        told.messages.insert(*n, told.stretch);
                    }
                    Said::Close => told.stretch += 1,
                    Said::SessionEnd => told.exact = false,
                }
            }
            Entry::Acknowledged { thread, n } => {
                threads.entry(thread.clone()).or_default().acknowledged.insert(*n);
            }
            Entry::Ended { daemon, code, millis } if *code != Some(0) || *millis > LONGEST_END_MILLIS => {
                violations.push(Violation::BadEnd { daemon: daemon.clone(), code: *code, millis: *millis });
            }
            Entry::Counted { on, number, .. } if throttled && *number > BUSIEST => {
                violations.push(Violation::Busy { daemon: on.clone(), calls_a_second: *number });
            }
            Entry::Rest { left, .. } if *left > 0 => violations.push(Violation::NoRest { left: *left }),
            _ => {}
        }
    }
    (threads, violations)
}

fn judge_thread(thread: &str, told: &Told, stands: &[&Stood], dead: &BTreeSet<u32>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let name = || thread.to_owned();
    let mut seen = BTreeSet::new();
    let (mut last, mut homes) = (0, BTreeMap::new());
    for (home, conversation) in stands.iter().enumerate() {
        if !conversation.closed {
            violations.push(Violation::Unclosed { thread: name() });
        }
        let mut stretch = None;
        for n in &conversation.messages {
            let Some(belongs) = told.messages.get(n) else {
                violations.push(Violation::Unknown { thread: name() });
                continue;
            };
            if !seen.insert(*n) {
                violations.push(Violation::Doubled { thread: name(), n: *n });
                continue;
            }
            if *n < last {
                violations.push(Violation::Reordered { thread: name(), n: *n, behind: last });
            }
            last = last.max(*n);
            let together = *stretch.get_or_insert(*belongs) == *belongs;
            let at_home = *homes.entry(*belongs).or_insert(home) == home;
            if told.exact && !(together && at_home) {
                violations.push(Violation::Misplaced { thread: name(), n: *n });
            }
        }
    }
    let is_nowhere = |n: &&u32| told.acknowledged.contains(n) && !seen.contains(n) && !dead.contains(n);
    let lost = told.messages.keys().filter(is_nowhere);
    violations.extend(lost.map(|n| Violation::Lost { thread: name(), n: *n }));
    violations
}
