//! `dlq stats`: what the index knows, what the queue holds, and whether they agree.

use std::{collections::BTreeMap, process::ExitCode};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Site, native};
use crate::operate::{
    letters::{self, disagreement},
    moment::moment,
    output::Output,
    rows::{aligned, cell},
};

/// What to count.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Messages that the queue took at this time or later. A time, a date, or how long ago: 90m, 2h, 7d. Default: all known.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Stats {
    /// Waiting in the dead-letter queue, by its own count.
    queue_waiting: u64,
    /// In somebody's hands.
    queue_in_flight: u64,
    /// Rows of the index that are not settled.
    index_waiting: u64,
    /// Rows that were redriven, edited or discarded.
    index_settled: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<DateTime<Utc>>,
    by: Vec<Count>,
    /// Of SQS's own move, if one runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    move_task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Serialize)]
struct Count {
    day: String,
    code: String,
    event_type: Option<String>,
    waiting: u64,
    settled: u64,
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let (depth, rows, task) = tokio::join!(
        letters::depth(&site.clients.sqs.control, &site.dead.url),
        letters::rows(&*site.index, arguments.since, usize::MAX, |_| true),
        native::active(site),
    );
    let ((queue_waiting, queue_in_flight), rows) = (depth?, rows?);
    let mut by: BTreeMap<(String, String, Option<String>), (u64, u64)> = BTreeMap::new();
    for row in &rows {
        let key = (row.sent_at.date_naive().to_string(), row.code.clone(), row.event_type.clone());
        let (waiting, settled) = by.entry(key).or_default();
        *(if row.settled.is_some() { settled } else { waiting }) += 1;
    }
    let index_waiting = rows.iter().filter(|row| row.settled.is_none()).count() as u64;
    let stats = Stats {
        queue_waiting,
        queue_in_flight,
        index_waiting,
        index_settled: rows.len() as u64 - index_waiting,
        oldest: rows.iter().find(|row| row.settled.is_none()).map(|row| row.sent_at),
        by: by
            .into_iter()
            .map(|((day, code, event_type), (waiting, settled))| Count { day, code, event_type, waiting, settled })
            .collect(),
        move_task: task,
        advice: arguments
            .since
            .is_none()
            .then(|| disagreement(queue_waiting + queue_in_flight, index_waiting))
            .flatten()
            .map(|(found, advice)| format!("{found}. {advice}")),
    };
    print(arguments, &stats)?;
    Ok(ExitCode::SUCCESS)
}

fn print(arguments: &Arguments, stats: &Stats) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        output.json(stats)?;
        return output.flush();
    }
    output.line(format!("queue: {} waiting, {} in flight", stats.queue_waiting, stats.queue_in_flight))?;
    output.line(format!("index: {} waiting, {} settled", stats.index_waiting, stats.index_settled))?;
    if let Some(task) = &stats.move_task {
        output.line(format!("move task of SQS: {task}"))?;
    }
    if !stats.by.is_empty() {
        let row = |count: &Count| {
            let (waiting, settled) = (count.waiting.to_string(), count.settled.to_string());
            [count.day.clone(), count.code.clone(), cell(count.event_type.as_deref()), waiting, settled]
        };
        let rows: Vec<_> = stats.by.iter().map(row).collect();
        output.line("")?;
        let header = ["DAY", "CODE", "TYPE", "WAITING", "SETTLED"];
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
    }
    if let Some(advice) = &stats.advice {
        output.line(format!("\n{advice}"))?;
    }
    output.flush()
}
