//! A world for one story: what it published, and how to wait until it rests.

use std::{sync::Arc, time::Duration};

use conversationd::domain::EventId;
use tokio::time::sleep;

use crate::model::{
    checker::{Published, at_rest, check},
    mutant::Mutant,
    scenario::{ending, message, message_id, send, thread},
    witness::Witness,
    world::{Faults, World},
};

/// A quiet world with a witness, and what was published into it.
pub struct Story {
    pub world: Arc<World>,
    pub published: Published,
    pub sends: u64,
}

impl Story {
    pub fn begin(contacts: usize, visibility: Duration) -> Self {
        let world = World::new(1, Faults { longest_stall: 1, ..Faults::default() }, Mutant::Shipped, false);
        {
            let mut state = world.state();
            (state.sqs.visibility, state.sqs.max_receive_count, state.sqs.locked) = (visibility, 100, true);
            state.witness = Some(Witness::of(contacts as u64));
        }
        let published = Published { threads: vec![Vec::new(); contacts], ..Published::default() };
        Self { world, published, sends: 0 }
    }

    /// A contact says something. Returns its id.
    pub fn says(&mut self, contact: usize) -> EventId {
        let (thread, n) = (thread(contact as u64), self.published.threads[contact].len() as u64 + 1);
        let event = message_id(&thread, n);
        self.published.threads[contact].push(event);
        send(&self.world, &format!("group {contact}"), &mut self.sends, message(&self.world, &thread, n));
        event
    }

    pub fn ends(&mut self, contact: usize) {
        let body = ending(&thread(contact as u64), "conversation.close", self.sends);
        send(&self.world, &format!("group {contact}"), &mut self.sends, body);
    }

    /// Waits, in simulated time, until nothing is left to do.
    pub async fn rests_within(&self, patience: Duration) {
        let began = self.world.elapsed();
        while !at_rest(&self.world.state()) {
            assert!(self.world.elapsed() - began < patience, "not at rest after {patience:?}");
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// How often something happened.
    pub fn times(&self, what: &str) -> u64 {
        self.world.state().sometimes.get(what).copied().unwrap_or_default()
    }

    /// How often a call was made on behalf of a delivery.
    pub fn made(&self, call: &str) -> u64 {
        let state = self.world.state();
        state.witness.as_ref().and_then(|witness| witness.seen.get(call).copied()).unwrap_or_default()
    }

    /// Every invariant and every law holds, and nothing is dead.
    pub fn holds(&self) {
        let state = self.world.state();
        assert_eq!(check(&state, &self.published, true), []);
        assert!(state.sqs.dead.is_empty(), "{:?}", state.sqs.dead);
        let breaches = state.witness.iter().flat_map(|witness| &witness.breaches).collect::<Vec<_>>();
        assert!(breaches.is_empty(), "{breaches:?}");
    }
}
