//! `outbox retry`, `skip`, `replay`: one dispatch after the other, each under its lane's lock. A dry run unless `--yes`.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;

use super::{Wanted, list};
use crate::{
    operate::{BAD_INPUT, INTERRUPTED, output::Output, stop_on_signal},
    outbox::{Mended, Outbox},
};

/// Which dispatches; at least a sink, a notice, a conversation or a project must be named.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// JSON: one object a line for each dispatch, then one that counts.
    #[arg(long)]
    json: bool,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Retry,
    Skip,
    Replay,
}

impl Change {
    fn verb(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Replay => "replay",
        }
    }

    /// What it is done to.
    fn states(self) -> Vec<&'static str> {
        match self {
            Self::Retry | Self::Skip => vec!["pending"],
            Self::Replay => vec!["dead", "skipped"],
        }
    }
}

pub(super) async fn run(change: Change, arguments: &Arguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    if !arguments.wanted.names_something() {
        eprintln!("conversationd: name what to {}: --sink, --notice, --conversation or --project", change.verb());
        return Ok(ExitCode::from(BAD_INPUT));
    }
    let rows = outbox.list(&arguments.wanted.filter(change.states())).await?;
    let mut output = Output::new();
    if !arguments.yes {
        if arguments.json {
            rows.iter().try_for_each(|row| output.json(&list::View::from(row)))?;
            output.json(&json!({ "would": change.verb(), "dispatches": rows.len() }))?;
        } else {
            list::table(&rows).iter().try_for_each(|line| output.line(line))?;
            output.line(format!("would {} {} dispatches; say --yes to do it", change.verb(), rows.len()))?;
        }
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let (stop, mut done, mut changed) = (stop_on_signal()?, 0, 0);
    for row in &rows {
        if stop.is_cancelled() {
            break;
        }
        let mended = match change {
            Change::Retry => outbox.retry(row).await,
            Change::Skip => outbox.skip(row, "skipped by an operator").await,
            Change::Replay => outbox.replay(row).await,
        };
        match mended.with_context(|| format!("stopped after {done}; the same command goes on with the rest"))? {
            Mended::Done => done += 1,
            Mended::Changed => changed += 1,
        }
    }
    if arguments.json {
        output.json(&json!({ "did": change.verb(), "dispatches": done, "changed_meanwhile": changed }))?;
    } else {
        let meanwhile = if changed > 0 { format!("; {changed} had changed meanwhile") } else { String::new() };
        output.line(format!("{}: {done} of {} dispatches{meanwhile}", change.verb(), rows.len()))?;
    }
    output.flush()?;
    Ok(if stop.is_cancelled() { ExitCode::from(INTERRUPTED) } else { ExitCode::SUCCESS })
}
