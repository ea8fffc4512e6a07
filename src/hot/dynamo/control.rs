//! What operators and replicas tell all replicas: one partition of the table.

use std::collections::HashMap;

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use chrono::{DateTime, Utc};

use super::{DynamoStore, error};
use crate::hot::{
    Control, Controls, HotError,
    control::{LIFTED_KEPT, TOLD},
    item::{EXPIRES_AT, Item, PK, SK, number, string, text},
};

const CONTROL: &str = "CONTROL";
const LIFTED_AT: &str = "lifted_at";

impl DynamoStore {
    pub(super) async fn read_controls(&self) -> Result<Controls, HotError> {
        let (mut controls, mut after) = (Controls::default(), None);
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query.key_condition_expression("pk = :control");
            let query = query.expression_attribute_values(":control", text(CONTROL));
            let got = query.set_exclusive_start_key(after).send().await.map_err(error)?;
            got.items().iter().try_for_each(|item| add(&mut controls, item))?;
            after = got.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(controls);
            }
        }
    }

    pub(super) async fn write_control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        let code = if control.tells() {
            let put = self.client.put_item().table_name(&self.table).set_item(Some(item(control)?));
            let put = match control {
                Control::Skip(..) => put,
                _ => put
                    .condition_expression("attribute_not_exists(#pk) or attribute_exists(#lifted_at)")
                    .expression_attribute_names("#pk", PK)
                    .expression_attribute_names("#lifted_at", LIFTED_AT),
            };
            put.send().await.map(|_| ()).map_err(|failure| (failure.code() == Some(CONDITION), error(failure)))
        } else {
            let lift = self.client.update_item().table_name(&self.table).set_key(Some(key(control)));
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

fn key(control: &Control) -> Item {
    HashMap::from([(PK.to_owned(), text(CONTROL)), (SK.to_owned(), text(control.name()))])
}

fn item(control: &Control) -> Result<Item, HotError> {
    let mut item = key(control);
    item.insert(TOLD.to_owned(), text(control.told()?));
    if let Some(until) = control.holds_until() {
        item.insert(EXPIRES_AT.to_owned(), number(until.timestamp()));
    }
    Ok(item)
}

/// Adds the row `item`, if it is in force.
fn add(controls: &mut Controls, item: &Item) -> Result<(), HotError> {
    if item.contains_key(LIFTED_AT) {
        return Ok(());
    }
    controls.add_row(string(item, SK)?, string(item, TOLD)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hot::{Parked, Pause, Skip};

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
            add(&mut controls, &item(control).expect("an item")).expect("read");
            let mut lifted = item(control).expect("an item");
            lifted.insert(LIFTED_AT.into(), number(1));
            let mut others = Controls::default();
            add(&mut others, &lifted).expect("read");
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
            assert_eq!(key(&told), key(&lifted));
        }
    }
}
