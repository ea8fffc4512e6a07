//! What a run found → a table for the terminal, and RELIABILITY.md.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use crate::{
    harness::{fault::Fault, round::Outcome},
    machine::Machine,
    scoreboard::{ROWS, Row},
    simulation::Simulated,
};

/// All rounds of one fault, added up.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    pub trials: u64,
    pub rounds: u32,
    pub events: u64,
    pub violations: BTreeMap<&'static str, u64>,
    pub longest_rest: Duration,
}

impl Sum {
    fn add(&mut self, outcome: &Outcome) {
        self.trials += u64::from(outcome.trials);
        self.rounds += 1;
        self.events += outcome.events;
        self.longest_rest = self.longest_rest.max(outcome.rest);
        for violation in &outcome.violations {
            *self.violations.entry(violation.name()).or_default() += 1;
        }
    }

    fn failures(&self) -> u64 {
        self.violations.values().sum()
    }
}

/// Everything a run found.
pub struct Report {
    pub machine: Machine,
    /// The command that runs it again.
    pub command: String,
    pub seed: u64,
    /// What the older program is, if there is one.
    pub old: Option<String>,
    pub sums: BTreeMap<Fault, Sum>,
    pub simulated: Option<Simulated>,
    /// Whether it is over, or still running.
    pub complete: bool,
}

impl Report {
    /// Adds a round.
    pub fn add(&mut self, outcome: &Outcome) {
        self.sums.entry(outcome.fault).or_default().add(outcome);
    }

    /// The table for a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("{:<20} {:>7} {:>8} {:>8}  {}\n", "fault", "trials", "events", "failures", "95 % bound");
        for (fault, sum) in &self.sums {
            let (name, bound) = (fault.name(), bound(sum.failures(), sum.trials));
            let _ = writeln!(text, "{name:<20} {:>7} {:>8} {:>8}  {bound}", sum.trials, sum.events, sum.failures());
            for (violation, times) in &sum.violations {
                let _ = writeln!(text, "  {violation}: {times}");
            }
        }
        text
    }

    /// RELIABILITY.md.
    pub fn document(&self) -> String {
        let mut text = String::from(HEADING);
        let Machine { date, commit, machine, postgres } = &self.machine;
        let state = if self.complete { "" } else { ", not at its end yet" };
        let command = &self.command;
        let _ = writeln!(
            text,
            "| | |\n|---|---|\n| written | {date}{state} |\n| commit | {commit} |\n| machine | {machine} |\n\
             | stack | MiniStack (SQS, DynamoDB), PostgreSQL {postgres}; the daemon as a debug build |\n\
             | command | `{command}` |\n| seed | {} |",
            self.seed
        );
        if let Some(old) = &self.old {
            let _ = writeln!(text, "| older version | {old} |");
        }
        if let Some(Simulated { first, seeds, violations, calls, .. }) = &self.simulated {
            let last = first + seeds - 1;
            let _ = writeln!(
                text,
                "| simulation | seeds {first} to {last}: {violations} violations in {calls} remote calls, fewer than 1 seed in {} \
                 with 95 % confidence; again: `make simulate FIRST={first} SEEDS={seeds}` |",
                if *violations == 0 { (seeds / 3).to_string() } else { "?".to_owned() }
            );
        }
        text.push_str(PROCESSES);
        for (fault, sum) in &self.sums {
            let (name, meaning, failures) = (fault.name(), fault.meaning(), sum.failures());
            let (bound, rest) = (bound(failures, sum.trials), sum.longest_rest.as_secs_f64());
            let said: Vec<String> = sum.violations.iter().map(|(name, times)| format!("{times} {name}")).collect();
            let said = if said.is_empty() { "0".to_owned() } else { said.join(", ") };
            let _ = writeln!(
                text,
                "| `{name}` | {meaning} | {} | {} | {said} | {bound} | {rest:.0} s | `make chaos FAULTS={name} TRIALS={}` |",
                sum.trials, sum.events, sum.trials
            );
        }
        text.push_str(SCOREBOARD);
        for (number, row) in ROWS.iter().enumerate() {
            let _ = writeln!(text, "| {} | {} | {} | {} |", number + 1, row.fault, row.holds, self.covered(row));
        }
        text
    }

    /// What was done about a row.
    fn covered(&self, row: &Row) -> String {
        let mut parts = Vec::new();
        for fault in row.processes {
            let sum = self.sums.get(fault).filter(|sum| sum.trials > 0);
            parts.push(match sum {
                Some(sum) => format!("P `{}` {} trials, {} failures", fault.name(), sum.trials, sum.failures()),
                None => format!("P `{}` not run", fault.name()),
            });
        }
        if !row.simulated.is_empty() {
            parts.push(match &self.simulated {
                Some(simulated) => {
                    let times = |what: &&str| {
                        let times = simulated.times.get(*what).copied().unwrap_or_default();
                        format!("“{what}” {times} times")
                    };
                    let times: Vec<String> = row.simulated.iter().map(times).collect();
                    format!("S {} seeds, {} violations: {}", simulated.seeds, simulated.violations, times.join(", "))
                }
                None => "S not run".to_owned(),
            });
        }
        if !row.besides.is_empty() {
            parts.push(row.besides.to_owned());
        }
        parts.join("; ")
    }
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
what they were told.

";

const PROCESSES: &str = "
## Real processes

Several daemons of this build take a load on the local stack while a fault happens to them again and again. A publisher sends \
each thread's events in order, and again until SQS acknowledges them; some conversations end with a close, some with a session's \
end and silence. At the end of each round everything must come to rest, and then the stores are read and compared with the \
history of what was published: nothing acknowledged is missing from the archive (lost), nothing stands twice (doubled) or behind \
what was said after it (reordered), what was said between two closes stands together and apart from all else (misplaced), every \
conversation is closed and its row adds up, every close was told outside exactly once, nothing is in the dead-letter queue, \
nobody was left waiting. A failure is one of these, whatever its number of messages. The bound is the rule of three: 3 divided \
by the trials. Rest is the longest time from the end of the faults until nothing was left to do.

| fault | what happens | trials | events | failures | 95 % bound | rest | again |
|---|---|---|---|---|---|---|---|
";

const SCOREBOARD: &str = "
## The table of faults

P: real processes, above. S: the simulation (docs/discipline.md); the counts are how often it happened in these seeds. \
Kept: nothing is lost, doubled or reordered, every conversation is closed and told of once.

| | fault | what must hold | what was done |
|---|---|---|---|
";
