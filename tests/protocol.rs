//! The write protocol, every interleaving within bounds: docs/protocol.md says what is searched and what was found.
//!
//! `MODEL=big cargo test --test protocol -- --nocapture --test-threads=1` searches further, and prints the whole table.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment and the time, and panic

#[path = "protocol/actions.rs"]
mod actions;
#[path = "protocol/calls.rs"]
mod calls;
#[path = "protocol/environment.rs"]
mod environment;
#[path = "protocol/invariants.rs"]
mod invariants;
#[path = "protocol/list.rs"]
mod list;
#[path = "protocol/rules.rs"]
mod rules;
#[path = "protocol/search.rs"]
mod search;
#[path = "protocol/state.rs"]
mod state;
#[path = "protocol/trace.rs"]
mod trace;

use std::time::Instant;

use actions::Model;
use environment::Environment;
use invariants::Invariant;
use rules::Broken;
use search::{Found, search};

/// States of one search, at most; a search that needs more is not exhaustive, and fails.
const MOST: usize = 60_000_000;

fn big() -> bool {
    std::env::var("MODEL").is_ok_and(|size| size == "big")
}

fn model(broken: Broken, environment: Environment) -> Model {
    Model { broken, environment, looks_behind: true }
}

/// Searches, and says what was found.
fn searched(model: &Model) -> Found {
    let began = Instant::now();
    let found = search(model, MOST);
    println!(
        "{:<16} {:<16} {:>9} states {:>10} transitions {:>3} deep {:>5} at rest {:>5.1} s  {}{}",
        format!("{:?}", model.broken),
        model.environment.name,
        found.states,
        found.transitions,
        found.depth,
        found.at_rest,
        began.elapsed().as_secs_f64(),
        match &found.violation {
            Some((invariant, trace)) => format!("{invariant:?}@{}", trace.len()),
            None if found.complete => "holds".to_owned(),
            None => "not exhausted".to_owned(),
        },
        found.repeated.map_or_else(String::new, |steps| format!(", a hot repeat@{steps}")),
    );
    found
}

fn told(model: &Model, found: &Found) -> String {
    let Some((invariant, actions)) = &found.violation else { return "no violation".to_owned() };
    let lines = trace::lines(model, actions).join("\n");
    format!("{invariant:?} is broken in {}:\n{lines}", model.environment.name)
}

#[test]
fn the_shipped_protocol_breaks_nothing() {
    for environment in if big() { environment::big() } else { environment::short() } {
        let model = model(Broken::Nothing, environment);
        let found = searched(&model);
        assert!(found.violation.is_none(), "{}", told(&model, &found));
        assert!(found.complete, "{} was not searched to its end", environment.name);
    }
}

/// Each broken rule that matters: an environment that shows it, what breaks, and how soon.
const CAUGHT: [(Broken, &str, Invariant, usize); 15] = [
    (Broken::HeadCas, "two groups", Invariant::I1, 14),
    (Broken::SealFirst, "two groups", Invariant::I1, 14),
    (Broken::ArchiveFirst, "crash", Invariant::I1, 15),
    (Broken::Help, "two groups", Invariant::I1, 23),
    (Broken::Verify, "two groups", Invariant::I1, 14),
    (Broken::LateAppend, "two groups", Invariant::I1, 15),
    (Broken::UniqueEvent, "resend", Invariant::I2, 28),
    (Broken::InsertOnce, "net", Invariant::I2, 17),
    (Broken::ClosedVersion, "ghost", Invariant::I1, 28),
    (Broken::SkipEmpty, "two groups", Invariant::I6, 10),
    (Broken::Amend, "two groups", Invariant::I5, 19),
    (Broken::ConsistentPages, "calm", Invariant::I1, 15),
    (Broken::ConsistentVerify, "two groups", Invariant::I1, 15),
    (Broken::AllPages, "calm", Invariant::I1, 18),
    (Broken::DeleteAtCheckpoint, "timer", Invariant::I1, 26),
];

/// It takes three messages to see it. Caught in the big run only.
const CAUGHT_LATE: (Broken, &str, Invariant, usize) = (Broken::ConsistentHead, "mix", Invariant::I3, 37);

#[test]
fn every_rule_that_matters_is_caught() {
    for (broken, name, invariant, steps) in CAUGHT.into_iter().chain(big().then_some(CAUGHT_LATE)) {
        let environment = environment::short().into_iter().find(|environment| environment.name == name);
        let model = model(broken, environment.expect("there is one of that name"));
        let found = searched(&model);
        let caught = found.violation.as_ref().map(|(invariant, trace)| (*invariant, trace.len()));
        assert_eq!(caught, Some((invariant, steps)), "{broken:?} in {name}: {}", told(&model, &found));
    }
}

/// Broken rules that break no invariant anywhere within the bounds: docs/protocol.md says what each is for.
const OPTIONAL: [Broken; 8] = [
    Broken::StrictOrder,
    Broken::SettleFinishes,
    Broken::ClosedStatusOnly,
    Broken::LookBeforeOpen,
    Broken::EventTime,
    Broken::ConfirmedDelete,
    Broken::DeleteByQuery,
    Broken::DeleteExact,
];

#[test]
fn the_optional_rules_are_optional() {
    const COSTLY: [&str; 5] = ["resend", "dlq", "skew", "timer", "mix"];
    for broken in OPTIONAL {
        let environments = if big() { environment::short() } else { environment::every() };
        for environment in environments.into_iter().filter(|e| big() || !COSTLY.contains(&e.name)) {
            let model = model(broken, environment);
            let found = searched(&model);
            assert!(found.complete, "{broken:?}: {}", told(&model, &found));
        }
    }
}

/// Looking for the message alone is not enough: a close that was overtaken by its group may hold what came after it.
#[test]
fn an_overtaken_close_reorders_unless_the_look_sees_what_is_behind() {
    let looks_for_itself = Model { looks_behind: false, ..model(Broken::Nothing, environment::overtaken()) };
    let found = searched(&looks_for_itself);
    let broken = found.violation.as_ref().map(|(invariant, trace)| (*invariant, trace.len()));
    assert_eq!(broken, Some((Invariant::I3, 44)), "{}", told(&looks_for_itself, &found));
    let others = if big() { environment::overtaken_otherwise().to_vec() } else { Vec::new() };
    for environment in others.into_iter().chain([environment::overtaken()]) {
        let shipped = model(Broken::Nothing, environment);
        let found = searched(&shipped);
        assert!(found.complete, "{}", told(&shipped, &found));
    }
}

/// The whole table: each broken rule in each environment.
#[test]
fn the_table() {
    if !big() {
        return;
    }
    let environments = environment::every();
    let mut table = format!("| removed |{}\n|---|", columns(environments.iter().map(|e| e.name.to_owned())));
    table += &"---|".repeat(environments.len());
    for broken in [Broken::Nothing].into_iter().chain(rules::EVERY) {
        let cells = environments.iter().map(|environment| match searched(&model(broken, *environment)) {
            Found { violation: Some((invariant, trace)), .. } => format!("{invariant:?}@{}", trace.len()),
            Found { complete: true, .. } => String::new(),
            Found { .. } => "?".to_owned(),
        });
        table += &format!("\n| {broken:?} |{}", columns(cells));
    }
    println!("{table}");
}

fn columns(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!(" {cell} |")).collect()
}
