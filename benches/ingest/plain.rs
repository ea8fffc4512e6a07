//! What people usually write: receive ten, then for each message read its thread's head, put the message, delete it.
//!
//! It keeps none of the daemon's promises: it takes what it cannot read for a failure of everything, counts no token, opens
//! and never closes.

use std::collections::HashMap;

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use conversationd::{app::Clients, counters::Counters};
use serde_json::Value;

use crate::floor::receive;

/// How long an item is kept.
const TTL_SECONDS: i64 = 30 * 24 * 3600;

/// Empties the queue, for ever.
///
/// # Errors
/// A call failed, or a body is not what it should be.
pub async fn run(clients: &Clients, queue: &str, table: &str, counters: &Counters) -> anyhow::Result<()> {
    loop {
        for message in receive(clients, queue).await? {
            let event: Value = serde_json::from_str(message.body().context("no body")?)?;
            let data = &event["data"];
            let part = |name: &str| data[name].as_str().map(str::to_owned).context("a part of the thread is missing");
            let thread = [part("project_uuid")?, part("contact_urn")?, part("channel_uuid")?].join("#");
            if !has_head(clients, table, &thread).await? {
                put(clients, table, &thread, "HEAD", r#"{"status":"open"}"#).await?;
            }
            let (at, id) = (&data["message"]["created_at"], &event["correlation_id"]);
            put(clients, table, &thread, &format!("M#{at}#{id}"), &data["message"].to_string()).await?;
            let receipt = message.receipt_handle().unwrap_or_default();
            clients.sqs.control.delete_message().queue_url(queue).receipt_handle(receipt).send().await?;
            counters.settled.add(1);
        }
    }
}

async fn has_head(clients: &Clients, table: &str, thread: &str) -> anyhow::Result<bool> {
    let get = clients.dynamodb.get_item().table_name(table).consistent_read(true);
    let got = get.key("pk", S(thread.to_owned())).key("sk", S("HEAD".to_owned())).send().await?;
    Ok(got.item.is_some())
}

async fn put(clients: &Clients, table: &str, pk: &str, sk: &str, body: &str) -> anyhow::Result<()> {
    let item: HashMap<String, AttributeValue> = HashMap::from([
        ("pk".to_owned(), S(pk.to_owned())),
        ("sk".to_owned(), S(sk.to_owned())),
        ("body".to_owned(), S(body.to_owned())),
        ("expires_at".to_owned(), N((chrono::Utc::now().timestamp() + TTL_SECONDS).to_string())),
    ]);
    clients.dynamodb.put_item().table_name(table).set_item(Some(item)).send().await?;
    Ok(())
}
