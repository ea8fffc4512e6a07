//! The operator's commands, one file or room each, and what they share: clients, output, masks.

pub mod conversations;
pub mod definition;
pub mod doctor;
pub mod health;
pub mod migrate;
pub mod provision;
pub mod publish;

mod mask;
mod moment;
mod output;
mod rows;

use std::{sync::Arc, time::Duration};

use crate::app::{Clients, Endpoints};

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
