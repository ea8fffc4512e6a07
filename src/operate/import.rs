//! `conversationd import`: conversations of the older service into the archive, and what both have of the same time.

use std::process::ExitCode;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use uuid::Uuid;

use super::{
    INTERRUPTED,
    bar::Bar,
    moment::moment,
    output::{Output, counted},
    stop_on_signal,
};
use crate::{
    app,
    archive::{Older, OlderHeld, OlderService, OlderSpan, PostgresArchive},
    config::{DatabaseConfig, OlderConfig},
};

/// What to do with the older service's conversations.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Take over the closed conversations of the older service from its PostgreSQL.
    ///
    /// Reads its tables (nothing is written there) and says what the archive has of them; --yes writes what it lacks. Their ids
    /// stay; a message's id is derived from its thread and its own id, so importing again adds nothing. Nobody outside is told.
    /// Goes by the order of their ids, in batches, each whole or not at all: stopped anywhere, --after goes on. Conversations
    /// in progress are not taken. Needs CONVERSATIOND_OLDER_DATABASE_URL. Exit code 1 when anything is missing afterwards.
    #[command(after_help = "Examples:\n  conversationd import legacy --before 2026-03-01\n  \
                            conversationd import legacy --before 2026-03-01 --yes\n  \
                            conversationd import legacy --before 2026-03-01 --json    # afterwards: missing is 0")]
    Legacy(Legacy),
    /// Compare both services after they had the same events: whether the archive has what the older one has.
    ///
    /// Asks of each closed conversation of the older service which of its messages stand in the archive, in whatever
    /// conversation of that thread: the two may cut a thread differently. Changes nothing. What is open here is not in the
    /// archive yet, so look at times that are over for a day. Needs CONVERSATIOND_OLDER_DATABASE_URL. Exit code 1 when
    /// anything is missing.
    #[command(after_help = "Example:\n  conversationd import compare --since 2026-03-02 --before 2026-03-03")]
    Compare(Compare),
}

/// What to take over.
#[derive(Clone, Debug, clap::Args)]
pub struct Legacy {
    /// Conversations that began before this time: when both services began to get the same events. A time, a date, or how long ago.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: DateTime<Utc>,
    /// That began at this time or later.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Of this project only.
    #[arg(long)]
    project: Option<Uuid>,
    /// Go on after this conversation: what an interrupted run said last.
    #[arg(long, value_name = "ID")]
    after: Option<Uuid>,
    /// Conversations in one transaction.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    batch: u32,
    /// Write them, instead of only saying what would be written.
    #[arg(long)]
    yes: bool,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Compare {
    /// Conversations that began at this time or later. A time, a date, or how long ago: 90m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: DateTime<Utc>,
    /// That began before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    before: DateTime<Utc>,
    /// Of this project only.
    #[arg(long)]
    project: Option<Uuid>,
    /// JSON Lines: one object for each conversation that lacks something, then the totals.
    #[arg(long)]
    json: bool,
}

/// What an import came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Totals {
    /// Closed conversations that were read.
    conversations: u64,
    /// Their messages.
    messages: u64,
    /// Without a message or a rating: not kept.
    empty: u64,
    /// Entries and scores that could not be read.
    unreadable: u64,
    /// Written now.
    new_conversations: u64,
    new_messages: u64,
    new_ratings: u64,
    /// Messages that stand where they belong.
    standing: u64,
    /// Messages that stand in an earlier conversation of their thread: said there first.
    elsewhere: u64,
    /// Conversations whose person was erased here: they stay so.
    erased: u64,
    /// Messages that stand nowhere, and conversations without a row.
    missing: u64,
    missing_conversations: u64,
    /// In progress: left where they are.
    open: u64,
    interrupted: bool,
    after: Option<Uuid>,
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// A setting cannot be used, or one of the databases cannot be read or written. What was written stays.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let source = OlderService::new(OlderConfig::read(get)?.url.reveal())?;
    let archive = app::archive(&DatabaseConfig::read(get)?)?;
    match command {
        Command::Legacy(arguments) => legacy(arguments, &source, &archive).await,
        Command::Compare(arguments) => compare(arguments, &source, &archive).await,
    }
}

async fn legacy(arguments: &Legacy, source: &OlderService, archive: &PostgresArchive) -> anyhow::Result<ExitCode> {
    let span = OlderSpan { project: arguments.project, since: arguments.since, before: Some(arguments.before) };
    let count = source.count(&span).await.context("the older service's database cannot be read")?;
    let mut totals = Totals { open: count.open, after: arguments.after, ..Totals::default() };
    let stop = stop_on_signal()?;
    let bar = Bar::begin(if arguments.yes { "importing" } else { "reading" }, Some(count.closed));
    loop {
        let olders = source.page(&span, totals.after, arguments.batch).await;
        let olders = olders.with_context(|| unread(totals.after))?;
        let Some(last) = olders.last().map(|older| older.id.0) else { break };
        if arguments.yes {
            let kept = archive.keep_older(&olders).await;
            let kept = kept.with_context(|| format!("the batch was not written; {}", goes_on(totals.after)))?;
            totals.new_conversations += kept.conversations;
            totals.new_messages += kept.messages;
            totals.new_ratings += kept.ratings;
        }
        let held = archive.older_held(&olders).await.context("what stands cannot be read")?;
        olders.iter().zip(&held).for_each(|(older, held)| totals.add(older, held));
        totals.after = Some(last);
        let Totals { conversations, messages, .. } = totals;
        bar.at(conversations, format!("{conversations} conversations, {messages} messages"));
        if stop.is_cancelled() {
            totals.interrupted = true;
            break;
        }
    }
    drop(bar);
    print(arguments, &totals)?;
    Ok(match totals {
        Totals { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        Totals { missing: 0, missing_conversations: 0, .. } => ExitCode::SUCCESS,
        _ if arguments.yes => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    })
}

impl Totals {
    fn add(&mut self, older: &Older, held: &OlderHeld) {
        self.conversations += 1;
        self.messages += older.messages.len() as u64;
        self.unreadable += older.unreadable;
        self.standing += held.here;
        self.elsewhere += held.elsewhere;
        if held.erased {
            self.erased += 1;
        } else if older.messages.is_empty() && older.ratings.is_empty() {
            self.empty += 1;
        } else {
            self.missing += held.missing;
            self.missing_conversations += u64::from(!held.row);
        }
    }
}

fn unread(after: Option<Uuid>) -> String {
    format!("the older service's database cannot be read; {}", goes_on(after))
}

fn goes_on(after: Option<Uuid>) -> String {
    match after {
        Some(id) => format!("the same command with --after {id} goes on"),
        None => "the same command begins anew".to_owned(),
    }
}

fn print(arguments: &Legacy, totals: &Totals) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        output.json(totals)?;
        return output.flush();
    }
    let Totals { conversations, messages, empty, unreadable, standing, elsewhere, missing, .. } = totals;
    output.line(format!(
        "read: conversations={conversations} messages={messages} empty={empty} unreadable={unreadable}"
    ))?;
    if arguments.yes {
        let Totals { new_conversations, new_messages, new_ratings, .. } = totals;
        output.line(format!(
            "written: conversations={new_conversations} messages={new_messages} ratings={new_ratings}"
        ))?;
    }
    let (rows, erased) = (totals.missing_conversations, totals.erased);
    output.line(format!(
        "in the archive: standing={standing} elsewhere={elsewhere} missing={missing} missing_conversations={rows} erased={erased}"
    ))?;
    if totals.open > 0 {
        output.line(format!("{} in progress, left where they are", counted(totals.open, "conversation")))?;
    }
    match (totals.interrupted, arguments.yes) {
        (true, _) => output.line(format!("stopped before the end; {}", goes_on(totals.after)))?,
        (false, false) if *missing + rows > 0 => {
            output.line("nothing was written; say --yes to write what is missing")?
        }
        _ => {}
    }
    output.flush()
}

/// What a comparison came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Compared {
    conversations: u64,
    /// Without a contact or channel, or without messages that have ids: nothing to find them by.
    not_compared: u64,
    messages: u64,
    found: u64,
    lacking: u64,
    interrupted: bool,
}

async fn compare(arguments: &Compare, source: &OlderService, archive: &PostgresArchive) -> anyhow::Result<ExitCode> {
    if arguments.since >= arguments.before {
        bail!("--since must be before --before");
    }
    let span = OlderSpan { project: arguments.project, since: Some(arguments.since), before: Some(arguments.before) };
    let count = source.count(&span).await.context("the older service's database cannot be read")?;
    let (stop, bar) = (stop_on_signal()?, Bar::begin("comparing", Some(count.closed)));
    let (mut after, mut totals, mut output) = (None, Compared::default(), Output::new());
    while !totals.interrupted {
        let olders = source.page(&span, after, 100).await.context("the older service's database cannot be read")?;
        let Some(last) = olders.last().map(|older| older.id.0) else { break };
        after = Some(last);
        for older in &olders {
            totals.conversations += 1;
            let (found, of) = archive.older_found(older).await.context("the archive cannot be read")?;
            if of == 0 || older.thread.conversation.is_some() {
                totals.not_compared += 1;
                continue;
            }
            totals.messages += of;
            totals.found += found;
            if found < of {
                totals.lacking += 1;
                let (id, project) = (older.id, &older.thread.project);
                match arguments.json {
                    true => output
                        .json(&serde_json::json!({"id": id, "project": project, "messages": of, "found": found}))?,
                    false => output.line(format!("{id} of {project}: {found} of {of} messages"))?,
                }
            }
        }
        bar.at(
            totals.conversations,
            format!("{} conversations, {} lack something", totals.conversations, totals.lacking),
        );
        totals.interrupted = stop.is_cancelled();
    }
    drop(bar);
    let Compared { conversations, not_compared, messages, found, lacking, interrupted } = totals;
    match arguments.json {
        true => output.json(&totals)?,
        false => output.line(format!(
            "conversations={conversations} not_compared={not_compared} messages={messages} found={found} lacking={lacking}{}",
            if interrupted { ", stopped before the end" } else { "" }
        ))?,
    }
    output.flush()?;
    Ok(match totals {
        Compared { lacking: 1.., .. } => ExitCode::FAILURE,
        Compared { interrupted: true, .. } => ExitCode::from(INTERRUPTED),
        _ => ExitCode::SUCCESS,
    })
}
