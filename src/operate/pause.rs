//! `conversationd pause` and `resume`: told to all replicas at once, through the hot store.

use std::process::ExitCode;

use anyhow::Context;

use super::{moment::now, moment::shown, output::harmless, output::say};
use crate::{
    config::HotConfig,
    hot::{Control, Controls, HotStore, Pause},
};

/// Longest reason kept, in characters.
const LONGEST_REASON: usize = 1_000;

/// Why to pause.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Why, in your words (1,000 characters at most); `conversationd doctor` shows it. Name no contact.
    #[arg(long)]
    reason: Option<String>,
}

/// What all replicas are told now.
pub(super) async fn told(store: &dyn HotStore) -> anyhow::Result<Controls> {
    store.controls().await.context("what the replicas are told cannot be read; `conversationd doctor` says more")
}

/// A pause for people: since when, and why.
pub(super) fn described(pause: &Pause) -> String {
    let reason = pause.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", harmless(reason)));
    format!("since {} UTC{reason}", shown(pause.at))
}

/// Pauses consuming in all replicas.
///
/// # Errors
/// The hot store does not answer.
pub async fn pause(arguments: &Arguments, hot: &HotConfig) -> anyhow::Result<ExitCode> {
    let store = super::hot(hot).await?;
    let reason = arguments.reason.as_ref().map(|reason| reason.chars().take(LONGEST_REASON).collect());
    let at = now();
    if store.control(&Control::Pause(Pause { at, reason }), at).await.context("nothing is paused")? {
        say(
            "paused. Every replica hears of it within 10 seconds and begins nothing more; what runs ends, what is in hand is \
             kept for up to 15 minutes, then it waits in the queue like the rest. `conversationd resume` ends it",
        )?;
    } else {
        let since = told(&*store).await?.pause.map_or_else(String::new, |pause| format!(" {}", described(&pause)));
        say(format!("it is paused already{since}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Lets all replicas go on.
///
/// # Errors
/// The hot store does not answer.
pub async fn resume(hot: &HotConfig) -> anyhow::Result<ExitCode> {
    let store = super::hot(hot).await?;
    let resumed = store.control(&Control::Resume, now()).await.context("it is still paused, if it was")?;
    say(if resumed { "resumed. Every replica hears of it within 10 seconds" } else { "it was not paused" })?;
    Ok(ExitCode::SUCCESS)
}
