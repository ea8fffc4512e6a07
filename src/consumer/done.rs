//! Deliveries whose effect is durable and whose delete failed: when they come again they are deleted, not run.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Deliveries remembered: many more than can be undeleted at once, in little memory.
const MOST: usize = 10_000;

/// A bounded memory of message ids; the oldest is forgotten first. Forgetting is harmless: to run again changes nothing.
#[derive(Debug, Default)]
pub(super) struct Done(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    known: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Done {
    pub(super) fn insert(&self, message_id: &str) {
        let mut memory = self.lock();
        if memory.known.insert(message_id.to_owned()) {
            memory.order.push_back(message_id.to_owned());
        }
        if memory.order.len() > MOST
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.known.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, message_id: &str) -> bool {
        self.lock().known.contains(message_id)
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_remembers_the_latest_and_forgets_the_oldest() {
        let done = Done::default();
        for n in 0..MOST + 1 {
            done.insert(&n.to_string());
        }
        assert!(!done.contains("0"));
        assert!(done.contains("1") && done.contains(&MOST.to_string()));
    }
}
