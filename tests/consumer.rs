//! What users of other consumers suffer from, each as a story on the model queue: poison, outages, lost answers, restarts.
#![allow(clippy::expect_used)] // a test may panic

#[path = "consumer/midnight.rs"]
mod midnight;
mod model;
#[path = "consumer/senders.rs"]
mod senders;
#[path = "consumer/told.rs"]
mod told;

use std::{sync::Arc, time::Duration};

use conversationd::domain::EventId;
use model::{
    checker::{Published, at_rest, check},
    mutant::Mutant,
    replica::{Replica, VISIBILITY},
    scenario::{ending, message, send, thread},
    world::{Faults, State, World},
};
use tokio::time::sleep;

/// A world without faults, and what was published into it.
struct Story {
    world: Arc<World>,
    published: Published,
    sends: u64,
}

impl Story {
    fn begin(threads: usize) -> Self {
        Self::in_a_world(1, Faults { longest_stall: 1, ..Faults::default() }, threads)
    }

    fn in_a_world(seed: u64, faults: Faults, threads: usize) -> Self {
        let world = World::new(seed, faults, Mutant::Shipped, false);
        world.state().sqs.visibility = VISIBILITY;
        world.state().sqs.max_receive_count = 1000;
        world.state().sqs.locked = true;
        Self { world, published: Published { threads: vec![Vec::new(); threads], ..Published::default() }, sends: 0 }
    }

    /// A contact says something. Returns its id.
    fn says(&mut self, contact: usize) -> EventId {
        let (thread, n) = (thread(contact as u64), self.published.threads[contact].len() as u64 + 1);
        let event = EventId::derive(&thread.key(), "message.received", &n.to_string());
        self.published.threads[contact].push(event);
        send(&self.world, &format!("group {contact}"), &mut self.sends, message(&self.world, &thread, n));
        event
    }

    fn ends(&mut self, contact: usize) {
        let body = ending(&thread(contact as u64), "conversation.close", self.sends);
        send(&self.world, &format!("group {contact}"), &mut self.sends, body);
    }

    /// Waits, in simulated time, until nothing is left to do.
    async fn rests_within(&self, patience: Duration) -> Duration {
        let began = self.world.elapsed();
        while !at_rest(&self.world.state()) {
            assert!(self.world.elapsed() - began < patience, "not at rest after {patience:?}");
            sleep(Duration::from_secs(1)).await;
        }
        self.world.elapsed() - began
    }

    /// The same for a story that leaves dead letters.
    async fn rests_within_but_for_the_dead(&self, patience: Duration) {
        let began = self.world.elapsed();
        while !self.world.state().sqs.is_empty() {
            assert!(self.world.elapsed() - began < patience, "not at rest after {patience:?}");
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn archived(&self) -> Vec<EventId> {
        self.world.state().archive.messages.iter().map(|(_, event)| *event).collect()
    }

    fn holds(&self) {
        let state: &State = &self.world.state();
        assert_eq!(check(state, &self.published, true), []);
        assert!(state.sqs.dead.is_empty(), "{:?}", state.sqs.dead);
    }
}

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn one_message_that_always_fails_is_one_dead_letter_and_its_neighbours_go_on_in_order() {
    for place in [0, 4, 9] {
        let mut story = Story::begin(1);
        let mut said: Vec<EventId> = (0..10).map(|_| story.says(0)).collect();
        story.ends(0);
        let poison = said.remove(place);
        story.world.state().hot.refused.insert(poison);
        let _daemon = Replica::start(&story.world, 0, 0, 0);
        story.rests_within_but_for_the_dead(HOUR).await;
        let state = story.world.state();
        assert_eq!(state.sqs.dead.len(), 1, "poison in place {place}");
        let reason = state.sqs.dead[0].reason.as_ref().expect("a reason");
        assert_eq!(reason.code, "attempts_exhausted");
        drop(state);
        assert_eq!(story.archived(), said, "poison in place {place}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_hot_store_makes_no_dead_letter_and_burns_few_receipts() {
    let heads = ["heads", "head_open", "head_closing", "head_closed"];
    let others = ["put", "page", "due", "last_received", "overtook", "rows", "charge"];
    // in part, and as a whole
    outage(&[&heads[..], &others].concat()).await;
    outage(&[&heads[..], &others, &["controls", "control"]].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn an_hour_without_the_archive_makes_no_dead_letter() {
    outage(&["begin", "lock", "insert", "commit"]).await;
}

async fn outage(operations: &[&'static str]) {
    let mut story = Story::begin(20);
    let daemons: Vec<Replica> = (0..2).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    for minute in 0..90 {
        if minute == 10 {
            story.world.state().down.extend(operations);
        }
        if minute == 70 {
            story.world.state().down.clear();
        }
        for contact in 0..20 {
            story.says(contact);
            if (minute + contact) % 7 == 0 {
                story.ends(contact);
            }
        }
        sleep(Duration::from_secs(60)).await;
    }
    story.rests_within(HOUR).await;
    story.holds();
    drop(daemons);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_receive_stalls_nobody() {
    let mut story = Story::begin(1);
    story.says(0);
    story.ends(0);
    story.world.state().lose_next.insert("receive");
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    let took = story.rests_within(HOUR).await;
    assert!(took < VISIBILITY, "asked again by the same attempt id, not after the visibility: {took:?}");
    story.holds();
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_delete_does_not_run_the_message_again() {
    let mut story = Story::begin(1);
    story.says(0);
    story.world.state().lose_next.insert("delete");
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    sleep(VISIBILITY * 3).await;
    story.ends(0);
    story.rests_within(HOUR).await;
    assert_eq!(story.world.state().sometimes.get("a put was repeated"), None);
    story.holds();
}

#[tokio::test(start_paused = true)]
async fn a_hundred_rolling_restarts_under_load_make_no_dead_letter_and_hide_nothing_for_long() {
    let mut story = Story::begin(10);
    let mut daemons: Vec<Replica> = (0..3).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    for restart in 1..=100 {
        for contact in 0..10 {
            story.says(contact);
            if (restart + contact) % 9 == 0 {
                story.ends(contact);
            }
        }
        let who = restart % daemons.len();
        let began = story.world.elapsed();
        daemons[who].terminate().await;
        assert!(story.world.elapsed() - began < Duration::from_secs(30), "a stop took too long");
        daemons[who] = Replica::start(&story.world, who as u32, restart as u64, 0);
        let longest = story.world.state().sqs.hidden_for(story.world.elapsed());
        assert!(longest <= Duration::from_secs(30), "a delivery stays hidden for {longest:?}");
    }
    story.rests_within(HOUR).await;
    story.holds();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_kills_the_process_is_charged_and_its_neighbours_are_not() {
    let mut story = Story::begin(2);
    let killer = story.says(0);
    story.says(1);
    let mut daemon = Replica::start(&story.world, 0, 0, 0);
    for life in 1..200 {
        let killed = {
            let mut state = story.world.state();
            state.hot.kills.insert(killer);
            std::mem::take(&mut state.hot.killed)
        };
        if killed {
            daemon.kill();
            daemon = Replica::start(&story.world, 0, life, 0);
        }
        sleep(Duration::from_secs(5)).await;
    }
    let state = story.world.state();
    assert_eq!(state.sqs.dead.len(), 1, "the killer, after its attempts");
    assert!(state.sqs.is_empty());
}
