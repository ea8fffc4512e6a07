//! Runs → a table: medians and spread, ratios within each round, and what AWS would ask for it.

use std::fmt;

use crate::{
    backlog::Shape,
    null::Bill,
    path::Path,
    plot::{Chart, Row},
    spread::Spread,
    usage::Used,
};

/// Dollars for a million requests to an SQS FIFO queue, of 64 KB at most each: AWS's announcement of FIFO queues
/// (2016-11-17), unchanged in price lists of 2026.
const SQS_REQUESTS: f64 = 0.50;

/// Dollars for a million write request units of DynamoDB on demand, us-east-1, since its price cut of November 2024.
const WRITE_UNITS: f64 = 0.625;

/// The same for read request units.
const READ_UNITS: f64 = 0.125;

/// One run.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Which way.
    pub path: Path,
    /// Messages in the queue.
    pub messages: usize,
    /// What it used.
    pub used: Used,
    /// What it asked of AWS.
    pub bill: Bill,
}

impl Ran {
    fn calls(&self) -> f64 {
        self.bill.calls.values().sum::<u64>() as f64 / self.messages as f64
    }

    /// Dollars for a million messages.
    fn dollars(&self) -> f64 {
        let bill = &self.bill;
        let all = bill.sqs_calls as f64 * SQS_REQUESTS + bill.write_units * WRITE_UNITS + bill.read_units * READ_UNITS;
        all / self.messages as f64
    }
}

/// The rounds of one shape; in each, every path ran once.
pub struct Report {
    shape: Shape,
    rounds: Vec<Vec<Ran>>,
}

impl Report {
    /// One without rounds.
    pub fn of(shape: Shape) -> Self {
        Self { shape, rounds: Vec::new() }
    }

    /// Adds a round, its runs in the order of [`Path::ALL`].
    pub fn add(&mut self, round: Vec<Ran>) {
        self.rounds.push(round);
    }

    /// A figure of `path`: of each run, and of the floor's in the same round.
    fn figure(&self, path: Path, figure: impl Fn(&Ran, &Ran) -> f64) -> Spread {
        let of_round = |round: &Vec<Ran>| {
            let run = |wanted| round.iter().find(|ran| ran.path == wanted);
            Some(figure(run(path)?, run(Path::Floor)?))
        };
        Spread::of(self.rounds.iter().filter_map(of_round))
    }

    fn median(&self, path: Path, figure: impl Fn(&Ran, &Ran) -> f64) -> f64 {
        self.figure(path, figure).median
    }

    /// The calls of one of our runs, by operation, for a thousand messages.
    pub fn calls(&self) -> String {
        let ours = self.rounds.iter().flatten().find(|ran| ran.path == Path::Ours);
        let calls = ours.into_iter().flat_map(|ran| ran.bill.calls.iter().map(move |call| (call, ran.messages)));
        calls.fold(String::from("our calls for 1,000 messages:\n"), |text, ((operation, times), messages)| {
            text + &format!("  {operation:<20} {:>7.1}\n", *times as f64 * 1e3 / messages as f64)
        })
    }

    /// The figures to compare from release to release.
    pub fn last_line(&self) -> String {
        let micros = |path| self.median(path, |ran, _| ran.used.micros);
        let (floor, ours) = (micros(Path::Floor), micros(Path::Ours));
        let ratio = self.median(Path::Ours, ratio);
        let calls = self.median(Path::Ours, |ran, _| ran.calls());
        format!("floor_us={floor:.1} ours_us={ours:.1} ratio={ratio:.2} calls_per_message={calls:.2}")
    }
}

fn ratio(ran: &Ran, floor: &Ran) -> f64 {
    ran.used.micros / floor.used.micros
}

/// Processor time as ratios to the floor, and memory; one series for each shape.
pub fn charts(reports: &[(&'static str, &Report); 2]) -> Vec<Chart> {
    let rows = |figure: &dyn Fn(&Ran, &Ran) -> f64| {
        let of = |path: Path| {
            let row = move |(series, (_, report)): (usize, &(&str, &Report))| Row {
                label: path.name().to_owned(),
                series,
                value: report.figure(path, figure),
            };
            reports.iter().enumerate().map(row)
        };
        Path::ALL.into_iter().flat_map(of).collect()
    };
    let chart = |name, title, unit, rows| Chart {
        name,
        title,
        unit,
        legend: "bar: median of the rounds; line: least to most",
        by_tens: false,
        series: &["one by one", "in runs"],
        rows,
    };
    vec![
        chart(
            "cpu",
            "Processor time of a message, as times the floor's of the same round",
            "times the floor",
            rows(&ratio),
        ),
        chart(
            "memory",
            "Most memory resident at once while messages are taken in",
            "MB",
            rows(&|ran, _| ran.used.megabytes()),
        ),
    ]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.shape.name)?;
        writeln!(
            f,
            "  {:<6} {:>24} {:>20} {:>14} {:>8} {:>14}",
            "path", "CPU µs a message", "times the floor", "calls a message", "peak MB", "$ a million"
        )?;
        for path in Path::ALL {
            writeln!(
                f,
                "  {:<6} {:>24} {:>20} {:>15.2} {:>8.0} {:>14.2}",
                path.name(),
                self.figure(path, |ran, _| ran.used.micros).shown(1),
                self.figure(path, ratio).shown(2),
                self.median(path, |ran, _| ran.calls()),
                self.median(path, |ran, _| ran.used.megabytes()),
                self.median(path, |ran, _| ran.dollars()),
            )?;
        }
        Ok(())
    }
}
