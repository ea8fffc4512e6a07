//! Messages: written once under a key derived from what they say, read in the archive's order.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sqlx::{Postgres, postgres::PgArguments, postgres::PgRow, query::Query};
use uuid::Uuid;

use super::{LAST, PostgresStore, Way, error::read, in_micros};
use crate::{
    domain::{ConversationId, EventId, Message, Sequence, Spot, ThreadKey},
    hot::{Cursor, HotError, Page, Put},
};

/// Messages of a page, and what the archive inserts at once.
const PAGE_MESSAGES: usize = 1_000;

/// Bytes of a page: one message more than these at most.
const PAGE_BYTES: i64 = 1_048_576;

/// One statement for all. They come in the order of their keys, in which every writer takes them: two of the same messages
/// wait for one another, and never in a circle.
const PUT: &str = "
    insert into hot_message (
        thread, conversation_id, occurred_at, sequence, event_id, received_at, expires_at, body
    )
    select thread, conversation_id, occurred_at, sequence::numeric, event_id, received_at, expires_at, body
    from unnest(
        $1::text[], $2::uuid[], $3::timestamptz[], $4::text[], $5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::text[]
    ) as put (thread, conversation_id, occurred_at, sequence, event_id, received_at, expires_at, body)
    on conflict do nothing -- W1: written once";

/// The messages beyond a place, as many as fit a page, one at least, and one more than is wanted at most. `followed` says of
/// each whether there is another behind it. No body is empty, so the bytes before a message sort as the messages do.
macro_rules! messages {
    ($beyond:literal, $direction:literal) => {
        concat!(
            "select occurred_at, sequence::text as sequence, event_id, body, followed
            from (
                select *, lead(true) over so_far is not null as followed,
                    sum(octet_length(body)) over so_far - octet_length(body) as bytes_before
                from (
                    select occurred_at, sequence, event_id, body
                    from hot_message
                    where thread = $1 and conversation_id = $2 and (occurred_at, sequence, event_id) ",
            $beyond,
            " ($3, $4::numeric, $5)
                    order by occurred_at ",
            $direction,
            ", sequence ",
            $direction,
            ", event_id ",
            $direction,
            " limit $6 + 1
                ) as nearest
                window so_far as (order by occurred_at ",
            $direction,
            ", sequence ",
            $direction,
            ", event_id ",
            $direction,
            " rows unbounded preceding)
            ) as counted
            where bytes_before < $7
            order by bytes_before"
        )
    };
}

const FORWARD: &str = messages!(">", "asc");
const BACK: &str = messages!("<", "desc");

const NEWEST: &str = "
    select received_at from hot_message
    where thread = $1 and conversation_id = $2
    order by occurred_at desc, sequence desc, event_id desc
    limit 1";

const OVERTOOK: &str = "
    select exists (
        select from hot_message
        where thread = $1 and conversation_id = $2 and (occurred_at, sequence, event_id) >= ($3, $4::numeric, $5)
          and sequence >= $4::numeric
    ) as overtook";

/// Messages, nearest to where reading began first.
pub(super) struct Found {
    pub(super) messages: Vec<Message>,
    pub(super) more: bool,
    last: Option<Spot>,
}

impl PostgresStore {
    pub(super) async fn put_all(&self, puts: &[Put]) -> Vec<Result<(), HotError>> {
        let bodies: Vec<Result<String, HotError>> = puts
            .iter()
            .map(|put| serde_json::to_string(&*put.message).map_err(|_| HotError::Unreadable("message")))
            .collect();
        // a batch may name a key twice: the same delivery may come round again while its first turn still runs
        let mut keyed = BTreeMap::new();
        for (put, body) in puts.iter().zip(&bodies) {
            if let Ok(body) = body {
                let key = (put.thread.as_str(), put.conversation.0, key_of(put.message.spot()));
                keyed.entry(key).or_insert((put, body.as_str()));
            }
        }
        let batch: Vec<_> = keyed.into_values().collect();
        let written = self.put_batch(&batch).await;
        if matches!(written, Err(HotError::Refused(_))) && batch.len() > 1 {
            return self.one_by_one(puts, &bodies).await;
        }
        bodies.into_iter().map(|body| body.and_then(|_| written.clone())).collect()
    }

    /// One that is wrong must not hold up the others of its batch.
    async fn one_by_one(&self, puts: &[Put], bodies: &[Result<String, HotError>]) -> Vec<Result<(), HotError>> {
        let mut results = Vec::with_capacity(puts.len());
        for (put, body) in puts.iter().zip(bodies) {
            results.push(match body {
                Ok(body) => self.put_batch(&[(put, body)]).await,
                Err(failure) => Err(failure.clone()),
            });
        }
        results
    }

    async fn put_batch(&self, batch: &[(&Put, &str)]) -> Result<(), HotError> {
        if batch.is_empty() {
            return Ok(());
        }
        let spots: Vec<Key> = batch.iter().map(|(put, _)| key_of(put.message.spot())).collect();
        let statement = sqlx::query(PUT)
            .bind(column(batch, |(put, _)| put.thread.as_str()))
            .bind(column(batch, |(put, _)| put.conversation.0))
            .bind(column(&spots, |(at, ..)| *at))
            .bind(column(&spots, |(_, sequence, _)| sequence.to_string()))
            .bind(column(&spots, |(.., event)| *event))
            .bind(column(batch, |(put, _)| in_micros(put.message.received_at)))
            .bind(column(batch, |(put, _)| whole_hour(self.expires(put.message.received_at))))
            .bind(column(batch, |(_, body)| *body));
        self.changed_by(statement).await.map(|_| ())
    }

    /// The messages of a conversation from beyond `from`, `most` at most.
    pub(super) async fn messages(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        from: Option<Spot>,
        way: Way,
        most: usize,
    ) -> Result<Found, HotError> {
        let (sql, end) = match way {
            Way::Forward => (FORWARD, (DateTime::UNIX_EPOCH, "-1".to_owned(), Uuid::nil())),
            Way::Back => (BACK, (in_micros(LAST), u128::MAX.to_string(), Uuid::max())),
        };
        let place = from.map(key_of).map(|(at, sequence, event)| (at, sequence.to_string(), event));
        let (at, sequence, event) = place.unwrap_or(end);
        let statement = bound(sqlx::query(sql), thread, conversation).bind(at).bind(sequence).bind(event);
        let wanted = i64::try_from(most).unwrap_or(i64::MAX - 1);
        let mut rows = self.rows_of(statement.bind(wanted).bind(PAGE_BYTES)).await?;
        rows.truncate(most);
        let more = rows.last().map_or(Ok(false), |row| read(Some(row), "followed"))?;
        let messages = rows.iter().map(to_message).collect::<Result<_, _>>()?;
        Ok(Found { messages, more, last: rows.last().map(spot).transpose()? })
    }

    pub(super) async fn one_page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        let from = after.map(|cursor| to_spot(cursor.as_str()).ok_or(HotError::Unreadable("cursor"))).transpose()?;
        let found = self.messages(thread, conversation, from, Way::Forward, PAGE_MESSAGES).await?;
        let next = found.last.filter(|_| found.more).map(|last| Cursor::at(of_spot(last)));
        Ok(Page { messages: found.messages, next })
    }

    pub(super) async fn newest(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        let rows = self.rows_of(bound(sqlx::query(NEWEST), thread, conversation)).await?;
        rows.first().map(|row| read(Some(row), "received_at")).transpose()
    }

    pub(super) async fn stands_or_overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        let (at, sequence, event) = key_of(message.spot());
        let statement = bound(sqlx::query(OVERTOOK), thread, conversation).bind(at);
        read(self.rows_of(statement.bind(sequence.to_string()).bind(event)).await?.first(), "overtook")
    }
}

/// A message's place, as its key has it.
type Key = (DateTime<Utc>, u128, Uuid);

/// To the microsecond, and none before 1970: as the archive's order and DynamoDB's keys have it.
fn key_of(spot: Spot) -> Key {
    (in_micros(spot.occurred_at).max(DateTime::UNIX_EPOCH), spot.sequence.0, spot.event_id.0)
}

fn bound<'q>(
    statement: Query<'q, Postgres, PgArguments>,
    thread: &'q ThreadKey,
    conversation: ConversationId,
) -> Query<'q, Postgres, PgArguments> {
    statement.bind(thread.as_str()).bind(conversation.0)
}

fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

/// The next whole hour: messages may stay an hour longer, and the index of what expires has few different entries.
fn whole_hour(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_round_up(TimeDelta::hours(1)).unwrap_or_else(|_| in_micros(at))
}

fn to_message(row: &PgRow) -> Result<Message, HotError> {
    serde_json::from_str(read(Some(row), "body")?).map_err(|_| HotError::Unreadable("message"))
}

/// Where a row stands.
pub(super) fn spot(row: &PgRow) -> Result<Spot, HotError> {
    let sequence: &str = read(Some(row), "sequence")?;
    Ok(Spot {
        occurred_at: read(Some(row), "occurred_at")?,
        sequence: Sequence(sequence.parse().map_err(|_| HotError::Unreadable("sequence"))?),
        event_id: EventId(read(Some(row), "event_id")?),
    })
}

fn of_spot(spot: Spot) -> String {
    format!("{}#{}#{}", spot.occurred_at.timestamp_micros(), spot.sequence.0, spot.event_id)
}

fn to_spot(text: &str) -> Option<Spot> {
    let mut parts = text.split('#');
    let (micros, sequence, event) = (parts.next()?, parts.next()?, parts.next()?);
    Some(Spot {
        occurred_at: DateTime::from_timestamp_micros(micros.parse().ok()?)?,
        sequence: Sequence(sequence.parse().ok()?),
        event_id: EventId(event.parse().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_from_its_cursor() {
        let at = DateTime::from_timestamp_micros(1_795_240_800_123_456).expect("in range");
        let spot = Spot { occurred_at: at, sequence: Sequence(u128::MAX), event_id: EventId(Uuid::max()) };
        assert_eq!(to_spot(&of_spot(spot)), Some(spot));
        for text in ["", "1", "1#2", "1#2#x", "x#2#3", "1#-2#00000000-0000-0000-0000-000000000000"] {
            assert_eq!(to_spot(text), None, "{text}");
        }
    }

    #[test]
    fn a_message_stays_for_an_hour_longer_at_most() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
        for (seconds, whole) in [(0, 0), (1, 3600), (3600, 3600), (3601, 7200)] {
            assert_eq!(whole_hour(at(seconds)), at(whole));
        }
        assert!(whole_hour(LAST) <= LAST);
    }
}
