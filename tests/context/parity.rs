//! What LangChain did with the vectors, done by us.

use conversationd::context::{Budget, buffer_string, suffix, trim};

use super::{
    remembered::{SummaryBuffer, TokenBuffer, turn},
    vectors::{self, Call, counting},
};

#[test]
fn the_token_buffer_keeps_what_langchain_keeps_after_each_turn() {
    let mut checked = 0;
    for (place, vector) in vectors::all().iter().flat_map(|all| all.token_buffer.iter().enumerate()) {
        let counting = counting(&vector.counter);
        let mut memory = TokenBuffer { limit: vector.limit, counting, lines: Vec::new() };
        let mut after_each_turn = Vec::new();
        for said in &vector.turns {
            memory.add(&turn(said));
            after_each_turn.push(memory.lines.len());
        }
        assert_eq!(after_each_turn, vector.kept_after_each_turn, "{place}");
        assert_eq!(memory.lines, vector.kept, "{place}");
        assert_eq!(buffer_string(&memory.lines), vector.history, "{place}");
        // and in one go, as a request has it
        let all: Vec<_> = vector.turns.iter().flat_map(turn).collect();
        let kept = suffix(vector.limit, counting.fixed(), all.iter().rev().map(|line| counting.line(line)));
        assert_eq!((kept.messages, kept.tokens), (vector.kept.len(), vector.tokens), "{place}");
        assert_eq!(all[all.len() - kept.messages..], vector.kept, "{place}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn the_summary_buffer_asks_and_keeps_as_langchain_does() {
    let mut checked = 0;
    for (place, vector) in vectors::all().iter().flat_map(|all| all.summary_buffer.iter().enumerate()) {
        let budget = Budget { limit: vector.limit, includes_summary: false };
        let (counting, lines) = (counting(&vector.counter), Vec::new());
        let mut memory = SummaryBuffer { budget, counting, lines, summary: String::new(), calls: Vec::new() };
        let mut calls = Vec::new();
        for (number, said) in vector.turns.iter().enumerate() {
            let before = memory.calls.len();
            memory.add(&turn(said));
            for (existing, new_lines) in memory.calls[before..].iter().cloned() {
                calls.push(Call { turn: number, existing, new_lines, returned: memory.summary.clone() });
            }
        }
        assert_eq!(calls, vector.summary_calls, "{place}");
        assert_eq!((&memory.lines, &memory.summary), (&vector.kept, &vector.summary), "{place}");
        assert_eq!(memory.load(), vector.load_messages, "{place}");
        assert_eq!(buffer_string(&memory.load()), vector.history, "{place}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn trimming_leaves_what_langchain_leaves() {
    let mut checked = 0;
    for (place, vector) in vectors::all().iter().flat_map(|all| all.trim.iter().enumerate()) {
        let (lines, how) = vector.input();
        assert_eq!(trim(lines, &how), vector.kept, "{place}: {how:?} of {lines:?}");
        checked += 1;
    }
    assert!(checked > 0);
}
