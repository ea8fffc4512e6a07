//! From exec to the first poll, and to the end of the first message: the program itself, beside the floor.

use std::{
    fmt::Write as _,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{
    backlog::{self, ONE_BY_ONE},
    null::{NullAws, Receive},
    part::Found,
    path::Path,
    plot::{Chart, Row},
    process::{self, RUN},
    spread::Spread,
    usage::{self, MEGABYTE},
};

/// Starts of each.
const STARTS: usize = 9;

/// How long a start may take, and how often it is looked at. Times are the server's, and no coarser for it.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(2);

/// After its first poll a program has this long to become as large as it is before it has anything to do.
const REST: Duration = Duration::from_millis(300);

/// What was seen of one start.
#[derive(Clone, Copy)]
struct Seen {
    /// Milliseconds from exec.
    took: f64,
    megabytes: f64,
}

/// Starts both, with nothing to receive and with ten messages, in turn.
///
/// # Errors
/// One of them did not start.
pub fn measure(aws: &NullAws) -> anyhow::Result<Found> {
    let starts = [
        ("floor, first poll", Path::Floor, false),
        ("ours, first poll", Path::Ours, false),
        ("floor, ten messages deleted", Path::Floor, true),
        ("ours, ten messages deleted", Path::Ours, true),
    ];
    let mut seen = starts.map(|_| Vec::new());
    for _ in 0..STARTS {
        for ((_, path, busy), seen) in starts.iter().zip(&mut seen) {
            seen.push(start(aws, *path, *busy)?);
        }
    }
    let mut text = format!("from exec, {STARTS} starts\n  {:<30} {:>20} {:>8}\n", "", "ms", "peak MB");
    let mut rows = Vec::new();
    for ((name, path, _), seen) in starts.iter().zip(&seen) {
        let took = Spread::of(seen.iter().map(|seen| seen.took));
        let peak = Spread::of(seen.iter().map(|seen| seen.megabytes)).median;
        let _ = writeln!(text, "  {name:<30} {:>20} {peak:>8.0}", took.shown(0));
        rows.push(Row { label: (*name).to_owned(), series: usize::from(*path == Path::Ours), value: took });
    }
    let chart = Chart {
        name: "start",
        title: "From exec to the first poll, and to the end of the first ten messages",
        unit: "ms",
        legend: "bar: median of the starts; line: least to most",
        by_tens: false,
        series: &["floor", "ours"],
        rows,
    };
    Ok(Found { text, charts: vec![chart] })
}

/// Kills what it holds when it goes.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(aws: &NullAws, path: Path, busy: bool) -> anyhow::Result<Seen> {
    let bodies = backlog::receives(if busy { backlog::PER_RECEIVE } else { 0 }, ONE_BY_ONE, chrono::Utc::now());
    aws.keep();
    aws.hand_out(bodies.into_iter().map(|body| Receive { body, asks: Vec::new() }).collect(), Duration::ZERO);
    let mut command = program(aws, path)?;
    let begun = Instant::now();
    let started = Started(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let at = loop {
        let (polled, ended) = aws.polled_and_ended();
        if let Some(at) = if busy { ended } else { polled } {
            break at;
        }
        ensure!(begun.elapsed() < PATIENCE, "{} did not start", path.name());
        sleep(TICK);
    };
    sleep(REST);
    let took = (at - begun).as_secs_f64() * 1e3;
    Ok(Seen { took, megabytes: usage::bytes(&started.0.id().to_string(), "VmHWM:") as f64 / MEGABYTE })
}

/// The program itself, or this one as the floor, which ends after as many messages as never come.
fn program(aws: &NullAws, path: Path) -> anyhow::Result<Command> {
    if path == Path::Ours {
        let mut command = process::command(aws, env!("CARGO_BIN_EXE_conversationd"));
        command.arg("run");
        return Ok(command);
    }
    let mut command = process::command(aws, std::env::current_exe()?);
    command.args([RUN, path.name(), "0", "1000000"]);
    Ok(command)
}
