//! `conversationd doctor`: whether everything around the daemon is as it must be. Looks and tries, changes nothing.
//!
//! Every check runs beside the others, within a time of its own: a store that is away hides nothing of what else is wrong.

mod archive;
mod attributes;
mod clock;
mod control;
mod finding;
mod letters;
mod outside;
mod permissions;
mod queues;
mod redrive;
mod replies;
mod settings;
mod spool;
mod table;

use std::{io, process::ExitCode, time::Duration};

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    UNUSABLE_SETTINGS,
    output::{Output, harmless, nobody_reads},
};

use finding::{Finding, Level};

/// How long one check may take: longer than a call to AWS or a connection to PostgreSQL with all its tries.
const PATIENCE: Duration = Duration::from_secs(20);

/// How to report.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object: the counts, and every finding.
    #[arg(long)]
    json: bool,
    /// Whose credentials these are, and so what is tried: what the policy of that role in infra/conversationd.yaml allows.
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Warnings count as faults.
    #[arg(long)]
    strict: bool,
}

/// Who looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// The daemon: this is where, or as whom, it will run.
    Daemon,
    /// A person.
    Operator,
}

impl Role {
    /// Its policy in the template.
    fn policy(self) -> &'static str {
        match self {
            Self::Daemon => "DaemonPolicy",
            Self::Operator => "OperatorPolicy",
        }
    }
}

/// What was found.
#[derive(Serialize)]
struct Report<'a> {
    faults: usize,
    warnings: usize,
    findings: &'a [Finding],
}

/// Runs every check, whatever the others find, and reports.
///
/// # Errors
/// The report cannot be written.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let settings = settings::check(get);
    let usable = settings.iter().all(|finding| finding.level != Level::Fault);
    let role = arguments.role.unwrap_or(Role::Daemon);
    let (queues, letters, table, control, permissions, archive, replica, spool, clock, replies, outside) = tokio::join!(
        bounded("queue", queues::check(get)),
        bounded("dead-letter index", letters::check(get)),
        bounded("table", table::check(get)),
        bounded("consuming", control::check(get)),
        bounded("permissions", permissions::check(get, role)),
        bounded("archive", archive::check(get, role)),
        bounded("read replica", archive::replica(get)),
        bounded("spool", spool::check(get)),
        bounded("AWS clock", clock::check(get)),
        bounded("reply queue", replies::check(get, role)),
        bounded("sink", outside::check(get, role)),
    );
    let aws = [queues, letters, table, control, permissions, clock].concat();
    report(arguments, &[settings, aws, archive, replica, spool, replies, outside].concat(), usable)
}

/// The checks of the queues, of their index, and of the parked groups alone.
///
/// # Errors
/// The report cannot be written.
pub async fn queues_only(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let role = arguments.role.unwrap_or(Role::Operator);
    let (queues, letters, control, permissions) = tokio::join!(
        bounded("queue", queues::check(get)),
        bounded("dead-letter index", letters::check(get)),
        bounded("consuming", control::check(get)),
        bounded("permissions", permissions::of_queues(get, role)),
    );
    report(arguments, &[queues, letters, control, permissions].concat(), true)
}

/// What a check found, or that it came to no end.
async fn bounded(check: &'static str, looking: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    match timeout(PATIENCE, looking).await {
        Ok(findings) => findings,
        Err(_) => vec![Finding::too_slow(check, PATIENCE.as_secs())],
    }
}

fn report(arguments: &Arguments, findings: &[Finding], usable: bool) -> anyhow::Result<ExitCode> {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let report = Report { faults: count(Level::Fault), warnings: count(Level::Warning), findings };
    let written = if arguments.json { in_json(&report) } else { for_people(&report) };
    match written.map_err(anyhow::Error::from) {
        Err(failure) if !nobody_reads(&failure) => return Err(failure),
        _ => {}
    }
    let counted = if arguments.strict { report.faults + report.warnings } else { report.faults };
    Ok(match (usable, counted) {
        (false, _) => ExitCode::from(UNUSABLE_SETTINGS),
        (true, 0) => ExitCode::SUCCESS,
        (true, _) => ExitCode::FAILURE,
    })
}

fn in_json(report: &Report<'_>) -> io::Result<()> {
    let mut output = Output::new();
    output.json(report)?;
    output.flush()
}

fn for_people(report: &Report<'_>) -> io::Result<()> {
    let mut output = Output::new();
    let width = report.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    for finding in report.findings {
        output.line(format!("{} {:<width$}  {}", finding.level.mark(), finding.check, harmless(&finding.found)))?;
        if let Some(why) = finding.why {
            output.line(format!("  {:width$}  {why}", ""))?;
        }
        if let Some(advice) = &finding.advice {
            output.line(format!("  {:width$}  → {}", "", harmless(advice)))?;
        }
    }
    let ok = report.findings.len() - report.faults - report.warnings;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    output.line(format!("\n{}, {}, {ok} ok", counted(report.faults, "fault"), counted(report.warnings, "warning")))?;
    output.flush()
}
