//! `conversationd export`: closed conversations into a file or a pipe, a page at a time, whatever their number.

mod lines;
mod target;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde::Serialize;

use super::{INTERRUPTED, bar::Bar, mask::Mask, moment::moment, output::say, stop_on_signal};
use crate::{
    app,
    archive::{ConversationRow, MessageRow, PostgresArchive, Span},
    config::DatabaseConfig,
    domain::ConversationId,
};
use lines::Lines;
use target::Target;

/// Conversations read at once.
const CONVERSATIONS: u32 = 50;

/// Messages read at once: a few megabytes at the most usual sizes.
const MESSAGES: u32 = 500;

/// Which conversations to export, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The file, which must not exist yet and which only you may read; or - for standard output.
    #[arg(long, value_name = "FILE|-")]
    out: PathBuf,
    /// jsonl: a line for each conversation, message and rating. csv: a line for each message.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Compress it.
    #[arg(long)]
    gzip: bool,
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// With this contact only: its URN, in full.
    #[arg(long, value_name = "URN")]
    contact: Option<String>,
    /// Closed at this time or later: a time, a date, or how long ago (90m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Closed before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Write persons and what they said as they are.
    #[arg(long)]
    reveal: bool,
    /// The totals as JSON.
    #[arg(long)]
    json: bool,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    conversations: u64,
    messages: u64,
    bytes: u64,
    interrupted: bool,
}

/// Exports. Nothing but a whole file ever has the name that was asked for.
///
/// # Errors
/// The archive cannot be read, or the file cannot be written.
pub async fn run(arguments: &Arguments, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let archive = app::archive(database)?;
    let mut target = Target::open(&arguments.out, arguments.gzip)?;
    let totals = match all(arguments, &archive, &mut target).await {
        Ok(totals) if totals.interrupted => {
            target.abandon();
            totals
        }
        Ok(totals) => {
            target.keep()?;
            totals
        }
        Err(failure) => {
            target.abandon();
            return Err(failure);
        }
    };
    let Totals { conversations, messages, bytes, interrupted } = totals;
    let line = format!("exported: conversations={conversations} messages={messages} bytes={bytes}");
    let said = match (arguments.json, interrupted) {
        (true, _) => serde_json::to_string(&totals)?,
        (false, true) => format!("{line}, stopped before the end; no file was kept"),
        (false, false) => line,
    };
    // standard output may be what was exported
    if arguments.out.as_os_str() == "-" {
        eprintln!("{said}")
    } else {
        say(said)?
    }
    Ok(if interrupted { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}

async fn all(arguments: &Arguments, archive: &PostgresArchive, target: &mut Target) -> anyhow::Result<Totals> {
    let span = Span {
        project: arguments.project.clone(),
        contact: arguments.contact.clone(),
        since: arguments.since,
        until: arguments.until,
    };
    let (stop, lines) = (stop_on_signal()?, Lines::of(arguments.format, Mask::unless(arguments.reveal)));
    let (bar, mut totals, mut after) = (Bar::begin("exporting", None), Totals::default(), None);
    lines.begin(target)?;
    loop {
        let rows = archive.walk(&span, after, CONVERSATIONS).await.context("conversations cannot be read")?;
        let Some(last) = rows.last() else { break };
        after = last.closed_at.map(|at| (at, last.id));
        for row in &rows {
            totals.messages += one(archive, row, &lines, target).await?;
            totals.conversations += 1;
            totals.bytes = target.bytes();
            bar.at(
                totals.conversations,
                format!("{} conversations, {} messages", totals.conversations, totals.messages),
            );
            if stop.is_cancelled() {
                return Ok(Totals { interrupted: true, ..totals });
            }
        }
    }
    target.end()?;
    totals.bytes = target.bytes();
    Ok(totals)
}

/// One conversation, its messages page by page. Returns how many they are.
async fn one(
    archive: &PostgresArchive,
    row: &ConversationRow,
    lines: &Lines,
    target: &mut Target,
) -> anyhow::Result<u64> {
    let id = ConversationId(row.id);
    lines.conversation(row, target)?;
    let (mut after, mut count) = (None, 0);
    loop {
        let messages = archive.messages(id, after, MESSAGES).await.context("messages cannot be read")?;
        for message in &messages {
            lines.message(row, message, target)?;
        }
        count += messages.len() as u64;
        after = messages.last().map(MessageRow::cursor);
        if messages.len() < MESSAGES as usize {
            break;
        }
    }
    for rating in archive.ratings(id).await.context("ratings cannot be read")? {
        lines.rating(&rating, target)?;
    }
    Ok(count)
}
