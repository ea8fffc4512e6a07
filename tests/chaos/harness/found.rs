//! What the stores hold when everything is at rest: read with SQL and calls of its own, not with the daemon's reading code.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName as Attribute};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

use super::site::Site;

/// What the stores hold.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The archive's conversations, each thread's in the order they were opened.
    pub conversations: Vec<Stood>,
    /// Threads whose head in the hot store still says open or closing.
    pub open: Vec<String>,
    /// Conversations whose row says another count or hash than their messages give, or that have none.
    pub unsound: Vec<Uuid>,
    /// How many notices of its close each conversation has in the outbox.
    pub announced: BTreeMap<Uuid, usize>,
    /// The distinct notices of its close that arrived outside.
    pub arrived: BTreeMap<Uuid, BTreeSet<String>>,
    /// What lies in the dead-letter queue.
    pub dead: Vec<Dead>,
}

/// A conversation in the archive.
#[derive(Clone, Debug)]
pub struct Stood {
    pub id: Uuid,
    pub thread: String,
    pub closed: bool,
    /// The numbers of its messages, in the archive's order; 0 for what has none.
    pub messages: Vec<u32>,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub struct Dead {
    pub thread: String,
    pub n: Option<u32>,
}

/// Reads everything of a site. Takes what is in its dead-letter queue and in the queue of notices.
pub async fn read(site: &Site) -> anyhow::Result<Found> {
    let (announced, unsound) = (announced(&site.pool).await?, unsound(&site.pool).await?);
    Ok(Found {
        conversations: conversations(&site.pool).await.context("the archive cannot be read")?,
        open: open(site).await.context("the table cannot be read")?,
        unsound,
        announced,
        arrived: arrived(site).await?,
        dead: dead(site).await?,
    })
}

async fn conversations(pool: &PgPool) -> sqlx::Result<Vec<Stood>> {
    let sql =
        "select id, coalesce(contact, thread), closed_at is not null from conversation order by opened_at, created_at";
    let rows: Vec<(Uuid, String, bool)> = sqlx::query_as(sql).fetch_all(pool).await?;
    let sql = "select conversation_id, external_id from message order by occurred_at, sequence, event_id";
    let messages: Vec<(Uuid, Option<String>)> = sqlx::query_as(sql).fetch_all(pool).await?;
    let mut of: BTreeMap<Uuid, Vec<u32>> = BTreeMap::new();
    for (conversation, n) in messages {
        of.entry(conversation).or_default().push(n.and_then(|n| n.parse().ok()).unwrap_or_default());
    }
    let stood = |(id, thread, closed)| Stood { id, thread, closed, messages: of.remove(&id).unwrap_or_default() };
    Ok(rows.into_iter().map(stood).collect())
}

async fn unsound(pool: &PgPool) -> sqlx::Result<Vec<Uuid>> {
    let sql = "
        select c.id from conversation c, conversation_content(c.id) as is_now
        where is_now.message_count = 0
           or (c.message_count, c.token_count, c.content_hash)
              is distinct from (is_now.message_count, is_now.token_count, is_now.content_hash)";
    sqlx::query_scalar(sql).fetch_all(pool).await
}

async fn announced(pool: &PgPool) -> sqlx::Result<BTreeMap<Uuid, usize>> {
    let sql = "
        select conversation_id, count(*) from outbox_notice
        where kind = 'conversation.closed' and conversation_id is not null group by 1";
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(sql).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(id, count)| (id, usize::try_from(count).unwrap_or_default())).collect())
}

/// Notices that are still to be sent.
pub async fn pending(pool: &PgPool) -> sqlx::Result<usize> {
    let sql = "select count(*) from outbox_dispatch where state = 'pending'";
    let count: i64 = sqlx::query_scalar(sql).fetch_one(pool).await?;
    Ok(usize::try_from(count).unwrap_or_default())
}

/// Threads whose head is not closed.
pub async fn open(site: &Site) -> anyhow::Result<Vec<String>> {
    let (mut open, mut after) = (Vec::new(), None);
    loop {
        let scan = site.clients.dynamodb.scan().table_name(&site.names.table).consistent_read(true);
        let scan =
            scan.filter_expression("sk = :head").expression_attribute_values(":head", AttributeValue::S("HEAD".into()));
        let page = scan.set_exclusive_start_key(after.take()).send().await?;
        for item in page.items() {
            let body = item.get("body").and_then(|body| body.as_s().ok()).context("a head without a body")?;
            let head: Value = serde_json::from_str(body)?;
            if !is_closed(&head) {
                open.push(contact(&head));
            }
        }
        after = page.last_evaluated_key.filter(|key| !key.is_empty());
        if after.is_none() {
            return Ok(open);
        }
    }
}

fn is_closed(head: &Value) -> bool {
    head["conversation"]["status"] == "closed"
}

fn contact(head: &Value) -> String {
    head["thread"]["contact"].as_str().unwrap_or("?").to_owned()
}

async fn arrived(site: &Site) -> anyhow::Result<BTreeMap<Uuid, BTreeSet<String>>> {
    let mut arrived: BTreeMap<Uuid, BTreeSet<String>> = BTreeMap::new();
    for body in drained(site, &site.names.notices_url).await? {
        let notice: Value = serde_json::from_str(&body).context("a notice is no JSON")?;
        if notice["type"] != "conversation.closed" {
            continue;
        }
        let id = notice["data"]["conversation_id"].as_str().and_then(|id| id.parse().ok());
        let id = id.with_context(|| format!("a notice of no conversation: {notice}"))?;
        arrived.entry(id).or_default().insert(notice["id"].as_str().unwrap_or_default().to_owned());
    }
    Ok(arrived)
}

async fn dead(site: &Site) -> anyhow::Result<Vec<Dead>> {
    let bodies = drained(site, &site.names.dead_letter_url).await?;
    let dead = bodies.iter().map(|body| {
        let event: Value = serde_json::from_str(body).unwrap_or_default();
        let thread = event["data"]["contact_urn"].as_str().unwrap_or("?").to_owned();
        Dead { thread, n: event["data"]["message"]["id"].as_str().and_then(|n| n.parse().ok()) }
    });
    Ok(dead.collect())
}

/// Takes everything out of a queue.
async fn drained(site: &Site, url: &str) -> anyhow::Result<Vec<String>> {
    let (sqs, mut bodies) = (&site.clients.sqs.control, Vec::new());
    loop {
        let got =
            sqs.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(600).send().await?;
        let messages = got.messages.unwrap_or_default();
        if messages.is_empty() {
            return Ok(bodies);
        }
        let mut delete = sqs.delete_message_batch().queue_url(url);
        for (place, message) in messages.into_iter().enumerate() {
            let receipt = message.receipt_handle.unwrap_or_default();
            delete = delete.entries(
                DeleteMessageBatchRequestEntry::builder().id(place.to_string()).receipt_handle(receipt).build()?,
            );
            bodies.push(message.body.unwrap_or_default());
        }
        let deleted = delete.send().await?;
        anyhow::ensure!(deleted.failed.is_empty(), "what was taken out of a queue stays in it");
    }
}

/// Deliveries in the inbound queue: waiting, and in somebody's hands.
pub async fn depth(site: &Site) -> anyhow::Result<usize> {
    let wanted = [Attribute::ApproximateNumberOfMessages, Attribute::ApproximateNumberOfMessagesNotVisible];
    let call = site.clients.sqs.control.get_queue_attributes().queue_url(&site.names.queue_url);
    let call = call.set_attribute_names(Some(wanted.to_vec())).send();
    let got = tokio::time::timeout(Duration::from_secs(10), call).await??.attributes.unwrap_or_default();
    Ok(wanted.iter().filter_map(|name| got.get(name)?.parse::<usize>().ok()).sum())
}
