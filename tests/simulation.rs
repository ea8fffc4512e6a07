//! The whole daemon, seeded, on model edges: `make simulate SEEDS=n [SEED=x]`, and a short run in `make test`.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

mod model;

use std::{collections::BTreeMap, io::IsTerminal, time::Instant};

use model::{
    mutant::{MUTANTS, Mutant},
    scenario::{Outcome, Plan, run},
};

/// Seeds of a run that asks for no number.
const SHORT_RUN: u64 = 400;

/// What a good search must have seen at least once.
const SOMETIMES: [&str; 27] = [
    "a call landed after its caller gave up",
    "a caller slept through its lease",
    "a closer waited for another",
    "a dead letter was redriven",
    "a foreign project asked",
    "a delivery was moved to the dead-letter queue",
    "a head write lost the race",
    "a message was appended late",
    "a publisher sent a message again",
    "a put landed in a conversation that was no longer open",
    "a put was repeated",
    "a replica was killed",
    "a replica was stopped gracefully",
    "a transaction had ended before its commit",
    "a variable was set",
    "a window was given, or a person took over",
    "a conversation was updated",
    "an answer was lost",
    "an archived conversation was amended",
    "deliveries were spooled",
    "one entry of a batch failed alone",
    "somebody asked",
    "somebody rated",
    "the fleet left its spool empty",
    "the fleet spooled",
    "the fleet was about to spool",
    "the fleet worked off its spool",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed(seed: u64, mutant: Mutant) -> Outcome {
    run(&Plan { seed, mutant, ..Plan::default() })
}

#[test]
fn no_seed_breaks_the_shipped_design() {
    if let Some(seed) = number("SEED") {
        let outcome = run(&Plan { seed, trace: true, ..Plan::default() });
        outcome.trace.iter().for_each(|line| println!("{line}"));
        outcome.lost.iter().for_each(|event| println!("lost: {event}"));
        println!("seed {seed}: {:?}, hash {:016x}, {} calls", outcome.violations, outcome.hash, outcome.calls);
        assert!(outcome.violations.is_empty());
        return;
    }
    let (seeds, began) = (number("SEEDS").unwrap_or(SHORT_RUN), Instant::now());
    let first = number("FIRST").unwrap_or(0);
    let mut broken = Vec::new();
    let mut sometimes: BTreeMap<&str, u64> = BTreeMap::new();
    let (mut calls, mut messages) = (0, 0);
    for n in first..first + seeds {
        let outcome = seed(n, Mutant::Shipped);
        calls += outcome.calls;
        messages += outcome.messages;
        outcome.sometimes.iter().for_each(|(what, times)| *sometimes.entry(what).or_default() += times);
        if !outcome.violations.is_empty() {
            println!("seed {n}: {:?}  (make simulate SEED={n} shows the trace)", outcome.violations);
            broken.push(n);
        }
        if std::io::stderr().is_terminal() && n % 100 == 0 {
            eprint!("\r{} of {seeds} seeds, {} violations ", n - first, broken.len());
        }
    }
    sometimes.iter().for_each(|(what, times)| println!("{times:>10}  {what}"));
    println!("{calls} remote calls, {messages} messages archived, {:.1} s", began.elapsed().as_secs_f64());
    println!("seeds={seeds} violations={}", broken.len());
    if seeds >= SHORT_RUN {
        let never: Vec<&&str> = SOMETIMES.iter().filter(|what| !sometimes.contains_key(**what)).collect();
        assert!(never.is_empty(), "a search that never saw this proves little: {never:?}");
    }
    assert!(broken.is_empty(), "seeds {broken:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for n in 0..40 {
        let (one, two) = (seed(n, Mutant::Shipped), seed(n, Mutant::Shipped));
        assert_eq!((one.hash, one.calls), (two.hash, two.calls), "seed {n}");
    }
}

/// Seeds within which every broken rule must show.
const ENOUGH: u64 = 4000;

#[test]
fn every_broken_rule_is_caught() {
    let mut blind = Vec::new();
    for mutant in MUTANTS {
        let caught = (0..ENOUGH).find_map(|n| {
            let violations = seed(n, mutant).violations;
            (!violations.is_empty()).then_some((n, violations))
        });
        match caught {
            Some((n, violations)) => println!("{mutant:?}: caught after {} seeds: {violations:?}", n + 1),
            None => blind.push(mutant),
        }
    }
    assert!(blind.is_empty(), "not caught within {ENOUGH} seeds: {blind:?}");
}
