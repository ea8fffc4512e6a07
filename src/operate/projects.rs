//! `conversationd projects`: when a project's conversations close. Read from the hot store; set by an event, as publishers do.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use clap::Subcommand;
use serde::Serialize;

use super::{
    BAD_INPUT, clients,
    moment::{now, shown, span},
    output::{Output, say},
};
use crate::{
    config::{HotConfig, QueueConfig},
    domain::{ProjectSettings, Sequence, next_midnight},
    event::{self, Raw},
    hot::Hot,
    queue::{Command as Letter, Queue, SqsQueue, fifo_id},
};

/// What to do with projects.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show what a project says about its conversations; the daemon's settings hold for the rest.
    #[command(after_help = "Example:\n  conversationd projects show 0b1f6c1e-5f0e-4a55-8d0f-1b1f3c2d4e5f")]
    Show(ShowArguments),
    /// Set what a project says: its time zone, and when its conversations close.
    ///
    /// Says what it would send; with --yes it sends `project.updated` into the queue. What is not named stays as it was. The
    /// daemons take it within 30 seconds; a conversation that is open keeps the end of its day.
    #[command(
        after_help = "Example:\n  conversationd projects set P --timezone America/Sao_Paulo --close-at-midnight true --yes"
    )]
    Set(SetArguments),
}

/// Which project.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArguments {
    /// The project.
    project: String,
    /// JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What to set.
#[derive(Clone, Debug, clap::Args)]
pub struct SetArguments {
    /// The project.
    project: String,
    /// IANA time zone, such as America/Sao_Paulo.
    #[arg(long)]
    timezone: Option<String>,
    /// Whether its conversations close at local midnight.
    #[arg(long, value_name = "true|false")]
    close_at_midnight: Option<bool>,
    /// Silence that closes a conversation: 30m, 2h, 1d.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    idle: Option<Duration>,
    /// Age that closes a conversation.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    max_age: Option<Duration>,
    /// Silence after a session's end that closes its conversation.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    grace: Option<Duration>,
    /// Send it, instead of only saying what would be sent.
    #[arg(long)]
    yes: bool,
}

/// Settings as shown.
#[derive(Serialize)]
struct Shown<'a> {
    project: &'a str,
    #[serde(flatten)]
    settings: &'a ProjectSettings,
    day_ends_at: DateTime<Utc>,
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// A setting cannot be used (as [`Faults`](crate::config::Faults)), or the table or the queue does not do its part.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show(arguments) => show(arguments, &HotConfig::read(get)?).await,
        Command::Set(arguments) => set(arguments, get).await,
    }
}

async fn show(arguments: &ShowArguments, hot: &HotConfig) -> anyhow::Result<ExitCode> {
    let hot = Hot::over(super::hot(hot).await?, Duration::ZERO);
    let project = arguments.project.as_str();
    let settings = hot.stored_project(project).await.context("`conversationd doctor` says more")?;
    let day_ends_at = next_midnight(settings.timezone.unwrap_or(Tz::UTC), now());
    let mut output = Output::new();
    if arguments.json {
        output.json(&Shown { project, settings: &settings, day_ends_at })?;
    } else {
        let daemons = || "as the daemon's settings say".to_owned();
        let seconds = |seconds: Option<u64>| seconds.map_or_else(daemons, |seconds| format!("{seconds} s"));
        let zone = settings
            .timezone
            .map_or_else(daemons, |zone| format!("{zone}, where the day ends at {} (UTC)", shown(day_ends_at)));
        output.line(format!("time zone          {zone}"))?;
        output.line(format!(
            "close at midnight  {}",
            settings.close_at_midnight.map_or_else(daemons, |it| it.to_string())
        ))?;
        output.line(format!("idle               {}", seconds(settings.idle_seconds)))?;
        output.line(format!("max age            {}", seconds(settings.max_age_seconds)))?;
        output.line(format!("grace              {}", seconds(settings.grace_seconds)))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn set(arguments: &SetArguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let timezone = match arguments.timezone.as_deref().map(str::parse::<Tz>).transpose() {
        Ok(zone) => zone,
        Err(_) => {
            eprintln!(
                "conversationd: --timezone must be the name of an IANA time zone, such as America/Sao_Paulo or UTC"
            );
            return Ok(ExitCode::from(BAD_INPUT));
        }
    };
    let seconds = |span: Option<Duration>| span.map(|span| span.as_secs());
    let settings = ProjectSettings {
        timezone,
        close_at_midnight: arguments.close_at_midnight,
        idle_seconds: seconds(arguments.idle),
        max_age_seconds: seconds(arguments.max_age),
        grace_seconds: seconds(arguments.grace),
    };
    let (project, group_id) = (arguments.project.as_str(), fifo_id(&format!("project:{}", arguments.project)));
    let body = event::project::to_body(project, &settings);
    if let Err(rejection) = event::decode(&raw(&body, &group_id)) {
        eprintln!("conversationd: the daemon would not take this: {rejection}");
        return Ok(ExitCode::from(BAD_INPUT));
    }
    if !arguments.yes {
        say(format!("  group  {group_id}\n  body   {body}\nnothing was sent; say --yes to send this"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let queue = QueueConfig::read(get)?;
    let sqs = clients(queue.region.clone(), None).await.sqs;
    let sender = SqsQueue::new(sqs, queue.url.clone(), String::new(), Duration::ZERO);
    // new every time: SQS silently drops an id it saw within five minutes
    let dedup_id = fifo_id(&format!("project:{project}:{}", now().timestamp_micros()));
    let letter = Letter { group_id, dedup_id, body, attributes: BTreeMap::new() };
    sender.send(letter).await.context("nothing was sent; `conversationd doctor` says more")?;
    say("sent: the daemons take it within 30 seconds; `conversationd projects show` says what is stored")?;
    Ok(ExitCode::SUCCESS)
}

fn raw<'a>(body: &'a str, group_id: &'a str) -> Raw<'a> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    Raw { body, attributes: &NONE, sent_at: DateTime::UNIX_EPOCH, sequence: Sequence::default(), group_id }
}
