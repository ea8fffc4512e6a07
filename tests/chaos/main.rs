//! `make chaos`: the daemon's real processes under load on the local stack, and everything that can go wrong with them and
//! around them. Nothing may be lost, doubled or reordered, every conversation closes once. `make soak`: the same load, in peace.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // it fails as a test does

mod harness;
mod machine;
mod record;
mod report;
mod run;
mod scoreboard;
mod simulation;
mod soak;
mod tested;

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use harness::{checker, found, history, site::Site};

/// Real processes, real faults, one judge.
///
/// Starts daemons on the local stack, publishes to them without a pause, and does to them what happens to daemons: kill -9,
/// SIGSTOP, restarts, two versions at once, stores that stop, connections that break, answers that are lost. Then it waits until
/// they are at rest and compares what was published with what the stores hold. Everything that was published, acknowledged and
/// done stands in a history, a file of JSON lines under target/chaos.
///
/// Exit code 0: nothing was lost, doubled, reordered or left. 1: something was; its round's queues, table and schema are kept,
/// and `judge` looks at them again. 2: it could not be found out.
#[derive(Parser)]
#[command(name = "chaos")]
enum Command {
    /// Lets faults happen, and judges
    Run(run::Arguments),
    /// The load without faults, at half of what the daemons can take: memory and latency over time
    Soak(soak::Arguments),
    /// Judges again what a history and the stores it names say; takes what is in their dead-letter queue
    Judge {
        /// A round's history
        history: PathBuf,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let command = Command::parse();
    let work = async {
        match command {
            Command::Run(arguments) => run::run(&arguments).await,
            Command::Soak(arguments) => soak::run(&arguments).await,
            Command::Judge { history } => judge(&history).await,
        }
    };
    // daemons are killed as they are dropped; frozen ones would hear of nothing else
    let done = tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped; its queues, table and schema are left as they are")),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("chaos: {failure:#}");
            ExitCode::from(2)
        }
    }
}

/// Judges a round's history. Returns whether all is well.
async fn judge(path: &std::path::Path) -> anyhow::Result<bool> {
    let lines = history::read(path)?;
    let mut rounds = lines.iter().enumerate().filter_map(|(n, line)| match &line.entry {
        history::Entry::Round { site, .. } => Some((n, site.clone())),
        _ => None,
    });
    let (first, names) = rounds.next_back().ok_or_else(|| anyhow::anyhow!("a history without a round"))?;
    let found = found::read(&Site::standing(names).await?).await?;
    let violations = checker::judge(&lines[first..], &found);
    violations.iter().for_each(|violation| println!("{violation:?}"));
    println!("violations={}", violations.len());
    Ok(violations.is_empty())
}
