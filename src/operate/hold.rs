//! `conversationd hold`: whom nobody may erase, and what nobody may purge.

use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::{
    mask::Mask,
    moment::shown,
    output::{Output, say},
    rows::aligned,
};
use crate::{app, archive::Hold, config::DatabaseConfig};

/// What to do with legal holds.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Put a hold on a contact, or without --contact on a whole project. From then on nothing it covers is erased or purged.
    #[command(
        after_help = "Example:\n  conversationd hold add --project P --contact whatsapp:+5511… --reason 'case 17/2026'"
    )]
    Add(Add),
    /// Take a hold off. What was kept back meanwhile goes with the next purge or `erase --pending`.
    #[command(after_help = "Example:\n  conversationd hold remove --project P --contact whatsapp:+5511…")]
    Remove(Whom),
    /// List the holds, the oldest first.
    #[command(after_help = "Example:\n  conversationd hold list --project P --reveal")]
    List(List),
}

/// Whom a hold covers.
#[derive(Clone, Debug, clap::Args)]
pub struct Whom {
    /// The project.
    #[arg(long)]
    project: String,
    /// The contact: its URN, in full. Without it, everybody of the project.
    #[arg(long, value_name = "URN")]
    contact: Option<String>,
}

/// A hold to put on.
#[derive(Clone, Debug, clap::Args)]
pub struct Add {
    #[command(flatten)]
    whom: Whom,
    /// Why, in your words; shown by `hold list`.
    #[arg(long)]
    reason: String,
}

/// Which holds to list.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// Of this project only.
    #[arg(long)]
    project: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Show contacts as they are.
    #[arg(long)]
    reveal: bool,
}

/// Does it.
///
/// # Errors
/// The archive cannot be read or written.
pub async fn run(command: &Command, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let archive = app::archive(database)?;
    match command {
        Command::Add(Add { whom, reason }) => {
            let new = archive.add_hold(&whom.project, whom.contact.as_deref(), reason).await;
            let new = new.context("no hold was put on")?;
            say(if new { "held" } else { "there is such a hold already; its reason stays as it was" })?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Remove(whom) => {
            let gone = archive.remove_hold(&whom.project, whom.contact.as_deref()).await;
            if gone.context("the hold stays")? {
                say("no longer held")?;
                return Ok(ExitCode::SUCCESS);
            }
            say("there is no such hold; `conversationd hold list --reveal` shows them")?;
            Ok(ExitCode::FAILURE)
        }
        Command::List(arguments) => {
            let holds = archive.holds(arguments.project.as_deref()).await.context("holds cannot be listed")?;
            list(arguments, holds)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(arguments: &List, holds: Vec<Hold>) -> std::io::Result<()> {
    let (mut output, mask) = (Output::new(), Mask::unless(arguments.reveal));
    let masked = |hold: Hold| Hold { contact: hold.contact.as_deref().map(|contact| mask.contact(contact)), ..hold };
    let holds: Vec<Hold> = holds.into_iter().map(masked).collect();
    if arguments.json {
        holds.iter().try_for_each(|hold| output.json(hold))?;
    } else if holds.is_empty() {
        output.line("nothing is held")?;
    } else {
        let row = |hold: &Hold| {
            let contact = hold.contact.clone().unwrap_or_else(|| "(everybody)".to_owned());
            [shown(hold.created_at), hold.project.clone(), contact, hold.reason.clone()]
        };
        let rows: Vec<_> = holds.iter().map(row).collect();
        aligned(["SINCE (UTC)", "PROJECT", "CONTACT", "REASON"], &rows)
            .iter()
            .try_for_each(|line| output.line(line))?;
    }
    output.flush()
}
