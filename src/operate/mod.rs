//! The operator's commands, one file or room each, and what they share: clients, output, masks.

pub mod archive;
pub mod ask;
pub mod conversations;
pub mod crm;
pub mod definition;
pub mod dlq;
pub mod doctor;
pub mod erase;
pub mod explain;
pub mod export;
pub mod health;
pub mod hold;
pub mod import;
pub mod lint;
pub mod manual;
pub mod migrate;
pub mod outbox;
pub mod pause;
pub mod projects;
pub mod provision;
pub mod publish;
pub mod reconcile;
pub mod schema;
pub mod settings;
pub mod spool;
pub mod stats;
pub mod top;
pub mod verify;

mod bar;
mod letters;
mod mask;
mod moment;
mod output;
mod plot;
mod rows;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{self, Clients, Endpoints},
    config::HotConfig,
    hot::WholeStore,
};

pub use output::nobody_reads;

/// Exit code for input that cannot be used (EX_DATAERR).
const BAD_INPUT: u8 = 65;

/// Exit code for settings that cannot be used (EX_USAGE).
pub const UNUSABLE_SETTINGS: u8 = 64;

/// Exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// The clients of a command: none polls, nobody reads their counts.
async fn clients(queue_region: Option<String>, table_region: Option<String>) -> Clients {
    Clients::build(&Endpoints { queue_region, table_region }, Duration::ZERO, &Arc::default()).await
}

/// The hot store of a command: nothing is written by it that could expire.
async fn hot(config: &HotConfig) -> anyhow::Result<Arc<dyn WholeStore>> {
    let clients = clients(None, config.table_region().map(str::to_owned)).await;
    app::hot(config, &clients, Duration::MAX)
}

/// Stops at the first SIGINT or SIGTERM once what is on its way has arrived; a second ends the process at once.
fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let asked = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if asked.is_cancelled() {
                std::process::exit(INTERRUPTED.into());
            }
            asked.cancel();
        }
    });
    Ok(stop)
}
