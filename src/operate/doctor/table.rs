//! The hot table: its key, index, expiry, encryption, capacity and recovery.

use aws_sdk_dynamodb::types::{
    BillingMode, GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, PointInTimeRecoveryStatus,
    ProjectionType, SseStatus, TableDescription, TableStatus, TimeToLiveStatus,
};

use super::{Finding, finding::code};
use crate::{
    config::HotConfig,
    operate::{
        clients,
        definition::{Definition, IndexShape, KeyShape, TableShape},
    },
};

const REACHABLE: &str = "table";
const KEY: &str = "table key";
const EXPIRY: &str = "table expiry";
const INDEX: &str = "table index";
const ENCRYPTION: &str = "table encryption";
const CAPACITY: &str = "table capacity";
const RECOVERY: &str = "table recovery";
const NOTHING_KEPT: &str = "nothing can be stored";
const WAIT: &str = "wait until it is ACTIVE, then look again";
const MAKE_ANEW: &str =
    "make a table as infra/conversationd.yaml says, conversationd provision, and set DYNAMODB_MESSAGE_TABLE to it";

/// Looks at all of it.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let table = match HotConfig::read(get) {
        Ok(HotConfig::DynamoDb(table)) => table,
        Ok(HotConfig::Postgres { .. }) => {
            return vec![Finding::ok(REACHABLE, "none: the archive's database is the hot store")];
        }
        Err(_) => return vec![Finding::not_looked_at(REACHABLE)],
    };
    let dynamodb = clients(None, table.region.clone()).await.dynamodb;
    let shape = Definition::with_prefix(&table.name).and_then(|definition| definition.table());
    let described = dynamodb.describe_table().table_name(&table.name).send();
    let expiry = dynamodb.describe_time_to_live().table_name(&table.name).send();
    let backups = dynamodb.describe_continuous_backups().table_name(&table.name).send();
    let (described, expiry, backups) = tokio::join!(described, expiry, backups);
    let found = match described {
        Ok(described) => described.table,
        Err(failure) => {
            let mut finding =
                Finding::unanswered(REACHABLE, &failure, "DYNAMODB_MESSAGE_TABLE", "dynamodb:DescribeTable");
            finding.found = format!("{}: {}", table.name, finding.found);
            return vec![finding];
        }
    };
    let Ok(shape) = shape else {
        let found = "not compared: infra/conversationd.yaml is not as this program expects it";
        let why = "a table that differs is not noticed";
        return vec![Finding::warning(REACHABLE, found, why, "build this program from a clean checkout")];
    };
    let mut findings = Vec::new();
    if let Some(found) = found {
        findings.push(active(&table.name, found.table_status.as_ref()));
        findings.push(key(&shape, &found));
        findings.extend(shape.global_secondary_indexes.iter().map(|index| self::index(&shape, index, &found)));
        findings.push(encryption(&found));
        findings.push(capacity(&found));
    }
    findings.push(match expiry {
        Ok(expiry) => {
            let expiry = expiry.time_to_live_description;
            let status = expiry.as_ref().and_then(|expiry| expiry.time_to_live_status.clone());
            let attribute = expiry.and_then(|expiry| expiry.attribute_name);
            self::expiry(&shape, status.as_ref(), attribute.as_deref())
        }
        Err(failure) => Finding::unanswered(EXPIRY, &failure, "DYNAMODB_MESSAGE_TABLE", "dynamodb:DescribeTimeToLive"),
    });
    findings.push(match backups {
        Ok(backups) => {
            let recovery = backups.continuous_backups_description.and_then(|it| it.point_in_time_recovery_description);
            self::recovery(recovery.and_then(|it| it.point_in_time_recovery_status).as_ref())
        }
        // an emulator may not know the question
        Err(failure) if code(&failure).is_some_and(|code| code.contains("UnknownOperation")) => self::recovery(None),
        Err(failure) => {
            Finding::unanswered(RECOVERY, &failure, "DYNAMODB_MESSAGE_TABLE", "dynamodb:DescribeContinuousBackups")
        }
    });
    findings
}

fn active(name: &str, status: Option<&TableStatus>) -> Finding {
    match status {
        Some(TableStatus::Active | TableStatus::Updating) => Finding::ok(REACHABLE, format!("{name} is active")),
        status => {
            let status = status.map_or("unknown", TableStatus::as_str);
            Finding::fault(REACHABLE, format!("{name} is {status}"), NOTHING_KEPT, WAIT)
        }
    }
}

fn same_key(wanted: &[KeyShape], found: &[KeySchemaElement]) -> bool {
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            wanted.attribute_name == found.attribute_name() && wanted.key_type == found.key_type().as_str()
        })
}

/// Whether the parts of a key are of the types that the definition gives them.
fn typed(shape: &TableShape, key: &[KeyShape], found: &TableDescription) -> bool {
    let in_key = |name: &str| key.iter().any(|part| part.attribute_name == name);
    shape.attribute_definitions.iter().filter(|wanted| in_key(&wanted.attribute_name)).all(|wanted| {
        found.attribute_definitions().iter().any(|found| {
            wanted.attribute_name == found.attribute_name() && wanted.attribute_type == found.attribute_type().as_str()
        })
    })
}

fn key(shape: &TableShape, found: &TableDescription) -> Finding {
    if typed(shape, &shape.key_schema, found) && same_key(&shape.key_schema, found.key_schema()) {
        let parts: Vec<&str> = shape.key_schema.iter().map(|part| part.attribute_name.as_str()).collect();
        return Finding::ok(KEY, parts.join(" and "));
    }
    Finding::fault(KEY, "other than infra/conversationd.yaml says", NOTHING_KEPT, MAKE_ANEW)
}

fn index(table: &TableShape, shape: &IndexShape, found: &TableDescription) -> Finding {
    let name = &shape.index_name;
    let why = "no conversation is ever closed by the timer";
    let index = found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
    let Some(index) = index else {
        return Finding::fault(
            INDEX,
            format!("there is no index {name}"),
            why,
            "deploy infra/conversationd.yaml again",
        );
    };
    let same = typed(table, &shape.key_schema, found) && same_key(&shape.key_schema, index.key_schema());
    if !same || !carries(shape, index) {
        let found = format!("{name} has another key, or carries less, than infra/conversationd.yaml says");
        return Finding::fault(INDEX, found, why, "remove the index and deploy infra/conversationd.yaml again");
    }
    match index.index_status() {
        Some(IndexStatus::Active | IndexStatus::Updating) => Finding::ok(INDEX, format!("{name} is active")),
        status => {
            let status = status.map_or("unknown", IndexStatus::as_str);
            Finding::fault(INDEX, format!("{name} is {status}"), why, WAIT)
        }
    }
}

fn carries(shape: &IndexShape, index: &GlobalSecondaryIndexDescription) -> bool {
    let Some(projection) = index.projection() else { return false };
    let has = |wanted: &String| projection.non_key_attributes().contains(wanted);
    projection.projection_type() == Some(&ProjectionType::All) || shape.projection.non_key_attributes.iter().all(has)
}

fn expiry(shape: &TableShape, status: Option<&TimeToLiveStatus>, attribute: Option<&str>) -> Finding {
    let wanted = shape.time_to_live_specification.attribute_name.as_str();
    let why = "messages of closed conversations are kept, and paid for, for ever";
    match (status, attribute) {
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(attribute)) if attribute == wanted => {
            Finding::ok(EXPIRY, format!("by {wanted}"))
        }
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), attribute) => {
            let found = format!("by {}, not by {wanted}", attribute.unwrap_or("nothing"));
            Finding::fault(EXPIRY, found, why, format!("turn TTL off, and on again with the attribute {wanted}"))
        }
        _ => {
            let advice = format!(
                "aws dynamodb update-time-to-live --table-name \"$DYNAMODB_MESSAGE_TABLE\" \
                 --time-to-live-specification Enabled=true,AttributeName={wanted}"
            );
            Finding::fault(EXPIRY, "off", why, advice)
        }
    }
}

/// DynamoDB encrypts every table; only a key of one's own can be lost. A table by AWS's own key describes nothing.
fn encryption(found: &TableDescription) -> Finding {
    let described = found.sse_description();
    let lost = described.is_some_and(|it| it.inaccessible_encryption_date_time().is_some())
        || found.table_status() == Some(&TableStatus::InaccessibleEncryptionCredentials);
    if lost {
        let advice = "aws kms enable-key, and let DynamoDB use it again: after seven days the table is archived";
        return Finding::fault(ENCRYPTION, "its KMS key cannot be used", NOTHING_KEPT, advice);
    }
    let by_key = described.and_then(|it| it.status()).is_some_and(|status| {
        matches!(status, SseStatus::Enabled | SseStatus::Enabling | SseStatus::Updating) // by a key in KMS
    });
    Finding::ok(ENCRYPTION, if by_key { "by a KMS key" } else { "by DynamoDB's own key" })
}

fn capacity(found: &TableDescription) -> Finding {
    match found.billing_mode_summary().and_then(|summary| summary.billing_mode()) {
        Some(BillingMode::Provisioned) => {
            let why = "a busy hour is throttled, and its groups wait";
            let advice =
                "aws dynamodb update-table --table-name \"$DYNAMODB_MESSAGE_TABLE\" --billing-mode PAY_PER_REQUEST";
            Finding::warning(CAPACITY, "provisioned", why, advice)
        }
        _ => Finding::ok(CAPACITY, "on demand"),
    }
}

fn recovery(status: Option<&PointInTimeRecoveryStatus>) -> Finding {
    match status {
        Some(PointInTimeRecoveryStatus::Disabled) => {
            let why = "what somebody deletes or overwrites of conversations in progress cannot be brought back";
            let advice = "aws dynamodb update-continuous-backups --table-name \"$DYNAMODB_MESSAGE_TABLE\" \
                          --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true";
            Finding::warning(RECOVERY, "off", why, advice)
        }
        Some(_) => Finding::ok(RECOVERY, "to any point in time"),
        None => Finding::ok(RECOVERY, "the table does not tell"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    fn shape() -> TableShape {
        Definition::with_prefix("t").and_then(|definition| definition.table()).expect("a table")
    }

    #[test]
    fn an_expiry_by_another_attribute_or_none_is_a_fault() {
        let enabled = Some(&TimeToLiveStatus::Enabled);
        for (status, attribute, level) in [
            (enabled, Some("expires_at"), Level::Ok),
            (Some(&TimeToLiveStatus::Enabling), Some("expires_at"), Level::Ok),
            (enabled, Some("ttl"), Level::Fault),
            (Some(&TimeToLiveStatus::Disabled), Some("expires_at"), Level::Fault),
            (None, None, Level::Fault),
        ] {
            assert_eq!(expiry(&shape(), status, attribute).level, level, "{status:?} {attribute:?}");
        }
    }

    #[test]
    fn a_table_without_its_key_or_its_index_is_at_fault() {
        let bare = TableDescription::builder().build();
        assert_eq!(key(&shape(), &bare).level, Level::Fault);
        assert_eq!(index(&shape(), &shape().global_secondary_indexes[0], &bare).level, Level::Fault);
        assert_eq!(active("t", Some(&TableStatus::Creating)).level, Level::Fault);
    }

    #[test]
    fn a_table_says_whether_its_key_is_lost_its_capacity_bounded_and_its_past_kept() {
        use aws_sdk_dynamodb::types::BillingModeSummary;
        let bare = TableDescription::builder().build();
        assert_eq!([encryption(&bare).level, capacity(&bare).level, recovery(None).level], [Level::Ok; 3]);
        let lost = TableDescription::builder().table_status(TableStatus::InaccessibleEncryptionCredentials).build();
        assert_eq!(encryption(&lost).level, Level::Fault);
        let mode = BillingModeSummary::builder().billing_mode(BillingMode::Provisioned).build();
        assert_eq!(capacity(&TableDescription::builder().billing_mode_summary(mode).build()).level, Level::Warning);
        assert_eq!(recovery(Some(&PointInTimeRecoveryStatus::Disabled)).level, Level::Warning);
        assert_eq!(recovery(Some(&PointInTimeRecoveryStatus::Enabled)).level, Level::Ok);
    }
}
