//! `outbox list`: dispatches, one a line.

use std::process::ExitCode;

use serde::Serialize;
use uuid::Uuid;

use super::{State, Wanted};
use crate::{
    operate::{
        moment::{shown, written},
        output::Output,
        rows::{aligned, cell},
    },
    outbox::{DispatchRow, Outbox},
};

/// Which dispatches, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// In this state; may be given again. Default: pending and dead.
    #[arg(long, value_enum)]
    state: Vec<State>,
    #[command(flatten)]
    wanted: Wanted,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// A dispatch for machines.
#[derive(Serialize)]
pub(super) struct View<'a> {
    notice: Uuid,
    sink: &'a str,
    kind: &'a str,
    state: &'a str,
    parked: bool,
    sequence: i64,
    attempts: i32,
    reason: Option<&'a str>,
    project: Option<&'a str>,
    conversation: Option<Uuid>,
    occurred_at: String,
    added_at: String,
    settled_at: Option<String>,
    due_at: Option<String>,
}

impl<'a> From<&'a DispatchRow> for View<'a> {
    fn from(row: &'a DispatchRow) -> Self {
        Self {
            notice: row.notice_id,
            sink: &row.sink,
            kind: &row.kind,
            state: &row.state,
            parked: row.parked,
            sequence: row.seq,
            attempts: row.attempts,
            reason: row.last_reason.as_deref(),
            project: row.project.as_deref(),
            conversation: row.conversation_id,
            occurred_at: written(row.occurred_at),
            added_at: written(row.created_at),
            settled_at: row.done_at.map(written),
            due_at: row.due_at.map(written),
        }
    }
}

pub(super) async fn run(arguments: &Arguments, outbox: &Outbox) -> anyhow::Result<ExitCode> {
    let states = match &arguments.state[..] {
        [] => vec!["pending", "dead"],
        states => states.iter().map(|state| state.as_str()).collect(),
    };
    let rows = outbox.list(&arguments.wanted.filter(states)).await?;
    let mut output = Output::new();
    if arguments.json {
        rows.iter().try_for_each(|row| output.json(&View::from(row)))?;
    } else if rows.is_empty() {
        output.line("no dispatch is as asked for")?;
    } else {
        table(&rows).iter().try_for_each(|line| output.line(line))?;
        if rows.len() == arguments.wanted.limit as usize {
            output.line(format!("({} at most; --limit N shows more)", arguments.wanted.limit))?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// Dispatches for people.
pub(super) fn table(rows: &[DispatchRow]) -> Vec<String> {
    let header = ["NOTICE", "SINK", "KIND", "STATE", "SEQ", "ATTEMPTS", "ADDED (UTC)", "DUE (UTC)", "REASON"];
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.notice_id.to_string(),
                row.sink.clone(),
                row.kind.clone(),
                if row.parked { "parked".to_owned() } else { row.state.clone() },
                row.seq.to_string(),
                row.attempts.to_string(),
                shown(row.created_at),
                cell(row.due_at.map(shown)),
                cell(row.last_reason.as_deref()),
            ]
        })
        .collect();
    aligned(header, &rows)
}
