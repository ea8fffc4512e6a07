//! Whether the model edges behave as the services do: the same random operations on both, and what is known to differ.
//!
//! Runs against whatever `AWS_ENDPOINT_URL` and `DATABASE_URL` name. `FIDELITY_LISTS` (30) lists are tried, `FIDELITY_SEED` (1) chooses them;
//! docs/fidelity.md says what is compared.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

mod model;

#[path = "fidelity/beside.rs"]
mod beside;
#[path = "fidelity/dead.rs"]
mod dead;
#[path = "fidelity/differences.rs"]
mod differences;
#[path = "fidelity/facts.rs"]
mod facts;
#[path = "fidelity/hot.rs"]
mod hot;
#[path = "fidelity/modelled.rs"]
mod modelled;
#[path = "fidelity/queue.rs"]
mod queue;
#[path = "fidelity/target.rs"]
mod target;

use std::{cell::RefCell, env, fmt::Debug, thread};

use model::mutant::Mutant;
use modelled::Modelled;
use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner},
};
use target::{House, VISIBILITY};

/// Lists are tried side by side: most of their time is waiting.
const LANES: u64 = 5;

/// How long a failed list is made smaller.
const SHRINK_MILLIS: u32 = 40_000;

/// Lists within which a broken model must show.
const ENOUGH: usize = 20;

/// Does a list of operations on a model and on a service.
type Compare<O> = fn(Modelled, &House, &str, &[O]) -> TestCaseResult;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn runner(lane: u64) -> TestRunner {
    let (cases, seed) = (number("FIDELITY_LISTS", 30).div_ceil(LANES), number("FIDELITY_SEED", 1));
    let cases = u32::try_from(cases).expect("a number of lists");
    let config = Config { cases, failure_persistence: None, max_shrink_time: SHRINK_MILLIS, ..Config::default() };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&lane.to_le_bytes());
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// Tries lists in lanes, each with queues and a hot store of its own, which are made anew after a list that failed.
fn in_lanes<O: Debug, L: Strategy<Value = Vec<O>>>(build: fn() -> House, lists: fn() -> L, compare: Compare<O>) {
    let lane = |lane: u64| {
        let house = RefCell::new((0, None));
        let tried = runner(lane).run(&lists(), |list| {
            let (number, house) = &mut *house.borrow_mut();
            *number += 1;
            let here = house.take().unwrap_or_else(build);
            compare(Modelled::new(VISIBILITY, 100), &here, &format!("list-{number}"), &list)?;
            *house = Some(here);
            Ok(())
        });
        tried.map_err(|failure| format!("lane {lane}: {failure}"))
    };
    let failures: Vec<String> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES).map(|number| scope.spawn(move || lane(number))).collect();
        lanes.into_iter().filter_map(|lane| lane.join().expect("a lane ends").err()).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Whether a model with a fault is told apart from the service.
fn is_told_apart<O: Debug, L: Strategy<Value = Vec<O>>>(
    houses: &[fn() -> House],
    lists: fn() -> L,
    compare: Compare<O>,
    fault: fn(&Modelled),
) {
    for build in houses {
        let mut runner = runner(LANES);
        let house = build();
        let told_apart = (0..ENOUGH).any(|number| {
            let model = Modelled::new(VISIBILITY, 100);
            fault(&model);
            let list = lists().new_tree(&mut runner).expect("a list").current();
            compare(model, &house, &format!("list-{number}"), &list).is_err()
        });
        assert!(told_apart, "{ENOUGH} lists and no difference");
    }
}

/// Both hot stores.
const BOTH: [fn() -> House; 2] = [House::build, House::with_database];

#[test]
fn the_queue_of_the_model_and_the_service_do_the_same() {
    in_lanes(House::build, queue::any_list, queue::compare);
}

#[test]
fn the_hot_store_of_the_model_and_the_table_do_the_same() {
    in_lanes(House::build, hot::any_list, hot::compare);
}

#[test]
fn the_hot_store_of_the_model_and_postgresql_do_the_same() {
    in_lanes(House::with_database, hot::any_list, hot::compare);
}

#[test]
fn a_queue_without_the_group_lock_is_told_apart() {
    is_told_apart(&[House::build], queue::any_list, queue::compare, |model| model.world.state().sqs.locked = false);
}

#[test]
fn a_queue_that_forgets_what_was_received_is_told_apart() {
    is_told_apart(&[House::build], queue::any_list, queue::compare, |model| {
        model.world.state().mutant = Mutant::AckFirst
    });
}

#[test]
fn a_queue_that_keeps_dead_letters_too_early_is_told_apart() {
    is_told_apart(&[House::build], queue::any_list, queue::compare, |model| {
        model.world.state().sqs.max_receive_count = 2
    });
}

#[test]
fn a_store_that_does_not_look_at_versions_is_told_apart() {
    is_told_apart(&BOTH, hot::any_list, hot::compare, |model| model.world.state().mutant = Mutant::NoHeadVersion);
}

#[test]
fn a_store_that_stops_after_one_page_is_told_apart() {
    is_told_apart(&BOTH, hot::any_list, hot::compare, |model| model.world.state().mutant = Mutant::OnePage);
}

#[test]
fn a_store_that_repeats_messages_is_told_apart() {
    is_told_apart(&BOTH, hot::any_list, hot::compare, |model| model.world.state().mutant = Mutant::RandomKeys);
}
