//! `dlq list`: rows of the index.

use std::process::ExitCode;

use super::{Site, group, wanted::Wanted};
use crate::{
    hot::DeadLetter,
    operate::{
        letters,
        mask::Mask,
        moment::shown,
        output::Output,
        rows::{aligned, cell},
    },
};

/// Which dead letters to list, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    wanted: Wanted,
    /// Also those that were redriven, edited or discarded.
    #[arg(long)]
    settled: bool,
    /// So many at most.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Show groups as they are: they may name a contact.
    #[arg(long)]
    reveal: bool,
}

/// A row for machines, its group masked.
pub(super) fn view(row: &DeadLetter, mask: Mask) -> serde_json::Value {
    let masked = DeadLetter { group_id: group(mask, &row.group_id, row.project.as_deref()), ..row.clone() };
    serde_json::to_value(masked).unwrap_or_default()
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let limit = arguments.limit as usize;
    let wanted = site.resolved(&arguments.wanted).await?;
    let takes = |row: &DeadLetter| (arguments.settled || row.settled.is_none()) && wanted.takes_row(row);
    let rows = letters::rows(&*site.index, arguments.wanted.since, limit, takes).await?;
    let mask = Mask::unless(arguments.reveal);
    let mut output = Output::new();
    if arguments.json {
        rows.iter().try_for_each(|row| output.json(&view(row, mask)))?;
    } else if rows.is_empty() {
        output.line("no dead letter is as asked for; what SQS moved by itself is not in the index: see `conversationd dlq stats`")?;
    } else {
        let header = ["ID", "SENT (UTC)", "CODE", "FIELD", "TYPE", "TRIES", "BYTES", "SETTLED", "GROUP"];
        let lines: Vec<_> = rows.iter().map(|row| line(row, mask)).collect();
        aligned(header, &lines).iter().try_for_each(|line| output.line(line))?;
        if rows.len() == limit {
            output.line(format!("({limit} at most; --limit N shows more)"))?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn line(row: &DeadLetter, mask: Mask) -> [String; 9] {
    [
        row.message_id.clone(),
        shown(row.sent_at),
        row.code.clone(),
        cell(row.field.as_deref()),
        cell(row.event_type.as_deref()),
        row.attempts.to_string(),
        row.bytes.to_string(),
        cell(row.settled.map(|settled| settled.how.as_str())),
        group(mask, &row.group_id, row.project.as_deref()),
    ]
}
