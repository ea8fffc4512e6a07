//! Whether a message costs more where more waits behind it, where more threads speak, or where its thread has said much.

use std::fmt::Write as _;

use crate::{
    backlog::{ONE_BY_ONE, Shape},
    null::NullAws,
    part::Found,
    path::Path,
    plot::{Chart, Row},
    process,
    spread::Spread,
};

/// Rounds; in each, every case runs once, in turn.
const ROUNDS: usize = 3;

/// One way to run; of its messages, those after the warm-up are measured.
struct Case {
    name: &'static str,
    shape: Shape,
    warm_up: usize,
    messages: usize,
}

/// Threads that say two messages each: half of the messages open a conversation, however many threads there are.
const SHORT: Shape = Shape { per_thread: 2, ..ONE_BY_ONE };

/// Ten threads that say 5,000 messages each.
const LONG: Shape = Shape { threads: 10, per_thread: 5_000, ..ONE_BY_ONE };

/// What is compared: the least of something, and much of it.
const PAIRS: [[Case; 2]; 3] = [
    [
        Case { name: "15,000 waiting, the last 10,000", shape: ONE_BY_ONE, warm_up: 5_000, messages: 15_000 },
        Case { name: "100,000 waiting, the last 10,000", shape: ONE_BY_ONE, warm_up: 90_000, messages: 100_000 },
    ],
    [
        Case { name: "500 threads in turn", shape: SHORT, warm_up: 10_000, messages: 30_000 },
        Case {
            name: "5,000 threads in turn",
            shape: Shape { threads: 5_000, ..SHORT },
            warm_up: 10_000,
            messages: 30_000,
        },
    ],
    [
        Case { name: "a thread's 100th to 1,100th", shape: LONG, warm_up: 1_000, messages: 11_000 },
        Case { name: "a thread's 4,000th to 5,000th", shape: LONG, warm_up: 40_000, messages: 50_000 },
    ],
];

/// Runs all pairs.
///
/// # Errors
/// A run failed.
pub fn measure(aws: &NullAws) -> anyhow::Result<Found> {
    let mut text = format!(
        "ours, one message of a thread at a time, {ROUNDS} rounds\n  {:<34} {:>24} {:>20} {:>8}\n",
        "", "CPU µs a message", "times the first", "peak MB"
    );
    let mut rows = Vec::new();
    for [little, much] in &PAIRS {
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (case, runs) in [little, much].into_iter().zip(&mut runs) {
                runs.push(process::run(aws, Path::Ours, case.shape, case.warm_up, case.messages)?);
            }
        }
        let micros = runs.each_ref().map(|runs| runs.iter().map(|ran| ran.used.micros).collect::<Vec<_>>());
        for (place, case) in [little, much].into_iter().enumerate() {
            let ratio = Spread::ratio(&micros[place], &micros[0]);
            let peak = Spread::of(runs[place].iter().map(|ran| ran.used.megabytes()));
            let _ = writeln!(
                text,
                "  {:<34} {:>24} {:>20} {:>8.0}",
                case.name,
                Spread::of(micros[place].iter().copied()).shown(1),
                if place == 0 { String::from("1") } else { ratio.shown(2) },
                peak.median
            );
            rows.push(Row { label: case.name.to_owned(), series: place, value: ratio });
        }
    }
    let chart = Chart {
        name: "slope",
        title: "Processor time of a message, with little and with much of something",
        unit: "times the first of each pair, in the same round",
        legend: "bar: median of the rounds; line: least to most",
        by_tens: false,
        series: &["little", "much"],
        rows,
    };
    Ok(Found { text, charts: vec![chart] })
}
