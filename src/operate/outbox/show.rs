//! `outbox show`: one notice, where it went, and every attempt.

use std::process::ExitCode;

use serde_json::{Value, json};
use uuid::Uuid;

use super::list;
use crate::{
    operate::{
        BAD_INPUT,
        moment::{shown, written},
        output::{Output, harmless},
        rows::{aligned, cell},
    },
    outbox::{AttemptRow, Filter, Outbox},
};

/// Which notice, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The id that `outbox list` shows; a receiver's `evt_…` too.
    #[arg(value_parser = id)]
    notice: Uuid,
    /// Show its content, which names people.
    #[arg(long)]
    reveal: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

fn id(text: &str) -> Result<Uuid, String> {
    text.strip_prefix("evt_").unwrap_or(text).parse().map_err(|_| "must be the id of a notice".to_owned())
}

pub(super) async fn run(arguments: &Arguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    let Some(notice) = outbox.notice(arguments.notice).await? else {
        eprintln!("conversationd: no notice has this id; settled ones go after a week or two");
        return Ok(ExitCode::from(BAD_INPUT));
    };
    let filter = Filter { notice: Some(arguments.notice), limit: 1_000, ..Filter::default() };
    let rows = outbox.list(&filter).await?;
    let attempts = outbox.attempts(arguments.notice).await?;
    let content = arguments.reveal.then(|| Value::Object(notice.content.clone()));
    let mut output = Output::new();
    if arguments.json {
        output.json(&json!({
            "notice": notice.id,
            "kind": notice.kind.as_str(),
            "project": notice.project,
            "conversation": notice.conversation,
            "occurred_at": written(notice.occurred_at),
            "dispatches": rows.iter().map(list::View::from).collect::<Vec<_>>(),
            "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
            "content": content,
        }))?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    output.line(format!("{}  {}  {} UTC", notice.id, notice.kind.as_str(), shown(notice.occurred_at)))?;
    output.line(format!("project {}", harmless(&cell(notice.project.as_deref()))))?;
    output.line(format!("conversation {}\n", cell(notice.conversation)))?;
    list::table(&rows).iter().try_for_each(|line| output.line(line))?;
    if !attempts.is_empty() {
        output.line("")?;
        let rows: Vec<_> = attempts.iter().map(row).collect();
        let header = ["ATTEMPT (UTC)", "SINK", "OUTCOME", "STATUS", "MS", "REASON"];
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
    }
    match content {
        Some(content) => output.line(format!("\n{}", harmless(&content.to_string())))?,
        None => output.line("\n(its content is hidden; --reveal shows it)")?,
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn attempt(row: &AttemptRow) -> Value {
    json!({
        "sink": row.sink,
        "at": written(row.at),
        "took_ms": row.took_ms,
        "outcome": row.outcome,
        "status": row.status,
        "reason": row.reason,
    })
}

fn row(row: &AttemptRow) -> [String; 6] {
    [
        shown(row.at),
        row.sink.clone(),
        row.outcome.clone(),
        cell(row.status),
        row.took_ms.to_string(),
        cell(row.reason.as_deref()),
    ]
}
