//! Whatever a body holds: the decoder does not panic, says nothing of it when it rejects, and what it accepts is kept.
//!
//! `FUZZ_CASES` (2,000) bodies are made from the fixtures and the corpus; `FUZZ_SEED` (1) chooses them. A body that breaks a
//! rule goes into tests/fuzz/corpus, under a name that begins with what must become of it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

#[path = "fuzz/bodies.rs"]
mod bodies;
#[path = "fuzz/limits.rs"]
mod limits;
#[path = "fuzz/mutation.rs"]
mod mutation;
#[path = "fuzz/stores.rs"]
mod stores;
#[allow(dead_code)] // the queue is not used here
#[path = "fidelity/target.rs"]
mod target;

use std::{cell::RefCell, collections::BTreeMap, env, panic::catch_unwind};

use conversationd::event::{Event, Rejection};
use proptest::{
    collection::vec,
    test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner},
};
use stores::Stores;

/// Bodies archived together, on average.
const BATCH: u64 = 50;

/// Batches after which the stores are made anew: emulators look through all that a thread ever had.
const RENEWED: u64 = 30;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

/// A body's verdict, in the word that its file would begin with.
fn verdict(decoded: &Result<Event, Rejection>) -> &'static str {
    decoded.as_ref().map_or_else(|rejection| rejection.code.as_str(), |_| "accepted")
}

/// Decodes a body and checks what holds of every body whatever.
fn lawfully_decoded(body: &str, number: u32) -> Result<Result<Event, Rejection>, String> {
    let decoded = catch_unwind(|| bodies::decoded(body, number)).map_err(|_| "the decoder panicked".to_owned())?;
    if catch_unwind(|| bodies::decoded(body, number)).is_ok_and(|again| again != decoded) {
        return Err("the decoder wavers".into());
    }
    if let Err(rejection) = &decoded {
        let shown = format!("{rejection} {rejection:?} {}", serde_json::to_string(rejection).unwrap_or_default());
        let told = ["canary", "5511999990000", "\\u", "Mar", "@", "http"].into_iter().find(|word| shown.contains(word));
        if let Some(told) = told {
            return Err(format!("a rejection tells of its body: {told} in {shown}"));
        }
    }
    Ok(decoded)
}

#[test]
fn whatever_is_accepted_is_kept() {
    let (cases, seed) = (number("FUZZ_CASES", 2_000).div_ceil(BATCH), number("FUZZ_SEED", 1));
    let config = Config {
        cases: u32::try_from(cases).expect("a number of cases"),
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));

    let (messages, seeds) = bodies::seeds();
    let stores = RefCell::new((0, Stores::build()));
    let counts = RefCell::new(BTreeMap::<&str, u64>::new());
    let recipes = vec(mutation::any_recipe(messages, seeds.len()), 1..2 * BATCH as usize);
    let tried = runner.run(&recipes, |recipes| {
        let mut accepted = Vec::new();
        for (number, recipe) in recipes.iter().enumerate() {
            let body = recipe.body(&seeds[recipe.seed]);
            let decoded = lawfully_decoded(&body, number as u32).map_err(TestCaseError::fail)?;
            *counts.borrow_mut().entry(verdict(&decoded)).or_default() += 1;
            accepted.extend(decoded);
        }
        let (batches, stores) = &mut *stores.borrow_mut();
        *batches += 1;
        if *batches % RENEWED == 0 {
            *stores = Stores::build();
        }
        let kept = stores.keep(accepted).map_err(TestCaseError::fail)?;
        *counts.borrow_mut().entry("kept as messages").or_default() += kept as u64;
        Ok(())
    });
    if let Err(TestError::Fail(fault, recipes)) = tried {
        recipes
            .iter()
            .for_each(|recipe| println!("a body for tests/fuzz/corpus:\n{}", recipe.body(&seeds[recipe.seed])));
        panic!("{fault}");
    }
    let counts = counts.into_inner();
    counts.iter().for_each(|(verdict, bodies)| println!("{bodies:>10}  {verdict}"));
    let kept = counts.get("kept as messages").copied().unwrap_or_default();
    assert!(kept * 3 > cases * BATCH, "only {kept} bodies were messages: too few to say anything");
    let codes = counts.len();
    assert!(codes >= 10 || cases < 30, "only {codes} kinds of verdict");
}

#[test]
fn every_body_of_the_corpus_becomes_what_its_name_says() {
    let mut accepted = Vec::new();
    let corpus = bodies::corpus();
    for (number, (name, body)) in corpus.iter().enumerate() {
        let decoded = lawfully_decoded(body, number as u32).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let expected = name.split('-').next().unwrap_or_default();
        assert_eq!(verdict(&decoded), expected, "{name}: {decoded:?}");
        accepted.extend(decoded);
    }
    let messages = accepted.len();
    assert_eq!(Stores::build().keep(accepted), Ok(messages), "all that is accepted is a message, and kept");
}

#[test]
fn every_large_body_becomes_what_is_said_of_it() {
    let stores = Stores::build();
    for (number, (name, expected, body)) in bodies::large().into_iter().enumerate() {
        let decoded = lawfully_decoded(&body, number as u32).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(verdict(&decoded), expected, "{name}: {}", verdict(&decoded));
        if let Ok(event) = decoded {
            assert_eq!(stores.keep(vec![event]), Ok(1), "{name}");
        }
    }
}
