//! `conversationd archive purge`: retention.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use serde::Serialize;

use super::{
    INTERRUPTED,
    bar::Bar,
    moment::{now, shown, written},
    output::Output,
    rows::{aligned, cell},
    stop_on_signal,
};
use crate::{
    app,
    archive::{PostgresArchive, Purgeable, Purged},
    config::DatabaseConfig,
};

/// Youngest age that may go, in days: a copy of an event can come for 14 days out of the queue, 14 out of the dead-letter
/// queue, and 28 more once it was redriven. With its id gone it would be archived as new.
const YOUNGEST: i64 = 60;

/// What to do with the archive.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Remove closed conversations that are old enough, the oldest first, with their messages and ratings.
    ///
    /// Says what would go; --yes does it, in batches, each whole or not at all: stopped anywhere, the same command goes on.
    /// What a legal hold covers stays. Counts by project and day stay in the table purged_day. Needs a role that may delete.
    #[command(after_help = "Examples:\n  conversationd archive purge --older-than 730\n  \
                            conversationd archive purge --older-than 730 --project P --yes")]
    Purge(Purge),
}

/// What to purge.
#[derive(Clone, Debug, clap::Args)]
pub struct Purge {
    /// Days since the close; 60 at least.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(i64).range(YOUNGEST..=36_500))]
    older_than: i64,
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// Conversations in one transaction.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    batch: u32,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What was, or would be, done.
#[derive(Debug, Serialize)]
struct Report {
    before: String,
    done: bool,
    interrupted: bool,
    removed: Purged,
    projects: Vec<Purgeable>,
}

/// Does it.
///
/// # Errors
/// The archive cannot be read or written; what was removed stays removed.
pub async fn run(command: &Command, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let Command::Purge(arguments) = command;
    let archive = app::archive(database)?;
    let before = now() - TimeDelta::days(arguments.older_than);
    let projects = archive.purgeable(before, arguments.project.as_deref()).await;
    let projects = projects.context("what is old enough cannot be counted")?;
    let mut report = Report {
        before: written(before),
        done: arguments.yes,
        interrupted: false,
        removed: Purged::default(),
        projects,
    };
    if arguments.yes {
        purge(arguments, &archive, before, &mut report).await?;
    }
    print(arguments, before, &report)?;
    Ok(if report.interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

async fn purge(
    arguments: &Purge,
    archive: &PostgresArchive,
    before: DateTime<Utc>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let stop = stop_on_signal()?;
    let length = report.projects.iter().map(|project| project.conversations.unsigned_abs()).sum();
    let bar = Bar::begin("purging", Some(length));
    loop {
        let purged = archive.purge_batch(before, arguments.project.as_deref(), arguments.batch).await;
        let removed = &mut report.removed;
        let purged = purged.with_context(|| {
            format!("stopped after {} conversations; the same command goes on", removed.conversations)
        })?;
        removed.conversations += purged.conversations;
        removed.messages += purged.messages;
        removed.ratings += purged.ratings;
        bar.at(
            removed.conversations,
            format!("{} conversations, {} messages", removed.conversations, removed.messages),
        );
        if purged.conversations == 0 {
            return Ok(());
        }
        if stop.is_cancelled() {
            report.interrupted = true;
            return Ok(());
        }
    }
}

fn print(arguments: &Purge, before: DateTime<Utc>, report: &Report) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        output.json(report)?;
        return output.flush();
    }
    if report.projects.is_empty() {
        output.line(format!("nothing that stands closed before {} (UTC)", shown(before)))?;
    } else {
        let row = |project: &Purgeable| {
            let Purgeable { conversations, messages, held, .. } = project;
            let earliest = cell(project.earliest.map(shown));
            [project.project.clone(), conversations.to_string(), messages.to_string(), held.to_string(), earliest]
        };
        let rows: Vec<_> = report.projects.iter().map(row).collect();
        output.line(format!("closed before {} (UTC):", shown(before)))?;
        aligned(["PROJECT", "CONVERSATIONS", "MESSAGES", "HELD", "EARLIEST (UTC)"], &rows)
            .iter()
            .try_for_each(|line| output.line(line))?;
    }
    let Purged { conversations, messages, ratings } = report.removed;
    match (report.done, report.interrupted) {
        (false, _) if report.projects.is_empty() => {}
        (false, _) => output.line("nothing was removed; say --yes to remove this, except what is held")?,
        (true, stopped) => output.line(format!(
            "removed: conversations={conversations} messages={messages} ratings={ratings}{}",
            if stopped { ", stopped before the end; the same command goes on" } else { "" }
        ))?,
    }
    output.flush()
}
