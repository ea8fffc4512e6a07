//! A bounded run of the simulation, for the rows that it covers: run as a test, its last lines read.

use std::{collections::BTreeMap, process::Stdio};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::{
    harness::site::root,
    machine::{self, Machine},
};

/// What a run of the simulation saw.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Simulated {
    pub when: String,
    pub commit: String,
    pub first: u64,
    pub seeds: u64,
    pub violations: u64,
    pub calls: u64,
    /// How often each thing happened that is counted.
    pub times: BTreeMap<String, u64>,
}

/// Runs `seeds` seeds from `first` on.
pub async fn simulate(first: u64, seeds: u64) -> anyhow::Result<Simulated> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--locked", "--test", "simulation", "no_seed", "--", "--nocapture"]);
    cargo.current_dir(root()).env("SEEDS", seeds.to_string()).env("FIRST", first.to_string()).env_remove("SEED");
    let said = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().await.context("cargo cannot be run")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    read(first, &said).with_context(|| format!("the simulation said nothing that counts:\n{said}"))
}

fn read(first: u64, said: &str) -> anyhow::Result<Simulated> {
    let (mut times, mut calls, mut total) = (BTreeMap::new(), 0, None);
    for line in said.lines().map(str::trim) {
        if let Some((seeds, violations)) = line.strip_prefix("seeds=").and_then(|rest| rest.split_once(" violations="))
        {
            total = Some((seeds.parse()?, violations.parse()?));
        } else if let Some((count, _)) = line.split_once(" remote calls") {
            calls = count.parse().unwrap_or(0);
        } else if let Some((count, what)) = line.split_once("  ")
            && let Ok(count) = count.parse()
        {
            times.insert(what.to_owned(), count);
        }
    }
    let Some((seeds, violations)) = total else { bail!("no line says how many seeds") };
    let (when, commit) = (machine::now(), Machine::commit());
    Ok(Simulated { when, commit, first, seeds, violations, calls, times })
}
