//! The token buffer: the longest run of newest messages within a limit. LangChain's `ConversationTokenBufferMemory`.
//!
//! Counted from the newest backwards, and ended by the first message that does not fit: never skipped over, never cut. So a
//! newest message over the limit leaves nothing, and what is older need not be read.

/// What a buffer keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Messages, the newest ones.
    pub messages: usize,
    /// What they cost together; nothing when there are none.
    pub tokens: u64,
}

/// A buffer being filled, newest message first.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    limit: u64,
    fixed: u64,
    kept: Kept,
    full: bool,
}

impl Fill {
    /// An empty buffer of `limit` tokens, of which any message at all costs `fixed`. A limit of 0 or below keeps nothing.
    pub fn new(limit: i64, fixed: u32) -> Self {
        let limit = u64::try_from(limit).unwrap_or(0);
        Self { limit, fixed: fixed.into(), kept: Kept::default(), full: limit == 0 }
    }

    /// Takes the next older message, if it fits. Returns whether one older still may.
    pub fn take(&mut self, tokens: u32) -> bool {
        if self.full {
            return false;
        }
        let fixed = if self.kept.messages == 0 { self.fixed } else { 0 };
        let after = self.kept.tokens + fixed + u64::from(tokens);
        if after <= self.limit {
            self.kept = Kept { messages: self.kept.messages + 1, tokens: after };
        } else {
            self.full = true;
        }
        !self.full
    }

    /// Whether no older message fits any more.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// What it keeps so far.
    pub fn kept(&self) -> Kept {
        self.kept
    }
}

/// What a buffer of `limit` tokens keeps of messages that cost this much, newest first. Takes no more of them than it must.
pub fn suffix(limit: i64, fixed: u32, newest_first: impl IntoIterator<Item = u32>) -> Kept {
    let mut fill = Fill::new(limit, fixed);
    if !fill.is_full() {
        let _ = newest_first.into_iter().all(|tokens| fill.take(tokens));
    }
    fill.kept()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_messages_are_kept_until_one_does_not_fit() {
        for (limit, newest_first, messages, tokens) in [
            (10, vec![4, 6, 1], 2, 10),
            (9, vec![4, 6, 1], 1, 4),
            (3, vec![4, 1, 1], 0, 0),
            (0, vec![0, 1], 0, 0),
            (-5, vec![1], 0, 0),
            (100, vec![4, 6, 1], 3, 11),
            (100, vec![], 0, 0),
            (i64::MAX, vec![u32::MAX, u32::MAX], 2, 2 * u64::from(u32::MAX)),
        ] {
            assert_eq!(suffix(limit, 0, newest_first.clone()), Kept { messages, tokens }, "{limit} {newest_first:?}");
        }
    }

    #[test]
    fn what_every_dialogue_costs_is_counted_once() {
        assert_eq!(suffix(9, 3, [4, 2, 1]), Kept { messages: 2, tokens: 9 });
        assert_eq!(suffix(6, 3, [4, 2, 1]), Kept::default());
    }

    #[test]
    fn what_is_older_than_the_first_that_does_not_fit_is_not_asked_for() {
        let mut asked = 0;
        let costs = std::iter::repeat_with(|| {
            asked += 1;
            5
        });
        assert_eq!(suffix(12, 0, costs), Kept { messages: 2, tokens: 10 });
        assert_eq!(asked, 3);
    }
}
