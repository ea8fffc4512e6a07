//! The model without faults, and with the clock in one's own hands.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, atomic::AtomicBool},
    task::Poll,
    time::Duration,
};

use conversationd::queue::{BATCH, Command, Delivery, Queue as _, QueueError, Receipt};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use crate::model::{
    hot::ModelHot,
    mutant::Mutant,
    rng::Rng,
    sqs::ModelQueue,
    world::{Faults, Link, World},
};

/// A world in which nothing fails and time stands still between operations.
pub struct Modelled {
    runtime: Runtime,
    pub world: Arc<World>,
    pub queue: ModelQueue,
    pub hot: ModelHot,
    attempts: u128,
}

impl Modelled {
    /// A queue that hides deliveries for `visibility` and keeps those received `most` times as dead letters.
    pub fn new(visibility: Duration, most: u32) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("runtime");
        let world = runtime.block_on(async { World::new(1, Faults::default(), Mutant::Shipped, false) });
        {
            let mut state = world.state();
            state.sqs.visibility = visibility;
            state.sqs.max_receive_count = most;
            state.sqs.locked = true;
        }
        let link = Link { world: world.clone(), who: 0, life: 0, alive: Arc::new(AtomicBool::new(true)) };
        Self { runtime, world, queue: ModelQueue(link.clone()), hot: ModelHot(link), attempts: 0 }
    }

    pub fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.runtime.block_on(answer)
    }

    /// Lets time pass.
    pub fn pass(&self, time: Duration) {
        self.wait(async { tokio::time::sleep(time).await });
    }

    pub fn send(&self, group: &str, dedup: &str, body: &str) {
        let command = Command {
            group_id: group.into(),
            dedup_id: dedup.into(),
            body: body.into(),
            attributes: Default::default(),
        };
        self.wait(self.queue.send(command)).expect("sent");
    }

    /// Sends each body under itself as deduplication id.
    pub fn send_all(&self, group: &str, bodies: &[&str]) {
        bodies.iter().for_each(|body| self.send(group, body, body));
    }

    /// An attempt id that was never used.
    pub fn attempt(&mut self) -> Uuid {
        self.attempts += 1;
        Uuid::from_u128(self.attempts)
    }

    /// A receive that takes as many as it may; `turn` decides which group comes first.
    pub fn receive_as(&self, attempt: Uuid, turn: u64) -> Vec<Delivery> {
        let received = self.wait(async {
            let mut receive = pin!(self.queue.receive(attempt, Duration::ZERO));
            // the call has made its plan and is on its way: what is drawn next is what the queue draws
            poll_fn(|context| {
                assert!(receive.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            self.world.state().rng = taking_all(turn);
            receive.await
        });
        received.expect("received")
    }

    pub fn receive(&mut self) -> Vec<Delivery> {
        let attempt = self.attempt();
        self.receive_as(attempt, 0)
    }

    /// The bodies of the next receive.
    pub fn bodies(&mut self) -> Vec<String> {
        self.receive().iter().map(|delivery| delivery.body.to_string()).collect()
    }

    pub fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.wait(self.queue.delete(vec![delivery.receipt.clone()])).remove(0)
    }

    pub fn hide(&self, delivery: &Delivery, time: Duration) -> Result<(), QueueError> {
        self.wait(self.queue.hide(vec![(delivery.receipt.clone(), time)])).remove(0)
    }

    pub fn delete_all(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        self.wait(self.queue.delete(receipts))
    }
}

/// Numbers by which a receive takes a whole batch.
fn taking_all(turn: u64) -> Rng {
    let whole = |rng: &Rng| {
        let mut rng = rng.clone();
        rng.next();
        rng.below(BATCH as u64) == BATCH as u64 - 1
    };
    (turn..).map(Rng).find(whole).expect("one in ten")
}
