//! kill -9 between every two writes: before and after every remote call of a calm day, at single points and at pairs.
//!
//! A day: four messages, a session's end, the grace, the archive. Whatever the crash, the day ends the same.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

mod model;

use model::{
    scenario::{Outcome, Plan, run},
    world::CrashPoint::{self, After, Before},
};

fn day(crashes: Vec<CrashPoint>) -> Outcome {
    run(&Plan { seed: 7, crashes: Some(crashes), ..Plan::default() })
}

fn same(calm: &Outcome, crashes: &[CrashPoint]) {
    let outcome = day(crashes.to_vec());
    assert_eq!(outcome.violations, [], "{crashes:?}");
    assert_eq!(outcome.archived, calm.archived, "{crashes:?}");
}

/// Points in the order of the calls; both sides of each.
fn points(calls: impl Iterator<Item = u64>) -> impl Iterator<Item = CrashPoint> {
    calls.flat_map(|call| [Before(call), After(call)])
}

#[test]
fn a_calm_day_ends_in_one_archived_conversation() {
    let calm = day(Vec::new());
    assert_eq!(calm.violations, []);
    assert_eq!(calm.archived.len(), 4);
}

#[test]
fn a_crash_at_any_point_changes_nothing() {
    let calm = day(Vec::new());
    let crashes: Vec<CrashPoint> = points(0..calm.calls).collect();
    crashes.iter().for_each(|point| same(&calm, &[*point]));
    println!("{} crash points", crashes.len());
}

/// Calls between the first crash and the second: what one recovery takes.
const NEAR: u64 = 40;

#[test]
fn two_crashes_change_nothing() {
    let calm = day(Vec::new());
    let every =
        std::env::var("PAIRS").map_or(7, |every| every.parse().expect("PAIRS is a number: every n-th first point"));
    let mut pairs = 0;
    for first in points(0..calm.calls).step_by(every) {
        let (Before(at) | After(at)) = first;
        for second in points(at + 1..at + NEAR).step_by(every.min(3)) {
            same(&calm, &[first, second]);
            pairs += 1;
        }
    }
    println!("{pairs} pairs of crash points");
}
