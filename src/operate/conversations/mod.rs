//! `conversationd conversations`: what is open, what was said, and closing by hand.

pub(super) mod close;
pub(super) mod find;
mod list;
pub(super) mod open;
mod show;
mod transcript;
mod view;

use std::{process::ExitCode, sync::Arc};

use clap::Subcommand;

use super::BAD_INPUT;
use crate::{
    app,
    archive::PostgresArchive,
    config::{DatabaseConfig, Faults, HotConfig, QueueConfig},
    hot::WholeStore,
    outbox::Outbox,
};

/// What to do with conversations.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List conversations: those open from the hot store, those closed from the archive.
    ///
    /// Open ones come first, the next to be looked at by the timer on top; then closed ones, the latest first.
    #[command(after_help = "Examples:\n  conversationd conversations list --status open\n  \
                            conversationd conversations list --project P --since 7d --json | jq .id")]
    List(list::Arguments),
    /// Show what was said in a conversation.
    ///
    /// Reads the archive once it is closed, the hot store while it is open. What people said is hidden unless --reveal.
    #[command(
        after_help = "Example:\n  conversationd conversations show 6f0c63a4-5d53-5c5e-9d0a-0d5b6a1e7c11 --reveal | less"
    )]
    Show(show::Arguments),
    /// Close a conversation by hand, or see which are about to close.
    ///
    /// Says what it would send; with --yes it sends a command into the conversation's own group, and the daemon closes it in
    /// its turn. Nothing is written here: no message that is already queued can be lost.
    #[command(after_help = "Examples:\n  conversationd conversations close --preview --within 2h\n  \
                            conversationd conversations close 6f0c63a4-5d53-5c5e-9d0a-0d5b6a1e7c11 --reason 'stuck bot' --yes")]
    Close(close::Arguments),
}

/// Which thread a conversation is in, for when it cannot be found by its id alone.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Whereabouts {
    /// Project of the conversation's thread; with --contact and --channel it is found without searching.
    #[arg(long, requires = "contact", requires = "channel")]
    project: Option<String>,
    /// Contact of the thread, as a URN.
    #[arg(long, requires = "project")]
    contact: Option<String>,
    /// Channel of the thread.
    #[arg(long, requires = "project")]
    channel: Option<String>,
}

/// Where conversations are read.
pub(super) struct Stores {
    pub(super) archive: PostgresArchive,
    pub(super) hot: Arc<dyn WholeStore>,
    pub(super) outbox: Outbox,
}

impl Stores {
    pub(super) async fn build(get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let (hot, database) = both(HotConfig::read(get), DatabaseConfig::read(get))?;
        let hot = super::hot(&hot).await?;
        Ok(Self { archive: app::archive(&database)?, hot, outbox: app::outbox(&database)? })
    }
}

/// Both settings, or the faults of both.
pub(super) fn both<A, B>(one: Result<A, Faults>, other: Result<B, Faults>) -> Result<(A, B), Faults> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(faults), Err(others)) => Err(faults.and(others)),
        (Err(faults), Ok(_)) | (Ok(_), Err(faults)) => Err(faults),
    }
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// A setting cannot be used (as [`Faults`]), or a store or the queue does not do its part.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    match command {
        Command::List(arguments) => list::run(arguments, get).await,
        Command::Show(arguments) => show::run(arguments, &Stores::build(get).await?).await,
        Command::Close(arguments) => match arguments.id {
            None => close::preview(arguments, &*super::hot(&HotConfig::read(get)?).await?).await,
            Some(id) => {
                let (stores, queue) = (Stores::build(get).await, QueueConfig::read(get));
                close::run(arguments, id, &stores?, &queue?).await
            }
        },
    }
}
