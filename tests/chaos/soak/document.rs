//! Samples → docs/soak.md.

use std::{fmt::Write, time::Duration};

use super::sample::Sample;
use crate::{
    harness::{checker::Violation, load::Rate},
    machine::Machine,
};

/// Rows of the table over time.
const ROWS: usize = 12;

/// How long closes took: seconds at the median, 95 %, 99 %, and at most.
#[derive(Clone, Debug)]
pub struct Ends {
    pub conversations: u64,
    pub seconds: Vec<f64>,
}

/// A soak that is over.
pub struct Soaked {
    pub machine: Machine,
    pub command: String,
    /// Events a second that were measured before; none if the rate was given.
    pub capacity: Option<f64>,
    pub rate: Rate,
    pub events: u64,
    pub samples: Vec<Sample>,
    pub ends: Ends,
    pub rested: Duration,
    pub violations: Vec<Violation>,
}

impl Soaked {
    /// In one line.
    pub fn said(&self) -> String {
        let (events, violations) = (self.events, self.violations.len());
        format!("events={events} violations={violations} growth={:.2} MiB/h", self.growth())
    }

    /// The document.
    pub fn document(&self) -> String {
        let Machine { date, commit, machine, postgres, build } = &self.machine;
        let (command, violations) = (&self.command, self.violations.len());
        let minutes = self.samples.last().map_or(0.0, |last| last.at.as_secs_f64() / 60.0);
        let capacity = match self.capacity {
            Some(capacity) => {
                format!("half of the {capacity:.0} events a second that they took when there were always more")
            }
            None => "a rate that was given".to_owned(),
        };
        let daemons = self.samples.first().map_or(0, |first| first.resident.len());
        let mut text = format!(
            "# Soak\n\nWritten by `make soak`, never by hand: {daemons} daemons under {capacity}, {} a second for {minutes:.0} \
             minutes, without faults. Chat messages of {} threads, their conversations of one to eight messages closed and archived.\n\n\
             | | |\n|---|---|\n| written | {date} |\n| commit | {commit} |\n| machine | {machine} |\n\
             | stack | MiniStack (SQS, DynamoDB), PostgreSQL {postgres}, on the same machine; the daemon as {build} |\n\
             | command | `{command}` |\n| events | {} |\n| lost, doubled, reordered, left | {violations} |\n\
             | resident memory | grows by {:.2} MiB an hour, by the line through the second half |\n| conversations closed | {} |\n",
            self.rate.events,
            self.rate.threads,
            self.events,
            self.growth(),
            self.ends.conversations,
        );
        if let [median, most, nearly, all] = self.ends.seconds[..] {
            let _ = writeln!(
                text,
                "| from a close to its conversation in the archive | {median:.2} s at the median, {most:.2} s for 95 %, {nearly:.2} s \
                 for 99 %, {all:.1} s at most |"
            );
        }
        let _ = writeln!(text, "| at rest after the last event | {:.1} s |", self.rested.as_secs_f64());
        if minutes < 59.0 {
            text.push_str("\nShorter than the hour that `make soak` takes by itself: it says less of slow growth.\n");
        }
        text.push_str(OVER_TIME);
        for pair in self.slices().windows(2) {
            text.push_str(&line(pair[0], pair[1], &self.samples));
        }
        text
    }

    /// Samples at the ends of equal stretches.
    fn slices(&self) -> Vec<&Sample> {
        let last = self.samples.len().saturating_sub(1);
        let rows = ROWS.min(last.max(1));
        (0..=rows).filter_map(|row| self.samples.get(row * last / rows)).collect()
    }

    /// The slope of the daemons' mean resident memory in the second half, by least squares, in MiB an hour.
    fn growth(&self) -> f64 {
        let half = &self.samples[self.samples.len() / 2..];
        let point = |sample: &Sample| {
            let bytes = sample.resident.iter().sum::<u64>() as f64 / sample.resident.len().max(1) as f64;
            (sample.at.as_secs_f64() / 3600.0, bytes / 1_048_576.0)
        };
        let points: Vec<(f64, f64)> = half.iter().map(point).collect();
        let count = points.len().max(1) as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
        let (above, below) = points.iter().fold((0.0, 0.0), |(above, below), point| {
            (above + (point.0 - x) * (point.1 - y), below + (point.0 - x).powi(2))
        });
        if below > 0.0 { above / below } else { 0.0 }
    }
}

/// One stretch of time.
fn line(from: &Sample, to: &Sample, all: &[Sample]) -> String {
    let within = || all.iter().filter(|sample| sample.at > from.at && sample.at <= to.at);
    let (seconds, settled) = ((to.at - from.at).as_secs_f64(), to.settled.saturating_sub(from.settled));
    let resident: Vec<String> = to.resident.iter().map(|bytes| format!("{:.1}", *bytes as f64 / 1_048_576.0)).collect();
    let deepest = within().map(|sample| sample.depth).max().unwrap_or_default();
    let micros = (to.ticks.saturating_sub(from.ticks) * 10_000) as f64 / settled.max(1) as f64;
    let age = |share| quantile(&from.ages, &to.ages, share);
    format!(
        "| {:.1}–{:.1} | {:.0} | {} | {micros:.0} | {deepest} | {} | {} | {} |\n",
        from.at.as_secs_f64() / 60.0,
        to.at.as_secs_f64() / 60.0,
        settled as f64 / seconds.max(0.001),
        resident.join(", "),
        age(0.5),
        age(0.95),
        age(0.99),
    )
}

/// The bound under which this share of what was settled between two samples lies.
fn quantile(before: &[(f64, u64)], after: &[(f64, u64)], share: f64) -> String {
    let earlier = |bound: f64| before.iter().find(|(other, _)| *other == bound).map_or(0, |(_, count)| *count);
    let counts: Vec<(f64, u64)> = after.iter().map(|(bound, count)| (*bound, count - earlier(*bound))).collect();
    let all = counts.last().map_or(0, |(_, count)| *count);
    let enough = (all as f64 * share).ceil() as u64;
    match counts.iter().find(|(_, count)| *count >= enough) {
        Some((bound, _)) if all > 0 && bound.is_finite() => format!("≤ {bound} s"),
        Some(_) if all > 0 => "longer".to_owned(),
        _ => "–".to_owned(),
    }
}

const OVER_TIME: &str = "
## Over time

Memory is each daemon's at the end of the stretch. Processor time is theirs. Ages are those of deliveries when \
they were settled, since SQS took them, as the daemons' own metrics bucket them; the emulator slows down as its tables grow.

| minutes | events a second | resident MiB | µs an event | deepest queue | age, median | 95 % | 99 % |
|---|---|---|---|---|---|---|---|
";
