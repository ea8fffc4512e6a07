//! What operators and replicas tell all replicas: that consuming is paused, which groups are parked, which failing heads are
//! to be given up.
//!
//! One small partition, read whole every few seconds. Nothing is deleted: a row is lifted by a mark, and leaves by TTL.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    DynamoStore, HotError,
    dynamo::error,
    item::{EXPIRES_AT, Item, PK, SK, number, string, text},
};

/// The oldest list of controls that a replica may act upon: after so long, every replica acts on a change.
pub const HEARD_WITHIN: Duration = Duration::from_secs(10);

/// How long a lifted row stays to be read by people.
pub(super) const LIFTED_KEPT: TimeDelta = TimeDelta::hours(1);

/// How long a wish to give up a head holds: longer than any head is hidden, 22 minutes.
pub const SKIP_HOLDS: TimeDelta = TimeDelta::hours(1);

const CONTROL: &str = "CONTROL";
const PAUSE: &str = "PAUSE";
const PARKED: &str = "PARKED#";
const SKIP: &str = "SKIP#";
const TOLD: &str = "told";
const LIFTED_AT: &str = "lifted_at";

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

    fn key(&self) -> Item {
        HashMap::from([(PK.to_owned(), text(CONTROL)), (SK.to_owned(), text(self.name()))])
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

    fn item(&self) -> Result<Item, HotError> {
        let mut item = self.key();
        item.insert(TOLD.to_owned(), text(self.told()?));
        if let Some(until) = self.holds_until() {
            item.insert(EXPIRES_AT.to_owned(), number(until.timestamp()));
        }
        Ok(item)
    }
}

impl Controls {
    /// Adds the row `item`, if it is in force.
    fn add(&mut self, item: &Item) -> Result<(), HotError> {
        if item.contains_key(LIFTED_AT) {
            return Ok(());
        }
        self.add_row(string(item, SK)?, string(item, TOLD)?)
    }

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

impl DynamoStore {
    pub(super) async fn read_controls(&self) -> Result<Controls, HotError> {
        let (mut controls, mut after) = (Controls::default(), None);
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query.key_condition_expression("pk = :control");
            let query = query.expression_attribute_values(":control", text(CONTROL));
            let got = query.set_exclusive_start_key(after).send().await.map_err(error)?;
            got.items().iter().try_for_each(|item| controls.add(item))?;
            after = got.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(controls);
            }
        }
    }

    pub(super) async fn write_control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        let code = if control.tells() {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(control.item()?));
            let put = match control {
                Control::Skip(..) => put,
                _ => put
                    .condition_expression("attribute_not_exists(#pk) or attribute_exists(#lifted_at)")
                    .expression_attribute_names("#pk", PK)
                    .expression_attribute_names("#lifted_at", LIFTED_AT),
            };
            put.send().await.map(|_| ()).map_err(|failure| (failure.code() == Some(CONDITION), error(failure)))
        } else {
            let lift = self.client.update_item().table_name(&self.table).set_key(Some(control.key()));
            let lift = lift
                .condition_expression("attribute_exists(#pk) and attribute_not_exists(#lifted_at)")
                .update_expression("set #lifted_at = :at, #expires_at = :until")
                .expression_attribute_names("#pk", PK)
                .expression_attribute_names("#lifted_at", LIFTED_AT)
                .expression_attribute_names("#expires_at", EXPIRES_AT)
                .expression_attribute_values(":at", number(at.timestamp_millis()))
                .expression_attribute_values(":until", number((at + LIFTED_KEPT).timestamp()));
            lift.send().await.map(|_| ()).map_err(|failure| (failure.code() == Some(CONDITION), error(failure)))
        };
        match code {
            Ok(()) => Ok(true),
            Err((true, _)) => Ok(false),
            Err((false, failure)) => Err(failure),
        }
    }
}

const CONDITION: &str = "ConditionalCheckFailedException";

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_240_800, 0).expect("in range")
    }

    fn parked() -> Parked {
        Parked { at: at(), message_id: "m".into(), event_type: "due".into(), reason: "it failed".into() }
    }

    #[test]
    fn what_is_told_reads_back_until_it_is_lifted() {
        let mut controls = Controls::default();
        let pause = Pause { at: at(), reason: Some("a deployment".into()) };
        let told = [
            Control::Pause(pause.clone()),
            Control::Park("p:c#:x".into(), parked()),
            Control::Skip("m".into(), Skip { at: at() }),
        ];
        for control in &told {
            controls.add(&control.item().expect("an item")).expect("read");
            let mut lifted = control.item().expect("an item");
            lifted.insert(LIFTED_AT.into(), number(1));
            let mut others = Controls::default();
            others.add(&lifted).expect("read");
            assert_eq!(others, Controls::default());
        }
        let expected = Controls {
            pause: Some(pause),
            parked: [("p:c#:x".to_owned(), parked())].into(),
            skips: [("m".to_owned(), Skip { at: at() })].into(),
        };
        assert_eq!(controls, expected);
    }

    #[test]
    fn what_lifts_has_the_key_of_what_it_lifts() {
        for (told, lifted) in [
            (Control::Pause(Pause { at: at(), reason: None }), Control::Resume),
            (Control::Park("g".into(), parked()), Control::Unpark("g".into())),
            (Control::Skip("g".into(), Skip { at: at() }), Control::Skipped("g".into())),
        ] {
            assert_eq!(told.key(), lifted.key());
        }
    }
}
