//! What operators and replicas tell all replicas: that consuming is paused, which groups are parked, which failing heads are
//! to be given up.
//!
//! One small partition, read whole every few seconds. Nothing is deleted: a row is lifted by a mark, and leaves by TTL.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::HotError;

/// The oldest list of controls that a replica may act upon: after so long, every replica acts on a change.
pub const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// How long a lifted row stays to be read by people.
pub(super) const LIFTED_KEPT: TimeDelta = TimeDelta::hours(1);

/// How long a wish to give up a head holds: longer than any head is hidden, 22 minutes.
pub const SKIP_HOLDS: TimeDelta = TimeDelta::hours(1);

const PAUSE: &str = "PAUSE";
const PARKED: &str = "PARKED#";
const SKIP: &str = "SKIP#";
pub(super) const TOLD: &str = "told";

/// Everything in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// Consuming is paused.
    pub pause: Option<Pause>,
    /// Parked groups, by FIFO group; it may name a person.
    pub parked: BTreeMap<String, Parked>,
    /// Heads to be given up at their next failure, by FIFO group or by SQS's id of the message.
    pub skips: BTreeMap<String, Skip>,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when.
    pub at: DateTime<Utc>,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Why a group is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// Since when.
    pub at: DateTime<Utc>,
    /// SQS's id of the message that failed too often: names the group for people, and names nobody.
    pub message_id: String,
    /// Its event type.
    pub event_type: String,
    /// Why it failed, in a sentence.
    pub reason: String,
}

/// A wish to give up the head of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// When it was said: a message that the queue took later is not meant.
    pub at: DateTime<Utc>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Stop polling.
    Pause(Pause),
    /// Poll again.
    Resume,
    /// Park a group.
    Park(String, Parked),
    /// Let it go on.
    Unpark(String),
    /// Give up a group's head, or the message of this id, when it fails the next time.
    Skip(String, Skip),
    /// That was done, or is not wanted any more.
    Skipped(String),
}

impl Control {
    /// Whether it tells something, or lifts what was told.
    pub(super) fn tells(&self) -> bool {
        matches!(self, Self::Pause(_) | Self::Park(..) | Self::Skip(..))
    }

    /// The name of its row.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Pause(_) | Self::Resume => PAUSE.to_owned(),
            Self::Park(group, _) | Self::Unpark(group) => format!("{PARKED}{group}"),
            Self::Skip(name, _) | Self::Skipped(name) => format!("{SKIP}{name}"),
        }
    }

    /// When its row may be forgotten though nothing lifted it.
    pub(super) fn holds_until(&self) -> Option<DateTime<Utc>> {
        match self {
            Self::Skip(_, skip) => Some(skip.at + SKIP_HOLDS + LIFTED_KEPT),
            _ => None,
        }
    }

    pub(super) fn told(&self) -> Result<String, HotError> {
        let told = match self {
            Self::Pause(pause) => serde_json::to_string(pause),
            Self::Park(_, parked) => serde_json::to_string(parked),
            Self::Skip(_, skip) => serde_json::to_string(skip),
            Self::Resume | Self::Unpark(_) | Self::Skipped(_) => Ok(String::new()),
        };
        told.map_err(|_| HotError::Unreadable(TOLD))
    }
}

impl Controls {
    /// Adds what the row `name` tells, which is in force. A row of another release is left out.
    pub(super) fn add_row(&mut self, name: &str, told: &str) -> Result<(), HotError> {
        if name == PAUSE {
            self.pause = Some(read(told)?);
        } else if let Some(group) = name.strip_prefix(PARKED) {
            self.parked.insert(group.to_owned(), read(told)?);
        } else if let Some(name) = name.strip_prefix(SKIP) {
            self.skips.insert(name.to_owned(), read(told)?);
        }
        Ok(())
    }
}

fn read<T: DeserializeOwned>(told: &str) -> Result<T, HotError> {
    serde_json::from_str(told).map_err(|_| HotError::Unreadable(TOLD))
}
