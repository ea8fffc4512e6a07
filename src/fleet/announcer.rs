//! Writing the row of this replica, and reading those of all.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::beat::{Beat, Levels, Recent, State, buckets};
use crate::{
    clock::Clock,
    counters::{Counters, Spread, Totals},
    domain::Sequence,
    hot::{HotError, HotStore, Row},
};

/// A replica that said nothing for so long is gone.
const KEPT: TimeDelta = TimeDelta::minutes(5);

/// What is recent.
const RECENT: TimeDelta = TimeDelta::seconds(60);

/// Projects named in a row.
const PROJECTS: usize = 8;

/// How long a write may take; the next says all of it again.
const PATIENCE: Duration = Duration::from_secs(3);

/// The numbers at one moment, to tell what came after.
struct Look {
    at: DateTime<Utc>,
    totals: Totals,
    turns: Spread,
    ages: Spread,
    projects: HashMap<String, u64>,
}

/// Which process speaks.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Its name, that no other has.
    pub name: String,
    /// The machine or pod it runs on.
    pub host: String,
    /// Its release, as `--version` tells it.
    pub version: &'static str,
}

/// Says how this replica is.
pub struct Announcer {
    hot: Arc<dyn HotStore>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    speaker: Speaker,
    every: Duration,
    started_at: DateTime<Utc>,
    /// Looks of the last minute, and the one before them.
    looks: Mutex<VecDeque<Look>>,
}

/// What names of rows begin with.
const ROW: &str = "R#";

/// Where the rows of a day stand.
fn partition(at: DateTime<Utc>) -> String {
    format!("REPLICAS#{}", at.date_naive())
}

impl Announcer {
    /// Of the process `speaker`, which counts into `counters` and starts now; it says how it is `every` so often.
    pub fn new(
        hot: Arc<dyn HotStore>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
        speaker: Speaker,
        every: Duration,
    ) -> Self {
        let started_at = clock.now();
        Self { hot, counters, clock, speaker, every, started_at, looks: Mutex::default() }
    }

    /// Says it until `ended`, and then that it has stopped. Once `stop` was asked for it is draining.
    pub async fn run(&self, stop: CancellationToken, ended: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let state = tokio::select! {
                biased;
                () = ended.cancelled() => State::Stopped,
                _ = ticks.tick() => if stop.is_cancelled() { State::Draining } else { State::Running },
            };
            match timeout(PATIENCE, self.announce(state)).await {
                Ok(Ok(())) => {}
                Ok(Err(failure)) => debug!(error = %failure, "how this replica is could not be written"),
                Err(_) => debug!("how this replica is could not be written in time"),
            }
            if state == State::Stopped {
                return;
            }
        }
    }

    /// Says it once: one conditional write of about a kilobyte.
    ///
    /// # Errors
    /// The hot store does not take it.
    pub async fn announce(&self, state: State) -> Result<(), HotError> {
        let beat = self.beat(state);
        let body = serde_json::to_string(&beat).map_err(|_| HotError::Unreadable("beat"))?;
        let rank = u128::try_from(beat.at.timestamp_millis()).unwrap_or_default();
        let row = Row {
            partition: partition(beat.at),
            name: format!("{ROW}{}", self.speaker.name),
            body,
            rank: Sequence(rank),
            expires_at: beat.at + KEPT,
        };
        self.hot.write_row(&row).await.map(|_| ())
    }

    fn beat(&self, state: State) -> Beat {
        let at = self.clock.now();
        let look = Look {
            at,
            totals: self.counters.totals(),
            turns: self.counters.turn_duration.get(),
            ages: self.counters.queue_age.get(),
            projects: self.counters.projects.take(),
        };
        let totals = look.totals;
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        looks.push_back(look);
        // the first that stays is the latest of those that are old enough, so that a minute is told as soon as one has passed
        while looks.len() > 2 && looks.get(1).is_some_and(|second| at - second.at >= RECENT) {
            looks.pop_front();
        }
        let recent = recent(&looks, self.started_at);
        Beat {
            name: self.speaker.name.clone(),
            host: self.speaker.host.clone(),
            version: self.speaker.version.to_owned(),
            state,
            started_at: self.started_at,
            at,
            every: self.every.as_secs(),
            totals,
            levels: Levels::of(&self.counters),
            recent,
        }
    }
}

/// From the first look to the last; from the start, as long as there is but one.
fn recent(looks: &VecDeque<Look>, started_at: DateTime<Utc>) -> Recent {
    let Some(last) = looks.back() else { return Recent::default() };
    let first = looks.front().filter(|_| looks.len() > 1);
    let since = first.map_or(started_at, |first| first.at);
    let mut projects: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in looks.iter().skip(usize::from(first.is_some())).flat_map(|look| &look.projects) {
        *projects.entry(name).or_default() += count;
    }
    let mut projects: Vec<(String, u64)> = projects.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    projects.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    projects.truncate(PROJECTS);
    Recent {
        seconds: (last.at - since).num_milliseconds() as f64 / 1_000.0,
        totals: last.totals.since(&first.map_or_else(Totals::default, |first| first.totals)),
        turns: buckets(&last.turns, first.map(|first| &first.turns)),
        ages: buckets(&last.ages, first.map(|first| &first.ages)),
        projects,
    }
}

/// What replicas said within the last minutes before `now`, the longest running first. What this release cannot read is left
/// out.
///
/// # Errors
/// The hot store cannot be read.
pub async fn beats(hot: &dyn HotStore, now: DateTime<Utc>) -> Result<Vec<Beat>, HotError> {
    let (today, before) = (partition(now), partition(now - KEPT));
    let mut rows = hot.rows(&today, ROW).await?;
    if before != today {
        rows.extend(hot.rows(&before, ROW).await?);
    }
    let mut latest: BTreeMap<String, Beat> = BTreeMap::new();
    for beat in rows.iter().filter_map(|row| serde_json::from_str::<Beat>(&row.body).ok()) {
        if now - beat.at < KEPT && latest.get(&beat.name).is_none_or(|other| other.at < beat.at) {
            latest.insert(beat.name.clone(), beat);
        }
    }
    let mut beats: Vec<Beat> = latest.into_values().collect();
    beats.sort_by(|one, other| (one.started_at, &one.name).cmp(&(other.started_at, &other.name)));
    Ok(beats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seconds: i64, messages: u64, projects: &[(&str, u64)]) -> Look {
        let counters = Counters::default();
        Look {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            totals: Totals { messages, ..Totals::default() },
            turns: counters.turn_duration.get(),
            ages: counters.queue_age.get(),
            projects: projects.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        }
    }

    #[test]
    fn the_last_minute_is_told_by_what_came_after_its_first_look() {
        let looks = VecDeque::from([
            look(10, 5, &[("before", 5)]),
            look(20, 8, &[("p", 3)]),
            look(70, 20, &[("p", 1), ("q", 11)]),
        ]);
        let told = recent(&looks, DateTime::UNIX_EPOCH);
        assert_eq!((told.seconds, told.totals.messages), (60.0, 15));
        assert_eq!(told.projects, [("q".to_owned(), 11), ("p".to_owned(), 4)]);
    }

    #[test]
    fn a_first_look_tells_all_since_the_start() {
        let told = recent(&VecDeque::from([look(10, 5, &[("p", 5)])]), DateTime::UNIX_EPOCH);
        assert_eq!((told.seconds, told.totals.messages, told.projects.len()), (10.0, 5, 1));
    }
}
