//! The judge of `make chaos` notices what it must; and a short round of it, one kill and one freeze.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::harness::{
    checker::{Violation, judge},
    daemon::present,
    fault::Fault,
    found::{Dead, Found, Stood},
    frames::{self, Asks},
    history::{Entry, History, Line, Said},
    load::Rate,
    round::{Plan, play},
};

const THREAD: &str = "tel:1";

fn line(entry: Entry) -> Line {
    Line { at: DateTime::<Utc>::UNIX_EPOCH, entry }
}

/// A thread that says 1 and 2, closes with 3, says 4 and 5, closes with 6; all acknowledged.
fn history() -> Vec<Line> {
    let said = |n| if n % 3 == 0 { Said::Close } else { Said::Message };
    let lines = (1..=6).flat_map(|n| {
        let sent = Entry::Sent { thread: THREAD.into(), n, said: said(n) };
        [line(sent), line(Entry::Acknowledged { thread: THREAD.into(), n })]
    });
    lines.collect()
}

/// Stores that hold these conversations, closed, announced and told.
fn found(conversations: &[&[u32]]) -> Found {
    let mut found = Found::default();
    for (place, messages) in conversations.iter().enumerate() {
        let id = Uuid::from_u128(place as u128 + 1);
        found.conversations.push(Stood { id, thread: THREAD.into(), closed: true, messages: messages.to_vec() });
        found.announced.insert(id, 1);
        found.arrived.insert(id, BTreeSet::from([format!("evt_{place}")]));
    }
    found
}

fn names(violations: &[Violation]) -> Vec<&'static str> {
    violations.iter().map(Violation::name).collect()
}

#[test]
fn the_judge_accepts_what_is_as_it_was_said() {
    assert_eq!(judge(&history(), &found(&[&[1, 2], &[4, 5]])), []);
}

#[test]
fn the_judge_notices_a_planted_loss() {
    let lost = Violation::Lost { thread: THREAD.into(), n: 4 };
    assert_eq!(judge(&history(), &found(&[&[1, 2], &[5]])), [lost]);
    assert_eq!(names(&judge(&history(), &found(&[&[1, 2]]))), ["lost", "lost"], "a conversation that is missing whole");
}

#[test]
fn the_judge_notices_a_planted_double() {
    let doubled = |n| Violation::Doubled { thread: THREAD.into(), n };
    assert_eq!(judge(&history(), &found(&[&[1, 2, 2], &[4, 5]])), [doubled(2)], "in one conversation");
    assert_eq!(judge(&history(), &found(&[&[1, 2], &[2, 4, 5]])), [doubled(2)], "in two");
}

#[test]
fn the_judge_notices_a_planted_disorder() {
    let reordered = |n, behind| Violation::Reordered { thread: THREAD.into(), n, behind };
    assert_eq!(judge(&history(), &found(&[&[2, 1], &[4, 5]])), [reordered(1, 2)], "within a conversation");
    let swapped = judge(&history(), &found(&[&[4, 5], &[1, 2]]));
    assert_eq!(swapped, [reordered(1, 5), reordered(2, 5)], "between conversations");
}

#[test]
fn the_judge_notices_what_stands_in_another_conversation_than_its_own() {
    let misplaced = |n| Violation::Misplaced { thread: THREAD.into(), n };
    assert_eq!(judge(&history(), &found(&[&[1, 2, 4], &[5]])), [misplaced(4), misplaced(5)], "over a close");
    assert_eq!(judge(&history(), &found(&[&[1], &[2], &[4, 5]])), [misplaced(2)], "closed too early");
}

#[test]
fn what_sqs_never_acknowledged_may_be_missing() {
    let unacknowledged = |line: &Line| !matches!(line.entry, Entry::Acknowledged { n: 4.., .. });
    let history: Vec<Line> = history().into_iter().filter(unacknowledged).collect();
    assert_eq!(judge(&history, &found(&[&[1, 2]])), []);
    assert_eq!(judge(&history, &found(&[&[1, 2], &[4, 5]])), [], "or there");
}

#[test]
fn the_judge_notices_whatever_else_is_not_as_it_should_be() {
    type Change = fn(&mut Found, &mut Vec<Line>);
    let cases: [(&str, Change); 9] = [
        ("unclosed", |found, _| found.conversations[1].closed = false),
        ("unclosed", |found, _| found.open.push(THREAD.into())),
        ("unsound", |found, _| found.unsound.push(Uuid::nil())),
        ("announced", |found, _| found.announced.values_mut().for_each(|times| *times = 2)),
        ("arrived", |found, _| found.arrived.clear()),
        ("dead_lettered", |found, _| found.dead.push(Dead { thread: THREAD.into(), n: Some(1) })),
        ("unknown", |found, _| found.conversations[1].messages.push(7)),
        ("no_rest", |_, lines| lines.push(line(Entry::Rest { millis: 1, left: 1 }))),
        ("bad_end", |_, lines| lines.push(line(Entry::Ended { daemon: "one".into(), code: None, millis: 1 }))),
    ];
    for (name, change) in cases {
        let (mut found, mut history) = (found(&[&[1, 2], &[4, 5]]), history());
        change(&mut found, &mut history);
        let names = names(&judge(&history, &found));
        assert!(!names.is_empty() && names.iter().all(|found| *found == name), "{name}: {names:?}");
    }
}

#[test]
fn a_road_knows_which_operation_is_asked_for_once_all_of_it_is_there() {
    let request =
        b"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.DeleteMessageBatch\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    let mut waiting = request[..request.len() - 1].to_vec();
    assert_eq!(frames::http(&mut waiting), None);
    waiting.push(b'}');
    waiting.extend_from_slice(b"POST");
    let frame = frames::http(&mut waiting).expect("a request");
    assert_eq!(frame.bytes, request);
    assert_eq!(frame.asks, Asks::Operation("DeleteMessageBatch".into(), b"{}".to_vec()));
    assert_eq!(waiting, b"POST", "what follows waits");
}

#[test]
fn a_road_knows_a_commit_by_the_statement_that_was_prepared_for_it() {
    let message = |kind: &[u8], text: &[u8]| [kind, &(text.len() as u32 + 4).to_be_bytes(), text].concat();
    let mut connection = frames::Postgres::default();
    let mut asks = |bytes: Vec<u8>| connection.take(&mut bytes.clone()).map(|frame| frame.asks);
    assert_eq!(asks(message(b"", &80_877_103_u32.to_be_bytes())), Some(Asks::Other), "asks for encryption");
    assert_eq!(asks(message(b"", b"\0\x03\0\0user\0me\0\0")), Some(Asks::Other), "begins");
    assert_eq!(asks(message(b"P", b"s1\0commit\0\0\0")), Some(Asks::Other), "prepares");
    assert_eq!(asks(message(b"P", b"s2\0select 1\0\0\0")), Some(Asks::Other));
    assert_eq!(asks(message(b"B", b"\0s2\0\0\0")), Some(Asks::Other));
    assert_eq!(asks([message(b"B", b"\0s1\0\0\0"), message(b"S", b"")].concat()), Some(Asks::Commit), "executes");
    assert_eq!(asks(message(b"Q", b"COMMIT\0")), Some(Asks::Commit));
    assert_eq!(asks(message(b"B", b"\0s1\0")[..4].to_vec()), None, "not whole");
}

/// One daemon is killed, or frozen beyond its leases, while the other goes on: `make chaos` does this for hours.
#[tokio::test]
async fn a_round_of_chaos_ends_with_nothing_for_the_judge_to_notice() {
    let folder = std::env::temp_dir().join(format!("chaos-{}", Uuid::now_v7().simple()));
    let program = present(&folder).expect("a program");
    let rounds = [(1, Fault::Kill), (2, Fault::Stop)].map(|(round, fault)| {
        let history = History::begin(folder.join(format!("{round}.jsonl"))).expect("a history");
        let (rate, until) = (Rate { threads: 10, events: 20 }, Instant::now() + Duration::from_secs(30));
        let folder = folder.clone();
        let plan = Plan {
            round,
            fault,
            trials: 1,
            seed: 7,
            daemons: 2,
            rate,
            until,
            program: program.clone(),
            old: None,
            folder,
        };
        async move { (play(&plan, &history, &|_| ()).await.expect("a round"), history) }
    });
    for (outcome, history) in join_all(rounds).await {
        assert!(outcome.trials >= 1 && outcome.events > 10, "{outcome:?}");
        assert_eq!(outcome.violations, [], "the history is {}", history.path.display());
    }
    std::fs::remove_dir_all(folder).expect("it goes");
}
