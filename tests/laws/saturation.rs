//! What a saturated daemon asks of the queue: at most a quarter of a call per message, over many groups and over few.

use std::time::Duration;

use conversationd::consumer::Limits;
use tokio::time::sleep;

use super::stage::Story;
use crate::model::replica::{LIMITS, Replica};

/// As the daemon ships.
const SHIPPED: Limits = Limits { pollers: 8, deliveries: 500, ..LIMITS };

/// Drains a backlog. Returns the calls to the queue per message.
async fn drained(contacts: usize, messages: usize) -> f64 {
    let mut story = Story::begin(contacts, Duration::from_secs(60));
    {
        let mut state = story.world.state();
        // full receives, and nobody who looks: what is counted is what the daemon asks for
        (state.sqs.full, state.witness) = (true, None);
    }
    for n in 0..messages {
        story.says(n % contacts);
    }
    let _daemon = Replica::start_with(&story.world, (0, 0), 0, SHIPPED);
    while !story.world.state().sqs.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let state = story.world.state();
    assert_eq!(state.hot.messages.len(), messages);
    let calls: u64 = state.sqs.calls.iter().filter(|(call, _)| **call != "send").map(|(_, times)| times).sum();
    let per_message = calls as f64 / messages as f64;
    println!(
        "{messages} messages in {contacts} groups: {per_message:.3} calls per message in {:?}: {:?}",
        story.world.elapsed(),
        state.sqs.calls
    );
    per_message
}

#[tokio::test(start_paused = true)]
async fn a_saturated_daemon_asks_the_queue_at_most_a_quarter_of_a_call_per_message() {
    for (contacts, messages) in [(1_000, 3_000), (200, 3_000), (10, 3_000), (3, 3_000), (1, 1_000)] {
        let calls = drained(contacts, messages).await;
        assert!(calls <= 0.25, "{contacts} groups: {calls:.3} calls per message");
    }
}

/// The measure can fail: a daemon whose receives bring what chance gives needs more.
#[tokio::test(start_paused = true)]
async fn receives_that_are_not_full_cost_more_than_that() {
    let mut story = Story::begin(50, Duration::from_secs(60));
    story.world.state().witness = None;
    for n in 0..1_000 {
        story.says(n % 50);
    }
    let _daemon = Replica::start_with(&story.world, (0, 0), 0, SHIPPED);
    while !story.world.state().sqs.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    let calls: u64 = story.world.state().sqs.calls.values().sum();
    assert!(calls as f64 / 1_000.0 > 0.25);
}
