//! Going through all of it, and deleting: for the operator's commands alone, whose role may delete.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{PostgresStore, error::read, in_millis, message::spot};
use crate::{
    domain::{ConversationId, Head, ThreadKey},
    hot::{
        DeadLetter, HotError, ItemKey, Sought, SweepPlace, SweptPage, WholeStore,
        item::{HEAD, spot_sk},
        rows::escaped,
        sweep::{Place, swept},
    },
};

/// Rows looked at in one step.
const STEP: i64 = 1_000;

const HEADS: &str = "heads";
const ROWS: &str = "rows";
const THREADS: &str = "threads";

/// What sorts after every key.
const END: &str = "\u{10ffff}";

const SWEEP_HEADS: &str = "
    select thread as partition, $4 as name, body from hot_head
    where thread > $1 and thread < $2 order by thread limit $3";

/// Sessions and variables of everybody, or what stands under the prefixes of one person.
const SWEEP_ROWS: &str = "
    select belongs_to as partition, name, body from hot_row
    where (belongs_to, name) > ($1, $2)
      and case when $4 = '' then name = 'MAP' or starts_with(name, 'S#')
               else starts_with(belongs_to, $4) or starts_with(belongs_to, $5) end
    order by belongs_to, name limit $3";

/// Threads that have messages: their heads may be gone.
const SWEEP_THREADS: &str = "
    select distinct thread as partition, $4 as name, '' as body from hot_message
    where thread > $1 and thread < $2 order by 1 limit $3";

const MESSAGES_OF: &str = "
    select conversation_id, occurred_at, sequence::text as sequence, event_id from hot_message where thread = $1
    order by conversation_id, occurred_at, hot_message.sequence, event_id";

const NAMES_OF: &str = "
    select $2 as name from hot_head where thread = $1
    union all
    select name from hot_row where belongs_to = $1";

const FORGET_MESSAGE: &str = "
    delete from hot_message
    where thread = $1 and conversation_id = $2 and occurred_at = $3 and sequence = $4::numeric and event_id = $5";

/// What lies between a prefix and what sorts after all that begin with it; every prefix ends with `#`.
fn bounds(prefix: &str) -> (String, String) {
    match prefix.strip_suffix('#') {
        Some(rest) => (prefix.to_owned(), format!("{rest}$")),
        None => (String::new(), END.to_owned()),
    }
}

impl PostgresStore {
    /// One step through a table: its rows, and the place after it in there, if it is not through.
    async fn step(
        &self,
        table: &'static str,
        prefixes: (&str, &str),
        after: Option<&ItemKey>,
    ) -> Result<Vec<PgRow>, HotError> {
        let (first, end) = bounds(prefixes.0);
        let from = after.map_or(first, |key| key.partition.clone());
        let statement = match table {
            ROWS => {
                let after = after.map_or(("", ""), |key| (key.partition.as_str(), key.name.as_str()));
                let statement = sqlx::query(SWEEP_ROWS).bind(after.0).bind(after.1).bind(STEP);
                return self.rows_of(statement.bind(prefixes.0).bind(prefixes.1)).await;
            }
            THREADS => sqlx::query(SWEEP_THREADS),
            _ => sqlx::query(SWEEP_HEADS),
        };
        self.rows_of(statement.bind(from).bind(end).bind(STEP).bind(if table == HEADS { HEAD } else { "M#" })).await
    }
}

#[async_trait]
impl WholeStore for PostgresStore {
    async fn sweep(&self, sought: &Sought<'_>, after: Option<SweepPlace>) -> Result<SweptPage, HotError> {
        let (table, after) = match after {
            Some(SweepPlace(Place::Row(table, key))) => (table, (!key.partition.is_empty()).then_some(key)),
            _ => (HEADS, None),
        };
        let under = |project: &str| format!("{}#", escaped(project));
        let (heads, person, sessions) = match sought {
            Sought::Heads(None) | Sought::Everybody => Default::default(),
            Sought::Heads(Some(project)) => (under(project), String::new(), String::new()),
            // all heads of the project: a thread that the publisher named does not say whose it is
            Sought::Person(project, contact) => {
                let person = format!("{}{}#", under(project), escaped(contact));
                (under(project), person, format!("SESSION#{}", under(project)))
            }
        };
        let prefixes = if table == HEADS { (heads.as_str(), "") } else { (person.as_str(), sessions.as_str()) };
        let rows = self.step(table, prefixes, after.as_ref()).await?;
        let mut page = SweptPage { looked_at: rows.len() as u64, ..SweptPage::default() };
        let mut last = None;
        for row in &rows {
            let key = ItemKey { partition: read(Some(row), "partition")?, name: read(Some(row), "name")? };
            last = Some(key.clone());
            page.found.extend(swept(key, read(Some(row), "body")?)?);
        }
        let beginning = ItemKey { partition: String::new(), name: String::new() };
        page.next = match (table, sought) {
            _ if rows.len() as i64 == STEP => last.map(|last| (table, last)),
            (HEADS, Sought::Person(..) | Sought::Everybody) => Some((ROWS, beginning)),
            (ROWS, Sought::Person(..)) => Some((THREADS, beginning)),
            _ => None,
        }
        .map(|(table, key)| SweepPlace(Place::Row(table, key)));
        Ok(page)
    }

    async fn keys_of(&self, thread: &ThreadKey) -> Result<Vec<ItemKey>, HotError> {
        let partition = || thread.as_str().to_owned();
        let mut keys = Vec::new();
        for row in &self.rows_of(sqlx::query(MESSAGES_OF).bind(thread.as_str())).await? {
            let conversation = ConversationId(read(Some(row), "conversation_id")?);
            keys.push(ItemKey { partition: partition(), name: spot_sk(conversation, spot(row)?) });
        }
        for row in &self.rows_of(sqlx::query(NAMES_OF).bind(thread.as_str()).bind(HEAD)).await? {
            keys.push(ItemKey { partition: partition(), name: read(Some(row), "name")? });
        }
        Ok(keys)
    }

    async fn forget(&self, key: &ItemKey) -> Result<(), HotError> {
        let partition = key.partition.as_str();
        let statement = if key.is_head() {
            sqlx::query("delete from hot_head where thread = $1").bind(partition)
        } else if key.name.starts_with("M#") {
            let (conversation, at, sequence, event) = named(&key.name).ok_or(HotError::Unreadable("key"))?;
            let statement = sqlx::query(FORGET_MESSAGE).bind(partition).bind(conversation).bind(at);
            statement.bind(sequence.to_string()).bind(event)
        } else {
            sqlx::query("delete from hot_row where belongs_to = $1 and name = $2").bind(partition).bind(&key.name)
        };
        self.changed_by(statement).await.map(|_| ())
    }

    async fn forget_head(&self, head: &Head) -> Result<bool, HotError> {
        let (thread, version) = (head.thread.key(), i64::try_from(head.version).unwrap_or_default());
        let statement = sqlx::query("delete from hot_head where thread = $1 and version = $2");
        Ok(self.changed_by(statement.bind(thread.as_str()).bind(version)).await? == 1)
    }

    async fn forget_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        let statement = sqlx::query("delete from hot_dead_letter where sent_at = $1 and message_id = $2");
        let statement = statement.bind(in_millis(letter.sent_at)).bind(letter.message_id.as_str());
        self.changed_by(statement).await.map(|_| ())
    }
}

/// The parts of a message's name: `M#{conversation}#{µs}#{sequence in hex}#{event}`, as DynamoDB has it.
fn named(name: &str) -> Option<(Uuid, DateTime<Utc>, u128, Uuid)> {
    let mut parts = name.strip_prefix("M#")?.split('#');
    let conversation = parts.next()?.parse().ok()?;
    let at = DateTime::from_timestamp_micros(parts.next()?.parse().ok()?)?;
    let sequence = u128::from_str_radix(parts.next()?, 16).ok()?;
    Some((conversation, at, sequence, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventId, Sequence, Spot};

    #[test]
    fn a_message_is_found_by_the_name_it_was_given() {
        let at = DateTime::from_timestamp_micros(1_795_240_800_123_456).expect("in range");
        let (conversation, event) = (Uuid::from_u128(7), Uuid::max());
        let spot = Spot { occurred_at: at, sequence: Sequence(u128::MAX), event_id: EventId(event) };
        let name = spot_sk(ConversationId(conversation), spot);
        assert_eq!(named(&name), Some((conversation, at, u128::MAX, event)));
        assert_eq!(named("M#x"), None);
    }

    #[test]
    fn a_prefix_bounds_what_begins_with_it() {
        let (first, end) = bounds("p#c#");
        for (key, within) in
            [("p#c#w", true), ("p#c#\u{10ffff}", true), ("p#c", false), ("p#c!#", false), ("p#d#", false)]
        {
            assert_eq!(first.as_str() < key && key < end.as_str(), within, "{key}");
        }
        assert_eq!(bounds(""), (String::new(), END.to_owned()));
    }
}
