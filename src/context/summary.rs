//! The summary buffer: the newest messages within a limit, and a summary of those before them. LangChain's
//! `ConversationSummaryBufferMemory`.
//!
//! What no longer fits is told to a summariser, oldest first, together with the summary so far; its answer is the new summary,
//! and a watermark moves over the messages it covers. Here it is decided which messages those are; when nothing has to go,
//! nobody is asked.

use super::{Counting, Fill, Kept, Line, Role};

/// Longest summary, in tokens, when it is kept within the budget: the head it is stored on is read at every turn.
pub const LONGEST_SUMMARY: i64 = 1_000;

/// The summary's part of a budget: one in so many.
const SHARE: i64 = 4;

/// What messages and summary may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Tokens, for messages or for both.
    pub limit: i64,
    /// Whether the summary is within the limit. LangChain leaves it outside.
    pub includes_summary: bool,
}

impl Budget {
    /// What the summary may cost; `None`: whatever it does.
    pub fn for_summary(&self) -> Option<i64> {
        self.includes_summary.then(|| (self.limit / SHARE).clamp(0, LONGEST_SUMMARY))
    }

    /// What messages may cost beside a summary.
    pub fn beside_summary(&self) -> i64 {
        self.limit - self.for_summary().unwrap_or(0)
    }
}

/// A dialogue being divided into what stays and what goes into the summary. Fed with what stands after the watermark, newest
/// message first.
#[derive(Clone, Debug)]
pub struct Division {
    offered: usize,
    /// As long as there is no summary, messages have the whole budget.
    alone: Fill,
    beside: Fill,
}

/// How a dialogue is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divided {
    /// The newest messages, which stay.
    pub kept: Kept,
    /// Whether older ones have to go into the summary.
    pub overflows: bool,
}

impl Division {
    /// Of a dialogue that has a summary already, or not yet.
    pub fn of(budget: Budget, has_summary: bool, fixed: u32) -> Self {
        let beside = Fill::new(budget.beside_summary(), fixed);
        let alone = if has_summary { beside } else { Fill::new(budget.limit, fixed) };
        Self { offered: 0, alone, beside }
    }

    /// Takes the next older message. Returns whether older ones still matter.
    pub fn take(&mut self, tokens: u32) -> bool {
        self.offered += 1;
        self.beside.take(tokens);
        self.alone.take(tokens)
    }

    /// The result. `complete` says that there is nothing older before the watermark.
    pub fn settle(&self, complete: bool) -> Divided {
        if complete && self.alone.kept().messages == self.offered {
            return Divided { kept: self.alone.kept(), overflows: false };
        }
        Divided { kept: self.beside.kept(), overflows: true }
    }
}

/// The beginning of a summary that costs at most `most` tokens as a line of the dialogue, cut between words; empty when
/// nothing of it fits.
pub fn fit(summary: &str, most: i64, counting: Counting) -> &str {
    let cost = |text: &str| i64::from(counting.line(&Line::new(Role::System, text)));
    let summary = summary.trim();
    if cost(summary) <= most {
        return summary;
    }
    let blank = |(at, c): (usize, char)| c.is_whitespace().then_some(at);
    let ends: Vec<usize> = summary.char_indices().filter_map(blank).collect();
    let fitting = ends.partition_point(|end| cost(&summary[..*end]) <= most);
    let last = fitting.checked_sub(1).and_then(|last| ends.get(last));
    last.map_or("", |end| summary[..*end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Tokenizer;

    fn divided(budget: Budget, has_summary: bool, newest_first: &[u32]) -> (usize, bool) {
        let mut division = Division::of(budget, has_summary, 0);
        let complete = newest_first.iter().all(|tokens| division.take(*tokens));
        let divided = division.settle(complete);
        (divided.kept.messages, divided.overflows)
    }

    #[test]
    fn messages_have_the_whole_budget_until_there_is_a_summary() {
        let budget = Budget { limit: 40, includes_summary: true };
        assert_eq!(divided(budget, false, &[10, 10, 10, 10]), (4, false));
        assert_eq!(divided(budget, false, &[10, 10, 10, 10, 1]), (3, true));
        assert_eq!(divided(budget, true, &[10, 10, 10]), (3, false));
        assert_eq!(divided(budget, true, &[10, 10, 10, 10]), (3, true));
        let outside = Budget { includes_summary: false, ..budget };
        assert_eq!(divided(outside, true, &[10, 10, 10, 10]), (4, false));
        assert_eq!(divided(outside, true, &[41]), (0, true));
        assert_eq!(divided(outside, true, &[]), (0, false));
        assert_eq!(divided(Budget { limit: 0, ..outside }, false, &[1]), (0, true));
    }

    #[test]
    fn a_summary_is_cut_between_words_to_what_it_may_cost() {
        let counting = Counting::Lines(Tokenizer::Words);
        assert_eq!(fit(" one two\nthree ", 4, counting), "one two\nthree");
        assert_eq!(fit("one two\nthree", 3, counting), "one two");
        assert_eq!(fit("one two\nthree", 1, counting), "");
        assert_eq!(fit("", 0, counting), "");
    }
}
