//! `conversationd outbox`: what outside systems were told, what waits, what was given up, and the ways on.

mod change;
mod list;
mod rotate;
mod show;
mod sinks;

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::{Subcommand, ValueEnum};
use uuid::Uuid;

use super::moment::moment;
use crate::{
    app,
    config::DatabaseConfig,
    outbox::{Filter, Outbox},
};

/// What to do with the outbox.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Show the sinks: their state, their breaker, what waits for them and what was given up.
    Sinks(sinks::Arguments),
    /// List dispatches, the oldest first: by default what waits and what was given up.
    #[command(after_help = "Examples:\n  conversationd outbox list --sink partner --state dead --since 2d\n  \
                            conversationd outbox list --json | jq -r .notice")]
    List(list::Arguments),
    /// Show one notice: where it went, every attempt, and with --reveal its content.
    Show(show::Arguments),
    /// Send what waits now, as if for the first time; also frees lanes that are parked.
    ///
    /// Says what it would do; --yes does it.
    #[command(after_help = "Example:\n  conversationd outbox retry --sink partner --yes")]
    Retry(change::Arguments),
    /// Give up what waits: its lane goes on without it, and the gap in its sequence shows.
    ///
    /// Says what it would do; --yes does it. It can be replayed for a week.
    #[command(after_help = "Example:\n  conversationd outbox skip --notice 8c1f… --sink partner --yes")]
    Skip(change::Arguments),
    /// Send what was given up once more, in its old place: before everything behind it that still waits.
    ///
    /// Says what it would do; --yes does it.
    #[command(after_help = "Example:\n  conversationd outbox replay --sink partner --since 2d --yes")]
    Replay(change::Arguments),
    /// Pause a sink: notices for it wait.
    Pause(sinks::PauseArguments),
    /// Enable a sink that is paused or disabled, with its breaker closed.
    ///
    /// A disabled sink missed what was told meanwhile: --since adds that, in order.
    #[command(after_help = "Example:\n  conversationd outbox resume partner --since 3d")]
    Resume(sinks::ResumeArguments),
    /// Make a new key for a webhook; the old one signs beside it for a day.
    ///
    /// Writes the secret's file, and prints the new key for the receiver. Where the secret is in the environment, or its file
    /// cannot be written, --print prints the whole secret instead.
    #[command(after_help = "Example:\n  conversationd outbox rotate-secret partner")]
    RotateSecret(rotate::Arguments),
}

/// The state of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Pending,
    Delivered,
    Dead,
    Skipped,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
        }
    }
}

/// Which dispatches.
#[derive(Clone, Debug, clap::Args)]
struct Wanted {
    /// For this sink.
    #[arg(long)]
    sink: Option<String>,
    /// Of this notice.
    #[arg(long, value_name = "ID")]
    notice: Option<Uuid>,
    /// About this conversation.
    #[arg(long, value_name = "ID")]
    conversation: Option<Uuid>,
    /// Of this project.
    #[arg(long)]
    project: Option<String>,
    /// Whose last attempt failed for a reason with this text in it: `answered 422`.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Settled at this time or later; of those that wait, added. A time, a date, or how long ago: 90m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Settled before this time; of those that wait, added.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

impl Wanted {
    fn filter(&self, states: Vec<&'static str>) -> Filter {
        Filter {
            sink: self.sink.clone(),
            states: Some(states),
            notice: self.notice,
            conversation: self.conversation,
            project: self.project.clone(),
            reason: self.reason.clone(),
            since: self.since,
            until: self.until,
            limit: self.limit,
        }
    }

    /// Whether it names anything at all: what changes something must be asked for by more than nothing.
    fn names_something(&self) -> bool {
        self.sink.is_some()
            || self.notice.is_some()
            || self.conversation.is_some()
            || self.project.is_some()
            || self.reason.is_some()
    }
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// A setting cannot be used, or the database does not do its part.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    if let Command::RotateSecret(arguments) = command {
        return rotate::run(arguments, get);
    }
    let outbox: Outbox = app::outbox(&DatabaseConfig::read(get)?)?;
    match command {
        Command::Sinks(arguments) => sinks::run(arguments, &outbox).await,
        Command::List(arguments) => list::run(arguments, &outbox).await,
        Command::Show(arguments) => show::run(arguments, &outbox).await,
        Command::Retry(arguments) => change::run(change::Change::Retry, arguments, &outbox).await,
        Command::Skip(arguments) => change::run(change::Change::Skip, arguments, &outbox).await,
        Command::Replay(arguments) => change::run(change::Change::Replay, arguments, &outbox).await,
        Command::Pause(arguments) => sinks::pause(arguments, &outbox).await,
        Command::Resume(arguments) => sinks::resume(arguments, &outbox).await,
        Command::RotateSecret(_) => Ok(ExitCode::SUCCESS),
    }
}
