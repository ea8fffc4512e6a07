//! `conversationd verify`: whether the archive still holds what its rows say it holds.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use super::{
    INTERRUPTED,
    bar::Bar,
    moment::{moment, shown},
    output::Output,
    rows::{aligned, cell},
    stop_on_signal,
};
use crate::{
    app,
    archive::{ConversationRow, PostgresArchive, Recheck, Span},
    config::DatabaseConfig,
};

/// Conversations computed again in one statement.
const PAGE: u32 = 100;

/// Which conversations to check, and how many.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Closed at this time or later: a time, a date, or how long ago (90m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Closed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Only so many, picked at random.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sample: Option<u32>,
    /// JSON Lines: one object for each difference, then the totals.
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    checked: u64,
    messages: u64,
    differences: u64,
    interrupted: bool,
}

/// Checks. Exit code 1 when anything differs.
///
/// # Errors
/// The archive cannot be read.
pub async fn run(arguments: &Arguments, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let archive = app::archive(database)?;
    let (stop, mut totals, mut differences) = (stop_on_signal()?, Totals::default(), Vec::new());
    let span =
        Span { project: arguments.project.clone(), contact: None, since: arguments.since, until: arguments.until };
    let mut source = match arguments.sample {
        Some(count) => Source::Sample(archive.sample(&span, count).await.context("no sample can be had")?),
        None => Source::Walk { span, after: None },
    };
    let bar = Bar::begin("verifying", None);
    loop {
        let page = source.next(&archive).await.context("the archive cannot be read")?;
        if page.is_empty() {
            break;
        }
        let checks = archive.recheck(&page).await.context("what stands cannot be computed again")?;
        for check in checks {
            totals.checked += 1;
            totals.messages += check.messages_found.unsigned_abs();
            if !check.holds() {
                totals.differences += 1;
                differences.push(check);
            }
        }
        bar.at(totals.checked, format!("{} conversations, {} differ", totals.checked, totals.differences));
        if stop.is_cancelled() {
            totals.interrupted = true;
            break;
        }
    }
    drop(bar);
    print(arguments, &totals, &differences)?;
    Ok(match totals {
        Totals { differences: 1.., .. } => ExitCode::FAILURE,
        Totals { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}

/// Where the next conversations come from.
enum Source {
    Sample(Vec<ConversationRow>),
    Walk { span: Span, after: Option<(DateTime<Utc>, Uuid)> },
}

impl Source {
    async fn next(&mut self, archive: &PostgresArchive) -> anyhow::Result<Vec<Uuid>> {
        match self {
            Self::Sample(rows) => {
                let rest = rows.split_off(rows.len().min(PAGE as usize));
                Ok(std::mem::replace(rows, rest).iter().map(|row| row.id).collect())
            }
            Self::Walk { span, after } => {
                let rows = archive.walk(span, *after, PAGE).await?;
                *after = rows.last().and_then(|row| Some((row.closed_at?, row.id))).or(*after);
                Ok(rows.iter().map(|row| row.id).collect())
            }
        }
    }
}

fn print(arguments: &Arguments, totals: &Totals, differences: &[Recheck]) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        differences.iter().try_for_each(|difference| output.json(difference))?;
        output.json(totals)?;
        return output.flush();
    }
    if !differences.is_empty() {
        let header = ["ID", "CLOSED (UTC)", "PROJECT", "SAYS", "HOLDS", "WHAT DIFFERS"];
        let rows: Vec<_> = differences.iter().map(row).collect();
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
        output.line("")?;
    }
    let Totals { checked, messages, differences, interrupted } = totals;
    let stopped = if *interrupted { ", stopped before the end" } else { "" };
    output.line(format!("checked={checked} messages={messages} differences={differences}{stopped}"))?;
    if *differences > 0 {
        output.line("something changed rows behind the daemon's back; `conversationd explain ID` tells one's life")?;
    }
    output.flush()
}

fn row(check: &Recheck) -> [String; 6] {
    let mut differs = Vec::new();
    if check.message_count != check.messages_found {
        differs.push("messages");
    }
    if check.token_count != check.tokens_found {
        differs.push("tokens");
    }
    if check.content_hash != check.hash_found {
        differs.push("content");
    }
    if check.statistics_hold == Some(false) {
        differs.push("statistics");
    }
    [
        check.id.to_string(),
        cell(check.closed_at.map(shown)),
        check.project.clone(),
        check.message_count.to_string(),
        check.messages_found.to_string(),
        differs.join(", "),
    ]
}
