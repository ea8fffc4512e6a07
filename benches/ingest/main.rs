//! What it costs to take a message in: processor time, calls and memory, beside the least that any consumer needs; and what
//! answers, closes, tokens, claims and a start take.
//!
//! `make bench` runs it; docs/benchmarks.md says what the figures mean. Every run is a process of its own, on an AWS that
//! costs nothing and lives in this one; what is compared takes turns, so that what else the machine does falls on all of it.
#![allow(clippy::expect_used, clippy::disallowed_methods)] // a bench may panic, and measures the world as it is

mod asked;
mod backlog;
mod closes;
mod floor;
mod house;
mod kept;
mod null;
mod part;
mod path;
mod plain;
mod plot;
mod process;
mod relay;
mod report;
mod slope;
mod spread;
mod start;
mod tokens;
mod usage;

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::{
    backlog::{IN_RUNS, ONE_BY_ONE, Shape, WARM_UP},
    null::NullAws,
    part::{Found, Part, variable},
    path::Path,
    process::{COUNT, KEEP, RUN},
    report::Report,
};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if told(&arguments)? {
        return Ok(());
    }
    let parts = Part::chosen(&variable("ONLY").unwrap_or_default(), variable("QUICK").is_some())?;
    let plots = variable("PLOTS").map(|folder| PathBuf::from(if folder == "1" { "docs/plots" } else { &folder }));
    let aws = NullAws::start()?;
    let mut last_line = None;
    for part in parts {
        let found = match part {
            Part::Ingest => {
                let (found, line) = ingest(&aws)?;
                last_line = Some(line);
                found
            }
            Part::Slope => slope::measure(&aws)?,
            Part::Start => start::measure(&aws)?,
            Part::Tokens => tokens::measure(&aws)?,
            Part::Answers => asked::measure(&aws)?,
            Part::Closes => closes::measure(&aws)?,
            Part::Relay => relay::measure()?,
        };
        println!("{}", found.text);
        if let Some(folder) = &plots {
            found.charts.iter().try_for_each(|chart| chart.write(folder))?;
        }
    }
    if let Some(line) = last_line {
        println!("{line}");
    }
    Ok(())
}

/// Does what this process was started for by another; `false` if it was started by a person.
fn told(arguments: &[String]) -> anyhow::Result<bool> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [RUN, path, warm_up, messages] => {
            let path = Path::named(path).context("no such path")?;
            let runtime = tokio::runtime::Runtime::new()?;
            let used = runtime.block_on(path.run(warm_up.parse()?, messages.parse()?))?;
            println!("{}", serde_json::to_string(&used)?);
            // polls are open still, and nobody waits for them
            std::process::exit(0)
        }
        [KEEP, ref lengths @ ..] => {
            let lengths = lengths.iter().map(|length| length.parse()).collect::<Result<Vec<usize>, _>>()?;
            tokio::runtime::Runtime::new()?.block_on(path::keep(&lengths))?;
        }
        [COUNT, table] => println!("{}", tokens::count(table)?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Every path, in both shapes; and the figures to compare from release to release.
fn ingest(aws: &NullAws) -> anyhow::Result<(Found, String)> {
    let generation = ONE_BY_ONE.generation();
    let (messages, rounds) = (number("MESSAGES", 20_000)? / generation * generation, number("ROUNDS", 5)?);
    ensure!(messages > WARM_UP && rounds > 0, "MESSAGES must be twice {generation} at least, ROUNDS 1");
    println!(
        "{messages} messages a run, the first {WARM_UP} unmeasured, {rounds} rounds; medians, with the least and the most\n"
    );
    let in_runs = rounds_of(aws, IN_RUNS, messages, rounds)?;
    println!("{in_runs}");
    let one_by_one = rounds_of(aws, ONE_BY_ONE, messages, rounds)?;
    let text = format!("{one_by_one}\n{}", one_by_one.calls());
    let charts = report::charts(&[("one by one", &one_by_one), ("in runs", &in_runs)]);
    Ok((Found { text, charts }, one_by_one.last_line()))
}

fn rounds_of(aws: &NullAws, shape: Shape, messages: usize, rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::of(shape);
    for _ in 0..rounds {
        let run = |path| process::run(aws, path, shape, WARM_UP, messages);
        report.add(Path::ALL.into_iter().map(run).collect::<Result<_, _>>()?);
    }
    Ok(report)
}

fn number(name: &str, default: usize) -> anyhow::Result<usize> {
    let parse = |value: String| value.parse().with_context(|| format!("{name} must be a number"));
    variable(name).map_or(Ok(default), parse)
}
