//! What runs found, kept from one to the next as JSON beside the report: a row of it is as old as its run, and says so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    harness::{
        fault::{Counts, Fault},
        round::Outcome,
    },
    simulation::Simulated,
    tested::Tested,
};

/// All rounds of one fault in one run, added up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    /// The fault, by its name.
    pub fault: String,
    /// When the run began, and of which commit its daemons were.
    pub when: String,
    pub commit: String,
    /// The seed of its choices.
    pub seed: u64,
    /// What the older program was, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    pub trials: u64,
    pub rounds: u32,
    pub events: u64,
    /// How often what was wrong.
    pub violations: BTreeMap<String, u64>,
    pub longest_rest_seconds: f64,
    /// What the fault counts besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<u64>,
}

impl Sum {
    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        self.trials += u64::from(outcome.trials);
        self.rounds += 1;
        self.events += outcome.events;
        self.longest_rest_seconds = self.longest_rest_seconds.max(outcome.rest.as_secs_f64());
        for violation in &outcome.violations {
            *self.violations.entry(violation.name().to_owned()).or_default() += 1;
        }
        self.counted = match (self.counted, outcome.counted, outcome.fault.counts()) {
            (Some(so_far), Some(more), Some((_, Counts::TheMost))) => Some(so_far.max(more)),
            (Some(so_far), Some(more), _) => Some(so_far + more),
            (so_far, more, _) => so_far.or(more),
        };
    }

    pub fn failures(&self) -> u64 {
        self.violations.values().sum()
    }

    pub fn fault(&self) -> Option<Fault> {
        Fault::from_str(&self.fault, false).ok()
    }
}

/// Everything that is known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// In the order of faults, the latest run first.
    pub processes: Vec<Sum>,
    pub simulated: Option<Simulated>,
    /// By their commands.
    pub tested: BTreeMap<String, Tested>,
}

impl Record {
    /// Reads the one that belongs to a report; an empty one if there is none.
    pub fn read(report: &Path) -> anyhow::Result<Self> {
        let path = beside(report);
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no record", path.display())),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Writes it beside its report.
    pub fn write(&self, report: &Path) -> anyhow::Result<()> {
        let path = beside(report);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// With what a run found of its faults. Of each fault stay the latest run, the one with the most trials, and the latest
    /// that failed.
    pub fn with(mut self, found: impl IntoIterator<Item = Sum>) -> Self {
        self.processes.extend(found.into_iter().filter(|sum| sum.trials > 0));
        let mut of: BTreeMap<Fault, Vec<Sum>> = BTreeMap::new();
        for sum in self.processes.drain(..) {
            if let Some(fault) = sum.fault() {
                of.entry(fault).or_default().push(sum);
            }
        }
        for mut sums in of.into_values() {
            sums.sort_by(|one, other| other.when.cmp(&one.when));
            let most = sums.iter().map(|sum| sum.trials).max();
            let (largest, failed) =
                (sums.iter().position(|sum| Some(sum.trials) == most), sums.iter().position(|sum| sum.failures() > 0));
            let stays = |place: usize| place == 0 || Some(place) == largest || Some(place) == failed;
            self.processes.extend(sums.into_iter().enumerate().filter(|(place, _)| stays(*place)).map(|(_, sum)| sum));
        }
        self
    }

    /// The runs of a fault, the latest first.
    pub fn of(&self, fault: Fault) -> impl Iterator<Item = &Sum> {
        self.processes.iter().filter(move |sum| sum.fault() == Some(fault))
    }
}

fn beside(report: &Path) -> PathBuf {
    report.with_extension("json")
}
