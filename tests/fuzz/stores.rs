//! What the decoder accepts is kept: by the hot store to the last bit, by the archive but for how a number is spelled.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    env,
    sync::Arc,
    time::Duration,
};

use conversationd::{
    archive::{Archive as _, ContentHash, MessageRow, Options, PostgresArchive},
    domain::{Close, CloseReason, Conversation, EventId, Head, Message, Policy, Thread, ThreadKey},
    event::{Event, Kind},
    hot::{HotStore, Put},
};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;

use crate::target::House;

const POLICY: Policy = Policy {
    grace: Duration::from_secs(60),
    idle: Duration::from_secs(3_600),
    checkpoint: Duration::from_secs(86_400),
    told_at: [None; 4],
    unfinished: Duration::from_secs(60),
    ..Policy::DEFAULT
};

/// A table and a schema of one's own, removed at the end.
pub struct Stores {
    house: House,
    /// In the table, and in the database.
    stores: [Arc<dyn HotStore>; 2],
    archive: PostgresArchive,
    url: String,
    schema: String,
    kept: Cell<u32>,
}

impl Stores {
    pub fn build() -> Self {
        let url = env::var("DATABASE_URL").expect("DATABASE_URL is not set: start the local stack (make up)");
        let house = House::with_database();
        let schema = format!("fuzz_{}", Uuid::new_v4().simple());
        let options = Options { max_connections: 2, schema: Some(schema.clone()), ..Options::default() };
        let archive = house.wait(async {
            let archive = PostgresArchive::new(&url, &options).expect("DATABASE_URL");
            archive.migrate().await.expect("migrated");
            archive
        });
        Self { stores: [house.table(), house.store()], house, archive, url, schema, kept: Cell::new(0) }
    }

    /// Keeps the messages among `events` in both stores and compares what comes back.
    ///
    /// Each gets an id of its own: what is made from one body has one id, and would be kept once.
    pub fn keep(&self, events: Vec<Event>) -> Result<usize, String> {
        let mut threads: BTreeMap<ThreadKey, (Thread, String, Vec<Message>)> = BTreeMap::new();
        for event in events {
            let Kind::Message(message) = event.kind else { continue };
            let mut message = Message::clone(&message);
            self.kept.set(self.kept.get() + 1);
            message.event_id = EventId(Uuid::from_u128(u128::from(self.kept.get())));
            let key = event.thread.key();
            let (_, _, messages) = threads.entry(key).or_insert((event.thread, event.group_id, Vec::new()));
            messages.push(message);
        }
        let kept = threads.values().map(|(_, _, messages)| messages.len()).sum();
        self.house.wait(async {
            for (key, (thread, group_id, mut messages)) in threads {
                messages.sort_by_key(|message| (message.occurred_at, message.sequence, message.event_id));
                let head = Head::opened_by(&thread, &group_id, None, &messages[0], &POLICY);
                for store in &self.stores {
                    in_the_hot_store(&**store, &key, &head, &messages).await?;
                }
                self.in_the_archive(&thread, &head, &messages).await?;
            }
            Ok(kept)
        })
    }

    async fn in_the_archive(&self, thread: &Thread, head: &Head, messages: &[Message]) -> Result<(), String> {
        let said = |error| format!("the archive: {error}");
        let record = head.conversation.record();
        let mut transaction = self.archive.begin().await.map_err(said)?;
        transaction.lock(thread, record).await.map_err(said)?;
        let ids: BTreeSet<EventId> = messages.iter().map(|message| message.event_id).collect();
        let inserted = transaction.insert(record, messages, false).await.map_err(said)?;
        equal("what was inserted", &inserted.into_iter().collect(), &ids)?;
        let Conversation::Open(open) = &head.conversation else { return Err("the head is not open".into()) };
        let close = Close::new(open.due.at, CloseReason::Idle);
        let summary = transaction.finish(record, Some(&close)).await.map_err(said)?;
        equal("the number of messages", &summary.message_count, &(messages.len() as u64))?;
        equal("the content hash", &summary.content_hash, &hash(messages))?;

        let row = self.archive.conversation(record.id).await.map_err(said)?.ok_or("the conversation is not there")?;
        let stood =
            Thread { project: row.project, contact: row.contact, channel: row.channel, conversation: row.external_id };
        equal("the thread", &stood, thread)?;
        equal("the contact's name", &row.contact_name, &record.contact_name)?;
        equal("the agent", &row.agent_id, &record.agent_id)?;

        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let page = self.archive.messages(record.id, after, 400).await.map_err(said)?;
            let Some(last) = page.last() else { break };
            after = Some(MessageRow::cursor(last));
            read.extend(page.into_iter().map(|row| row.message));
        }
        equal("the content hash of what was read", &hash(&read), &hash(messages))?;
        read.iter()
            .zip(messages)
            .try_for_each(|(read, put)| equal("a message in the archive", &spelled_as(read.clone(), put), put))
    }
}

async fn in_the_hot_store(
    store: &dyn HotStore,
    key: &ThreadKey,
    head: &Head,
    messages: &[Message],
) -> Result<(), String> {
    let said = |error| format!("the hot store: {error}");
    // the head of an earlier conversation of the thread may stand
    if store.write_head(key, head).await.map_err(said)? {
        let read = store.heads(vec![key.clone()]).await.remove(0).map_err(said)?;
        equal("the head", &read.as_ref(), &Some(head))?;
    }
    let conversation = head.conversation.record().id;
    let put = |message: &Message| Put { thread: key.clone(), conversation, message: Arc::new(message.clone()) };
    for some in messages.chunks(25) {
        let put = store.put_messages(some.iter().map(put).collect()).await;
        put.into_iter().collect::<Result<(), _>>().map_err(said)?;
    }
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = store.page(key, conversation, after).await.map_err(said)?;
        read.extend(page.messages);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    equal("the number of messages in the hot store", &read.len(), &messages.len())?;
    read.iter().zip(messages).try_for_each(|(read, put)| equal("a message in the hot store", read, put))
}

impl Drop for Stores {
    fn drop(&mut self) {
        self.house.wait(async {
            self.archive.close().await;
            let drop = format!("drop schema {} cascade", self.schema);
            match PgConnection::connect(&self.url).await {
                Ok(mut connection) => {
                    if let Err(failure) = sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await {
                        eprintln!("schema {} stands: {failure}", self.schema);
                    }
                }
                Err(failure) => eprintln!("schema {} stands: {failure}", self.schema),
            }
        });
    }
}

fn hash(messages: &[Message]) -> Option<[u8; 32]> {
    let mut hash = ContentHash::default();
    messages.iter().for_each(|message| hash.push(message));
    hash.finish()
}

/// Spells the numbers of `read` as they are in `put`, where they are the same: `jsonb` has one kind of number, in which 1e16
/// comes back as 10000000000000000 and no zero is below zero.
fn spelled_as(mut read: Message, put: &Message) -> Message {
    let lists = read.entities.iter_mut().zip(&put.entities).chain(read.attachments.iter_mut().zip(&put.attachments));
    lists.for_each(|(read, put)| spell(read, put));
    read.metadata.iter_mut().for_each(|(key, read)| spell(read, put.metadata.get(key).unwrap_or(&Value::Null)));
    read
}

fn spell(read: &mut Value, put: &Value) {
    match (&mut *read, put) {
        (Value::Array(read), Value::Array(put)) => read.iter_mut().zip(put).for_each(|(read, put)| spell(read, put)),
        (Value::Object(read), Value::Object(put)) => {
            read.iter_mut().for_each(|(key, read)| spell(read, put.get(key).unwrap_or(&Value::Null)));
        }
        (Value::Number(number), Value::Number(as_put)) if as_put.is_f64() && number.as_f64() == as_put.as_f64() => {
            *read = put.clone();
        }
        _ => {}
    }
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    let short = |value: &T| format!("{value:?}").chars().take(2_000).collect::<String>();
    Err(format!("{what}\n  found    {}\n  expected {}", short(found), short(expected)))
}

#[test]
fn numbers_are_the_same_however_they_are_spelled_and_nothing_else_is() {
    let message = |metadata: Value| -> Message {
        serde_json::from_value(serde_json::json!({
            "event_id": Uuid::nil(), "occurred_at": "2026-03-01T12:00:00Z", "received_at": "2026-03-01T12:00:00Z",
            "sequence": "1", "direction": "incoming", "text": "", "metadata": {"n": metadata},
        }))
        .expect("a message")
    };
    let same = |read: &str, put: &str| {
        let [read, put] = [read, put].map(|json| message(serde_json::from_str(json).expect("JSON")));
        spelled_as(read, &put) == put
    };
    for (read, put) in [("10000000000000000", "1e16"), ("0.0", "-0.0"), ("[{\"a\": 3}]", "[{\"a\": 3.0}]")] {
        assert!(same(read, put), "{read} {put}");
    }
    for (read, put) in [
        ("10000000000000001", "10000000000000000"),
        ("18446744073709551615", "18446744073709551614"),
        ("0.1", "0.10000000000000002"),
        ("[1]", "[1, 2]"),
        ("\"1\"", "1"),
        ("{}", "{\"a\": null}"),
        ("null", "0"),
    ] {
        assert!(!same(read, put), "{read} {put}");
    }
}
