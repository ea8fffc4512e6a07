//! What is known → a table for the terminal, and RELIABILITY.md.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use anyhow::Context;
use clap::ValueEnum;

use crate::{
    harness::{fault::Fault, round::Outcome},
    machine::Machine,
    record::{Record, Sum},
    scoreboard::{ROWS, Row},
    simulation::Simulated,
    tested::Tested,
};

/// What a run found, and what earlier ones had found.
pub struct Report {
    pub machine: Machine,
    /// The command that runs it again.
    pub command: String,
    pub seed: u64,
    /// What the older program is, if there is one.
    pub old: Option<String>,
    /// What this run found.
    pub sums: BTreeMap<Fault, Sum>,
    /// What was known before, and what came since that is not of processes.
    pub record: Record,
    /// Whether it is over, or still running.
    pub complete: bool,
}

impl Report {
    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        let fresh = || Sum {
            fault: outcome.fault.name(),
            when: self.machine.date.clone(),
            commit: self.machine.commit.clone(),
            seed: self.seed,
            old: self.old.clone().filter(|_| outcome.fault == Fault::Versions),
            ..Sum::default()
        };
        self.sums.entry(outcome.fault).or_insert_with(fresh).add(outcome);
    }

    /// Writes it, and the record beside it.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let record = self.record.clone().with(self.sums.values().cloned());
        record.write(path)?;
        std::fs::write(path, self.document(&record)).with_context(|| format!("cannot write {}", path.display()))
    }

    /// This run's table for a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("{:<20} {:>7} {:>8} {:>8}  {}\n", "fault", "trials", "events", "failures", "95 % bound");
        for (fault, sum) in &self.sums {
            let (name, bound) = (fault.name(), bound(sum.failures(), sum.trials));
            let besides = counted(sum).map(|counted| format!("  {counted}")).unwrap_or_default();
            let _ = writeln!(
                text,
                "{name:<20} {:>7} {:>8} {:>8}  {bound}{besides}",
                sum.trials,
                sum.events,
                sum.failures()
            );
            for (violation, times) in &sum.violations {
                let _ = writeln!(text, "  {violation}: {times}");
            }
        }
        text
    }

    /// RELIABILITY.md.
    fn document(&self, record: &Record) -> String {
        let mut text = String::from(HEADING);
        let Machine { date, commit, machine, postgres, build } = &self.machine;
        let state = if self.complete { "" } else { ", not at its end yet" };
        let command = &self.command;
        let _ = writeln!(
            text,
            "| | |\n|---|---|\n| latest run | {date}{state}, of commit {commit} |\n| machine | {machine} |\n\
             | stack | MiniStack (SQS, DynamoDB), PostgreSQL {postgres}; the daemon as {build} |\n\
             | command | `{command}` |"
        );
        if let Some(Simulated { when, commit, first, seeds, violations, calls, .. }) = &record.simulated {
            let last = first + seeds - 1;
            let _ = writeln!(
                text,
                "| simulation | {when}, of commit {commit}: seeds {first} to {last}, {violations} violations in {calls} remote \
                 calls, fewer than 1 seed in {} with 95 % confidence; again: `make simulate FIRST={first} SEEDS={seeds}` |",
                if *violations == 0 { (seeds / 3).to_string() } else { "?".to_owned() }
            );
        }
        text.push_str(PROCESSES);
        for fault in Fault::value_variants() {
            record.of(*fault).for_each(|sum| text.push_str(&line(*fault, sum)));
            if record.of(*fault).next().is_none() {
                let _ = writeln!(text, "| `{}` | {} | 0 | | | | | | | |", fault.name(), fault.meaning());
            }
        }
        text.push_str(SCOREBOARD);
        for (number, row) in ROWS.iter().enumerate() {
            let _ = writeln!(text, "| {} | {} | {} | {} |", number + 1, row.fault, row.holds, done(record, row));
        }
        text
    }
}

/// A run of a fault.
fn line(fault: Fault, sum: &Sum) -> String {
    let Sum { when, commit, seed, trials, events, longest_rest_seconds: rest, .. } = sum;
    let (name, meaning, bound) = (fault.name(), fault.meaning(), bound(sum.failures(), *trials));
    let meaning = match &sum.old {
        Some(old) => format!("{meaning}; the older one: {old}"),
        None => meaning,
    };
    let said: Vec<String> = sum.violations.iter().map(|(name, times)| format!("{times} {name}")).collect();
    let said = if said.is_empty() { "0".to_owned() } else { said.join(", ") };
    let besides = counted(sum).map(|counted| format!(" ({counted})")).unwrap_or_default();
    let again = format!("make chaos FAULTS={name} TRIALS={trials} SEED={seed}");
    format!(
        "| `{name}` | {meaning} | {trials}{besides} | {events} | {said} | {bound} | {rest:.0} s | {when} | {commit} | `{again}` |\n"
    )
}

/// What was done about a row.
fn done(record: &Record, row: &Row) -> String {
    let mut parts = Vec::new();
    for fault in row.processes {
        let mut runs: Vec<String> = Vec::new();
        for sum in record.of(*fault) {
            let besides = counted(sum).map(|counted| format!(" ({counted})")).unwrap_or_default();
            runs.push(format!("{} trials{besides}, {} failures, of {}", sum.trials, sum.failures(), sum.commit));
        }
        let runs = if runs.is_empty() { "not run".to_owned() } else { runs.join(", and ") };
        parts.push(format!("P `{}` {runs}", fault.name()));
    }
    if !row.simulated.is_empty() {
        parts.push(record.simulated.as_ref().map_or_else(|| "S not run".to_owned(), |seen| simulated(seen, row)));
    }
    for test in row.tests {
        let what = if test.what.is_empty() { String::new() } else { format!("{}: ", test.what) };
        let said = match record.tested.get(&test.command()) {
            Some(Tested { commit, passed, failed: 0, .. }) => format!("{passed} tests passed, of {commit}"),
            Some(Tested { commit, passed, failed, .. }) => {
                format!("{failed} of {} tests FAILED, of {commit}", passed + failed)
            }
            None => "not run here".to_owned(),
        };
        parts.push(format!("{what}`{}` ({said})", test.command()));
    }
    if !row.besides.is_empty() {
        parts.push(row.besides.to_owned());
    }
    parts.join("; ")
}

fn simulated(seen: &Simulated, row: &Row) -> String {
    let times = |what: &&str| {
        let times = seen.times.get(*what).copied().unwrap_or_default();
        format!("“{what}” {times} times")
    };
    let times: Vec<String> = row.simulated.iter().map(times).collect();
    format!("S {} seeds, {} violations: {}", seen.seeds, seen.violations, times.join(", "))
}

/// What a fault counts besides, and of how many trials.
fn counted(sum: &Sum) -> Option<String> {
    let (what, _) = sum.fault()?.counts()?;
    Some(format!("{} {what}", sum.counted?))
}

/// The rule of three: no failure in so many trials bounds how likely one is, with 95 % confidence.
fn bound(failures: u64, trials: u64) -> String {
    match (failures, trials) {
        (0, 0) => "–".to_owned(),
        (0, trials) => format!("< {:.2} %", (300.0 / trials as f64).min(100.0)),
        _ => "failed".to_owned(),
    }
}

const HEADING: &str = "\
# Reliability

Written by `make chaos`, never by hand. What was done to real daemons, and to the whole daemon in simulation, and what became of \
what they were told. A row says when it was run and of which commit: of each fault stand the latest run, the one with the most \
trials and the latest that failed, as far as these are not the same. What runs found is kept beside this file as JSON.

";

const PROCESSES: &str = "
## Real processes

Several daemons of this build take a load on the local stack while a fault happens to them again and again. A publisher sends \
each thread's events in order, and again until SQS acknowledges them; some conversations end with a close, some with a session's \
end and silence. At the end of each round everything must come to rest, and then the stores are read and compared with the \
history of what was published: nothing acknowledged is missing from the archive (lost), nothing stands twice (doubled) or behind \
what was said after it (reordered), what was said between two closes stands together and apart from all else (misplaced), every \
conversation is closed and its row adds up, every close was told to a queue outside exactly once and taken by a webhook under one \
key, a contact's closes in their order, nothing is in the dead-letter queue, nobody was left waiting. A failure is one of these, \
whatever its number of messages. The bound is the rule of three: 3 divided by the trials. Rest is the longest time from the end \
of the faults until nothing was left to do. (Runs before 2026-11-21 21:00 UTC had no webhook.)

| fault | what happens | trials | events | failures | 95 % bound | rest | when | commit | again |
|---|---|---|---|---|---|---|---|---|---|
";

const SCOREBOARD: &str = "
## The table of faults

P: real processes, above. S: the simulation (docs/discipline.md); the counts are how often it happened in these seeds. \
Kept: nothing is lost, doubled or reordered, every conversation is closed and told of once.

| | fault | what must hold | what was done |
|---|---|---|---|
";
