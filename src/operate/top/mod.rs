//! `conversationd top`: the fleet as it is, live or as a still picture. Reads only, and asks no daemon: queues, the table and
//! the database tell all of it.

mod live;
mod reading;
mod screen;
mod snapshot;
mod view;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::Duration,
};

use anyhow::bail;

pub use screen::{Screen, Tab};
pub use snapshot::{Depth, Letters, Outlet, Part, Reason, Snapshot, Told};
pub use view::{paint, picture};

use super::{moment::span, output::Output};
use reading::Places;

/// Width of a still picture.
pub const WIDTH: u16 = 99;

/// What to show, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// A still picture as text, and no more.
    #[arg(long)]
    once: bool,
    /// What is known, as one JSON object, and no more.
    #[arg(long, conflicts_with = "once")]
    json: bool,
    /// What to look at first.
    #[arg(long, value_enum, default_value = "overview")]
    view: Tab,
    /// How often everything but the index of dead letters is read: two calls to SQS, two to DynamoDB, one to PostgreSQL.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "2s")]
    every: Duration,
}

/// Shows it.
///
/// # Errors
/// There is no terminal to show it on, or it ends.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let live = !(arguments.once || arguments.json);
    if live && !io::stdout().is_terminal() {
        bail!("standard output is no terminal: --once prints a still picture, --json what is known");
    }
    let (places, screen) = (Places::of(get).await, Screen::on(arguments.view));
    if live {
        live::watch(places, screen, arguments.every.max(Duration::from_secs(1))).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let (often, letters) = tokio::join!(places.often(), places.letters());
    let snapshot = Snapshot::of(often, letters);
    let mut output = Output::new();
    if arguments.json {
        output.json(&snapshot)?;
    } else {
        output.line(picture(&snapshot, screen, WIDTH))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
