//! `conversationd stats`: what a project's closed conversations add up to, as a table and a small plot.

pub(super) mod table;

use std::process::ExitCode;

use anyhow::{Context, ensure};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    moment::{moment, now, written},
    output::Output,
};
use crate::{
    app,
    archive::{ArchiveReader, Grouping, Period},
    config::DatabaseConfig,
};

/// The time of the figures unless the operator says otherwise.
const SPAN: TimeDelta = TimeDelta::days(30);

/// Which figures, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The project.
    #[arg(long)]
    project: String,
    /// Of conversations closed at this time or later: a time, a date, or how long ago (90m, 2h, 7d). 30 days unless given.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Of conversations closed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Of this agent only.
    #[arg(long)]
    agent: Option<String>,
    /// One JSON object: the figures, those of each day, and the busiest agents.
    #[arg(long)]
    json: bool,
}

/// Reads and shows them.
///
/// # Errors
/// The archive cannot be read, or the time ends before it begins.
pub async fn run(arguments: &Arguments, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let to = arguments.until.unwrap_or_else(now);
    let from = arguments.since.unwrap_or(to - SPAN);
    ensure!(from < to, "--since must come before --until");
    let archive = app::replica(database)?;
    let period = Period {
        project: arguments.project.clone(),
        from,
        to,
        agent: arguments.agent.clone(),
        grouping: Some(Grouping::Day),
    };
    let figures = archive.figures(&period).await.context("`conversationd doctor` says more")?;
    archive.close().await;
    let mut told = figures.told();
    told["from"] = written(from).into();
    told["to"] = written(to).into();
    told["project"] = arguments.project.as_str().into();
    let mut output = Output::new();
    if arguments.json {
        output.json(&told)?;
    } else {
        table::shown(&told).iter().try_for_each(|line| output.line(line))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
