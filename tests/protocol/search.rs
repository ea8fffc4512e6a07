//! Breadth first over every interleaving: each state once, the first state that breaks an invariant by a shortest trace.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasherDefault, Hash, Hasher},
};

use super::{
    actions::{Action, Model},
    invariants::{Invariant, broken, repeated},
    state::State,
};

/// What a search found.
#[derive(Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Transitions between them.
    pub transitions: usize,
    /// Length of the longest shortest trace.
    pub depth: usize,
    /// Whether every state that can be reached was reached.
    pub complete: bool,
    /// The first broken invariant, and how it came to be.
    pub violation: Option<(Invariant, Vec<Action>)>,
    /// How soon an archived message can stand again in the open conversation.
    pub repeated: Option<usize>,
    /// States at rest.
    pub at_rest: usize,
}

/// Searches until something breaks, everything was seen, or `most` states were.
pub fn search(model: &Model, most: usize) -> Found {
    let start = model.start();
    let mut seen: Seen = HashMap::default();
    let first = print(&start);
    seen.insert(first, (first, 0));
    let mut found =
        Found { states: 1, transitions: 0, depth: 0, complete: true, violation: None, repeated: None, at_rest: 0 };
    let mut level = vec![(start, first)];
    let mut actions = Vec::new();
    while !level.is_empty() {
        let mut next_level = Vec::new();
        for (state, at) in &level {
            model.actions(state, &mut actions);
            for (n, action) in actions.iter().enumerate() {
                let Some(mut next) = model.after(state, *action) else { continue };
                next.order_replicas();
                found.transitions += 1;
                let to = print(&next);
                let Entry::Vacant(place) = seen.entry(to) else { continue };
                place.insert((*at, n as u8));
                found.states += 1;
                if next.at_rest() {
                    found.at_rest += 1;
                    if found.repeated.is_none() && repeated(&next) {
                        found.repeated = Some(found.depth + 1);
                    }
                }
                if let Some(invariant) = broken(&next) {
                    found.depth += 1;
                    found.complete = false;
                    found.violation = Some((invariant, trace(model, &seen, to)));
                    return found;
                }
                next_level.push((next, to));
            }
            if found.states >= most {
                found.complete = false;
                return found;
            }
        }
        found.depth += usize::from(!next_level.is_empty());
        level = next_level;
    }
    found
}

/// For each state, by its print, the one it was first reached from, and by which of its actions.
type Seen = HashMap<u64, (u64, u8), BuildHasherDefault<Itself>>;

/// The actions that lead to a state, from the beginning.
fn trace(model: &Model, seen: &Seen, to: u64) -> Vec<Action> {
    let mut steps = Vec::new();
    let mut at = to;
    while let Some((from, n)) = seen.get(&at).filter(|(from, _)| *from != at) {
        steps.push(*n);
        at = *from;
    }
    let (mut state, mut exchanged) = (model.start(), false);
    let (mut actions, mut trace) = (Vec::new(), Vec::new());
    for n in steps.into_iter().rev() {
        model.actions(&state, &mut actions);
        let action = actions[usize::from(n)];
        trace.push(if exchanged { of_the_other(action) } else { action });
        if let Some(next) = model.after(&state, action) {
            state = next;
            exchanged ^= state.order_replicas();
        }
    }
    trace
}

/// The same by the other replica.
fn of_the_other(action: Action) -> Action {
    match action {
        Action::Receive { replica, group, count } => Action::Receive { replica: 1 - replica, group, count },
        Action::Crash { replica } => Action::Crash { replica: 1 - replica },
        Action::Call { replica, item, outcome } => Action::Call { replica: 1 - replica, item, outcome },
        other => other,
    }
}

fn print(state: &State) -> u64 {
    let mut print = Print { at: 0x9e37_79b9_7f4a_7c15, buffer: 0, held: 0 };
    state.hash(&mut print);
    print.finish()
}

/// 64 bits of a state: two of ten million differing states share them with a chance of three in a million.
struct Print {
    at: u64,
    buffer: u64,
    held: u32,
}

impl Print {
    fn mix(&mut self) {
        let product = u128::from(self.at ^ self.buffer) * u128::from(0xa076_1d64_78bd_642f_u64);
        self.at = (product as u64) ^ ((product >> 64) as u64) ^ 0xe703_7ed1_a0b4_28db;
        (self.buffer, self.held) = (0, 0);
    }
}

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, byte: u8) {
        self.buffer = self.buffer << 8 | u64::from(byte);
        self.held += 1;
        if self.held == 8 {
            self.mix();
        }
    }

    /// The variant of an enum, or the length of an array: small.
    fn write_isize(&mut self, number: isize) {
        self.write_u8(number as u8);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u8(number as u8);
    }

    fn finish(&self) -> u64 {
        let mut last = Self { at: self.at, buffer: self.buffer, held: self.held };
        last.buffer ^= u64::from(last.held) << 56;
        last.mix();
        last.mix();
        last.at
    }
}

/// A print is its own hash.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, print: u64) {
        self.0 = print;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
