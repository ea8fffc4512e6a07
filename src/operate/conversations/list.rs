//! `conversations list`: open ones from the hot store, closed ones from the archive.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::ValueEnum;

use super::{DatabaseConfig, HotConfig, both, open, view::View};
use crate::{
    app,
    archive::{Filter, PostgresArchive},
    domain::Head,
    hot::HotStore,
    operate::{
        mask::Mask,
        moment::{moment, shown},
        output::Output,
        rows::{aligned, cell},
    },
};

/// Which conversations to list, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Open ones need the hot store, closed ones the archive.
    #[arg(long, value_enum, default_value_t = Status::All)]
    status: Status,
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// With this contact only: its URN, in full.
    #[arg(long, value_name = "URN")]
    contact: Option<String>,
    /// Closed at this time or later; of open ones, opened. A time, a date, or how long ago: 90m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Closed before this time; of open ones, opened.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Show contacts and their names as they are.
    #[arg(long)]
    reveal: bool,
}

/// Which conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Status {
    Open,
    Closed,
    All,
}

pub(super) async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let (hot, database) = match arguments.status {
        Status::Open => (Some(HotConfig::read(get)?), None),
        Status::Closed => (None, Some(DatabaseConfig::read(get)?)),
        Status::All => {
            let (hot, database) = both(HotConfig::read(get), DatabaseConfig::read(get))?;
            (Some(hot), Some(database))
        }
    };
    let mut views = Vec::new();
    if let Some(hot) = hot {
        views = open(arguments, &*crate::operate::hot(&hot).await?).await?;
    }
    if let Some(database) = database {
        let room = arguments.limit.saturating_sub(u32::try_from(views.len()).unwrap_or(u32::MAX));
        if room > 0 {
            views.extend(closed(arguments, &app::archive(&database)?, room).await?);
        }
    }
    print(arguments, &views)?;
    Ok(ExitCode::SUCCESS)
}

async fn open(arguments: &Arguments, hot: &dyn HotStore) -> anyhow::Result<Vec<View>> {
    let (project, contact) = (arguments.project.as_deref(), arguments.contact.as_deref());
    let mut due = open::due(hot, open::any_time()).await?;
    due.retain(|entry| open::may_be(entry, project, contact));
    let wanted = |head: &Head| {
        let opened_at = head.conversation.record().opened_at;
        contact.is_none_or(|contact| head.thread.contact.as_deref() == Some(contact))
            && arguments.since.is_none_or(|since| opened_at >= since)
            && arguments.until.is_none_or(|until| opened_at < until)
    };
    let heads = open::heads(hot, &due, arguments.limit as usize, wanted).await?;
    Ok(heads.iter().map(|head| View::of_head(head, Mask::unless(arguments.reveal))).collect())
}

async fn closed(arguments: &Arguments, archive: &PostgresArchive, limit: u32) -> anyhow::Result<Vec<View>> {
    let filter = Filter {
        project: arguments.project.clone(),
        contact: arguments.contact.clone(),
        // a bound leaves out those that are open and only checkpointed
        since: Some(arguments.since.unwrap_or(DateTime::UNIX_EPOCH)),
        until: arguments.until,
        limit,
    };
    let rows =
        archive.list(&filter).await.context("closed conversations cannot be listed; --status open does without")?;
    Ok(rows.iter().map(|row| View::of_row(row, Mask::unless(arguments.reveal))).collect())
}

fn print(arguments: &Arguments, views: &[View]) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        views.iter().try_for_each(|view| output.json(view))?;
    } else if views.is_empty() {
        output.line("no conversation is as asked for")?;
    } else {
        let header = ["ID", "STATUS", "OPENED (UTC)", "CLOSED (UTC)", "MESSAGES", "REASON", "CONTACT", "NAME"];
        let rows: Vec<_> = views.iter().map(row).collect();
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
        if views.len() == arguments.limit as usize {
            output.line(format!("({} at most; --limit N shows more)", arguments.limit))?;
        }
    }
    output.flush()
}

fn row(view: &View) -> [String; 8] {
    [
        view.id.to_string(),
        view.status.to_owned(),
        shown(view.opened_at),
        cell(view.closed_at.map(shown)),
        cell(view.messages),
        cell(view.reason.as_deref()),
        cell(view.contact.as_deref().or(view.external_id.as_deref())),
        cell(view.contact_name.as_deref()),
    ]
}
