//! Small rows: variables, sessions, project settings. An older event never overwrites a newer one.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;

use super::{PostgresStore, error::read};
use crate::{
    domain::Sequence,
    hot::{HotError, Row},
};

const WRITE: &str = "
    insert into hot_row (belongs_to, name, rank, expires_at, body) values ($1, $2, $3::numeric, $4, $5)
    on conflict (belongs_to, name) do update
    set rank = excluded.rank, expires_at = excluded.expires_at, body = excluded.body
    where hot_row.rank < excluded.rank";

const READ: &str = "
    select belongs_to, name, rank::text as rank, expires_at, body
    from hot_row
    where belongs_to = $1 and name >= $2 and starts_with(name, $2)
    order by name
    limit 1000";

impl PostgresStore {
    pub(super) async fn put_row(&self, row: &Row) -> Result<bool, HotError> {
        let statement = sqlx::query(WRITE)
            .bind(row.partition.as_str())
            .bind(row.name.as_str())
            .bind(row.rank.0.to_string())
            .bind(in_seconds(row.expires_at))
            .bind(row.body.as_str());
        Ok(self.changed_by(statement).await? == 1)
    }

    pub(super) async fn read_rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        let rows = self.rows_of(sqlx::query(READ).bind(partition).bind(prefix)).await?;
        rows.iter().map(to_row).collect()
    }
}

fn to_row(row: &PgRow) -> Result<Row, HotError> {
    let rank: &str = read(Some(row), "rank")?;
    Ok(Row {
        partition: read(Some(row), "belongs_to")?,
        name: read(Some(row), "name")?,
        body: read(Some(row), "body")?,
        rank: Sequence(rank.parse().map_err(|_| HotError::Unreadable("rank"))?),
        expires_at: read(Some(row), "expires_at")?,
    })
}

fn in_seconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp(), 0).unwrap_or(at)
}
