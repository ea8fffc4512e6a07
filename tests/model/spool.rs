//! The spool in memory, and outages of the roads to it and to the hot store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use conversationd::{
    queue::{BATCH, Delivery, QueueError, Receipt},
    spool::{Facts, Limits, Seen, SpoolStore, Stage, Standing, Word, next},
};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    mutant::Mutant,
    rng::Rng,
    world::{Link, Road, State, Unanswered, World},
};

/// When the model's fleet spools: soon.
pub const LIMITS: Limits = Limits { after: Duration::from_secs(20), lease: Duration::from_secs(90) };

#[derive(Default)]
pub struct SpoolState {
    /// Whether the daemons have one.
    pub on: bool,
    stage: Option<Stage>,
    epoch: u64,
    replicas: BTreeMap<Uuid, (Duration, Word)>,
    groups: BTreeMap<String, Group>,
    receipts: u64,
    /// Messages that ever stood in it.
    ever: BTreeSet<String>,
    /// A delivery was settled past one of its group that waited here.
    pub overtaken: bool,
}

#[derive(Default)]
struct Group {
    rows: BTreeMap<u128, Delivery>,
    free_at: Duration,
    receipt: u64,
    last: u128,
}

impl SpoolState {
    pub fn stage(&self) -> Stage {
        self.stage.unwrap_or(Stage::Direct)
    }

    pub fn is_empty(&self) -> bool {
        self.groups.values().all(|group| group.rows.is_empty())
    }

    /// The queue deletes a delivery. If it never stood here, it was handled directly: then nothing before it may wait here.
    pub fn settled_directly(&mut self, group: &str, message_id: &str, sequence: u128) {
        let waits =
            self.groups.get(group).and_then(|group| group.rows.keys().next()).is_some_and(|first| *first < sequence);
        self.overtaken |= waits && !self.ever.contains(message_id);
    }

    fn hear(&mut self, word: &Word, limits: &Limits, alone: bool, now: Duration) -> Standing {
        self.replicas.insert(word.replica, (now, word.clone()));
        let seen = |(at, word): &(Duration, Word)| Seen {
            silent_for: now - *at,
            away_for: word.away_for,
            stopped: if alone { Some(self.epoch) } else { word.stopped },
        };
        let facts = Facts { replicas: self.replicas.values().map(seen).collect(), holds: !self.is_empty() };
        let stage = self.stage();
        let then = next(stage, self.epoch, &facts, limits);
        self.epoch += u64::from(then != stage && then == Stage::Entering);
        self.stage = Some(then);
        Standing { stage: then, epoch: self.epoch, bytes: 0 }
    }

    fn hold(&mut self, epoch: u64, deliveries: &[Delivery], late: bool) -> bool {
        if !late && (self.stage() != Stage::Spooling || self.epoch != epoch) {
            return false;
        }
        for delivery in deliveries {
            self.ever.insert(delivery.message_id.clone());
            let rows = &mut self.groups.entry(delivery.group_id.clone()).or_default().rows;
            rows.entry(delivery.sequence.0).or_insert_with(|| Delivery { receive_count: 0, ..delivery.clone() });
        }
        true
    }

    fn receive(&mut self, first: usize, most: usize, visibility: Duration, now: Duration) -> Vec<Delivery> {
        let mut free: Vec<&mut Group> =
            self.groups.values_mut().filter(|group| group.free_at <= now && !group.rows.is_empty()).collect();
        if !free.is_empty() {
            let turn = first % free.len();
            free.rotate_left(turn);
        }
        let mut deliveries = Vec::new();
        for group in free {
            self.receipts += 1;
            for (sequence, row) in group.rows.iter_mut().take(most.saturating_sub(deliveries.len())) {
                row.receive_count += 1;
                row.receipt = Receipt(Arc::from(format!("spool:{}:{sequence}", self.receipts)));
                deliveries.push(row.clone());
                (group.free_at, group.receipt, group.last) = (now + visibility, self.receipts, *sequence);
            }
        }
        deliveries
    }

    fn of(&mut self, receipt: &Receipt) -> Option<(&mut Group, u128)> {
        let mut parts = receipt.0.split(':').skip(1);
        let (number, sequence): (u64, u128) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let group = self.groups.values_mut().find(|group| group.receipt == number)?;
        Some((group, sequence))
    }

    fn delete(&mut self, receipt: &Receipt, now: Duration) -> Result<(), QueueError> {
        let (group, sequence) = self.of(receipt).ok_or(QueueError::LeaseLost)?;
        group.rows.remove(&sequence);
        if group.rows.keys().next().is_none_or(|first| *first > group.last) {
            group.free_at = now;
        }
        Ok(())
    }

    fn hide(&mut self, receipts: &[(Receipt, Duration)], now: Duration) -> Vec<Result<(), QueueError>> {
        let mut until: BTreeMap<u64, Duration> = BTreeMap::new();
        let results = receipts.iter().map(|(receipt, time)| {
            let (group, _) = self.of(receipt).ok_or(QueueError::LeaseLost)?;
            let longest = until.entry(group.receipt).or_default();
            *longest = (*longest).max(now + *time);
            group.free_at = *longest;
            Ok(())
        });
        results.collect()
    }
}

/// The spool as one replica sees it.
pub struct ModelSpool(pub Link);

fn unavailable(_: Unanswered) -> QueueError {
    QueueError::Unavailable("no answer".into())
}

#[async_trait]
impl SpoolStore for ModelSpool {
    async fn hear(&self, word: &Word, limits: &Limits) -> Result<Standing, QueueError> {
        // whatever a replica believes of its own lease
        let (word, limits) = (word.clone(), Limits { lease: LIMITS.lease, ..*limits });
        let heard = self.0.io("spool_hear", true, move |state: &mut State, now| {
            let before = state.spool.stage();
            let standing = state.spool.hear(&word, &limits, state.mutant == Mutant::SpoolAlone, now);
            if before != standing.stage {
                state.detail(|| format!(" {}", standing.stage));
                state.saw(match standing.stage {
                    Stage::Direct => "the fleet left its spool empty",
                    Stage::Entering => "the fleet was about to spool",
                    Stage::Spooling => "the fleet spooled",
                    Stage::Leaving => "the fleet worked off its spool",
                });
            }
            standing
        });
        heard.await.map_err(unavailable)
    }

    async fn forget(&self, replica: Uuid) -> Result<(), QueueError> {
        let forgotten =
            self.0.io("spool_forget", true, move |state: &mut State, _| state.spool.replicas.remove(&replica));
        forgotten.await.map(|_| ()).map_err(unavailable)
    }

    async fn hold(&self, epoch: u64, deliveries: &[Delivery]) -> Result<bool, QueueError> {
        let deliveries = deliveries.to_vec();
        let held = self.0.io("spool_hold", true, move |state: &mut State, _| {
            let held = state.spool.hold(epoch, &deliveries, state.mutant == Mutant::SpoolLate);
            if held {
                state.saw("deliveries were spooled");
                state.detail(|| deliveries.iter().map(|delivery| format!(" {}", delivery.message_id)).collect());
            }
            held
        });
        held.await.map_err(unavailable)
    }

    async fn receive(&self, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        let received = self.0.io("spool_receive", true, move |state: &mut State, now| {
            let (first, most) = (state.rng.next() as usize, 1 + state.rng.below(BATCH as u64) as usize);
            let received = state.spool.receive(first, most, visibility, now);
            for question in received.iter().filter(|delivery| delivery.body.contains("\"reply_to\"")) {
                *state.sqs.asked.entry(question.body.clone()).or_default() += 1;
            }
            state.detail(|| received.iter().map(|delivery| format!(" {}", delivery.message_id)).collect());
            received
        });
        received.await.map_err(unavailable)
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        let receipts = receipts.to_vec();
        let deleted = self.0.io("spool_delete", true, move |state: &mut State, now| {
            receipts.iter().map(|receipt| state.spool.delete(receipt, now)).collect()
        });
        deleted.await.map_err(unavailable)
    }

    async fn hide(&self, receipts: &[(Receipt, Duration)]) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        let receipts = receipts.to_vec();
        let hidden = self.0.io("spool_hide", true, move |state: &mut State, now| state.spool.hide(&receipts, now));
        hidden.await.map_err(unavailable)
    }
}

/// Cuts roads, for a while each: of all replicas or of one, to the hot store or to the spool.
pub async fn outages(world: Arc<World>, mut rng: Rng, replicas: u32) {
    loop {
        sleep(Duration::from_millis(rng.below(90_000))).await;
        let one = rng.chance(300).then(|| rng.below(u64::from(replicas)) as u32);
        let road = if rng.chance(800) { Road::Hot } else { Road::Spool };
        let whose: Vec<u32> = (0..replicas).filter(|who| one.is_none_or(|one| one == *who)).collect();
        world.state().cut.extend(whose.iter().map(|who| (*who, road)));
        // within a long one of the hot store, one replica may not hear of what the others do
        let deaf = (road == Road::Hot && rng.chance(700)).then(|| rng.below(u64::from(replicas)) as u32);
        let time = Duration::from_millis(20_000 + rng.below(380_000));
        let before = time.mul_f64(rng.below(500) as f64 / 1_000.0);
        sleep(before).await;
        if let Some(deaf) = deaf {
            // it reaches the hot store again, or never lost it
            let mut state = world.state();
            state.cut.insert((deaf, Road::Spool));
            state.cut.remove(&(deaf, Road::Hot));
        }
        sleep(time - before).await;
        world.state().cut.clear();
    }
}
