//! Which letters may be on their way at once: pure.
//!
//! Order is kept within a group by never having two letters of a group in one round: SQS may refuse any entry of a batch.

use std::collections::{HashMap, VecDeque};

use super::lines::{LARGEST, Letter};
use crate::queue::BATCH;

/// Letters looked at for a round: enough to find different groups among.
const LETTERS: usize = 1_000;

/// And their bytes.
const BYTES: usize = 32 << 20;

/// Groups served in one round.
pub(super) const GROUPS: usize = 40;

/// Letters waiting for their turn, by group.
#[derive(Debug, Default)]
pub(super) struct Window {
    groups: HashMap<String, VecDeque<Letter>>,
    turns: VecDeque<String>,
    letters: usize,
    bytes: usize,
}

impl Window {
    /// Whether another letter may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.letters < LETTERS && self.bytes < BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters == 0
    }

    /// Whether a round could serve as many groups as a round may.
    pub(super) fn fills_a_round(&self) -> bool {
        self.turns.len() >= GROUPS
    }

    /// Takes a letter in, behind those of its group.
    pub(super) fn push(&mut self, letter: Letter) {
        self.letters += 1;
        self.bytes += letter.body.len();
        let waiting = self.groups.entry(letter.group.clone()).or_default();
        if waiting.is_empty() {
            self.turns.push_back(letter.group.clone());
        }
        waiting.push_back(letter);
    }

    /// The first letter of each of the next groups, `most` at most. Call again only when these are settled.
    pub(super) fn round(&mut self, most: usize) -> Vec<Letter> {
        let mut round = Vec::new();
        let served: Vec<String> = self.turns.drain(..most.min(GROUPS).min(self.turns.len())).collect();
        for group in served {
            let Some(waiting) = self.groups.get_mut(&group) else { continue };
            round.extend(waiting.pop_front());
            if waiting.is_empty() {
                self.groups.remove(&group);
            } else {
                self.turns.push_back(group);
            }
        }
        self.letters -= round.len();
        self.bytes -= round.iter().map(|letter| letter.body.len()).sum::<usize>();
        round
    }

    /// The earliest line that waits.
    pub(super) fn first_line(&self) -> Option<u64> {
        self.groups.values().filter_map(|waiting| waiting.front()).map(|letter| letter.line).min()
    }
}

/// Cuts a round into calls: at most ten entries and 1 MiB each.
pub(super) fn batches(round: Vec<Letter>) -> Vec<Vec<Letter>> {
    let mut batches: Vec<Vec<Letter>> = Vec::new();
    let mut bytes = 0;
    for letter in round {
        bytes += letter.body.len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes <= LARGEST => batch.push(letter),
            _ => {
                bytes = letter.body.len();
                batches.push(vec![letter]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn letter(line: u64, group: &str, length: usize) -> Letter {
        Letter { line, group: group.into(), dedup: line.to_string(), body: "x".repeat(length) }
    }

    #[test]
    fn a_message_as_large_as_a_call_goes_alone() {
        let sizes = [10, LARGEST, 10, 20, LARGEST - 30, 1];
        let round = sizes.iter().enumerate().map(|(line, size)| letter(line as u64, "g", *size)).collect();
        let lengths: Vec<usize> = batches(round).iter().map(Vec::len).collect();
        assert_eq!(lengths, [1, 1, 3, 1]);
    }

    #[test]
    fn the_window_closes_at_its_count_and_at_its_bytes() {
        let mut window = Window::default();
        (0..33).for_each(|line| window.push(letter(line, "g", LARGEST)));
        assert!(!window.has_room());
        assert_eq!(window.first_line(), Some(0));
        window.round(GROUPS);
        assert_eq!(window.first_line(), Some(1));
        let mut window = Window::default();
        (0..1_000).for_each(|line| window.push(letter(line, &line.to_string(), 1)));
        assert!(!window.has_room() && window.fills_a_round());
    }

    proptest! {
        #[test]
        fn every_letter_leaves_once_in_its_groups_order_and_never_beside_another_of_its_group(
            groups in proptest::collection::vec(0u8..60, 0..400),
            most in 1usize..60,
        ) {
            let mut window = Window::default();
            for (line, group) in groups.iter().enumerate() {
                window.push(letter(line as u64, &group.to_string(), 10 * line));
            }
            let mut left: HashMap<String, Vec<u64>> = HashMap::new();
            let mut count = 0;
            while !window.is_empty() {
                let round = window.round(most);
                prop_assert!(!round.is_empty() && round.len() <= most.min(GROUPS));
                let distinct: HashSet<&String> = round.iter().map(|letter| &letter.group).collect();
                prop_assert_eq!(distinct.len(), round.len());
                count += round.len();
                for batch in batches(round) {
                    prop_assert!(batch.len() <= BATCH);
                    prop_assert!(batch.iter().map(|letter| letter.body.len()).sum::<usize>() <= LARGEST);
                    batch.into_iter().for_each(|letter| left.entry(letter.group).or_default().push(letter.line));
                }
            }
            prop_assert_eq!(count, groups.len());
            prop_assert!(left.values().all(|lines| lines.is_sorted()));
            prop_assert_eq!((window.letters, window.bytes), (0, 0));
        }
    }
}
