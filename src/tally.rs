//! Who was counted most of late: a few names with their counts, taken away and begun anew by whoever reads them.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Names told apart between two readings; what more there are is not counted.
const NAMES: usize = 512;

/// Counts by name.
#[derive(Debug, Default)]
pub struct Tally(Mutex<HashMap<String, u64>>);

impl Tally {
    /// Counts `n` more of `name`.
    pub fn add(&self, name: &str, n: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let room = counts.len() < NAMES;
        match counts.get_mut(name) {
            Some(count) => *count += n as u64,
            None if room => {
                counts.insert(name.to_owned(), n as u64);
            }
            None => {}
        }
    }

    /// What was counted since the last time.
    pub fn take(&self) -> HashMap<String, u64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_counted_until_they_are_taken_and_only_so_many() {
        let tally = Tally::default();
        tally.add("a", 2);
        tally.add("a", 3);
        assert_eq!(tally.take(), HashMap::from([("a".to_owned(), 5)]));
        for n in 0..NAMES + 10 {
            tally.add(&n.to_string(), 1);
        }
        tally.add("0", 1);
        let counts = tally.take();
        assert_eq!((counts.len(), counts["0"]), (NAMES, 2));
        assert!(tally.take().is_empty());
    }
}
