//! A tokenizer's table, for counting alone: what tiktoken holds three times over, once.
//!
//! tiktoken keeps each token in a map to its rank, in a map from it and in a sorted list: 40 MB for `o200k_base`. To count,
//! the ranks are enough: the tokens' bytes in a row, and a hash table of ranks, 5 MB. The words come by the same regular
//! expression, and pairs are merged in the same order, so the counts are the same; the tests compare them.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::atomic::{AtomicUsize, Ordering},
};

use fancy_regex::Regex;
use tiktoken_rs::{CoreBPE, Rank};

/// Copies of the regular expression: threads that share one wait for each other's working memory.
const COPIES: usize = 16;

/// Which copy a thread takes.
static NEXT: AtomicUsize = AtomicUsize::new(0);
thread_local!(static COPY: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES);

/// A hash table has this many slots for each token, at least.
const SLOTS_PER_TOKEN: usize = 2;

/// The tokens of one encoding.
pub(super) struct Table {
    words: Vec<Regex>,
    /// The tokens, by rank, one after the other.
    bytes: Vec<u8>,
    /// Where each of them begins, and where the last ends.
    begins: Vec<u32>,
    /// One more than the rank of a token, at the place its hash says or the next that was free; 0 where there is none.
    slots: Vec<u32>,
}

impl Table {
    /// The table of an encoding whose words are found by `pattern`; `None` if that is not one.
    pub(super) fn of(encoding: &CoreBPE, pattern: &str) -> Option<Self> {
        let words = Regex::new(pattern).ok()?;
        let (mut bytes, mut begins) = (Vec::new(), vec![0]);
        // ranks have no gap but before the special tokens, which are never counted as such
        while let Ok(token) = encoding.decode_bytes(&[Rank::try_from(begins.len() - 1).ok()?]) {
            bytes.extend(token);
            begins.push(u32::try_from(bytes.len()).ok()?);
        }
        bytes.shrink_to_fit();
        begins.shrink_to_fit();
        let slots = vec![0; (begins.len() * SLOTS_PER_TOKEN).next_power_of_two()];
        let mut table = Self { words: vec![words; COPIES], bytes, begins, slots };
        for rank in 0..table.tokens() {
            let free = table.place(table.token(rank));
            table.slots[free] = u32::try_from(rank + 1).ok()?;
        }
        Some(table)
    }

    /// How many there are.
    pub(super) fn tokens(&self) -> usize {
        self.begins.len() - 1
    }

    /// Tokens of a text; `None` where the regular expression gives up.
    pub(super) fn count(&self, text: &str) -> Option<usize> {
        let words = &self.words[COPY.with(|copy| *copy)];
        words.find_iter(text).map(|word| Some(self.merged(word.ok()?.as_str().as_bytes()))).sum()
    }

    fn token(&self, rank: usize) -> &[u8] {
        &self.bytes[self.begins[rank] as usize..self.begins[rank + 1] as usize]
    }

    /// The slot that holds these bytes, or would.
    fn place(&self, bytes: &[u8]) -> usize {
        let last = self.slots.len() - 1;
        let mut place = hash(bytes) & last;
        while self.slots[place] != 0 && self.token(self.slots[place] as usize - 1) != bytes {
            place = (place + 1) & last;
        }
        place
    }

    fn rank(&self, bytes: &[u8]) -> Option<u32> {
        self.slots[self.place(bytes)].checked_sub(1)
    }

    /// Tokens of a word: its bytes, of which the two neighbours that make the token of lowest rank become one, the first of
    /// equal ones first, until no two of them make one.
    fn merged(&self, word: &[u8]) -> usize {
        if self.rank(word).is_some() {
            return 1;
        }
        // a part is known by where it begins; one that is part of another ends at 0
        let mut ends: Vec<usize> = (1..=word.len()).collect();
        let mut befores: Vec<usize> = (0..word.len()).map(|at| at.saturating_sub(1)).collect();
        let pair = |begin: usize, end: usize| Some(Reverse((self.rank(&word[begin..end])?, begin, end)));
        let mut pairs: BinaryHeap<_> = (2..=word.len()).filter_map(|end| pair(end - 2, end)).collect();
        let mut parts = word.len();
        while let Some(Reverse((_, begin, end))) = pairs.pop() {
            let middle = ends[begin];
            // one of the two has been merged with another meanwhile
            if middle == 0 || middle >= end || ends[middle] != end {
                continue;
            }
            (ends[begin], ends[middle]) = (end, 0);
            parts -= 1;
            if let Some(&after) = ends.get(end) {
                befores[end] = begin;
                pairs.extend(pair(begin, after));
            }
            if begin > 0 {
                pairs.extend(pair(befores[begin], end));
            }
        }
        parts
    }
}

/// FNV-1a, its halves folded: tokens are a few bytes long.
fn hash(bytes: &[u8]) -> usize {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash ^ (hash >> 32)) as usize
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use tiktoken_rs::{cl100k_base_singleton, o200k_base_singleton};

    use super::{super::tokenizer::PATTERNS, *};

    static TABLES: LazyLock<[(Table, &CoreBPE); 2]> = LazyLock::new(|| {
        let of = |encoding, pattern| (Table::of(encoding, pattern).expect("a table"), encoding);
        [of(o200k_base_singleton(), PATTERNS[0]), of(cl100k_base_singleton(), PATTERNS[1])]
    });

    fn same(text: &str) {
        for (table, encoding) in TABLES.iter() {
            assert_eq!(table.count(text), Some(encoding.encode_ordinary(text).len()), "{text:?}");
        }
    }

    #[test]
    fn every_token_is_there_and_found_again() {
        assert_eq!(TABLES.each_ref().map(|(table, _)| table.tokens()), [199_998, 100_256]);
        for (table, _) in TABLES.iter() {
            let strange = (0..table.tokens()).find(|rank| table.rank(table.token(*rank)) != u32::try_from(*rank).ok());
            assert_eq!(strange, None);
        }
    }

    #[test]
    fn texts_have_as_many_tokens_as_tiktoken_says() {
        let texts = [
            include_str!("../../tests/fixtures/events/message_received.json"),
            include_str!("../../README.md"),
            include_str!("table.rs"),
            "Olá! Quero saber do pedido nº 1042, por favor 🙏🏽 — já faz 12345678 dias…\r\n\r\n  obrigado\t",
            "日本語のテキストと한국어 텍스트、и кириллица، والعربية",
            "I'M here, we'Ll see; don't'S ''ve",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "",
        ];
        texts.iter().for_each(|text| same(text));
        same(&"abcab".repeat(500));
    }

    proptest! {
        #[test]
        fn any_text_has_as_many_tokens_as_tiktoken_says(text in "(\\PC|[a-z]{1,12}| |\n|[0-9]|'|é|ção){0,80}") {
            same(&text);
        }

        #[test]
        fn a_word_of_few_letters_merges_as_tiktoken_merges(text in "[abe]{1,60}|[aA]{90,130}|[er n]{1,200}|[!?.]{1,150}") {
            same(&text);
        }
    }
}
