//! Whatever comes again, and whenever: a thread ends in the same archive as if every delivery had come once.
//!
//! The first deliveries of a group come in order, which is the queue's promise. Any of them may come again later, after anything
//! else: received by a process that then slept, or given back by one that died. What comes again is the same delivery, with its
//! place in the queue and the time at which the queue took it. "The same" means everything that the archive says: which
//! messages and ratings stand in which conversation, and how each closed, with which details and variables. An older word never
//! overwrites a newer one, as each carries its place in the queue.
//!
//! One thing is not kept the same: what a window said of a conversation in which nobody spoke while it was open. The thread
//! remembers it until its next conversation opens; a late message brings such a conversation into the archive, with its end, and
//! with the rest only if it came before that, or if the window comes again.
//!
//! What a publisher or an operator sends *again* is something else, a new delivery: for messages and ratings it is known by its
//! id and changes nothing either; an update, a variable, a window or a close is then said anew, at its new place.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

mod interleavings {
    pub mod day;
    pub mod house;
}
mod model;

use interleavings::{
    day::Day,
    house::{
        Arrival::{self, Again, First, TimerAgain},
        House,
    },
};
use model::rng::Rng;

/// Days that are tried, unless SEEDS says another number; SEED=n tries one.
const DAYS: u64 = 200;

/// Orders that are tried of each.
const ORDERS: u64 = 4;

/// The first deliveries in order, and nothing else.
fn plainly(deliveries: usize) -> Vec<Arrival> {
    (0..deliveries).map(First).collect()
}

/// The same; now and then something that came already comes again, and at the end some more.
fn with_redeliveries(deliveries: usize, rng: &mut Rng) -> Vec<Arrival> {
    let again = |rng: &mut Rng, so_far: u64| match rng.chance(150) {
        true => TimerAgain(rng.below(100) as usize),
        false => Again(rng.below(so_far) as usize),
    };
    let mut arrivals = Vec::new();
    let often = [100, 300, 600][rng.below(3) as usize];
    for first in 0..deliveries {
        arrivals.push(First(first));
        while rng.chance(often) {
            arrivals.push(again(rng, first as u64 + 1));
        }
    }
    arrivals.extend((0..3).map(|_| again(rng, deliveries as u64)));
    arrivals
}

#[test]
fn whatever_comes_again_a_thread_ends_in_the_same_archive() {
    let number = |variable: &str| -> Option<u64> { std::env::var(variable).ok()?.parse().ok() };
    let days = number("SEED").map_or(0..number("SEEDS").unwrap_or(DAYS), |seed| seed..seed + 1);
    let mut repeats = 0;
    for seed in days {
        let mut rng = Rng(seed);
        let day = Day::drawn(&mut rng, 2 + seed as usize % 20);
        let plain = House::lives_through(&day.deliveries, &plainly(day.deliveries.len()));
        for number in 0..ORDERS {
            let order = with_redeliveries(day.deliveries.len(), &mut rng);
            repeats += order.len() - day.deliveries.len();
            let archive = House::lives_through(&day.deliveries, &order);
            assert_eq!(archive, plain, "SEED={seed}, order {number}: {order:?} of\n{day:#}");
        }
    }
    println!("{repeats} redeliveries");
}

#[test]
fn a_drawn_day_has_something_of_everything() {
    let archives = (0..60).map(|seed| {
        let day = Day::drawn(&mut Rng(seed), 20);
        House::lives_through(&day.deliveries, &plainly(day.deliveries.len()))
    });
    let all: Vec<_> = archives.collect();
    let conversations = || all.iter().flat_map(|archive| &archive.conversations);
    assert!(conversations().any(|of| of.messages.len() > 2 && !of.variables.is_empty() && of.title.is_some()));
    assert!(conversations().any(|of| !of.ratings.is_empty() && of.resolution == Some(4)));
    assert!(all.iter().any(|archive| !archive.alone.is_empty()));
    for reason in ["session_ended", "idle", "requested", "human_takeover", "window_ended"] {
        assert!(conversations().any(|of| of.reason == Some(reason)), "{reason}");
    }
}
