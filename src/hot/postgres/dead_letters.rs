//! The index of dead letters. Settled rows are marked; they leave when they expire.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use sqlx::postgres::PgRow;

use super::{PostgresStore, error::read, in_micros, in_millis};
use crate::hot::{
    Cursor, DeadLetter, DeadLetters, HotError, Settled,
    dead_letters::{self, kept_until, written},
};

/// Rows of a page.
const PAGE: usize = 1_000;

const WRITE: &str = "
    insert into hot_dead_letter (sent_at, message_id, expires_at, letter) values ($1, $2, $3, $4)
    on conflict (sent_at, message_id) do update
    set expires_at = excluded.expires_at, letter = excluded.letter, settled = null, settled_at = null";

const READ: &str = "
    select sent_at, message_id, letter, settled, settled_at
    from hot_dead_letter
    where sent_at < $1 and (sent_at, message_id) > ($2, $3)
    order by sent_at, message_id
    limit $4";

const MARK: &str = "
    update hot_dead_letter set settled = $3, settled_at = $4 where sent_at = $1 and message_id = $2";

impl PostgresStore {
    pub(super) async fn put_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        let statement = sqlx::query(WRITE)
            .bind(in_millis(letter.sent_at))
            .bind(letter.message_id.as_str())
            .bind(in_micros(kept_until(letter)))
            .bind(written(letter)?);
        self.changed_by(statement).await.map(|_| ())
    }

    pub(super) async fn read_dead_letters(
        &self,
        day: NaiveDate,
        after: Option<Cursor>,
    ) -> Result<DeadLetters, HotError> {
        let begins = day.and_time(NaiveTime::MIN).and_utc();
        // no message is without an id: all of the day come after this place
        let from = after.map(|cursor| to_place(cursor.as_str()).ok_or(HotError::Unreadable("cursor"))).transpose()?;
        let (at, id) = from.unwrap_or((begins, String::new()));
        let statement = sqlx::query(READ).bind(begins + TimeDelta::days(1)).bind(at).bind(id).bind(PAGE as i64 + 1);
        let rows = self.rows_of(statement).await?;
        let letters = rows.iter().take(PAGE).map(to_letter).collect::<Result<_, _>>()?;
        let next = match rows.get(PAGE - 1).filter(|_| rows.len() > PAGE) {
            Some(last) => Some(Cursor::at(of_place(last)?)),
            None => None,
        };
        Ok(DeadLetters { letters, next })
    }

    pub(super) async fn settle_dead_letter(
        &self,
        sent_at: DateTime<Utc>,
        message_id: &str,
        settled: Settled,
    ) -> Result<bool, HotError> {
        let statement = sqlx::query(MARK)
            .bind(in_millis(sent_at))
            .bind(message_id)
            .bind(settled.how.as_str())
            .bind(in_millis(settled.at));
        Ok(self.changed_by(statement).await? == 1)
    }
}

fn to_letter(row: &PgRow) -> Result<DeadLetter, HotError> {
    let row = Some(row);
    dead_letters::read(read(row, "letter")?, read(row, "settled")?, read(row, "settled_at")?)
}

fn of_place(row: &PgRow) -> Result<String, HotError> {
    let (at, id): (DateTime<Utc>, &str) = (read(Some(row), "sent_at")?, read(Some(row), "message_id")?);
    Ok(format!("{}#{id}", at.timestamp_millis()))
}

fn to_place(text: &str) -> Option<(DateTime<Utc>, String)> {
    let (millis, id) = text.split_once('#')?;
    Some((DateTime::from_timestamp_millis(millis.parse().ok()?)?, id.to_owned()))
}
