//! What it costs to take a message in: processor time, calls and memory, beside the least that any consumer needs.
//!
//! `make bench` runs it; docs/benchmarks.md says what the figures mean. Every run is a process of its own, on an AWS that
//! costs nothing and lives in this one; the paths take turns, so that what else the machine does falls on all of them.
#![allow(clippy::expect_used, clippy::disallowed_methods)] // a bench may panic, and measures the world as it is

mod asked;
mod backlog;
mod closes;
mod floor;
mod kept;
mod null;
mod path;
mod plain;
mod report;
mod usage;

use std::{process::Command, time::Duration};

use anyhow::{Context, ensure};

use crate::{
    backlog::{GENERATION, PER_RECEIVE, Shape},
    null::{Bill, NullAws},
    path::Path,
    report::{Ran, Report},
    usage::Used,
};

/// The first message of 500 threads, then the second of each, and so on: nothing to gain from a thread's messages coming
/// together. The last line is of this shape.
const ONE_BY_ONE: Shape = Shape { name: "one message of a thread at a time", run: 1 };

/// What SQS makes of a backlog: it returns as many messages of one group together as it can.
const IN_RUNS: Shape = Shape { name: "five messages of a thread in a row", run: 5 };

/// Messages of a backlog, for the memory that it takes to drain it.
const BACKLOG: usize = 100_000;

/// Of every run, so many come before the measurement.
const WARM_UP: usize = GENERATION;

/// What a process that runs one path is told first.
const RUN: &str = "--run";

/// The same without a warm-up.
const CLOSE: &str = "--close";

/// What a process that writes conversations into the table is told first.
const KEEP: &str = "--keep";

/// How long requests are asked, by the number of receives.
const ASKED: usize = 6_000;

/// Rounds of what is closed, but for the longest.
const CLOSES: usize = 5;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [how @ (RUN | CLOSE), path, messages] => {
            let (path, messages) = (Path::named(path).context("no such path")?, messages.parse::<u64>()?);
            let runtime = tokio::runtime::Runtime::new()?;
            let warm_up = if how == RUN { WARM_UP as u64 } else { 0 };
            let used = runtime.block_on(path.run(warm_up, messages))?;
            println!("{}", serde_json::to_string(&used)?);
            // polls are open still, and nobody waits for them
            std::process::exit(0)
        }
        [KEEP, ref lengths @ ..] => {
            let lengths = lengths.iter().map(|length| length.parse()).collect::<Result<Vec<usize>, _>>()?;
            tokio::runtime::Runtime::new()?.block_on(path::keep(&lengths))
        }
        _ => all(),
    }
}

fn all() -> anyhow::Result<()> {
    let (messages, rounds) = (number("MESSAGES", 20_000)? / GENERATION * GENERATION, number("ROUNDS", 5)?);
    ensure!(messages > WARM_UP && rounds > 0, "MESSAGES must be twice {GENERATION} at least, ROUNDS 1");
    let aws = NullAws::start()?;
    println!(
        "{messages} messages a run, the first {WARM_UP} unmeasured, {rounds} rounds; medians, with the least and the most\n"
    );
    let in_runs = rounds_of(&aws, IN_RUNS, messages, rounds)?;
    println!("{in_runs}");
    let one_by_one = rounds_of(&aws, ONE_BY_ONE, messages, rounds)?;
    println!("{one_by_one}\n{}", one_by_one.calls());
    let backlog = run(&aws, Path::Ours, ONE_BY_ONE, BACKLOG)?;
    println!("a backlog of {BACKLOG}: {}\n", backlog.line());
    if number("QUICK", 0)? == 0 {
        println!("{}", asked(&aws)?);
        println!("{}", closes(&aws)?);
    }
    println!("{}", one_by_one.last_line());
    Ok(())
}

fn rounds_of(aws: &NullAws, shape: Shape, messages: usize, rounds: usize) -> anyhow::Result<Report> {
    let mut report = Report::of(shape);
    for _ in 0..rounds {
        report.add(Path::ALL.into_iter().map(|path| run(aws, path, shape, messages)).collect::<Result<_, _>>()?);
    }
    Ok(report)
}

/// Requests among messages.
fn asked(aws: &NullAws) -> anyhow::Result<String> {
    aws.keep();
    child(aws, &keeping(&asked::LENGTHS), &[])?;
    aws.hand_out(asked::receives(ASKED, ONE_BY_ONE, chrono::Utc::now()), asked::EVERY);
    let messages = ASKED * PER_RECEIVE;
    child(aws, &[RUN, Path::Ours.name(), &messages.to_string()], &[("CONVERSATIOND_REPLY_QUEUES", asked::REPLIES)])?;
    let (replied, wanted) = (aws.replied(), ASKED.div_ceil(asked::ASKED_EVERY));
    ensure!(replied.len() == wanted, "{} of {wanted} requests were answered", replied.len());
    Ok(asked::report(&replied))
}

/// Closes into a real archive.
fn closes(aws: &NullAws) -> anyhow::Result<String> {
    let Some(url) = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty()) else {
        return Ok("closes: not measured, DATABASE_URL is not set\n".to_owned());
    };
    let runtime = tokio::runtime::Runtime::new()?;
    let house = runtime.block_on(closes::House::make(&url))?;
    let mut text = format!(
        "closes, from the event's receipt to its delete\n  {:>10} {:>10} {:>10}\n",
        "messages", "ms", "peak MB"
    );
    for length in closes::LENGTHS {
        let (mut took, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..if length < 100_000 { CLOSES } else { 1 } {
            aws.keep();
            child(aws, &keeping(&[length]), &[])?;
            aws.hand_out(vec![closes::receive(length)], Duration::ZERO);
            let database = [("DATABASE_URL", url.as_str()), ("CONVERSATIOND_DATABASE_SCHEMA", &house.schema)];
            let output = child(aws, &[CLOSE, Path::Ours.name(), "1"], &database)?;
            peaks.push(serde_json::from_slice::<Used>(&output)?.peak_bytes);
            took.push(aws.took());
        }
        text += &closes::line(length, took, &peaks);
    }
    text += &format!("\n{}", runtime.block_on(house.compare(3))?);
    runtime.block_on(house.remove())?;
    Ok(text)
}

fn keeping(lengths: &[usize]) -> Vec<&'static str> {
    let lengths = lengths.iter().map(|length| &*length.to_string().leak());
    std::iter::once(KEEP).chain(lengths).collect()
}

/// Runs one path over a full queue, and sees that it did what it was there for.
fn run(aws: &NullAws, path: Path, shape: Shape, messages: usize) -> anyhow::Result<Ran> {
    aws.fill(backlog::receives(messages, shape, chrono::Utc::now()));
    let output = child(aws, &[RUN, path.name(), &messages.to_string()], &[])?;
    let used: Used = serde_json::from_slice(&output)?;
    let bill = aws.bill();
    let expected = match path {
        Path::Floor => (messages, 0),
        Path::Plain | Path::Ours => (messages, messages),
    };
    ensure!(done(&bill) == expected, "{}: deleted and put {:?}, not {expected:?}", path.name(), done(&bill));
    Ok(Ran { path, messages, used, bill })
}

/// A process of its own; returns what it printed.
fn child(aws: &NullAws, arguments: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let url = |queue: &str| format!("http://{}/000000000000/{queue}.fifo", aws.address);
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env_clear()
        .env("AWS_ENDPOINT_URL", format!("http://{}", aws.address))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "null")
        .env("AWS_SECRET_ACCESS_KEY", "null")
        .env("SQS_CONVERSATION_QUEUE_URL", url("null"))
        .env("SQS_CONVERSATION_DLQ_URL", url("null-dlq"))
        .env("DYNAMODB_MESSAGE_TABLE", "null")
        // taking a message in needs no archive, and there is none
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
        .envs(settings.iter().copied())
        .output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

fn done(bill: &Bill) -> (usize, usize) {
    (bill.deleted as usize, bill.put as usize)
}

fn number(variable: &str, default: usize) -> anyhow::Result<usize> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => value.parse().with_context(|| format!("{variable} must be a number")),
        _ => Ok(default),
    }
}
