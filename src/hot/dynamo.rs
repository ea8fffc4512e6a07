//! The hot store in one DynamoDB table.
//!
//! There is no delete here: messages leave by TTL alone (W10), which is free and cannot take one that arrived meanwhile.

mod control;
mod walk;

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::query::builders::QueryFluentBuilder,
    types::{KeysAndAttributes, PutRequest, ReturnValue, WriteRequest},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::{
    Control, Controls, Cursor, DeadLetter, DeadLetters, DueHead, HotError, HotStore, Page, Put, Row, Settled, Walk,
    Walked,
    dead_letters::{SETTLED, SETTLED_AT, day_key, of_dead_letter, row_key, to_dead_letter},
    item::{
        self, ATTEMPTS, Assembly, DUE_AT, DUE_INDEX, DUE_SHARD, EXPIRES_AT, Item, PK, RECEIVED_AT, SK, VERSION, number,
        text,
    },
    rows::{RANK, of_row, rank, to_row},
};
use crate::domain::{ConversationId, Head, Message, Spot, ThreadKey};

/// Messages asked for per page: about half of DynamoDB's 1 MB page at a typical size, and what the archive inserts at once.
const PAGE_MESSAGES: i32 = 1000;

/// Items in one BatchWriteItem (DynamoDB's limit).
const BATCH_WRITE_ITEMS: usize = 25;

/// The table.
#[derive(Clone, Debug)]
pub struct DynamoStore {
    pub(super) client: Client,
    pub(super) table: String,
    ttl: TimeDelta,
}

impl DynamoStore {
    /// A store in `table`, whose messages and closed heads expire after `ttl`.
    pub fn new(client: Client, table: String, ttl: Duration) -> Self {
        Self { client, table, ttl: TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX) }
    }

    /// What a batch left undone is tried again, as AWS asks, with growing pauses; what remains then is the caller's to retry.
    fn pauses() -> impl Iterator<Item = Duration> {
        ExponentialBuilder::default().with_min_delay(Duration::from_millis(50)).with_max_times(4).with_jitter().build()
    }

    /// The query for a conversation's messages.
    fn messages(&self, thread: &ThreadKey, conversation: ConversationId) -> QueryFluentBuilder {
        self.client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("pk = :pk and begins_with(sk, :messages)")
            .expression_attribute_values(":pk", text(thread.as_str()))
            .expression_attribute_values(":messages", text(item::messages_of(conversation)))
    }

    async fn write_items(&self, items: Vec<Item>) -> Result<(), HotError> {
        let mut requests = Vec::with_capacity(items.len());
        for item in items {
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(|_| incomplete())?;
            requests.push(WriteRequest::builder().put_request(put).build());
        }
        let mut pauses = Self::pauses();
        loop {
            let sent = self.client.batch_write_item().request_items(&self.table, requests).send().await;
            let left = sent.map_err(error)?.unprocessed_items.and_then(|mut tables| tables.remove(&self.table));
            match left.filter(|left| !left.is_empty()) {
                None => return Ok(()),
                Some(left) => requests = left,
            }
            let Some(pause) = pauses.next() else {
                return Err(HotError::Unavailable("part of a batch was left unprocessed".into()));
            };
            tokio::time::sleep(pause).await;
        }
    }
}

#[async_trait]
impl HotStore for DynamoStore {
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
        let mut found: HashMap<String, Item> = HashMap::with_capacity(threads.len());
        let mut keys: Vec<Item> = threads.iter().map(item::head_key).collect();
        let mut pauses = Self::pauses();
        loop {
            let wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let Ok(wanted) = wanted.projection_expression("pk, body").build() else {
                return vec![Err(incomplete()); threads.len()];
            };
            let got = match self.client.batch_get_item().request_items(&self.table, wanted).send().await {
                Ok(got) => got,
                Err(failure) => return vec![Err(error(failure)); threads.len()],
            };
            let items = got.responses.and_then(|mut tables| tables.remove(&self.table)).unwrap_or_default();
            for item in items {
                if let Ok(pk) = item::string(&item, PK) {
                    found.insert(pk.to_owned(), item);
                }
            }
            let left = got.unprocessed_keys.and_then(|mut tables| tables.remove(&self.table)).map(|left| left.keys);
            match left.filter(|left| !left.is_empty()) {
                None => break,
                Some(left) => keys = left,
            }
            let Some(pause) = pauses.next() else {
                return vec![Err(HotError::Unavailable("part of a batch was left unread".into())); threads.len()];
            };
            tokio::time::sleep(pause).await;
        }
        threads.iter().map(|thread| found.get(thread.as_str()).map(item::to_head).transpose()).collect()
    }

    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        let item = item::of_head(thread, head, self.ttl)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = if head.version == 1 {
            put.condition_expression("attribute_not_exists(#pk)").expression_attribute_names("#pk", PK)
        } else {
            put.condition_expression("#version = :read")
                .expression_attribute_names("#version", VERSION)
                .expression_attribute_values(":read", number(head.version - 1))
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(failure) => Err(error(failure)),
        }
    }

    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>> {
        let mut results = vec![Ok(()); puts.len()];
        // one batch must not name a key twice: the same delivery may come round again while its first turn still runs; the
        // last of them is written, as it would be by a batch of its own
        let last: HashMap<(&ThreadKey, ConversationId, Spot), usize> = puts.iter().map(spot).zip(0..).collect();
        let written: Vec<usize> = puts.iter().map(|put| last.get(&spot(put)).copied().unwrap_or_default()).collect();
        let mut items = Vec::with_capacity(puts.len());
        for (place, put) in puts.iter().enumerate().filter(|(place, _)| written[*place] == *place) {
            match item::of_message(put, self.ttl) {
                Ok(parts) => items.extend(parts.into_iter().map(|part| (place, part))),
                Err(failure) => results[place] = Err(failure),
            }
        }
        while !items.is_empty() {
            let batch = items.drain(..items.len().min(BATCH_WRITE_ITEMS));
            let (places, batch): (Vec<usize>, Vec<Item>) = batch.unzip();
            if let Err(failure) = self.write_items(batch).await {
                places.into_iter().for_each(|place| results[place] = Err(failure.clone()));
            }
        }
        written.iter().map(|last| results[*last].clone()).collect()
    }

    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        let mut assembly = Assembly::default();
        let mut after = after;
        loop {
            let start = after
                .take()
                .map(|Cursor(sk)| HashMap::from([(PK.to_owned(), text(thread.as_str())), (SK.to_owned(), text(sk))]));
            let got = self
                .messages(thread, conversation)
                .limit(PAGE_MESSAGES)
                .set_exclusive_start_key(start)
                .send()
                .await
                .map_err(error)?;
            for item in got.items() {
                assembly.add(item)?;
            }
            let more = got.last_evaluated_key().is_some_and(|key| !key.is_empty());
            if !(more && assembly.in_the_middle()) {
                return Ok(assembly.page(more));
            }
            after = assembly.last();
        }
    }

    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError> {
        self.walk_through(walk).await
    }

    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        let got = self
            .messages(thread, conversation)
            .projection_expression(RECEIVED_AT)
            .scan_index_forward(false)
            .limit(1)
            .send()
            .await
            .map_err(error)?;
        got.items().first().map_or(Ok(None), |item| item::millis(item, RECEIVED_AT))
    }

    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        let (own, end) = (item::message_sk(conversation, message), item::after_messages_of(conversation));
        let mut after = None;
        loop {
            let got = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk and sk between :own and :end")
                .expression_attribute_values(":pk", text(thread.as_str()))
                .expression_attribute_values(":own", text(&own))
                .expression_attribute_values(":end", text(&end))
                .projection_expression(SK)
                .limit(PAGE_MESSAGES)
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(error)?;
            for found in got.items() {
                if item::sequence(found)? >= message.sequence.0 {
                    return Ok(true);
                }
            }
            after = got.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(false);
            }
        }
    }

    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError> {
        let mut due = Vec::new();
        let mut after = None;
        loop {
            let got = self
                .client
                .query()
                .table_name(&self.table)
                .index_name(DUE_INDEX)
                .key_condition_expression("#shard = :shard and #at <= :until")
                .expression_attribute_names("#shard", DUE_SHARD)
                .expression_attribute_names("#at", DUE_AT)
                .expression_attribute_values(":shard", text(shard.to_string()))
                .expression_attribute_values(":until", number(until.timestamp_millis()))
                .limit(i32::try_from(limit - due.len()).unwrap_or(i32::MAX))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(error)?;
            for item in got.items() {
                due.push(item::to_due(item)?);
            }
            after = got.last_evaluated_key.filter(|key| !key.is_empty() && due.len() < limit);
            if after.is_none() {
                return Ok(due);
            }
        }
    }

    async fn charge(&self, message_id: &str, attempts: i32, until: DateTime<Utc>) -> Result<u32, HotError> {
        let charged = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(item::attempts_key(message_id)))
            .update_expression("add #attempts :more set #expires_at = :until")
            .expression_attribute_names("#attempts", ATTEMPTS)
            .expression_attribute_names("#expires_at", EXPIRES_AT)
            .expression_attribute_values(":more", number(attempts))
            .expression_attribute_values(":until", number(until.timestamp()))
            .return_values(ReturnValue::UpdatedNew)
            .send()
            .await
            .map_err(error)?;
        item::attempts(&charged.attributes.unwrap_or_default())
    }

    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(of_dead_letter(letter)?));
        put.send().await.map(|_| ()).map_err(error)
    }

    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError> {
        let start =
            after.map(|Cursor(sk)| HashMap::from([(PK.to_owned(), text(day_key(day))), (SK.to_owned(), text(sk))]));
        let query = self.client.query().table_name(&self.table).consistent_read(true);
        let query = query.key_condition_expression("pk = :day").expression_attribute_values(":day", text(day_key(day)));
        let got = query.limit(PAGE_MESSAGES).set_exclusive_start_key(start).send().await.map_err(error)?;
        let letters = got.items().iter().map(to_dead_letter).collect::<Result<_, _>>()?;
        let last = got.last_evaluated_key.filter(|key| !key.is_empty());
        let next = last.map(|key| item::string(&key, SK).map(|sk| Cursor(sk.to_owned()))).transpose()?;
        Ok(DeadLetters { letters, next })
    }

    async fn mark_dead_letter(
        &self,
        sent_at: DateTime<Utc>,
        message_id: &str,
        settled: Settled,
    ) -> Result<bool, HotError> {
        let marked = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(row_key(sent_at, message_id)))
            .condition_expression("attribute_exists(#pk)")
            .update_expression("set #settled = :how, #settled_at = :at")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#settled", SETTLED)
            .expression_attribute_names("#settled_at", SETTLED_AT)
            .expression_attribute_values(":how", text(settled.how.as_str()))
            .expression_attribute_values(":at", number(settled.at.timestamp_millis()))
            .send()
            .await;
        match marked {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(failure) => Err(error(failure)),
        }
    }

    async fn write_row(&self, row: &Row) -> Result<bool, HotError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(of_row(row)));
        let put = put
            .condition_expression("attribute_not_exists(#pk) or #rank < :rank")
            .expression_attribute_names("#pk", PK)
            .expression_attribute_names("#rank", RANK)
            .expression_attribute_values(":rank", text(rank(row.rank)));
        match put.send().await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(failure) => Err(error(failure)),
        }
    }

    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        let mut rows = Vec::new();
        let mut after = None;
        loop {
            let got = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("pk = :pk and begins_with(sk, :prefix)")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":prefix", text(prefix))
                .limit(PAGE_MESSAGES - i32::try_from(rows.len()).unwrap_or(PAGE_MESSAGES))
                .set_exclusive_start_key(after)
                .send()
                .await
                .map_err(error)?;
            for item in got.items() {
                rows.push(to_row(item)?);
            }
            after = got.last_evaluated_key.filter(|key| !key.is_empty() && rows.len() < PAGE_MESSAGES as usize);
            if after.is_none() {
                return Ok(rows);
            }
        }
    }

    async fn controls(&self) -> Result<Controls, HotError> {
        self.read_controls().await
    }

    async fn control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        self.write_control(control, at).await
    }
}

/// What of a message its key says.
fn spot(put: &Put) -> (&ThreadKey, ConversationId, Spot) {
    (&put.thread, put.conversation, put.message.spot())
}

fn incomplete() -> HotError {
    HotError::Refused("the request could not be built".into())
}

/// Codes say what went wrong; messages may quote keys, which name people, and stay out.
///
/// Only a request that is wrong in itself is refused. A missing table or permission is an outage: it is nobody's message's fault.
pub(super) fn error<E: ProvideErrorMetadata, R>(failure: SdkError<E, R>) -> HotError {
    match failure.code() {
        Some(code @ "ValidationException") => HotError::Refused(code.to_owned()),
        Some(code) => HotError::Unavailable(code.to_owned()),
        None => HotError::Unavailable(failure.to_string()),
    }
}
