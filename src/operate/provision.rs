//! `conversationd provision`: makes the queues that are missing, and the table, where DynamoDB is the hot store. Never changes
//! or removes what stands.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, bail};
use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata as _,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType,
        PointInTimeRecoverySpecification, Projection, ProjectionType, SseSpecification, TableStatus,
        TimeToLiveSpecification, TimeToLiveStatus,
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use serde::Serialize;
use tracing::{info, warn};

use super::{
    definition::{Definition, KeyShape, QueueShape, TableShape},
    output,
};
use crate::{app::Clients, config::HotConfig};

/// How long a new table may take.
const TABLE_PATIENCE: Duration = Duration::from_secs(120);

/// What the daemon must be told to use what was provisioned.
#[derive(Clone, Debug, Serialize)]
pub struct Provisioned {
    /// `SQS_CONVERSATION_QUEUE_URL`.
    pub queue_url: String,
    /// `SQS_CONVERSATION_DLQ_URL`.
    pub dead_letter_url: String,
    /// `DYNAMODB_MESSAGE_TABLE`; empty where PostgreSQL is the hot store.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub table: String,
}

/// What to provision.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// What every name begins with: PREFIX.fifo, PREFIX-dlq.fifo and the table PREFIX.
    #[arg(long, default_value = "conversationd")]
    prefix: String,
    /// Print JSON instead of shell exports.
    #[arg(long)]
    json: bool,
}

/// Provisions, and prints the settings that use it.
///
/// # Errors
/// As [`provision`].
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<()> {
    let clients = super::clients(None, None).await;
    let provisioned = match HotConfig::needs_table(get)? {
        true => provision(&clients, &arguments.prefix).await?,
        false => queues(&clients, &Definition::with_prefix(&arguments.prefix)?).await?,
    };
    if arguments.json {
        output::say(serde_json::to_string_pretty(&provisioned)?)?;
    } else {
        let Provisioned { queue_url, dead_letter_url, table } = provisioned;
        output::say(format!(
            "export SQS_CONVERSATION_QUEUE_URL={queue_url}\nexport SQS_CONVERSATION_DLQ_URL={dead_letter_url}"
        ))?;
        if !table.is_empty() {
            output::say(format!("export DYNAMODB_MESSAGE_TABLE={table}"))?;
        }
    }
    Ok(())
}

/// Makes what is missing.
///
/// # Errors
/// A service refuses, or what stands under one of the names has another shape.
pub async fn provision(clients: &Clients, prefix: &str) -> anyhow::Result<Provisioned> {
    let definition = Definition::with_prefix(prefix)?;
    let queues = queues(clients, &definition).await?;
    let shape = definition.table()?;
    table(&clients.dynamodb, &shape).await?;
    Ok(Provisioned { table: shape.table_name, ..queues })
}

/// Makes the queues that are missing.
async fn queues(clients: &Clients, definition: &Definition) -> anyhow::Result<Provisioned> {
    let (dead_letter_url, dead_letter_arn) = queue(clients, &definition.dead_letter_queue()?).await?;
    let (queue_url, _) = queue(clients, &definition.queue(&dead_letter_arn)?).await?;
    Ok(Provisioned { queue_url, dead_letter_url, table: String::new() })
}

/// Makes a queue, or checks the one that stands. Returns its URL and ARN.
async fn queue(clients: &Clients, shape: &QueueShape) -> anyhow::Result<(String, String)> {
    let sqs = &clients.sqs.control;
    let url = match sqs.get_queue_url().queue_name(&shape.name).send().await {
        Ok(found) => found.queue_url.unwrap_or_default(),
        Err(failure)
            if failure
                .code()
                .is_some_and(|code| code.contains("NonExistentQueue") || code.contains("QueueDoesNotExist")) =>
        {
            let attributes: HashMap<_, _> = shape
                .attributes
                .iter()
                .map(|(name, value)| (QueueAttributeName::from(name.as_str()), value.clone()))
                .collect();
            let made = sqs.create_queue().queue_name(&shape.name).set_attributes(Some(attributes)).send().await;
            info!(queue = shape.name, "queue made");
            made.with_context(|| format!("queue {} cannot be made", shape.name))?.queue_url.unwrap_or_default()
        }
        Err(failure) => return Err(failure).with_context(|| format!("queue {} cannot be looked up", shape.name)),
    };
    let got = sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All).send().await;
    let attributes = got
        .with_context(|| format!("queue {} does not tell its attributes", shape.name))?
        .attributes
        .unwrap_or_default();
    let differing = differing(shape, &attributes);
    if !differing.is_empty() {
        bail!(
            "queue {} stands with other attributes than infra/conversationd.yaml says: {}. Deploy the template to change it, or choose another prefix",
            shape.name,
            differing.join(", ")
        );
    }
    let arn = attributes.get(&QueueAttributeName::QueueArn).cloned();
    Ok((url, arn.with_context(|| format!("queue {} does not tell its ARN", shape.name))?))
}

/// The names of the attributes of `shape` that stand otherwise. An attribute that an emulator does not tell counts as equal.
pub(super) fn differing(shape: &QueueShape, attributes: &HashMap<QueueAttributeName, String>) -> Vec<String> {
    let differs = |name: &str, wanted: &str| match attributes.get(&QueueAttributeName::from(name)) {
        None => false,
        Some(found) if name == "RedrivePolicy" => redrive(found) != redrive(wanted),
        Some(found) => !found.eq_ignore_ascii_case(wanted),
    };
    shape.attributes.iter().filter(|(name, wanted)| differs(name, wanted)).map(|(name, _)| name.clone()).collect()
}

/// A redrive policy's parts; SQS and its emulators disagree on whether the count is a number or text.
fn redrive(policy: &str) -> Option<(String, String)> {
    let policy: serde_json::Value = serde_json::from_str(policy).ok()?;
    let count = policy["maxReceiveCount"].to_string().replace('"', "");
    Some((policy["deadLetterTargetArn"].as_str()?.to_owned(), count))
}

/// Makes the table, or takes the one that stands; turns on what is not on.
async fn table(dynamodb: &aws_sdk_dynamodb::Client, shape: &TableShape) -> anyhow::Result<()> {
    let name = &shape.table_name;
    let create = dynamodb
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(
            shape
                .attribute_definitions
                .iter()
                .map(|it| {
                    AttributeDefinition::builder()
                        .attribute_name(&it.attribute_name)
                        .attribute_type(it.attribute_type.as_str().into())
                        .build()
                })
                .collect::<Result<_, _>>()?,
        ))
        .set_key_schema(Some(keys(&shape.key_schema)?))
        .set_global_secondary_indexes(Some(indexes(shape)?))
        .sse_specification(SseSpecification::builder().enabled(true).build());
    match create.send().await {
        Ok(_) => info!(table = name, "table made"),
        Err(failure) if failure.code() == Some("ResourceInUseException") => {}
        Err(failure) => return Err(failure).with_context(|| format!("table {name} cannot be made")),
    }
    until_active(dynamodb, name).await?;
    time_to_live(dynamodb, shape).await?;
    let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build()?;
    let update = dynamodb.update_continuous_backups().table_name(name).point_in_time_recovery_specification(recovery);
    if let Err(failure) = update.send().await {
        warn!(table = name, code = failure.code(), "point-in-time recovery could not be turned on");
    }
    Ok(())
}

fn keys(schema: &[KeyShape]) -> anyhow::Result<Vec<KeySchemaElement>> {
    let key = |it: &KeyShape| {
        KeySchemaElement::builder()
            .attribute_name(&it.attribute_name)
            .key_type(KeyType::from(it.key_type.as_str()))
            .build()
    };
    Ok(schema.iter().map(key).collect::<Result<_, _>>()?)
}

fn indexes(shape: &TableShape) -> anyhow::Result<Vec<GlobalSecondaryIndex>> {
    let index = |it: &super::definition::IndexShape| -> anyhow::Result<GlobalSecondaryIndex> {
        let projection = Projection::builder()
            .projection_type(ProjectionType::from(it.projection.projection_type.as_str()))
            .set_non_key_attributes(Some(it.projection.non_key_attributes.clone()));
        Ok(GlobalSecondaryIndex::builder()
            .index_name(&it.index_name)
            .set_key_schema(Some(keys(&it.key_schema)?))
            .projection(projection.build())
            .build()?)
    };
    shape.global_secondary_indexes.iter().map(index).collect()
}

async fn until_active(dynamodb: &aws_sdk_dynamodb::Client, name: &str) -> anyhow::Result<()> {
    let active = async {
        loop {
            let described = dynamodb.describe_table().table_name(name).send().await;
            let table = described.with_context(|| format!("table {name} cannot be described"))?.table;
            if table.is_some_and(|table| table.table_status == Some(TableStatus::Active)) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(TABLE_PATIENCE, active)
        .await
        .with_context(|| format!("table {name} does not become active"))?
}

async fn time_to_live(dynamodb: &aws_sdk_dynamodb::Client, shape: &TableShape) -> anyhow::Result<()> {
    let (name, attribute) = (&shape.table_name, &shape.time_to_live_specification.attribute_name);
    let described = dynamodb.describe_time_to_live().table_name(name).send().await;
    let described = described.with_context(|| format!("table {name} does not tell its TTL"))?.time_to_live_description;
    match described.map(|it| (it.time_to_live_status, it.attribute_name)) {
        Some((Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), Some(on))) if on == *attribute => Ok(()),
        Some((Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling), _)) => {
            bail!("table {name} expires items by another attribute than {attribute}")
        }
        _ => {
            let wanted = TimeToLiveSpecification::builder().attribute_name(attribute).enabled(true).build()?;
            let update = dynamodb.update_time_to_live().table_name(name).time_to_live_specification(wanted);
            update.send().await.with_context(|| format!("TTL of table {name} cannot be turned on"))?;
            Ok(())
        }
    }
}
