//! The pages that are one table each.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Rect},
    style::Style,
    text::Span,
    widgets::{Row, Table, Widget},
};

use super::{
    BAD, DIM, GOOD, ODD, STRONG, framed, unknown,
    words::{a_second, bound, counted, length, stands, thousands},
};
use crate::{
    fleet::{Beat, State, quantile},
    operate::{
        output::harmless,
        top::snapshot::{Outlet, Part, Reason, Snapshot},
    },
};

/// Lines of a table of so many rows, in its frame; of one that is not known, enough to say why.
pub(super) fn height(rows: Option<usize>) -> u16 {
    u16::try_from(rows.unwrap_or(2)).unwrap_or(u16::MAX).saturating_add(3).max(6)
}

fn table<const N: usize>(
    title: String,
    header: [&'static str; N],
    widths: [Constraint; N],
    rows: Vec<Row<'static>>,
    above: usize,
) -> Table<'static> {
    let above = above.min(rows.len().saturating_sub(1));
    Table::new(rows.into_iter().skip(above), widths)
        .header(Row::new(header.map(|name| Span::styled(name, STRONG))))
        .column_spacing(1)
        .block(framed(title))
}

/// Columns of the longest release that is told whole: `10.10.0 (1a2b3c4d5e6f)`.
const RELEASE: u16 = 22;

pub(super) fn replicas(snapshot: &Snapshot, above: usize, area: Rect, buffer: &mut Buffer) {
    let beats = match &snapshot.replicas {
        Part::Known(beats) => beats,
        Part::Unknown(why) => return unknown("replicas", why, area, buffer),
    };
    let row = |beat: &Beat| {
        let (state, style) = state(beat, snapshot.at);
        let a_second = |n: u64| a_second(if beat.recent.seconds > 0.0 { n as f64 / beat.recent.seconds } else { 0.0 });
        Row::new([
            Span::raw(harmless(if beat.host.is_empty() { &beat.name } else { &beat.host })),
            Span::raw(harmless(&beat.version)),
            Span::styled(state, style),
            Span::raw(stands(beat.started_at, snapshot.at)),
            Span::raw(a_second(beat.recent.totals.messages)),
            Span::raw(beat.levels.groups.to_string()),
            Span::raw(beat.levels.deliveries.to_string()),
            Span::raw(bound(quantile(&beat.recent.turns, 0.95))),
            Span::raw(bound(quantile(&beat.recent.ages, 0.95))),
            Span::raw(a_second(beat.recent.totals.released)),
        ])
    };
    let header = ["HOST", "RELEASE", "STATE", "UP", "MSG/S", "GROUPS", "HELD", "TURN P95", "AGE P95", "BACK/S"];
    let release = beats.iter().map(|beat| u16::try_from(beat.version.chars().count()).unwrap_or(RELEASE)).max();
    let release = release.unwrap_or_default();
    let widths = [
        Constraint::Min(10),
        Constraint::Length(release.clamp(7, RELEASE)),
        Constraint::Length(14),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(6),
    ];
    let title = format!("{}, of the last five minutes", counted(beats.len() as u64, "replica"));
    table(title, header, widths, beats.iter().map(row).collect(), above).render(area, buffer);
}

/// What a replica is about, the worst first.
fn state(beat: &Beat, now: DateTime<Utc>) -> (String, Style) {
    match beat.state {
        State::Stopped => ("stopped".to_owned(), DIM),
        _ if beat.is_silent(now) => (format!("silent {}", stands(beat.at, now)), BAD),
        State::Draining => ("draining".to_owned(), ODD),
        State::Running if beat.levels.hot_away => ("no DynamoDB".to_owned(), BAD),
        State::Running if beat.levels.archive_away => ("no PostgreSQL".to_owned(), BAD),
        State::Running if beat.levels.paused => ("paused".to_owned(), ODD),
        State::Running => ("running".to_owned(), GOOD),
    }
}

/// Why a letter died, in few words.
pub(super) fn named(reason: &Reason) -> String {
    let field = reason.field.as_ref().map(|field| format!(" {field}")).unwrap_or_default();
    harmless(&format!("{}{field}", reason.code))
}

pub(super) fn letters(snapshot: &Snapshot, above: usize, area: Rect, buffer: &mut Buffer) {
    let letters = match &snapshot.letters {
        Part::Known(letters) => letters,
        Part::Unknown(why) => return unknown("dead letters", why, area, buffer),
    };
    let row = |reason: &Reason| {
        Row::new([
            thousands(reason.count),
            harmless(&reason.code),
            harmless(reason.field.as_deref().unwrap_or("-")),
            harmless(reason.event_type.as_deref().unwrap_or("-")),
            format!("{} ago", stands(reason.latest, snapshot.at)),
        ])
    };
    let age = letters.oldest.map(|oldest| format!(", the oldest {} old", stands(oldest, snapshot.at)));
    let title = format!("{} wait{}", counted(letters.waiting, "dead letter"), age.unwrap_or_default());
    let widths =
        [Constraint::Length(8), Constraint::Min(18), Constraint::Min(14), Constraint::Min(20), Constraint::Length(12)];
    let header = ["LETTERS", "REASON", "FIELD", "EVENT TYPE", "LATEST"];
    table(title, header, widths, letters.by_reason.iter().map(row).collect(), above).render(area, buffer);
}

pub(super) fn outbox(snapshot: &Snapshot, above: usize, area: Rect, buffer: &mut Buffer) {
    let sinks = match &snapshot.sinks {
        Part::Known(sinks) => sinks,
        Part::Unknown(why) => return unknown("outbox", why, area, buffer),
    };
    let row = |sink: &Outlet| {
        let (state, style) = fares(sink, snapshot.at);
        Row::new([
            Span::raw(harmless(&sink.name)),
            Span::raw(harmless(&sink.kind)),
            Span::styled(state, style),
            Span::raw(thousands(sink.pending)),
            Span::raw(lag(sink, snapshot.at).map_or_else(|| "-".to_owned(), length)),
            Span::raw(thousands(sink.parked)),
            Span::raw(thousands(sink.dead)),
        ])
    };
    let widths = [
        Constraint::Min(16),
        Constraint::Length(11),
        Constraint::Min(14),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Length(9),
    ];
    let header = ["SINK", "KIND", "STATE", "WAITING", "OVERDUE", "PARKED", "GIVEN UP"];
    let title = counted(sinks.len() as u64, "sink");
    table(title, header, widths, sinks.iter().map(row).collect(), above).render(area, buffer);
}

/// Seconds since the longest due should have been sent.
fn lag(sink: &Outlet, now: DateTime<Utc>) -> Option<f64> {
    let behind = (now - sink.oldest_due?).num_seconds();
    (behind > 0).then_some(behind as f64)
}

/// How a sink fares, the worst first.
pub(super) fn fares(sink: &Outlet, now: DateTime<Utc>) -> (String, Style) {
    let overdue = lag(sink, now);
    if sink.state != "enabled" {
        (harmless(&sink.state), ODD)
    } else if sink.breaker != "closed" {
        (format!("breaker {}", harmless(&sink.breaker).replace('_', "-")), BAD)
    } else if sink.parked > 0 {
        (format!("{} parked", sink.parked), ODD)
    } else if let Some(behind) = overdue.filter(|behind| *behind >= 10.0) {
        (format!("{} late", length(behind)), ODD)
    } else {
        ("on time".to_owned(), GOOD)
    }
}

/// Projects with their messages a second over the last minute, of all replicas, the busiest first.
pub(super) fn busiest(snapshot: &Snapshot) -> Vec<(String, f64)> {
    let mut rates: BTreeMap<&str, f64> = BTreeMap::new();
    for beat in snapshot.running().filter(|beat| beat.recent.seconds > 0.0) {
        for (name, count) in &beat.recent.projects {
            *rates.entry(name).or_default() += *count as f64 / beat.recent.seconds;
        }
    }
    let mut rates: Vec<(String, f64)> = rates.into_iter().map(|(name, rate)| (harmless(name), rate)).collect();
    rates.sort_by(|one, other| other.1.total_cmp(&one.1));
    rates
}

pub(super) fn projects(snapshot: &Snapshot, above: usize, area: Rect, buffer: &mut Buffer) {
    if let Part::Unknown(why) = &snapshot.replicas {
        return unknown("projects", why, area, buffer);
    }
    let busiest = busiest(snapshot);
    let all = snapshot.rate(|beat| beat.recent.totals.messages);
    let row = |(name, rate): &(String, f64)| {
        let part = if all > 0.0 { format!("{:.0} %", rate / all * 100.0) } else { "-".to_owned() };
        Row::new([name.clone(), a_second(*rate), part])
    };
    let header = ["PROJECT", "MESSAGES A SECOND", "OF ALL"];
    let widths = [Constraint::Min(38), Constraint::Length(17), Constraint::Length(6)];
    let title = "busiest projects, last minute".to_owned();
    table(title, header, widths, busiest.iter().map(row).collect(), above).render(area, buffer);
}
