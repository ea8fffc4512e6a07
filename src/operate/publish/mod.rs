//! `conversationd publish`: sends events from a file into the inbound queue, in order within each thread.

pub(super) mod lines;
mod progress;
mod send;
mod window;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context;
use serde::Serialize;
use tokio::sync::mpsc;

use self::{lines::Line, progress::Progress, send::Sender, window::Window};
use super::{BAD_INPUT, INTERRUPTED, output::Output, stop_on_signal};
use crate::config::QueueConfig;

/// A round that could be fuller waits this long for the next line.
const LINGER: Duration = Duration::from_millis(5);

/// What to publish, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// A file of JSON Lines, one event a line as the wire contract says; - for standard input.
    file: PathBuf,
    /// Waits while the queue holds this many messages or more; 0 never waits.
    ///
    /// Counted are messages waiting and in flight. It keeps a file from filling the queue that live traffic goes through.
    #[arg(long, value_name = "MESSAGES", default_value_t = 1000)]
    max_depth: u64,
    /// Also send lines that do not decode, each in a group of its own: for tests of what becomes of them.
    #[arg(long)]
    as_is: bool,
    /// Print the totals, and on standard error each rejected line, as JSON.
    #[arg(long)]
    json: bool,
}

/// The totals.
#[derive(Serialize)]
struct Totals {
    published: u64,
    rejected: u64,
    /// Every line before this one is settled; absent when all are.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped_at_line: Option<u64>,
}

/// How it ended.
enum End {
    /// With the input.
    Complete,
    /// At a line: by the operator, or for a reason.
    Stopped { line: u64, why: Option<String> },
}

/// Publishes.
///
/// # Errors
/// The input cannot be read, or the queue cannot be used; what was sent until then is told.
pub async fn run(arguments: &Arguments, queue: &QueueConfig) -> anyhow::Result<ExitCode> {
    let (input, length) = lines::open(&arguments.file)?;
    let stop = stop_on_signal()?;
    let progress = Progress::begin(length, arguments.json);
    let clients = super::clients(queue.region.clone(), None).await;
    let sender =
        Sender { client: clients.sqs.control, url: queue.url.clone(), progress: &progress, stop: stop.clone() };
    let end = publish(&sender, lines::read(input, arguments.as_is), arguments.max_depth).await;
    progress.end();
    report(arguments, &progress, end)
}

/// Says what was published, and how to go on if that is not all.
fn report(arguments: &Arguments, progress: &Progress, end: anyhow::Result<End>) -> anyhow::Result<ExitCode> {
    let (published, rejected) = progress.totals();
    let stopped_at_line = match &end {
        Ok(End::Stopped { line, .. }) => Some(*line),
        _ => None,
    };
    let mut output = Output::new();
    if arguments.json {
        output.json(&Totals { published, rejected, stopped_at_line })?;
    } else {
        output.line(format!("published={published} rejected={rejected}"))?;
    }
    output.flush()?;
    match end? {
        End::Complete if rejected > 0 => Ok(ExitCode::from(BAD_INPUT)),
        End::Complete => Ok(ExitCode::SUCCESS),
        End::Stopped { line, why } => {
            let how_far = format!(
                "every line before line {line} is settled, and perhaps some after it; publish the same input again to go \
                 on: what is sent twice is kept once"
            );
            match why {
                Some(why) => anyhow::bail!(
                    "the queue does not take messages ({why}): check SQS_CONVERSATION_QUEUE_URL and the right to \
                     sqs:SendMessage; {how_far}"
                ),
                None => eprintln!("conversationd: stopped; {how_far}"),
            }
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Rounds until the input ends: a group's next letter leaves only after the one before is settled.
async fn publish(
    sender: &Sender<'_>,
    mut lines: mpsc::Receiver<std::io::Result<Line>>,
    max_depth: u64,
) -> anyhow::Result<End> {
    let (mut window, mut room) = (Window::default(), if max_depth == 0 { u64::MAX } else { 0 });
    let mut last = 0;
    loop {
        let more = fill(sender, &mut window, &mut lines, &mut last).await?;
        let stopped = |line: Option<u64>, why| Ok(End::Stopped { line: line.unwrap_or(last + 1), why });
        if sender.stop.is_cancelled() {
            return stopped(window.first_line(), None);
        }
        if window.is_empty() {
            if more {
                continue;
            }
            return Ok(End::Complete);
        }
        if room == 0 {
            match sender.room(max_depth).await? {
                Some(found) => room = found,
                None => return stopped(window.first_line(), None),
            }
        }
        let round = window.round(usize::try_from(room).unwrap_or(usize::MAX));
        room = if max_depth == 0 { room } else { room - round.len() as u64 };
        let sent = sender.send(round).await;
        sender.progress.published(sent.taken);
        sent.refused.iter().for_each(|refused| sender.progress.rejected(refused));
        if let Some((line, why)) = sent.left {
            return stopped(Some(window.first_line().map_or(line, |waiting| waiting.min(line))), why);
        }
    }
}

/// Takes lines into the window: at least one unless it holds some, and then those that are there. Returns whether there
/// may be more.
async fn fill(
    sender: &Sender<'_>,
    window: &mut Window,
    lines: &mut mpsc::Receiver<std::io::Result<Line>>,
    last: &mut u64,
) -> anyhow::Result<bool> {
    while window.has_room() {
        let next = match lines.try_recv() {
            Ok(line) => Some(line),
            Err(mpsc::error::TryRecvError::Disconnected) => None,
            Err(mpsc::error::TryRecvError::Empty) if window.fills_a_round() => return Ok(true),
            Err(mpsc::error::TryRecvError::Empty) => tokio::select! {
                biased;
                () = sender.stop.cancelled() => return Ok(true),
                line = lines.recv() => line,
                () = tokio::time::sleep(LINGER), if !window.is_empty() => return Ok(true),
            },
        };
        let Some(line) = next else { return Ok(false) };
        let Line { letter, read } = line.with_context(|| format!("the input cannot be read after line {last}"))?;
        sender.progress.read(read);
        match letter {
            Ok(letter) => {
                *last = letter.line;
                window.push(letter);
            }
            Err(refused) => {
                *last = refused.line;
                sender.progress.rejected(&refused);
            }
        }
    }
    Ok(true)
}
