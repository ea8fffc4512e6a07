//! `run`: rounds of faults, one after the other, with a table at the end.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

use crate::{
    harness::{
        daemon::present,
        fault::{Fault, Reach},
        history::History,
        load::Rate,
        rng::Rng,
        round::{Outcome, Plan, play},
        site::{database_url, root},
        trial::stack_is_local,
    },
    machine::Machine,
    report::Report,
    simulation::simulate,
};

/// No new trials of a round after this: its tables grow, and the emulator slows down with them.
const LONGEST_ROUND: Duration = Duration::from_secs(600);

const MINUTES: u64 = 60;
const DAEMONS: u64 = 3;

/// What to let happen, how often, and under what load.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// These faults only, with commas between; all that need nothing of their own if not given
    #[arg(long, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// Trials of kill
    #[arg(long, value_name = "TRIALS")]
    kills: Option<u32>,
    /// Trials of stop
    #[arg(long, value_name = "TRIALS")]
    stops: Option<u32>,
    /// Trials of every other fault; a few of each if not given
    #[arg(long)]
    trials: Option<u32>,
    /// No new trials after so many minutes, whatever is left
    #[arg(long, default_value_t = MINUTES)]
    minutes: u64,
    /// Decides all choices: who speaks, what happens to whom, when, for how long. Another one each time if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Daemons at work
    #[arg(long, default_value_t = DAEMONS, value_parser = clap::value_parser!(u64).range(2..=16))]
    daemons: u64,
    /// Threads that speak at once
    #[arg(long, default_value_t = 60)]
    threads: usize,
    /// Events a second
    #[arg(long, default_value_t = 40)]
    rate: u32,
    /// An older daemon, for the fault versions
    #[arg(long, value_name = "PROGRAM")]
    old: Option<PathBuf>,
    /// What the report calls it: its commit
    #[arg(long, value_name = "TEXT", default_value = "an older build", requires = "old")]
    old_is: String,
    /// Seeds of the simulation besides, for the rows of the report that it covers
    #[arg(long, default_value_t = 0)]
    simulate: u64,
    /// Where the report goes; written again after every round
    #[arg(long, value_name = "FILE", default_value = "target/chaos/RELIABILITY.md")]
    report: PathBuf,
}

impl Arguments {
    /// The rounds, in order: which fault, and how many trials.
    fn rounds(&self) -> anyhow::Result<Vec<(Fault, u32)>> {
        let mut faults = self.faults.clone();
        if faults.is_empty() {
            faults = Fault::ALL.to_vec();
            faults.extend(self.old.as_ref().map(|_| Fault::Versions));
            if !stack_is_local() {
                eprintln!("the stores are not the local stack's: they are not stopped");
                faults.retain(|fault| !matches!(fault, Fault::PostgresStop | Fault::AwsRestart));
            }
        }
        if faults.contains(&Fault::Versions) && self.old.is_none() {
            bail!("two versions need an older program: --old PROGRAM");
        }
        let mut rounds = Vec::new();
        for fault in faults {
            let wanted = match fault {
                Fault::Kill => self.kills.or(self.trials),
                Fault::Stop => self.stops.or(self.trials),
                _ => self.trials,
            };
            let mut left = wanted.unwrap_or(fault.few());
            while left > 0 {
                let some = left.min(fault.in_a_round());
                rounds.push((fault, some));
                left -= some;
            }
        }
        Ok(rounds)
    }
}

impl Arguments {
    /// The command that does it again, with the same choices.
    fn command(&self, seed: u64) -> String {
        let faults: Vec<String> = self.faults.iter().map(|fault| fault.name()).collect();
        let some = |name: &str, number: Option<u32>| number.map(|number| format!("{name}={number}"));
        let parts = [
            (!faults.is_empty()).then(|| format!("FAULTS={}", faults.join(","))),
            some("KILLS", self.kills),
            some("STOPS", self.stops),
            some("TRIALS", self.trials),
            (self.daemons != DAEMONS).then(|| format!("DAEMONS={}", self.daemons)),
            (self.minutes != MINUTES).then(|| format!("MINUTES={}", self.minutes)),
            self.old.as_ref().map(|_| "OLD=an-older-program".to_owned()),
            (self.simulate > 0).then(|| format!("SIMULATE={}", self.simulate)),
            Some(format!("SEED={seed}")),
        ];
        format!("make chaos {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// Runs. Returns whether nothing was wrong.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let rounds = arguments.rounds()?;
    let ends = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let seed = arguments.seed.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let folder = root().join(format!("target/chaos/{seed}"));
    let (history, program) = (History::begin(folder.join("history.jsonl"))?, present(&folder)?);
    eprintln!("seed {seed}; the history is {}", history.path.display());
    let mut report = Report {
        machine: Machine::now(&database_url()?).await,
        command: arguments.command(seed),
        old: arguments.old.as_ref().map(|_| arguments.old_is.clone()),
        seed,
        sums: Default::default(),
        simulated: None,
        complete: false,
    };
    let mut rng = Rng(seed);
    let (mut total, mut well) = (rounds.len(), true);
    let mut round = 0;
    let mut waiting: std::collections::VecDeque<(Fault, u32)> = rounds.into();
    while let Some((fault, trials)) = waiting.pop_front() {
        round += 1;
        if Instant::now() > ends {
            eprintln!("the time is over: {} rounds were not begun", waiting.len() + 1);
            break;
        }
        let plan = Plan {
            round,
            fault,
            trials,
            seed: rng.next(),
            daemons: usize::try_from(arguments.daemons)?,
            rate: Rate { threads: arguments.threads, events: arguments.rate },
            until: ends.min(Instant::now() + LONGEST_ROUND),
            program: program.clone(),
            old: arguments.old.clone(),
            folder: folder.clone(),
        };
        let outcome = told(&plan, total, &history).await?;
        // a fault that picks requests may have met too few of them in its time
        if fault.reach() == Reach::Each && outcome.trials < trials && outcome.trials > 0 {
            waiting.push_front((fault, trials - outcome.trials));
            total += 1;
        }
        well &= outcome.violations.is_empty();
        report.add(&outcome);
        write(&report, &arguments.report)?;
    }
    if arguments.simulate > 0 {
        eprintln!("simulating {} seeds", arguments.simulate);
        let simulated = simulate(u64::from(u32::try_from(seed & 0x7fff_ffff)?), arguments.simulate).await?;
        well &= simulated.violations == 0;
        report.simulated = Some(simulated);
    }
    report.complete = true;
    write(&report, &arguments.report)?;
    println!("{}", report.table());
    println!("seed={seed} history={} report={}", history.path.display(), arguments.report.display());
    Ok(well)
}

/// Plays a round and tells how it goes.
async fn told(plan: &Plan, rounds: usize, history: &History) -> anyhow::Result<Outcome> {
    let began = Instant::now();
    let (terminal, last) = (std::io::stderr().is_terminal(), Mutex::new(Instant::now()));
    let (round, name) = (plan.round, plan.fault.name());
    let progress = |done: u32| {
        let mut last = last.lock().expect("nobody panics with it");
        let line = format!("round {round} of {rounds}: {name} {done} of {}", plan.trials);
        if terminal {
            eprint!("\r{line}   ");
        } else if last.elapsed() > Duration::from_secs(15) {
            *last = Instant::now();
            eprintln!("{line}");
        }
        let _ = std::io::stderr().flush();
    };
    let outcome = play(plan, history, &progress).await.with_context(|| format!("round {round}, {name}"))?;
    let Outcome { trials, events, rest, violations, .. } = &outcome;
    eprintln!(
        "{}round {round} of {rounds}: {name}, {trials} trials, {events} events, at rest after {:.1} s, {:.0} s in all, {} violations",
        if terminal { "\r" } else { "" },
        rest.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        violations.len()
    );
    violations.iter().take(20).for_each(|violation| eprintln!("  {violation:?}"));
    Ok(outcome)
}

fn write(report: &Report, path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, report.document()).with_context(|| format!("cannot write {}", path.display()))
}
