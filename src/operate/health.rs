//! `conversationd health`: what the daemon beside it last wrote about itself, as a probe wants it.

use std::{process::ExitCode, time::Duration};

use super::output;
use crate::{
    clock::{Clock, SystemClock},
    config::HealthConfig,
    telemetry::{HealthFile, STALE_AFTER},
};

/// How strict to be.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Seconds after which what the daemon said is too old; it says something every 5 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = STALE_AFTER.as_secs())]
    max_age: u64,
}

/// Prints one line. Success when the daemon lives, or drains as it was told to.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(arguments: &Arguments, config: &HealthConfig) -> anyhow::Result<ExitCode> {
    let read = HealthFile::at(&config.file).read();
    match read.and_then(|status| status.verdict(SystemClock.now(), Duration::from_secs(arguments.max_age))) {
        Ok(line) => output::say(line).map(|()| ExitCode::SUCCESS),
        Err(line) => output::say(line).map(|()| ExitCode::FAILURE),
    }
    .map_err(anyhow::Error::from)
}
