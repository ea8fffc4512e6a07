//! What holds for every dialogue and every limit.

use conversationd::context::{
    Budget, Counting, Division, End, Line, Role, Tokenizer, Trim, buffer_string, extract, fit, suffix, trim,
};
use proptest::{collection::vec, prelude::*};

use super::remembered::{SummaryBuffer, TokenBuffer};

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Human), Just(Role::Ai), Just(Role::System)]
}

fn line() -> impl Strategy<Value = Line> {
    (role(), "[a-cç🙂 \n.?0-9]{0,24}").prop_map(|(role, text)| Line { role, text })
}

fn counting() -> impl Strategy<Value = Counting> {
    prop_oneof![
        Just(Counting::Lines(Tokenizer::Words)),
        Just(Counting::Lines(Tokenizer::CodePoints)),
        Just(Counting::Lines(Tokenizer::O200kBase)),
        Just(Counting::Chat(Tokenizer::Words)),
        Just(Counting::Approximate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_buffer_is_the_longest_run_of_newest_messages_within_its_limit(
        costs in vec(0_u32..50, 0..40),
        limit in -5_i64..400,
        fixed in 0_u32..4,
    ) {
        let kept = suffix(limit, fixed, costs.iter().rev().copied());
        let cost = |messages: usize| match messages {
            0 => 0,
            _ => u64::from(fixed) + costs[costs.len() - messages..].iter().map(|cost| u64::from(*cost)).sum::<u64>(),
        };
        prop_assert_eq!(kept.tokens, cost(kept.messages));
        prop_assert!(kept.messages == 0 || i64::try_from(kept.tokens).unwrap() <= limit);
        if limit > 0 && kept.messages < costs.len() {
            prop_assert!(i64::try_from(cost(kept.messages + 1)).unwrap() > limit, "one more would fit");
        }
    }

    #[test]
    fn a_buffer_kept_turn_by_turn_is_the_one_computed_afresh(
        turns in vec(vec(line(), 0..4), 0..12),
        limit in 0_i64..200,
        counting in counting(),
    ) {
        let mut memory = TokenBuffer { limit, counting, lines: Vec::new() };
        let mut all = Vec::new();
        for turn in &turns {
            memory.add(turn);
            all.extend_from_slice(turn);
            let kept = suffix(limit, counting.fixed(), all.iter().rev().map(|line| counting.line(line)));
            prop_assert_eq!(&memory.lines[..], &all[all.len() - kept.messages..]);
        }
    }

    #[test]
    fn every_message_is_in_the_buffer_or_went_to_the_summariser_once_and_in_order(
        turns in vec(vec(line(), 0..4), 0..12),
        limit in 0_i64..200,
        includes_summary in any::<bool>(),
        counting in counting(),
    ) {
        let budget = Budget { limit, includes_summary };
        let mut memory = SummaryBuffer { budget, counting, lines: Vec::new(), summary: String::new(), calls: Vec::new() };
        for turn in &turns {
            memory.add(turn);
            let cost = counting.lines(&memory.lines);
            prop_assert!(memory.lines.is_empty() || i64::try_from(cost).unwrap() <= limit);
        }
        let told = memory.calls.iter().map(|(_, lines)| lines.as_str());
        let kept = buffer_string(&memory.lines);
        let in_order: Vec<&str> = told.chain((!memory.lines.is_empty()).then_some(kept.as_str())).collect();
        let all: Vec<Line> = turns.into_iter().flatten().collect();
        prop_assert_eq!(in_order.join("\n"), buffer_string(&all));
    }

    #[test]
    fn messages_and_summary_together_are_within_the_budget(
        lines in vec(line(), 0..30),
        limit in 0_i64..300,
        has_summary in any::<bool>(),
        summary in "[a-c ]{0,200}",
        counting in counting(),
    ) {
        let budget = Budget { limit, includes_summary: true };
        let mut division = Division::of(budget, has_summary, counting.fixed());
        let complete = lines.iter().rev().all(|line| division.take(counting.line(line)));
        let divided = division.settle(complete);
        let text = fit(&summary, budget.for_summary().unwrap(), counting);
        let told = divided.overflows || has_summary;
        let summary = (told && !text.is_empty()).then(|| u64::from(counting.line(&Line::new(Role::System, text))));
        let cost = divided.kept.tokens + summary.unwrap_or_default();
        prop_assert!(i64::try_from(cost).unwrap() <= limit, "{} of {}", cost, limit);
    }

    #[test]
    fn a_trimmed_dialogue_is_within_its_limit_and_begins_and_ends_as_asked(
        lines in vec(line(), 0..20),
        max_tokens in 0_i64..150,
        last in any::<bool>(),
        allow_partial in any::<bool>(),
        start_on in vec(role(), 0..2),
        end_on in vec(role(), 0..2),
        counting in counting(),
    ) {
        let end = if last { End::Last } else { End::First };
        let start_on = if last { start_on } else { Vec::new() };
        let how = Trim { end, max_tokens, counting, allow_partial, include_system: false, start_on, end_on };
        let left = trim(&lines, &how);
        // LangChain measures a part that stays from its end with its lines of text in the wrong order, and so do we
        let measured = !(last && allow_partial) || counting == Counting::Lines(Tokenizer::CodePoints);
        prop_assert!(!measured || left.is_empty() || i64::try_from(counting.lines(&left)).unwrap() <= max_tokens);
        let fits = |line: Option<&Line>, roles: &[Role]| line.is_none_or(|line| roles.is_empty() || roles.contains(&line.role));
        prop_assert!(fits(left.first(), &how.start_on) && fits(left.last(), &how.end_on));
    }

    #[test]
    fn an_extract_is_within_its_limit_and_says_only_what_was_said(
        previous in "[a-c \n]{0,60}",
        lines in vec(line(), 0..20),
        most in 0_i64..60,
        counting in counting(),
    ) {
        let summary = extract(&previous, &lines, most, counting);
        prop_assert!(summary.is_empty() || i64::from(counting.line(&Line::new(Role::System, summary.as_str()))) <= most);
        prop_assert_eq!(&summary, &extract(&previous, &lines, most, counting));
        let known: Vec<String> = lines.iter().map(Line::to_string).chain([previous]).collect();
        let known = known.join("\n");
        for word in summary.split_whitespace() {
            prop_assert!(known.contains(word.trim_end_matches('…')), "{} is new", word);
        }
    }
}
