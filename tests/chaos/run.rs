//! `run`: rounds of faults, one after the other, with a table at the end.

use std::{
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures_util::{StreamExt, stream};

use crate::{
    harness::{
        daemon::{faketime, present},
        fault::{Fault, Reach},
        history::History,
        load::Rate,
        outage::stack_is_local,
        rng::Rng,
        round::{Outcome, Plan, play},
        site::{database_url, root},
    },
    machine::Machine,
    record::Record,
    report::Report,
    simulation::simulate,
    tested,
};

/// No new trials of a round after this: its tables grow, and the emulator slows down with them.
const LONGEST_ROUND: Duration = Duration::from_secs(600);

/// How often a round says how far it is.
const TELL_EVERY: Duration = Duration::from_secs(10);

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
    /// So many times the few trials of a fault that has no number of its own
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Rounds at once, each on its own queues, table, schema and daemons; not of faults that happen to all
    #[arg(long, default_value_t = 1)]
    at_once: usize,
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
    /// Tests of rows of the report, by their binaries, or all of them: archive, crash, fuzz, outbox, …
    #[arg(long, value_delimiter = ',', value_name = "BINARIES")]
    tests: Vec<String>,
    /// Where the report goes; written again after every round, as is what it knows, beside it as JSON
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
            faults.extend(faketime().map(|_| Fault::Skew));
            if !stack_is_local() {
                eprintln!("the stores are not the local stack's: they are not stopped");
                faults.retain(|fault| !fault.stops_a_store());
            }
        }
        if faults.contains(&Fault::Versions) && self.old.is_none() {
            bail!("two versions need an older program: --old PROGRAM");
        }
        if faults.contains(&Fault::Skew) && faketime().is_none() {
            bail!("other clocks need libfaketime (Debian, Ubuntu: apt-get install libfaketime)");
        }
        let mut rounds = Vec::new();
        for fault in faults {
            let wanted = match fault {
                Fault::Kill => self.kills.or(self.trials),
                Fault::Stop => self.stops.or(self.trials),
                _ => self.trials,
            };
            let mut left = wanted.unwrap_or(fault.few() * self.times);
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
            (self.times != 1).then(|| format!("TIMES={}", self.times)),
            (self.at_once != 1).then(|| format!("AT_ONCE={}", self.at_once)),
            (self.daemons != DAEMONS).then(|| format!("DAEMONS={}", self.daemons)),
            (self.minutes != MINUTES).then(|| format!("MINUTES={}", self.minutes)),
            self.old.as_ref().map(|_| "OLD=an-older-program".to_owned()),
            (self.simulate > 0).then(|| format!("SIMULATE={}", self.simulate)),
            (!self.tests.is_empty()).then(|| format!("TESTS={}", self.tests.join(","))),
            Some(format!("SEED={seed}")),
        ];
        format!("make chaos {}", parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

/// Runs. Returns whether nothing was wrong.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let ends = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let seed = arguments.seed.unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let folder = root().join(format!("target/chaos/{seed}"));
    let program = present(&folder)?;
    eprintln!("seed {seed}; histories and logs go to {}", folder.display());
    let report = Mutex::new(Report {
        machine: Machine::now(&database_url()?).await,
        command: arguments.command(seed),
        old: arguments.old.as_ref().map(|_| arguments.old_is.clone()),
        seed,
        sums: Default::default(),
        record: Record::read(&arguments.report)?,
        complete: false,
    });
    let mut rng = Rng(seed);
    let (mut round, mut waiting, mut well) = (0, arguments.rounds()?, true);
    while !waiting.is_empty() && Instant::now() < ends {
        let plans = waiting.drain(..).map(|(fault, trials)| {
            round += 1;
            Plan {
                round,
                fault,
                trials,
                seed: rng.next(),
                daemons: arguments.daemons as usize,
                rate: Rate { threads: arguments.threads, events: arguments.rate },
                until: ends,
                program: program.clone(),
                old: arguments.old.clone(),
                folder: folder.clone(),
            }
        });
        // what happens to all happens to other rounds too: by itself
        let (alone, shared): (Vec<Plan>, Vec<Plan>) =
            plans.partition(|plan| matches!(plan.fault.reach(), Reach::All | Reach::Storm));
        for (plans, at_once) in [(alone, 1), (shared, arguments.at_once)] {
            let mut rounds = stream::iter(plans.into_iter().map(told)).buffer_unordered(at_once);
            while let Some(outcome) = rounds.next().await {
                let Some((plan, outcome)) = outcome? else { continue };
                if outcome.trials < plan.trials && outcome.trials > 0 {
                    waiting.push((plan.fault, plan.trials - outcome.trials));
                }
                well &= outcome.violations.is_empty();
                let mut report = report.lock().expect("nobody panics with it");
                report.add(&outcome);
                report.write(&arguments.report)?;
            }
        }
    }
    let mut report = report.into_inner().expect("nobody panics with it");
    if arguments.simulate > 0 {
        eprintln!("simulating {} seeds", arguments.simulate);
        let simulated = simulate(seed & 0x7fff_ffff, arguments.simulate).await?;
        well &= simulated.violations == 0;
        report.record.simulated = Some(simulated);
    }
    for test in tested::of_rows(&arguments.tests) {
        eprintln!("{}", test.command());
        let said = tested::run(&test).await?;
        well &= said.failed == 0;
        report.record.tested.insert(test.command(), said);
    }
    report.complete = true;
    report.write(&arguments.report)?;
    println!("{}", report.table());
    println!("seed={seed} folder={} report={}", folder.display(), arguments.report.display());
    Ok(well)
}

/// Plays a round and tells how it goes; does not begin it once the time is over.
async fn told(mut plan: Plan) -> anyhow::Result<Option<(Plan, Outcome)>> {
    let (round, name, began) = (plan.round, plan.fault.name(), Instant::now());
    if began > plan.until {
        eprintln!("round {round}, {name}: not begun, the time is over");
        return Ok(None);
    }
    plan.until = plan.until.min(began + LONGEST_ROUND);
    let last = Mutex::new(Instant::now());
    let progress = |done: u32| {
        let mut last = last.lock().expect("nobody panics with it");
        if last.elapsed() > TELL_EVERY {
            *last = Instant::now();
            eprintln!("round {round}: {name} {done} of {}", plan.trials);
        }
    };
    let history = History::begin(plan.folder.join(format!("round-{round}.jsonl")))?;
    let outcome = play(&plan, &history, &progress).await.with_context(|| format!("round {round}, {name}"))?;
    let Outcome { trials, events, rest, violations, .. } = &outcome;
    eprintln!(
        "round {round}: {name}, {trials} trials, {events} events, at rest after {:.1} s, {:.0} s in all, {} violations",
        rest.as_secs_f64(),
        began.elapsed().as_secs_f64(),
        violations.len()
    );
    violations.iter().take(20).for_each(|violation| eprintln!("  {violation:?}"));
    if !violations.is_empty() {
        eprintln!("  the history is {}; its stores are kept", history.path.display());
    }
    Ok(Some((plan, outcome)))
}
