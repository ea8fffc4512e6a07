//! Tests that belong to rows of the table of faults: run as anybody runs them, their last lines read.

use std::process::Stdio;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{
    harness::site::root,
    machine::{self, Machine},
    scoreboard::{ROWS, Test},
};

/// What a run of some tests said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tested {
    pub when: String,
    pub commit: String,
    pub passed: u64,
    pub failed: u64,
}

/// The tests of all rows whose binary is one of `wanted`, or all of them for `all`; each once.
pub fn of_rows(wanted: &[String]) -> Vec<Test> {
    let mut tests: Vec<Test> = Vec::new();
    for test in ROWS.iter().flat_map(|row| row.tests) {
        let is_wanted = wanted.iter().any(|name| name == "all" || name == test.binary);
        if is_wanted && !tests.iter().any(|other| other.command() == test.command()) {
            tests.push(*test);
        }
    }
    tests
}

/// Runs them.
pub async fn run(test: &Test) -> anyhow::Result<Tested> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--locked", "--test", test.binary]).args(test.only).current_dir(root());
    cargo.envs(test.with).stdin(Stdio::null()).stderr(Stdio::inherit());
    let said = cargo.output().await.context("cargo cannot be run")?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let (passed, failed) = counts(&text).with_context(|| format!("{} said nothing that counts", test.command()))?;
    if failed > 0 {
        eprintln!("{text}");
    }
    Ok(Tested { when: machine::now(), commit: Machine::commit(), passed, failed })
}

/// `test result: ok. 12 passed; 0 failed; …`
fn counts(said: &str) -> Option<(u64, u64)> {
    let line = said.lines().rev().find_map(|line| line.trim().strip_prefix("test result: "))?;
    let number =
        |what: &str| line.split([';', '.']).find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok());
    Some((number("passed")?, number("failed")?))
}
