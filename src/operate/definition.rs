//! What queues, table and index look like: read from infra/conversationd.yaml, where it is said once for CloudFormation,
//! `provision`, the tests and `doctor` alike.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

/// The CloudFormation template.
const TEMPLATE: &str = include_str!("../../infra/conversationd.yaml");

/// The template with its prefix filled in.
#[derive(Debug)]
pub struct Definition {
    resources: BTreeMap<String, Resource>,
    prefix: String,
}

#[derive(Debug, Deserialize)]
struct Template {
    #[serde(rename = "Resources")]
    resources: BTreeMap<String, Resource>,
}

#[derive(Debug, Deserialize)]
struct Resource {
    #[serde(rename = "Properties")]
    properties: Value,
}

/// A queue's name and its attributes, under the names that SQS gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueShape {
    /// Name.
    pub name: String,
    /// Attributes, values as SQS writes them.
    pub attributes: BTreeMap<String, String>,
}

/// The table's shape.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TableShape {
    /// Name.
    pub table_name: String,
    /// Attributes that keys are made of.
    pub attribute_definitions: Vec<AttributeShape>,
    /// Key of the table.
    pub key_schema: Vec<KeyShape>,
    /// Its indexes.
    pub global_secondary_indexes: Vec<IndexShape>,
    /// What expires.
    pub time_to_live_specification: TimeToLiveShape,
}

/// An attribute and its type.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AttributeShape {
    /// Name.
    pub attribute_name: String,
    /// `S` or `N`.
    pub attribute_type: String,
}

/// A part of a key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyShape {
    /// Attribute.
    pub attribute_name: String,
    /// `HASH` or `RANGE`.
    pub key_type: String,
}

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexShape {
    /// Name.
    pub index_name: String,
    /// Its key.
    pub key_schema: Vec<KeyShape>,
    /// What it carries besides keys.
    pub projection: ProjectionShape,
}

/// What an index carries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ProjectionShape {
    /// `INCLUDE`, `ALL` or `KEYS_ONLY`.
    pub projection_type: String,
    /// The attributes included.
    #[serde(default)]
    pub non_key_attributes: Vec<String>,
}

/// Which attribute says when an item expires.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TimeToLiveShape {
    /// Attribute: epoch seconds.
    pub attribute_name: String,
}

impl Definition {
    /// The definition with names that begin with `prefix`.
    ///
    /// # Errors
    /// The template is not as this program expects it.
    pub fn with_prefix(prefix: &str) -> anyhow::Result<Self> {
        // YAML 1.2: `N` is DynamoDB's word for a number, not an old way to say no
        let options = serde_saphyr::options! { strict_booleans: true };
        let template: Template = serde_saphyr::from_str_with_options(TEMPLATE, options)
            .context("infra/conversationd.yaml cannot be read")?;
        Ok(Self { resources: template.resources, prefix: prefix.to_owned() })
    }

    /// The dead-letter queue.
    ///
    /// # Errors
    /// The template is not as this program expects it.
    pub fn dead_letter_queue(&self) -> anyhow::Result<QueueShape> {
        self.queue_shape("DeadLetterQueue", "")
    }

    /// The inbound queue, given the ARN of its dead-letter queue.
    ///
    /// # Errors
    /// The template is not as this program expects it.
    pub fn queue(&self, dead_letter_arn: &str) -> anyhow::Result<QueueShape> {
        self.queue_shape("Queue", dead_letter_arn)
    }

    /// The table.
    ///
    /// # Errors
    /// The template is not as this program expects it.
    pub fn table(&self) -> anyhow::Result<TableShape> {
        let properties = self.properties("Table", "")?;
        serde_json::from_value(properties).context("the table in infra/conversationd.yaml is not as expected")
    }

    /// What a managed policy of the template allows: resources by their names in it (`Table`, `Table/index/due`), each with the
    /// actions on it. A resource that is named by a pattern is left out: nobody knows which there are.
    ///
    /// # Errors
    /// The template is not as this program expects it.
    pub fn allowed(&self, policy: &str) -> anyhow::Result<Vec<(String, Vec<String>)>> {
        let properties =
            self.resources.get(policy).with_context(|| format!("infra/conversationd.yaml has no {policy}"))?;
        let statements = properties.properties["PolicyDocument"]["Statement"].as_array();
        let statements = statements.with_context(|| format!("{policy} in infra/conversationd.yaml allows nothing"))?;
        let listed = |value: &Value| value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
        let mut allowed = Vec::new();
        for statement in statements {
            let actions: Vec<String> =
                listed(&statement["Action"]).iter().filter_map(|action| action.as_str().map(str::to_owned)).collect();
            let resources = listed(&statement["Resource"]);
            allowed.extend(resources.iter().filter_map(resource).map(|resource| (resource, actions.clone())));
        }
        Ok(allowed)
    }

    fn queue_shape(&self, resource: &str, dead_letter_arn: &str) -> anyhow::Result<QueueShape> {
        let Value::Object(mut properties) = self.properties(resource, dead_letter_arn)? else {
            bail!("{resource} in infra/conversationd.yaml has no properties");
        };
        let name = match properties.remove("QueueName") {
            Some(Value::String(name)) => name,
            _ => bail!("{resource} in infra/conversationd.yaml has no QueueName"),
        };
        // CloudFormation's names of a queue's properties are SQS's names of its attributes
        let as_attribute = |value: Value| match value {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let attributes = properties.into_iter().map(|(name, value)| (name, as_attribute(value))).collect();
        Ok(QueueShape { name, attributes })
    }

    fn properties(&self, resource: &str, dead_letter_arn: &str) -> anyhow::Result<Value> {
        let found =
            self.resources.get(resource).with_context(|| format!("infra/conversationd.yaml has no {resource}"))?;
        Ok(self.resolved(found.properties.clone(), dead_letter_arn))
    }

    /// Fills in the intrinsic functions that queues and table use.
    fn resolved(&self, value: Value, dead_letter_arn: &str) -> Value {
        match value {
            Value::Object(map) => match map.iter().next() {
                Some((name, Value::String(text))) if name == "Fn::Sub" => {
                    Value::String(text.replace("${Prefix}", &self.prefix))
                }
                Some((name, _)) if name == "Fn::GetAtt" => Value::String(dead_letter_arn.to_owned()),
                _ => map.into_iter().map(|(name, value)| (name, self.resolved(value, dead_letter_arn))).collect(),
            },
            Value::Array(values) => values.into_iter().map(|value| self.resolved(value, dead_letter_arn)).collect(),
            plain => plain,
        }
    }
}

/// The name of the resource whose ARN this is, with what stands behind it.
fn resource(arn: &Value) -> Option<String> {
    let whole = |parts: &Value| parts[0].as_str().filter(|_| parts[1].as_str() == Some("Arn")).map(str::to_owned);
    let behind = |text: &Value| {
        let (name, rest) = text.as_str()?.strip_prefix("${")?.split_once(".Arn}")?;
        Some(format!("{name}{rest}"))
    };
    arn.get("Fn::GetAtt").and_then(whole).or_else(|| arn.get("Fn::Sub").and_then(behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_says_what_the_program_relies_on() {
        let definition = Definition::with_prefix("test").expect("template");
        let queue = definition.queue("arn:dlq").expect("queue");
        assert_eq!(queue.name, "test.fifo");
        assert_eq!(queue.attributes["FifoQueue"], "true");
        assert_eq!(queue.attributes["DeduplicationScope"], "messageGroup");
        assert_eq!(queue.attributes["RedrivePolicy"], r#"{"deadLetterTargetArn":"arn:dlq","maxReceiveCount":100}"#);
        assert_eq!(definition.dead_letter_queue().expect("dlq").name, "test-dlq.fifo");
        let table = definition.table().expect("table");
        assert_eq!(table.table_name, "test");
        assert_eq!(table.global_secondary_indexes[0].index_name, crate::hot::DUE_INDEX);
        assert_eq!(table.time_to_live_specification.attribute_name, "expires_at");
    }

    #[test]
    fn a_policy_is_read_by_resource() {
        let definition = Definition::with_prefix("test").expect("template");
        let daemon = definition.allowed("DaemonPolicy").expect("a policy");
        let on =
            |name: &str| daemon.iter().filter(|(on, _)| on == name).flat_map(|(_, it)| it.clone()).collect::<Vec<_>>();
        assert!(on("Queue").contains(&"sqs:ReceiveMessage".to_owned()));
        assert!(on("DeadLetterQueue").contains(&"sqs:SendMessage".to_owned()));
        assert!(on("Table/index/due").contains(&"dynamodb:Query".to_owned()));
        assert!(daemon.iter().all(|(on, _)| !on.contains('$')), "{daemon:?}");
        assert!(definition.allowed("NoPolicy").is_err());
    }
}
