//! `conversationd dlq`: what could not be handled, why, and the ways back.

mod discard;
mod edit;
pub(super) mod export;
mod groups;
pub mod journal;
mod list;
pub mod mover;
mod native;
pub(super) mod peek;
mod redrive;
mod replay;
mod show;
mod stats;
pub mod wanted;

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Subcommand;

use self::wanted::Wanted;
use super::{BAD_INPUT, INTERRUPTED, doctor, letters, mask::Mask};
use crate::{
    app::{self, Clients},
    config::{Faults, HotConfig, QueueConfig},
    hot::WholeStore,
    queue::{Queue, SqsQueue},
};

/// How long letters in our hands stay hidden from others, unless extended.
const VISIBILITY: Duration = Duration::from_secs(60);

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Count dead letters by reason, type and day, and compare the index with the queue.
    #[command(after_help = "Example:\n  conversationd dlq stats --since 2d")]
    Stats(stats::Arguments),
    /// List dead letters from the index, the oldest first. Receives nothing.
    #[command(after_help = "Examples:\n  conversationd dlq list --code invalid_json --since 1d\n  \
                            conversationd dlq list --json | jq -r .message_id")]
    List(list::Arguments),
    /// Show one dead letter: its row, its note, and with --reveal its body.
    ///
    /// The body is read by receiving from the dead-letter queue; only the first letters of each group can be reached.
    #[command(after_help = "Example:\n  conversationd dlq show 8c1f… --reveal")]
    Show(show::Arguments),
    /// Copy the letters that can be reached into a file: JSON Lines with bodies and attributes. Deletes nothing.
    #[command(after_help = "Example:\n  conversationd dlq export --out letters.jsonl")]
    Export(export::Arguments),
    /// Send dead letters back into their groups, oldest first.
    ///
    /// Says what it would do; --yes does it. Order within a group is kept, whatever fails: each letter is sent, noted in a
    /// journal, marked in the index, and then deleted. Interrupted, the same command goes on where it was. With filters the
    /// other letters of a group stay behind: their order among those sent is then yours to judge.
    #[command(
        after_help = "Examples:\n  conversationd dlq redrive --all\n  conversationd dlq redrive --all --canary 5 --yes\n  \
                            conversationd dlq redrive --code attempts_exhausted --since 2h --rate 20 --yes"
    )]
    Redrive(redrive::Arguments),
    /// Change a letter's body by a JSON merge patch (RFC 7396), and send it back.
    #[command(after_help = "Example:\n  conversationd dlq edit 8c1f… --patch fix.json --yes")]
    Edit(edit::Arguments),
    /// Delete a letter for good, after copying it into a file.
    #[command(after_help = "Example:\n  conversationd dlq discard 8c1f… --reason 'a test of March' --yes")]
    Discard(discard::Arguments),
    /// Say what the daemon would do with a letter now. Writes nothing.
    #[command(after_help = "Example:\n  conversationd dlq replay 8c1f…")]
    Replay(replay::Arguments),
    /// Groups that are parked, and messages that hold their group up.
    #[command(subcommand)]
    Group(groups::Command),
    /// Check the queues alone, and whether the index agrees with them; `conversationd doctor` checks everything.
    Doctor(doctor::Arguments),
}

/// Where dead letters are, and where they came from.
struct Site {
    clients: Clients,
    inbound: QueueConfig,
    dead: QueueConfig,
    index: Arc<dyn WholeStore>,
}

impl Site {
    async fn build(get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let read = (QueueConfig::read(get), QueueConfig::read_dead_letter(get), HotConfig::read(get));
        let (inbound, dead, hot) = match read {
            (Ok(inbound), Ok(dead), Ok(hot)) => (inbound, dead, hot),
            (inbound, dead, hot) => {
                let faults = [inbound.err(), dead.err(), hot.err()].into_iter().flatten();
                return Err(faults.reduce(Faults::and).unwrap_or(Faults(Vec::new())).into());
            }
        };
        let clients = super::clients(inbound.region.clone(), hot.table_region().map(str::to_owned)).await;
        let index = app::hot(&hot, &clients, Duration::MAX)?;
        Ok(Self { clients, inbound, dead, index })
    }

    /// The dead-letter queue.
    fn letters(&self, visibility: Duration) -> Arc<dyn Queue> {
        Arc::new(SqsQueue::new(self.clients.sqs.clone(), self.dead.url.clone(), String::new(), visibility))
    }

    /// What is wanted, its group in full: it may have been named by the id of one of its letters.
    async fn resolved(&self, wanted: &Wanted) -> anyhow::Result<Wanted> {
        let named = match &wanted.group {
            Some(name) => letters::row(&*self.index, name).await?,
            None => None,
        };
        let group = named.map(|row| row.group_id).or_else(|| wanted.group.clone());
        Ok(Wanted { group, ..wanted.clone() })
    }

    /// The inbound queue.
    fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(SqsQueue::new(self.clients.sqs.clone(), self.inbound.url.clone(), String::new(), VISIBILITY))
    }
}

/// Where files go that no option names.
fn state_folder(get: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    let home = || get("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    get("XDG_STATE_HOME").map(PathBuf::from).or_else(home).unwrap_or_default().join("conversationd")
}

/// A group as far as it says nothing of a contact: the project in front of it.
pub(super) fn group(mask: Mask, group: &str, project: Option<&str>) -> String {
    mask.hidden(group.to_owned()).unwrap_or_else(|| match project.filter(|project| group.starts_with(project)) {
        Some(project) => format!("{project}…"),
        None => "…".to_owned(),
    })
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// A setting cannot be used (as [`Faults`]), or a queue or the table does not do its part.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    if let Command::Doctor(arguments) = command {
        return doctor::queues_only(arguments, get).await;
    }
    let site = Site::build(get).await?;
    match command {
        Command::Stats(arguments) => stats::run(arguments, &site).await,
        Command::List(arguments) => list::run(arguments, &site).await,
        Command::Show(arguments) => show::run(arguments, &site).await,
        Command::Export(arguments) => export::run(arguments, &site).await,
        Command::Redrive(arguments) => redrive::run(arguments, &site, get).await,
        Command::Edit(arguments) => edit::run(arguments, &site).await,
        Command::Discard(arguments) => discard::run(arguments, &site, get).await,
        Command::Replay(arguments) => replay::run(arguments, &site, get).await,
        Command::Group(command) => groups::run(command, &site).await,
        Command::Doctor(_) => Ok(ExitCode::SUCCESS),
    }
}
