//! The loop of the request queue: requests that need no order, side by side, each settled by itself.
//!
//! A request that is not settled comes again when its lease ends. Events have no place here: no group keeps their order.

use std::{sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    queue::{Asked, Delivery, QueueError},
};

/// The group under which a dead letter stands that had none: the dead-letter queue is FIFO.
const GROUP: &str = "requests";

/// Pauses after a receive that failed: from the first to the longest, doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// The loop.
pub struct Requests {
    pipeline: Arc<Pipeline>,
    wait: Duration,
    at_once: usize,
    drain: Duration,
    instance: Uuid,
}

impl Requests {
    /// A loop over the inbox of `pipeline`: polls wait for `wait`, so many answers at once, and at the end running ones have
    /// `drain`. `instance` tells this process's polls from all others.
    pub fn new(pipeline: Arc<Pipeline>, wait: Duration, at_once: usize, drain: Duration, instance: Uuid) -> Self {
        Self { pipeline, wait, at_once, drain, instance }
    }

    /// Runs until `stop`, then lets running answers end.
    pub async fn run(&self, stop: CancellationToken) {
        let (mut running, mut pause) = (JoinSet::new(), FIRST_PAUSE);
        while !stop.is_cancelled() {
            while running.try_join_next().is_some() {}
            if running.len() >= self.at_once {
                running.join_next().await;
                continue;
            }
            // a poll that is cut off may still take requests, and hide them: it is let return
            match self.receive(self.wait).await {
                Ok((asked, deliveries)) => {
                    pause = FIRST_PAUSE;
                    deliveries.into_iter().for_each(|delivery| self.start(delivery, asked, &mut running));
                }
                Err(failure) => {
                    warn!(error = %failure, "requests could not be received; polling goes on after a pause");
                    stop.run_until_cancelled(sleep(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
        let unfinished = running.len();
        if tokio::time::timeout(self.drain, async { while running.join_next().await.is_some() {} }).await.is_err() {
            info!(unfinished, "requests that were being answered come again");
        }
    }

    /// One step: receives once and answers what came. Returns how many that were.
    ///
    /// # Errors
    /// The receive failed.
    pub async fn poll_once(&self) -> Result<usize, QueueError> {
        let (asked, deliveries) = self.receive(Duration::ZERO).await?;
        let (received, mut running) = (deliveries.len(), JoinSet::new());
        deliveries.into_iter().for_each(|delivery| self.start(delivery, asked, &mut running));
        while running.join_next().await.is_some() {}
        Ok(received)
    }

    async fn receive(&self, wait: Duration) -> Result<(Asked, Vec<Delivery>), QueueError> {
        let poll = self.pipeline.counters.receives.get().to_be_bytes();
        let now = self.pipeline.clock.now().timestamp_micros().to_be_bytes();
        let attempt = Uuid::new_v5(&self.instance, &[poll, now].concat());
        let asked = self.pipeline.leases.ask(wait);
        Ok((asked, self.pipeline.inbox.edge().receive(attempt, wait).await?))
    }

    fn start(&self, mut delivery: Delivery, asked: Asked, running: &mut JoinSet<()>) {
        if delivery.group_id.is_empty() {
            delivery.group_id = GROUP.to_owned();
        }
        self.pipeline.leases.take(delivery.receipt.clone(), asked);
        let pipeline = self.pipeline.clone();
        running.spawn(async move {
            let work = pipeline.read(delivery);
            if let Err(failure) = pipeline.respond_alone(&work).await {
                warn!(error = %failure, sqs.message_id = work.delivery.message_id, "a request was not settled; it comes again");
            }
            pipeline.leases.drop_lease(&work.delivery.receipt);
        });
    }
}
