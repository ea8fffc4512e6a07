//! `outbox sinks`, `pause`, `resume`: sinks as the database knows them, which all replicas share.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    operate::{
        BAD_INPUT,
        moment::{moment, now, relative, written},
        output::{Output, say},
        rows::{aligned, cell},
    },
    outbox::{Mended, Outbox, SinkId, SinkRow},
};

/// How to show them.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Which sink, and why.
#[derive(Clone, Debug, clap::Args)]
pub struct PauseArguments {
    /// Its name.
    sink: String,
    /// Why, in your words; shown with the sink.
    #[arg(long, default_value = "paused by an operator")]
    reason: String,
}

/// Which sink, and what it missed.
#[derive(Clone, Debug, clap::Args)]
pub struct ResumeArguments {
    /// Its name.
    sink: String,
    /// Add what it missed since then: a time, a date, or how long ago (at most 14 days).
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
}

pub(super) async fn run(arguments: &Arguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    let (sinks, now) = (outbox.sinks().await?, now());
    let mut output = Output::new();
    if arguments.json {
        sinks.iter().try_for_each(|sink| output.json(&view(sink)))?;
    } else if sinks.is_empty() {
        output.line("the database knows no sink: a daemon with CONVERSATIOND_SINKS_FILE makes them known")?;
    } else {
        let header = ["NAME", "KIND", "STATE", "BREAKER", "PENDING", "PARKED", "DEAD", "OLDEST DUE", "REASON"];
        let rows: Vec<_> = sinks.iter().map(|sink| row(sink, now)).collect();
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn row(sink: &SinkRow, now: DateTime<Utc>) -> [String; 9] {
    [
        sink.name.clone(),
        sink.form.clone(),
        sink.state.clone(),
        sink.breaker.clone(),
        sink.pending.to_string(),
        sink.parked.to_string(),
        sink.dead.to_string(),
        cell(sink.oldest_due.map(|due| relative(due, now))),
        cell(sink.state_reason.as_deref()),
    ]
}

fn view(sink: &SinkRow) -> serde_json::Value {
    json!({
        "name": sink.name,
        "kind": sink.form,
        "order": sink.order_by,
        "events": sink.kinds,
        "projects": sink.projects,
        "state": sink.state,
        "reason": sink.state_reason,
        "since": written(sink.state_since),
        "breaker": sink.breaker,
        "failures": sink.failures,
        "failing_since": sink.failing_since.map(written),
        "next_probe": sink.open_until.map(written),
        "silent_until": sink.blocked_until.map(written),
        "pending": sink.pending,
        "parked": sink.parked,
        "dead": sink.dead,
        "oldest_due": sink.oldest_due.map(written),
    })
}

pub(super) async fn pause(arguments: &PauseArguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    let Some(sink) = outbox.sinks().await?.into_iter().find(|sink| sink.name == arguments.sink) else {
        return unknown();
    };
    let paused = outbox.pause(SinkId(sink.id), &arguments.reason, None).await?;
    say(if paused { "paused; its notices wait" } else { "it is paused or removed already" })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn resume(arguments: &ResumeArguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    if outbox.resume(&arguments.sink).await? == Mended::Changed {
        return unknown();
    }
    let mut recovered = 0;
    if let Some(since) = arguments.since {
        loop {
            let some = outbox.recover(&arguments.sink, since).await;
            let some =
                some.with_context(|| format!("enabled; {recovered} of what it missed are added, run it again"))?;
            if some == 0 {
                break;
            }
            recovered += some;
        }
    }
    say(format!("enabled; {recovered} notices that it missed are added"))?;
    Ok(ExitCode::SUCCESS)
}

fn unknown() -> anyhow::Result<ExitCode> {
    eprintln!("conversationd: no sink of the settings has this name; `conversationd outbox sinks` lists them");
    Ok(ExitCode::from(BAD_INPUT))
}
