//! `conversationd doctor`: whether everything around the daemon is as it must be. Looks, changes nothing.

mod archive;
mod control;
mod finding;
mod letters;
mod queues;
mod settings;
mod table;

use std::{io, process::ExitCode};

use serde::Serialize;

use super::{
    UNUSABLE_SETTINGS,
    output::{Output, harmless, nobody_reads},
};

use finding::{Finding, Level};

/// How to report.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object: the counts, and every finding.
    #[arg(long)]
    json: bool,
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
    let (queues, letters, table, control, archive) = tokio::join!(
        queues::check(get),
        letters::check(get),
        table::check(get),
        control::check(get),
        archive::check(get)
    );
    report(arguments, &[settings, queues, letters, table, control, archive].concat(), usable)
}

/// The checks of the queues, of their index, and of the parked groups alone.
///
/// # Errors
/// The report cannot be written.
pub async fn queues_only(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let (queues, letters, control) = tokio::join!(queues::check(get), letters::check(get), control::check(get));
    report(arguments, &[queues, letters, control].concat(), true)
}

fn report(arguments: &Arguments, findings: &[Finding], usable: bool) -> anyhow::Result<ExitCode> {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let report = Report { faults: count(Level::Fault), warnings: count(Level::Warning), findings };
    let written = if arguments.json { in_json(&report) } else { for_people(&report) };
    match written.map_err(anyhow::Error::from) {
        Err(failure) if !nobody_reads(&failure) => return Err(failure),
        _ => {}
    }
    Ok(match (usable, report.faults) {
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
        if let Some(advice) = &finding.advice {
            output.line(format!("  {:width$}  → {}", "", harmless(advice)))?;
        }
    }
    let ok = report.findings.len() - report.faults - report.warnings;
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    output.line(format!("\n{}, {}, {ok} ok", counted(report.faults, "fault"), counted(report.warnings, "warning")))?;
    output.flush()
}
