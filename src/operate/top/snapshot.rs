//! What is known of the fleet at one moment. The view is made of it and of nothing else.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::fleet::{Beat, State};

/// What could be read, or why it could not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    /// It was.
    Known(T),
    /// It was not; why.
    Unknown(String),
}

impl<T> Part<T> {
    /// What is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}

/// The fleet at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When.
    pub at: DateTime<Utc>,
    /// The inbound queue.
    pub queue: Part<Depth>,
    /// The dead-letter queue.
    pub dead_letter_queue: Part<Depth>,
    /// What replicas said of themselves within the last five minutes.
    pub replicas: Part<Vec<Beat>>,
    /// What they are told.
    pub told: Part<Told>,
    /// What the index of dead letters holds.
    pub letters: Part<Letters>,
    /// Outside systems, as all replicas know them.
    pub sinks: Part<Vec<Outlet>>,
    /// Messages stored a second, all replicas together, oldest first; empty in a still picture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trend: Vec<u64>,
}

/// How much a queue holds, by its own count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    /// Waiting.
    pub waiting: u64,
    /// In somebody's hands.
    pub in_flight: u64,
}

/// What operators told the replicas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Since when consuming is paused.
    pub paused_since: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<String>,
    /// Groups parked.
    pub parked: u64,
}

/// Dead letters that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letters {
    /// How many.
    pub waiting: u64,
    /// When the queue took the oldest.
    pub oldest: Option<DateTime<Utc>>,
    /// By reason, the most first.
    pub by_reason: Vec<Reason>,
    /// When the index was read: seldom, for it is long.
    pub read_at: Option<DateTime<Utc>>,
}

/// Why letters died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// In a word.
    pub code: String,
    /// Their event type.
    pub event_type: Option<String>,
    /// The field at fault.
    pub field: Option<String>,
    /// How many.
    pub count: u64,
    /// When the queue took the latest.
    pub latest: DateTime<Utc>,
}

/// A sink.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// What kind of outside system it is.
    pub kind: String,
    /// `enabled`, `paused`, `disabled` or `removed`.
    pub state: String,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
    /// Notices that wait.
    pub pending: u64,
    /// When the longest due came up.
    pub oldest_due: Option<DateTime<Utc>>,
    /// Lanes that wait for an operator.
    pub parked: u64,
    /// Notices given up.
    pub dead: u64,
}

impl Snapshot {
    /// What replicas said, of those that run, as far as they say so.
    pub fn running(&self) -> impl Iterator<Item = &Beat> {
        let runs = |beat: &&Beat| beat.state != State::Stopped && !beat.is_silent(self.at);
        self.replicas.known().into_iter().flatten().filter(runs)
    }

    /// Something a second, over the last minute, of all replicas that run.
    pub fn rate(&self, of: impl Fn(&Beat) -> u64) -> f64 {
        let each = |beat: &Beat| of(beat) as f64 / beat.recent.seconds;
        self.running().filter(|beat| beat.recent.seconds > 0.0).map(each).sum()
    }

    /// A sum over all replicas that are known, stopped ones too.
    pub fn total(&self, of: impl Fn(&Beat) -> u64) -> u64 {
        self.replicas.known().into_iter().flatten().map(of).sum()
    }

    /// What the calls of the replicas that are known have cost, in US dollars, at least and by list prices of us-east-1: each
    /// call to SQS $0.50 a million (calls of more than 64 KB count more), each message stored one write of $0.625 a million
    /// (more than 1 KB count more), each other call to DynamoDB one read of $0.125 a million.
    pub fn cost(&self) -> f64 {
        let sqs = self.total(|beat| beat.totals.sqs_calls) as f64;
        let stored = self.total(|beat| beat.totals.messages) as f64;
        let dynamodb = self.total(|beat| beat.totals.dynamodb_calls) as f64;
        (sqs * 0.50 + stored * 0.625 + dynamodb * 0.125) / 1e6
    }
}
