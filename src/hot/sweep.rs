//! Going through the whole hot store, and deleting from it: for the operator's commands alone, outside [`HotStore`].
//!
//! The daemon does neither (W10), and its role forbids both: `dynamodb:Scan` and `dynamodb:DeleteItem`, or `delete` on the
//! tables of PostgreSQL, belong to a role of the operator's own.

use std::collections::HashMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    DeadLetter, DynamoStore, HotError, HotStore,
    dead_letters::row_key,
    dynamo::error,
    item::{self, Item, PK, SK, VERSION, number, text},
    rows,
};
use crate::domain::{self, Head, Thread, ThreadKey, Variable};

/// Something of a project that a sweep comes by.
#[derive(Clone, Debug)]
pub enum Swept {
    /// A thread's head.
    Head(Box<Head>),
    /// Anything else of a thread.
    Item(ThreadKey),
    /// A session's row, and where the session goes on.
    Session(ItemKey, domain::Place),
    /// A thread's variable, and when it was set.
    Variable(ItemKey, ThreadKey, DateTime<Utc>),
}

/// The key of an item, for deleting it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ItemKey {
    pub(super) partition: String,
    pub(super) name: String,
}

impl ItemKey {
    /// Whether the item is a thread's head.
    pub fn is_head(&self) -> bool {
        self.name == item::HEAD
    }

    /// The thread it stands under.
    pub fn thread(&self) -> ThreadKey {
        ThreadKey::stored(self.partition.clone())
    }

    /// When the message that the item is of was written.
    pub fn said_at(&self) -> Option<DateTime<Utc>> {
        let micros = self.name.strip_prefix("M#")?.split('#').nth(1)?.parse().ok()?;
        DateTime::from_timestamp_micros(micros)
    }

    /// The conversation that the item is a message of.
    pub fn conversation(&self) -> Option<Uuid> {
        self.name.strip_prefix("M#")?.split('#').next()?.parse().ok()
    }
}

/// One page of a sweep.
#[derive(Clone, Debug, Default)]
pub struct SweptPage {
    /// What it came by.
    pub found: Vec<Swept>,
    /// Items looked at.
    pub looked_at: u64,
    /// Where the next page begins; `None` after the last.
    pub next: Option<SweepPlace>,
}

/// A place in the store: what was looked at last.
#[derive(Clone, Debug)]
pub struct SweepPlace(pub(super) Place);

#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A key of the table.
    Item(Item),
    /// A table of PostgreSQL, and a key of it.
    Row(&'static str, ItemKey),
}

/// What a sweep is after.
#[derive(Clone, Debug)]
pub enum Sought<'a> {
    /// All heads, of one project or of all.
    Heads(Option<&'a str>),
    /// Heads and sessions of a project, and whatever stands under one contact.
    Person(&'a str, &'a str),
    /// Heads, sessions and variables of everybody.
    Everybody,
}

/// The hot store with what operators alone do: all of it, and deleting.
#[async_trait]
pub trait WholeStore: HotStore {
    /// Looks through some more of the store. Reads everything: of a table, half a read unit for every 4 KB there are.
    ///
    /// # Errors
    /// The store cannot be read, or the role may not scan.
    async fn sweep(&self, sought: &Sought<'_>, after: Option<SweepPlace>) -> Result<SweptPage, HotError>;

    /// The keys of all that stands under a thread: head, messages, variables.
    ///
    /// # Errors
    /// The store cannot be read.
    async fn keys_of(&self, thread: &ThreadKey) -> Result<Vec<ItemKey>, HotError>;

    /// Deletes one item. Deleting again is harmless.
    ///
    /// # Errors
    /// The store cannot be written, or the role may not delete.
    async fn forget(&self, key: &ItemKey) -> Result<(), HotError>;

    /// Deletes a head if it is still the one that was read. Returns whether it was.
    ///
    /// # Errors
    /// The store cannot be written, or the role may not delete.
    async fn forget_head(&self, head: &Head) -> Result<bool, HotError>;

    /// Deletes a row of the index of dead letters.
    ///
    /// # Errors
    /// The store cannot be written, or the role may not delete.
    async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError>;
}

#[async_trait]
impl WholeStore for DynamoStore {
    async fn sweep(&self, sought: &Sought<'_>, after: Option<SweepPlace>) -> Result<SweptPage, HotError> {
        let start = after.and_then(|SweepPlace(place)| match place {
            Place::Item(key) => Some(key),
            Place::Row(..) => None,
        });
        let scan = self.client.scan().table_name(&self.table).consistent_read(true);
        let scan = scan.projection_expression("pk, sk, body").set_exclusive_start_key(start);
        let scan = match sought {
            Sought::Heads(None) => scan.filter_expression("sk = :head"),
            Sought::Heads(Some(project)) => scan
                .filter_expression("sk = :head and begins_with(pk, :project)")
                .expression_attribute_values(":project", text(format!("{}#", rows::escaped(project)))),
            Sought::Everybody => scan
                .filter_expression("sk = :head or sk = :session or begins_with(sk, :variables)")
                .expression_attribute_values(":session", text("MAP"))
                .expression_attribute_values(":variables", text("S#")),
            Sought::Person(project, contact) => {
                let project = rows::escaped(project);
                scan.filter_expression(
                    "(sk = :head and begins_with(pk, :project)) or begins_with(pk, :person) or begins_with(pk, :sessions)",
                )
                .expression_attribute_values(":person", text(format!("{project}#{}#", rows::escaped(contact))))
                .expression_attribute_values(":sessions", text(format!("SESSION#{project}#")))
                .expression_attribute_values(":project", text(format!("{project}#")))
            }
        };
        let got = scan.expression_attribute_values(":head", text(item::HEAD)).send().await.map_err(error)?;
        let read = |item| swept(key_of(item)?, item::string(item, item::BODY).unwrap_or_default());
        let found = got.items().iter().filter_map(|item| read(item).transpose()).collect::<Result<_, _>>()?;
        let looked_at = u64::try_from(got.scanned_count()).unwrap_or_default();
        let next = got.last_evaluated_key.filter(|key| !key.is_empty()).map(|key| SweepPlace(Place::Item(key)));
        Ok(SweptPage { found, looked_at, next })
    }

    async fn keys_of(&self, thread: &ThreadKey) -> Result<Vec<ItemKey>, HotError> {
        let (mut keys, mut after) = (Vec::new(), None);
        loop {
            let query = self.client.query().table_name(&self.table).consistent_read(true);
            let query = query.key_condition_expression("pk = :pk").projection_expression("pk, sk");
            let query = query.expression_attribute_values(":pk", text(thread.as_str())).set_exclusive_start_key(after);
            let got = query.send().await.map_err(error)?;
            for item in got.items() {
                keys.push(key_of(item)?);
            }
            after = got.last_evaluated_key.filter(|key| !key.is_empty());
            if after.is_none() {
                return Ok(keys);
            }
        }
    }

    async fn forget(&self, key: &ItemKey) -> Result<(), HotError> {
        self.delete(HashMap::from([(PK.to_owned(), text(&key.partition)), (SK.to_owned(), text(&key.name))])).await
    }

    async fn forget_head(&self, head: &Head) -> Result<bool, HotError> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.set_key(Some(item::head_key(&head.thread.key())));
        let delete = delete
            .condition_expression("#version = :read")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":read", number(head.version));
        use aws_sdk_dynamodb::error::ProvideErrorMetadata as _;
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(failure) if failure.code() == Some("ConditionalCheckFailedException") => Ok(false),
            Err(failure) => Err(error(failure)),
        }
    }

    async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        self.delete(row_key(letter.sent_at, &letter.message_id)).await
    }
}

impl DynamoStore {
    async fn delete(&self, key: Item) -> Result<(), HotError> {
        let delete = self.client.delete_item().table_name(&self.table).set_key(Some(key));
        delete.send().await.map(|_| ()).map_err(error)
    }
}

fn key_of(item: &Item) -> Result<ItemKey, HotError> {
    Ok(ItemKey { partition: item::string(item, PK)?.to_owned(), name: item::string(item, SK)?.to_owned() })
}

/// What an item is; `None` for what belongs to no thread.
pub(super) fn swept(key: ItemKey, body: &str) -> Result<Option<Swept>, HotError> {
    if key.is_head() {
        let head = serde_json::from_str(body).map_err(|_| HotError::Unreadable("head"))?;
        return Ok(Some(Swept::Head(head)));
    }
    if key.partition.starts_with("SESSION#") && key.name == "MAP" {
        let place = serde_json::from_str(body);
        return place.map(|place| Some(Swept::Session(key, place))).map_err(|_| HotError::Unreadable("session"));
    }
    let thread = key.thread();
    if key.name.starts_with("S#") && Thread::named_by(&thread).is_some() {
        let variable: Variable = serde_json::from_str(body).map_err(|_| HotError::Unreadable("variable"))?;
        return Ok(Some(Swept::Variable(key, thread, variable.set_at)));
    }
    Ok(Thread::named_by(&thread).is_some().then_some(Swept::Item(thread)))
}
