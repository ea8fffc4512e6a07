//! Whether the daemon lives: its loops are counted as they turn, and one that has not turned for long is stuck.
//!
//! For probes without a port the daemon writes what it sees into a small file, by write and rename, and
//! `conversationd health` reads it: a daemon whose runtime stands still writes nothing, and its file grows old.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::{
    fs,
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{clock::Clock, counters::Counters};

/// How often the daemon looks at its loops, and writes what it sees.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The inbound loop turns every second; its own calls end within ten.
const CONSUMER_PATIENCE: Duration = Duration::from_secs(60);

/// What one step of the timer may take beyond its period: a slow page after another.
const TIMER_PATIENCE: Duration = Duration::from_secs(300);

/// A status older than this says nothing about now.
pub const STALE_AFTER: Duration = Duration::from_secs(30);

/// How the daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its loops turn.
    Live,
    /// Its loops turn, and an operator has paused consuming.
    Paused,
    /// It was told to stop, and ends what runs.
    Draining,
    /// The inbound loop stands still.
    ConsumerStuck,
    /// The timer stands still.
    TimerStuck,
}

/// How the daemon was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When.
    pub at: DateTime<Utc>,
    /// How.
    pub state: State,
}

impl Status {
    /// One line: `Ok` when the daemon lives at `now`, else why not.
    ///
    /// # Errors
    /// It is stuck, or has said nothing for longer than `longest`.
    pub fn verdict(&self, now: DateTime<Utc>, longest: Duration) -> Result<String, String> {
        // a clock that was set back makes it as doubtful as one that went on
        let age = (now - self.at).abs();
        let seconds = age.num_seconds();
        if TimeDelta::from_std(longest).is_ok_and(|longest| age > longest) {
            return Err(format!("stale: the daemon said nothing for {seconds} s"));
        }
        match self.state {
            State::Live => Ok(format!("live, {seconds} s ago")),
            State::Paused => Ok(format!("paused, {seconds} s ago")),
            State::Draining => Ok(format!("draining, {seconds} s ago")),
            State::ConsumerStuck => Err(format!("stuck: the inbound loop has not turned for {CONSUMER_PATIENCE:?}")),
            State::TimerStuck => Err("stuck: the timer has not turned for far longer than its period".into()),
        }
    }
}

/// A count that must grow.
#[derive(Debug)]
struct Pulse {
    count: u64,
    since: Instant,
    patience: Duration,
}

impl Pulse {
    fn new(patience: Duration) -> Self {
        Self { count: 0, since: Instant::now(), patience }
    }

    fn beats(&mut self, count: u64) -> bool {
        if count != self.count {
            *self = Self { count, since: Instant::now(), patience: self.patience };
        }
        self.since.elapsed() <= self.patience
    }
}

/// What is known of the daemon's health, for whoever asks in this process.
pub struct Health {
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    status: Mutex<Status>,
    consumer: Mutex<Pulse>,
    timer: Mutex<Pulse>,
}

impl Health {
    /// Of the daemon whose loops count into `counters` and whose timer has this period. It is live to begin with.
    pub fn new(counters: Arc<Counters>, clock: Arc<dyn Clock>, period: Duration) -> Self {
        Self {
            counters,
            status: Mutex::new(Status { at: clock.now(), state: State::Live }),
            clock,
            consumer: Mutex::new(Pulse::new(CONSUMER_PATIENCE)),
            timer: Mutex::new(Pulse::new(period + TIMER_PATIENCE)),
        }
    }

    /// One line about now.
    ///
    /// # Errors
    /// As [`Status::verdict`].
    pub fn verdict(&self) -> Result<String, String> {
        self.status().verdict(self.clock.now(), STALE_AFTER)
    }

    /// What was seen last.
    pub fn status(&self) -> Status {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the loops until `ended`, and writes what it sees, if there is a file. Once `stop` was asked for it is draining.
    pub async fn watch(&self, file: Option<HealthFile>, stop: CancellationToken, ended: CancellationToken) {
        let mut looks = interval(LOOK_EVERY);
        looks.tick().await;
        let mut failing = false;
        loop {
            let status = self.look(stop.is_cancelled());
            if let Some(file) = &file {
                let written = file.write(&status).await;
                match &written {
                    Ok(()) if failing => info!("the health file is written again"),
                    Err(failure) if !failing => warn!(error = format!("{failure:#}"), "its readers will find it old"),
                    _ => {}
                }
                failing = written.is_err();
            }
            tokio::select! {
                biased;
                () = ended.cancelled() => break,
                () = stop.cancelled(), if status.state != State::Draining => {}
                _ = looks.tick() => {}
            }
        }
        if let Some(file) = file {
            file.remove().await;
        }
    }

    fn look(&self, draining: bool) -> Status {
        let beats = |pulse: &Mutex<Pulse>, count| pulse.lock().unwrap_or_else(PoisonError::into_inner).beats(count);
        let consumer = beats(&self.consumer, self.counters.rounds.get());
        let timer = beats(&self.timer, self.counters.timer_steps.get());
        let state = match (draining, consumer, timer) {
            (true, _, _) => State::Draining, // it ends by itself, or by its orchestrator's patience
            (false, false, _) => State::ConsumerStuck,
            (false, true, false) => State::TimerStuck,
            (false, true, true) if self.counters.paused.get() > 0 => State::Paused,
            (false, true, true) => State::Live,
        };
        let status = Status { at: self.clock.now(), state };
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
        status
    }
}

/// The file that a probe reads.
#[derive(Clone, Debug)]
pub struct HealthFile(PathBuf);

impl HealthFile {
    /// At this path.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Writes it beside and moves it into place: a reader sees a whole one, old or new.
    ///
    /// # Errors
    /// The folder is not there, or not ours to write.
    pub async fn write(&self, status: &Status) -> anyhow::Result<()> {
        let new = self.0.with_added_extension("new");
        let written = async {
            fs::write(&new, serde_json::to_vec(status)?).await?;
            anyhow::Ok(fs::rename(&new, &self.0).await?)
        };
        written.await.context("cannot write CONVERSATIOND_HEALTH_FILE; its folder must exist and be writable")
    }

    /// Takes it away: nothing runs any more. If that fails it grows old.
    pub async fn remove(&self) {
        let _ = fs::remove_file(&self.0).await;
    }

    /// What it says.
    ///
    /// # Errors
    /// It is not there, or says nothing: why, in one line.
    pub fn read(&self) -> Result<Status, String> {
        let text = std::fs::read(&self.0).map_err(|failure| match failure.kind() {
            ErrorKind::NotFound => "absent: no daemon writes CONVERSATIOND_HEALTH_FILE, or it has ended".to_owned(),
            kind => format!("unreadable: {kind}; this command needs the daemon's user and its mounts"),
        })?;
        serde_json::from_slice(&text).map_err(|_| "unreadable: not a status that this release writes".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A wall clock that goes with tokio's.
    struct Wall(Instant);

    impl Clock for Wall {
        fn now(&self) -> DateTime<Utc> {
            DateTime::UNIX_EPOCH + TimeDelta::from_std(self.0.elapsed()).expect("in range")
        }
    }

    fn health() -> Health {
        Health::new(Arc::default(), Arc::new(Wall(Instant::now())), Duration::from_secs(5))
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_does_not_turn_is_stuck_until_it_turns_again() {
        let health = health();
        assert_eq!(health.look(false).state, State::Live);
        advance(CONSUMER_PATIENCE + Duration::from_secs(1)).await;
        assert_eq!(health.look(false).state, State::ConsumerStuck);
        assert!(health.verdict().expect_err("stuck").contains("inbound loop"));
        health.counters.rounds.add(1);
        assert_eq!(health.look(false).state, State::Live);
        advance(TIMER_PATIENCE).await;
        health.counters.rounds.add(1);
        assert_eq!(health.look(false).state, State::TimerStuck);
        health.counters.timer_steps.add(1);
        assert_eq!(health.look(false).state, State::Live);
    }

    #[tokio::test(start_paused = true)]
    async fn a_paused_daemon_lives_and_a_stuck_one_is_stuck_though_paused() {
        let health = health();
        health.counters.paused.set(1);
        assert_eq!(health.look(false).state, State::Paused);
        assert_eq!(health.verdict(), Ok("paused, 0 s ago".into()));
        advance(CONSUMER_PATIENCE + Duration::from_secs(1)).await;
        assert_eq!(health.look(false).state, State::ConsumerStuck);
    }

    #[tokio::test(start_paused = true)]
    async fn a_daemon_that_drains_is_not_killed_for_it() {
        let health = health();
        advance(Duration::from_secs(3600)).await;
        assert_eq!(health.look(true).state, State::Draining);
        assert_eq!(health.verdict(), Ok("draining, 0 s ago".into()));
    }

    #[test]
    fn an_old_status_says_nothing_whatever_it_said() {
        let written = DateTime::UNIX_EPOCH;
        let verdict =
            |state, age| Status { at: written, state }.verdict(written + TimeDelta::seconds(age), STALE_AFTER);
        for (state, age, says) in [
            (State::Live, 0, Ok("live, 0 s ago")),
            (State::Live, 30, Ok("live, 30 s ago")),
            (State::Live, 31, Err("stale")),
            (State::Live, -31, Err("stale")),
            (State::Draining, 3, Ok("draining, 3 s ago")),
            (State::Draining, 31, Err("stale")),
            (State::ConsumerStuck, 0, Err("stuck: the inbound loop")),
            (State::TimerStuck, 0, Err("stuck: the timer")),
        ] {
            match (verdict(state, age), says) {
                (Ok(said), Ok(says)) => assert_eq!(said, says),
                (Err(said), Err(says)) => assert!(said.starts_with(says), "{said}"),
                (said, says) => panic!("{said:?} instead of {says:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_file_is_there_while_the_daemon_is() {
        let path = std::env::temp_dir().join(format!("conversationd-health-{}", std::process::id()));
        let file = HealthFile::at(&path);
        assert!(file.read().expect_err("absent").starts_with("absent"));
        let (health, stop, ended) = (Arc::new(health()), CancellationToken::new(), CancellationToken::new());
        let (watcher, tokens) = (health.clone(), (stop.clone(), ended.clone()));
        let watching = file.clone();
        let watch = tokio::spawn(async move { watcher.watch(Some(watching), tokens.0, tokens.1).await });
        let until = async |state| {
            while file.read().map(|status| status.state) != Ok(state) {
                tokio::task::yield_now().await;
            }
        };
        until(State::Live).await;
        stop.cancel();
        until(State::Draining).await;
        ended.cancel();
        watch.await.expect("it ends");
        assert!(file.read().expect_err("absent").starts_with("absent"));
        std::fs::write(&path, "{").expect("written");
        assert!(file.read().expect_err("cut off").starts_with("unreadable"));
        file.remove().await;
    }
}
