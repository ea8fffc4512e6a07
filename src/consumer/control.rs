//! What all replicas are told, as this one knows it: read every few seconds, and never acted upon when it may be old.
//!
//! A turn begins only on a list whose read began less than [`HEARD_WITHIN`] ago. So a row that has been seen for that long is known
//! to every turn that begins from then on, in whatever replica.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::{Mutex, Notify},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    alert::Alert,
    hot::{Controls, HEARD_WITHIN, HotError, Parked},
    pipeline::Pipeline,
};

/// How often the list is read.
const PERIOD: Duration = Duration::from_secs(5);

/// A read that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// After a read that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// A list, and how old it is.
#[derive(Clone, Default)]
pub(super) struct Told {
    pub(super) controls: Arc<Controls>,
    read: Option<Read>,
    /// For each parked group when its row was first seen, and which row that was.
    seen: Arc<BTreeMap<String, (DateTime<Utc>, Instant)>>,
}

/// On two clocks: the monotonic one stands still while a machine is suspended, and the wall clock can be set back.
#[derive(Clone, Copy)]
struct Read {
    at: Instant,
    at_by_wall: DateTime<Utc>,
}

impl Told {
    fn is_fresh(&self, wall: DateTime<Utc>) -> bool {
        self.read.is_some_and(|read| {
            let by_wall = (wall - read.at_by_wall).abs();
            read.at.elapsed() < HEARD_WITHIN && TimeDelta::from_std(HEARD_WITHIN).is_ok_and(|longest| by_wall < longest)
        })
    }

    /// Why `group` is parked, and how long it is until every turn of every replica knows.
    pub(super) fn parked(&self, group: &str) -> Option<(&Parked, Duration)> {
        let (parked, (_, seen)) = self.controls.parked.get(group).zip(self.seen.get(group))?;
        Some((parked, HEARD_WITHIN.saturating_sub(seen.elapsed())))
    }
}

/// The list.
pub(super) struct Control {
    pipeline: Arc<Pipeline>,
    told: RwLock<Told>,
    /// It was read once more. Not a `watch`: that wakes in no certain order, and a simulation must be repeatable.
    again: Notify,
    /// Held while the list is read: one read serves all who wait for one.
    reading: Mutex<()>,
}

impl Control {
    pub(super) fn of(pipeline: Arc<Pipeline>) -> Self {
        Self { pipeline, told: RwLock::default(), again: Notify::new(), reading: Mutex::default() }
    }

    /// A list that may be acted upon, read now if need be.
    pub(super) async fn current(&self) -> Result<Told, HotError> {
        if let Some(told) = self.fresh() {
            return Ok(told);
        }
        let _reading = self.reading.lock().await;
        match self.fresh() {
            Some(told) => Ok(told),
            None => self.read().await,
        }
    }

    /// Reads the list anew: this process has just changed it.
    pub(super) async fn refresh(&self) -> Result<Told, HotError> {
        let _reading = self.reading.lock().await;
        self.read().await
    }

    /// Whether deliveries may be received: the list is known, and says nothing else.
    pub(super) fn lets_poll(&self) -> bool {
        self.fresh().is_some_and(|told| told.controls.pause.is_none())
    }

    /// Whether the list cannot be read.
    pub(super) fn is_lost(&self) -> bool {
        self.latest().read.is_some() && self.fresh().is_none()
    }

    /// Returns when the list has been read once more.
    pub(super) async fn read_again(&self) {
        self.again.notified().await;
    }

    /// Returns when consuming may go on, or it is time to look again.
    pub(super) async fn paused(&self, stop: &CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.read_again() => {}
            () = sleep(PERIOD) => {}
        }
    }

    /// Keeps the list fresh, for ever.
    pub(super) async fn keep_fresh(&self) {
        let mut lost = false;
        loop {
            let began = Instant::now();
            let read = self.refresh().await;
            match &read {
                Ok(_) if lost => info!("what the replicas are told can be read again"),
                Err(failure) if !lost => {
                    warn!(error = %failure, "what the replicas are told cannot be read: nothing is begun until it can");
                }
                _ => {}
            }
            lost = read.is_err();
            sleep(if lost { AGAIN } else { PERIOD.saturating_sub(began.elapsed()) }).await;
        }
    }

    fn fresh(&self) -> Option<Told> {
        Some(self.latest()).filter(|told| told.is_fresh(self.pipeline.clock.now()))
    }

    fn latest(&self) -> Told {
        self.told.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Told, HotError> {
        let read = Read { at: Instant::now(), at_by_wall: self.pipeline.clock.now() };
        let given_up = || HotError::Unavailable("the list of controls did not come in time".into());
        let controls = timeout(PATIENCE, self.pipeline.hot.controls()).await.map_err(|_| given_up())??;
        let (now, before) = (Instant::now(), self.latest());
        let seen = controls.parked.iter().map(|(group, parked)| {
            let known = before.seen.get(group).filter(|(at, _)| *at == parked.at);
            (group.clone(), known.copied().unwrap_or((parked.at, now)))
        });
        let told = Told { seen: Arc::new(seen.collect()), controls: Arc::new(controls), read: Some(read) };
        self.note(&before.controls, &told.controls);
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = told.clone();
        self.again.notify_waiters();
        Ok(told)
    }

    fn note(&self, before: &Controls, now: &Controls) {
        let counters = &self.pipeline.counters;
        counters.paused.set(now.pause.is_some().into());
        counters.parked_groups.set(now.parked.len());
        match (before.pause.is_some(), now.pause.is_some()) {
            (false, true) => Alert::Paused.raise(counters),
            (true, false) => Alert::Resumed.raise(counters),
            _ => {}
        }
    }
}
