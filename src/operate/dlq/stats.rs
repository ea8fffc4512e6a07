//! `dlq stats`: what the index knows, what the queue holds, and whether they agree.

use std::{collections::BTreeMap, process::ExitCode};

use aws_sdk_sqs::types::QueueAttributeName as Name;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{Site, index, native};
use crate::operate::{
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

/// How many messages a queue holds: waiting, and in somebody's hands.
pub(super) async fn depth(site: &Site, url: &str) -> anyhow::Result<(u64, u64)> {
    depth_of(&site.clients.sqs.control, url).await
}

/// The same by another client.
pub(in crate::operate) async fn depth_of(sqs: &aws_sdk_sqs::Client, url: &str) -> anyhow::Result<(u64, u64)> {
    let wanted = [Name::ApproximateNumberOfMessages, Name::ApproximateNumberOfMessagesNotVisible];
    let call = sqs.get_queue_attributes().queue_url(url);
    let got = call.set_attribute_names(Some(wanted.to_vec())).send().await;
    let got = got.map_err(|failure| {
        anyhow::Error::new(failure).context("a queue does not tell how much it holds; `conversationd doctor` says more")
    })?;
    let attributes = got.attributes.unwrap_or_default();
    let [waiting, in_flight] =
        wanted.map(|name| attributes.get(&name).and_then(|n| n.parse().ok()).unwrap_or_default());
    Ok((waiting, in_flight))
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let (depth, rows, task) = tokio::join!(
        depth(site, &site.dead.url),
        index::rows(&*site.index, arguments.since, usize::MAX, |_| true),
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

/// What it means when the queue and the index do not agree, and what to do.
pub(in crate::operate) fn disagreement(queue: u64, index: u64) -> Option<(String, &'static str)> {
    match queue.checked_sub(index) {
        Some(0) => None,
        Some(more) => Some((
            format!(
                "{more} in the queue without a row: SQS moved them there by itself, after 100 receipts, or something else \
                 sent them"
            ),
            "look again in a minute, the queue's count lags; then `conversationd dlq export --out FILE` shows them (code \
             moved_by_sqs), and `conversationd dlq redrive --all` takes them too",
        )),
        None => Some((
            format!("{} rows without a letter in the queue", index - queue),
            "look again in a minute, the queue's count lags; then they were deleted by hand, moved by SQS's own redrive, or \
             are older than the queue keeps them: nothing is left to do, and the rows go 30 days after their messages came",
        )),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_without_rows_and_rows_without_letters_are_told() {
        assert_eq!(disagreement(3, 3), None);
        assert!(disagreement(5, 3).is_some_and(|(said, _)| said.starts_with("2 in the queue without a row")));
        assert!(disagreement(3, 5).is_some_and(|(said, _)| said.starts_with("2 rows without a letter")));
    }
}
