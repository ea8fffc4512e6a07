//! The hot table, its index and its expiry.

use aws_sdk_dynamodb::types::{
    GlobalSecondaryIndexDescription, IndexStatus, KeySchemaElement, ProjectionType, TableDescription, TableStatus,
    TimeToLiveStatus,
};

use super::Finding;
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
    let (described, expiry) = tokio::join!(described, expiry);
    let mut findings = Vec::new();
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
        return vec![Finding::warning(REACHABLE, found, "build this program from a clean checkout")];
    };
    if let Some(found) = found {
        findings.push(active(&table.name, found.table_status.as_ref()));
        findings.push(key(&shape, &found));
        findings.extend(shape.global_secondary_indexes.iter().map(|index| self::index(index, &found)));
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
    findings
}

fn active(name: &str, status: Option<&TableStatus>) -> Finding {
    match status {
        Some(TableStatus::Active | TableStatus::Updating) => Finding::ok(REACHABLE, format!("{name} is active")),
        status => {
            let status = status.map_or("unknown", TableStatus::as_str);
            Finding::fault(REACHABLE, format!("{name} is {status}"), "wait until it is ACTIVE, then look again")
        }
    }
}

fn same_key(wanted: &[KeyShape], found: &[KeySchemaElement]) -> bool {
    wanted.len() == found.len()
        && wanted.iter().zip(found).all(|(wanted, found)| {
            wanted.attribute_name == found.attribute_name() && wanted.key_type == found.key_type().as_str()
        })
}

fn key(shape: &TableShape, found: &TableDescription) -> Finding {
    let types = shape.attribute_definitions.iter().all(|wanted| {
        found.attribute_definitions().iter().any(|found| {
            wanted.attribute_name == found.attribute_name() && wanted.attribute_type == found.attribute_type().as_str()
        })
    });
    if types && same_key(&shape.key_schema, found.key_schema()) {
        let parts: Vec<&str> = shape.key_schema.iter().map(|part| part.attribute_name.as_str()).collect();
        return Finding::ok(KEY, parts.join(" and "));
    }
    Finding::fault(KEY, "other than infra/conversationd.yaml says: nothing can be stored", MAKE_ANEW)
}

fn index(shape: &IndexShape, found: &TableDescription) -> Finding {
    let name = &shape.index_name;
    let index = found.global_secondary_indexes().iter().find(|index| index.index_name() == Some(name));
    let Some(index) = index else {
        let found = format!("there is no index {name}: no conversation is ever closed by the timer");
        return Finding::fault(INDEX, found, "deploy infra/conversationd.yaml again");
    };
    if !same_key(&shape.key_schema, index.key_schema()) || !carries(shape, index) {
        let found = format!("{name} has another key, or carries less, than infra/conversationd.yaml says");
        return Finding::fault(INDEX, found, "remove the index and deploy infra/conversationd.yaml again");
    }
    match index.index_status() {
        Some(IndexStatus::Active | IndexStatus::Updating) => Finding::ok(INDEX, format!("{name} is active")),
        status => {
            let status = status.map_or("unknown", IndexStatus::as_str);
            Finding::fault(INDEX, format!("{name} is {status}"), "wait until it is ACTIVE, then look again")
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
    match (status, attribute) {
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(attribute)) if attribute == wanted => {
            Finding::ok(EXPIRY, format!("by {wanted}"))
        }
        (Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), attribute) => {
            let found = format!("by {}, not by {wanted}", attribute.unwrap_or("nothing"));
            Finding::fault(EXPIRY, found, format!("turn TTL off, and on again with the attribute {wanted}"))
        }
        _ => {
            let advice = format!("turn TTL on with the attribute {wanted}: conversationd provision does");
            Finding::fault(EXPIRY, "off: messages of closed conversations are kept, and paid for, for ever", advice)
        }
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
        assert_eq!(index(&shape().global_secondary_indexes[0], &bare).level, Level::Fault);
        assert_eq!(active("t", Some(&TableStatus::Creating)).level, Level::Fault);
    }
}
