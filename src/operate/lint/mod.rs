//! `conversationd lint`: what the daemon would make of events, told before they are sent. Asks the daemon's own decoder.

mod pieces;
mod verdict;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    process::ExitCode,
};

use serde::Serialize;

use self::verdict::{Finding, Linted, Verdict};
use super::{
    mask::Mask,
    output::Output,
    rows::{aligned, cell},
};
use crate::clock::{Clock as _, SystemClock};

/// Exit code when an event would be rejected.
const REJECTED: u8 = 1;

/// What to check, and how to tell it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// JSON Lines, a JSON array or one event, as the wire contract says; - for standard input. At most 256 MiB.
    file: PathBuf,
    /// One JSON object a line, an event each.
    #[arg(long)]
    json: bool,
    /// Show group ids as they are: they name a contact.
    #[arg(long)]
    reveal: bool,
}

/// How many of each.
#[derive(Default, Serialize)]
struct Totals {
    accepted: u64,
    odd: u64,
    rejected: u64,
}

/// Checks, and tells.
///
/// # Errors
/// The input cannot be read, or is too large.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let input = pieces::read(&arguments.file)?;
    let (now, mask) = (SystemClock.now(), Mask::unless(arguments.reveal));
    let (mut seen, mut totals) = (HashMap::new(), Totals::default());
    let mut output = Output::new();
    let mut rows = Vec::new();
    let mut causes: BTreeMap<(Verdict, String), Cause> = BTreeMap::new();
    for piece in pieces::cut(&input) {
        let linted = verdict::of(piece, &mut seen, now, mask);
        match linted.verdict {
            Verdict::Accepted => totals.accepted += 1,
            Verdict::Odd => totals.odd += 1,
            Verdict::Rejected => totals.rejected += 1,
        }
        if arguments.json {
            output.json(&linted)?;
            continue;
        }
        for finding in &linted.findings {
            let cause = causes.entry((linted.verdict, cause(finding))).or_default();
            cause.events += 1;
            cause.next = finding.next;
        }
        rows.push(row(linted));
    }
    if !arguments.json {
        let header = ["LINE", "VERDICT", "TYPE", "WHY", "MESSAGE GROUP ID", "MESSAGE DEDUPLICATION ID"];
        aligned(header, &rows).iter().try_for_each(|line| output.line(line))?;
        for ((_, why), cause) in causes.iter().rev() {
            output.line(format!("\n{why} ({} of them)\n  next: {}", cause.events, cause.next))?;
        }
        output.line(format!("\naccepted={} odd={} rejected={}", totals.accepted, totals.odd, totals.rejected))?;
    }
    output.flush()?;
    Ok(if totals.rejected > 0 { ExitCode::from(REJECTED) } else { ExitCode::SUCCESS })
}

/// What several events have in common.
#[derive(Default)]
struct Cause {
    events: u64,
    next: &'static str,
}

fn cause(finding: &Finding) -> String {
    let field = finding.field.as_deref().map(|field| format!(" {field}")).unwrap_or_default();
    format!("{}{field}: {}", finding.code, finding.reason)
}

fn row(linted: Linted) -> [String; 6] {
    let why = |finding: &Finding| {
        let field = finding.field.as_ref().map(|field| format!(" {field}"));
        let first = finding.first_line.map(|line| format!(" as in line {line}"));
        [Some(finding.code.clone()), field, first].into_iter().flatten().collect::<String>()
    };
    let why: Vec<String> = linted.findings.iter().map(why).collect();
    [
        linted.line.to_string(),
        linted.verdict.as_str().to_owned(),
        cell(linted.event_type),
        if why.is_empty() { "-".to_owned() } else { why.join(", ") },
        cell(linted.message_group_id),
        cell(linted.message_deduplication_id),
    ]
}
