//! C1 to C6 over random schedules: one seed decides publishers, faults, kills, stops, naps, poison and refused messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::model::{
    mutant::Mutant,
    scenario::{Plan, run},
    witness::{Breach, Law},
};

/// Schedules looked at, unless `SCHEDULES` says how many. `SEED` shows the trace of one.
const SCHEDULES: u64 = 300;

/// Schedules within which every known-bad variant must show.
const ENOUGH: u64 = 400;

/// The queue's own redrive policy, as `infra` deploys it: the last resort.
const BACKSTOP: u32 = 100;

/// One that dead-letters what was never tried.
const TOO_LOW: u32 = 3;

fn plan(seed: u64, mutant: Mutant, most: u32) -> Plan {
    Plan { seed, mutant, watched: Some(most), ..Plan::default() }
}

/// What was seen over all schedules of the shipped design.
struct Watched {
    /// By seed.
    breaches: Vec<(u64, Breach)>,
    /// How often a call was watched.
    calls: BTreeMap<&'static str, u64>,
}

static SHIPPED: LazyLock<Watched> = LazyLock::new(|| {
    let schedules = std::env::var("SCHEDULES").map_or(SCHEDULES, |n| n.parse().expect("SCHEDULES is a number"));
    let (mut breaches, mut calls) = (Vec::new(), BTreeMap::new());
    for seed in 0..schedules {
        let outcome = run(&plan(seed, Mutant::Shipped, BACKSTOP));
        assert_eq!(outcome.violations, [], "seed {seed}");
        breaches.extend(outcome.breaches.into_iter().map(|breach| (seed, breach)));
        outcome.watched.iter().for_each(|(call, times)| *calls.entry(*call).or_default() += times);
    }
    println!("{schedules} schedules, calls watched: {calls:?}");
    Watched { breaches, calls }
});

#[test]
fn one_schedule_shows_its_trace() {
    let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let outcome = run(&Plan { trace: true, ..plan(seed, Mutant::Shipped, BACKSTOP) });
    outcome.trace.iter().for_each(|line| println!("{line}"));
    println!("schedule {seed}: {:?}, {:#?}", outcome.violations, outcome.breaches);
}

fn holds(law: Law, by: &[&str]) {
    let Watched { breaches, calls } = &*SHIPPED;
    let broken: Vec<_> = breaches.iter().filter(|(_, breach)| breach.law == law).collect();
    let seeds: BTreeSet<u64> = broken.iter().map(|(seed, _)| *seed).collect();
    let first: Vec<_> = broken.iter().take(20).collect();
    assert!(broken.is_empty(), "{law:?} in {} schedules {seeds:?}: {first:?}", seeds.len());
    let unseen: Vec<_> = by.iter().filter(|call| !calls.contains_key(**call)).collect();
    assert!(unseen.is_empty(), "no schedule made such a call: {unseen:?}");
}

/// The law falls with this rule broken.
fn falls(law: Law, mutant: Mutant, most: u32) {
    let caught = (0..ENOUGH).find(|seed| {
        let outcome = run(&plan(*seed, mutant, most));
        outcome.breaches.iter().any(|breach| breach.law == law)
    });
    println!("{law:?} falls with {mutant:?}, at most {most} receipts, in schedule {caught:?}");
    assert!(caught.is_some(), "{law:?} does not notice {mutant:?}");
}

#[test]
fn c1_no_two_turns_of_one_group_run_at_once_in_a_process() {
    holds(Law::C1OneTurn, &["heads", "put", "delete", "charge", "page"]);
    falls(Law::C1OneTurn, Mutant::SplitGroups, BACKSTOP);
}

#[test]
fn c2_a_message_does_not_start_before_the_one_before_it_is_durable() {
    holds(Law::C2InOrder, &["put", "delete"]);
    falls(Law::C2InOrder, Mutant::NoGroupLock, BACKSTOP);
    falls(Law::C2InOrder, Mutant::SplitGroups, BACKSTOP);
}

#[test]
fn c3_what_is_done_again_changes_nothing() {
    holds(Law::C3Idempotent, &["put", "commit"]);
    for mutant in [Mutant::RandomKeys, Mutant::PlainInsert, Mutant::EventIdNotUnique] {
        falls(Law::C3Idempotent, mutant, BACKSTOP);
    }
}

#[test]
fn c4_nothing_is_deleted_before_its_effect_or_its_dead_letter_is_durable() {
    holds(Law::C4Durable, &["delete", "dead_letter"]);
    falls(Law::C4Durable, Mutant::AckFirst, BACKSTOP);
    falls(Law::C4Durable, Mutant::RejectForgets, BACKSTOP);
}

#[test]
fn c5_nothing_is_dead_without_an_attempt_recorded_for_it() {
    holds(Law::C5Attempted, &["dead_letter", "charge"]);
    falls(Law::C5Attempted, Mutant::Shipped, TOO_LOW);
}

#[test]
fn c6_a_process_without_a_lease_commits_nothing_and_what_is_committed_stays() {
    holds(Law::C6Fenced, &["head_open", "head_closing", "head_closed", "put", "commit"]);
    for mutant in [Mutant::LongLeases, Mutant::NoHeadVersion, Mutant::NoClosedVersion] {
        falls(Law::C6Fenced, mutant, BACKSTOP);
    }
}
