//! The spool in PostgreSQL (migrations/0010_spool.sql).
//!
//! Whoever receives of a group has its row until `free_at`, and settles by the receipt that stands there: a later receiver has
//! another one. Nothing of what is held is ever repeated in an error.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::{
    PgPool, Postgres, Row,
    postgres::{PgPoolOptions, PgRow},
};
use uuid::Uuid;

use super::{
    plan::{Facts, Limits, Seen, Stage, next},
    queue::RECEIPT,
    store::{Fleet, Replica, SpoolStore, Standing, Word},
};
use crate::{
    domain::Sequence,
    postgres::{self, Cause, Failure, Session, within},
    queue::{BATCH, Delivery, QueueError, Receipt},
};

/// How long one statement may take on the server.
const STATEMENT: Duration = Duration::from_secs(5);

/// How long a piece of work of several statements may take, the way to the server and a connection included.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the server may take to let a connection in.
const ACQUIRE: Duration = Duration::from_secs(3);

/// Connections: those who move, who receives, who settles, and who keeps in step.
pub const CONNECTIONS: u32 = 8;

/// What the daemon's role needs of each table; who locks a row needs UPDATE.
pub const NEEDED: &[(&str, &[&str])] = &[
    ("spool_stage", &["SELECT", "UPDATE"]),
    ("spool_replica", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("spool_group", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("spool", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// A replica that has been silent for so long is gone.
const FORGET: &str = "delete from spool_replica where seen_at < now() - interval '1 day'";

/// Under the lock of the one row nobody else hears, and nobody holds.
const STAGE: &str = "select stage, epoch, changed_at from spool_stage for update";

const HEARD: &str = "
    insert into spool_replica (replica, host, seen_at, away_since, stopped)
    values ($1, $2, now(), now() - make_interval(secs => $3), $4)
    on conflict (replica) do update
    set host = excluded.host, seen_at = now(), away_since = excluded.away_since, stopped = excluded.stopped";

const FACTS: &str = "
    select replica, host, seen_at, away_since, stopped,
           extract(epoch from now() - seen_at)::float8 as silent_for, extract(epoch from seen_at - away_since)::float8 as away_for
    from spool_replica order by seen_at, replica";

const SIZE: &str = "select exists (select from spool) as holds, pg_total_relation_size('spool') as bytes";

/// While this is held, the stage stays.
const STILL: &str = "select from spool_stage where stage = 'spooling' and epoch = $1 for share";

/// Locks the rows of groups that stand, too: nobody may find one empty and take it away.
const HOLD_GROUPS: &str = "
    insert into spool_group (group_id, free_at)
    select distinct group_id, now() from unnest($1::text[]) as wanted (group_id) order by group_id
    on conflict (group_id) do update set group_id = excluded.group_id";

const HOLD: &str = "
    insert into spool (group_id, sequence, message_id, sent_at, body, attributes)
    select group_id, sequence::numeric, message_id, sent_at, body, attributes
    from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::bytea[], $6::text[])
         as held (group_id, sequence, message_id, sent_at, body, attributes)
    order by group_id, sequence
    on conflict on constraint spool_pk do nothing";

const FREE: &str = "
    select group_id from spool_group where free_at <= now() order by free_at, group_id limit $1 for update skip locked";

/// The first of those groups, in the order of the queue; so of each group the first ones.
const TAKE: &str = "
    with first as (
        select free.group_id, next.sequence
        from unnest($1::text[]) as free (group_id),
             lateral (select sequence from spool where group_id = free.group_id order by sequence limit $2) as next
        order by next.sequence limit $2
    )
    update spool set receives = receives + 1 from first
    where spool.group_id = first.group_id and spool.sequence = first.sequence
    returning spool.group_id, spool.sequence::text as sequence, message_id, sent_at, receives, body, attributes";

const HAVE: &str = "
    update spool_group set free_at = now() + make_interval(secs => $3), receipt = gen_random_uuid(), last = had.last::numeric
    from unnest($1::text[], $2::text[]) as had (group_id, last) where spool_group.group_id = had.group_id
    returning spool_group.group_id, receipt";

const EMPTY: &str = "delete from spool_group where group_id = any($1)";

const HAD: &str = "select receipt from spool_group where receipt = any($1) order by group_id for update";

const DELETE: &str = "
    delete from spool using unnest($1::uuid[], $2::text[]) as done (receipt, sequence), spool_group
    where spool_group.receipt = done.receipt and spool.group_id = spool_group.group_id
      and spool.sequence = done.sequence::numeric";

const FREED: &str = "
    update spool_group set free_at = now() where receipt = any($1) and not exists (
        select from spool where spool.group_id = spool_group.group_id and sequence <= last)";

const HIDE: &str = "
    update spool_group set free_at = now() + make_interval(secs => longest) from (
        select receipt, max(seconds) as longest from unnest($1::uuid[], $2::float8[]) as wanted (receipt, seconds) group by receipt
    ) as wanted
    where spool_group.receipt = wanted.receipt returning spool_group.receipt";

/// The tables.
#[derive(Clone)]
pub struct PostgresSpool(PgPool);

/// Without the connection options: they hold a password.
impl std::fmt::Debug for PostgresSpool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PostgresSpool")
    }
}

impl PostgresSpool {
    /// In the database of `url` (secret), in `schema` unless the role's own. Connects at the first use.
    ///
    /// # Errors
    /// The URL cannot be read; it is not repeated, for it holds a password.
    pub fn new(url: &str, schema: Option<&str>) -> anyhow::Result<Self> {
        let connect = postgres::connect(url, schema, STATEMENT, "the spool")?
            .application_name(concat!(env!("CARGO_PKG_NAME"), "-spool"))
            .options([("synchronous_commit", "on")]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
        Ok(Self(pool.connect_lazy_with(connect)))
    }

    /// How the fleet stands, for people. Changes nothing.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn fleet(&self) -> Result<Fleet, QueueError> {
        work(async {
            let mut session = Session::begin(&self.0).await?;
            let stage =
                sqlx::query("select stage, epoch, changed_at from spool_stage").fetch_one(session.connection()).await?;
            let size = sqlx::query(SIZE).fetch_one(session.connection()).await?;
            let held = sqlx::query("select count(*) as held, min(sent_at) as oldest from spool");
            let held = held.fetch_one(session.connection()).await?;
            let rows = sqlx::query(FACTS).fetch_all(session.connection()).await?;
            session.commit().await?;
            Ok(Fleet {
                standing: standing(&stage, &size)?,
                since: read(&stage, "changed_at")?,
                held: unsigned(read(&held, "held")?),
                oldest: read(&held, "oldest")?,
                replicas: rows.iter().map(replica).collect::<Result<_, _>>()?,
            })
        })
        .await
    }
}

#[async_trait]
impl SpoolStore for PostgresSpool {
    async fn hear(&self, word: &Word, limits: &Limits) -> Result<Standing, QueueError> {
        work(async {
            let mut session = Session::begin(&self.0).await?;
            let before = sqlx::query(STAGE).fetch_one(session.connection()).await?;
            let heard = sqlx::query(HEARD)
                .bind(word.replica)
                .bind(&word.host)
                .bind(word.away_for.map(|away| away.as_secs_f64()));
            let heard = heard.bind(word.stopped.and_then(|epoch| i64::try_from(epoch).ok()));
            heard.execute(session.connection()).await?;
            sqlx::query(FORGET).execute(session.connection()).await?;
            let size = sqlx::query(SIZE).fetch_one(session.connection()).await?;
            let replicas = sqlx::query(FACTS).fetch_all(session.connection()).await?;
            let replicas = replicas.iter().map(seen).collect::<Result<_, _>>()?;
            let facts = Facts { replicas, holds: read(&size, "holds")? };
            let mut standing = standing(&before, &size)?;
            let then = next(standing.stage, standing.epoch, &facts, limits);
            if then != standing.stage {
                standing.epoch += u64::from(then == Stage::Entering);
                standing.stage = then;
                let change = sqlx::query("update spool_stage set stage = $1, epoch = $2, changed_at = now()");
                let change = change.bind(then.name()).bind(i64::try_from(standing.epoch).unwrap_or(i64::MAX));
                change.execute(session.connection()).await?;
            }
            session.commit().await?;
            Ok(standing)
        })
        .await
    }

    async fn forget(&self, replica: Uuid) -> Result<(), QueueError> {
        work(async {
            let forget = sqlx::query("delete from spool_replica where replica = $1").bind(replica);
            let mut session = Session::take(&self.0).await?;
            forget.execute(session.connection()).await?;
            session.give_back();
            Ok(())
        })
        .await
    }

    async fn hold(&self, epoch: u64, deliveries: &[Delivery]) -> Result<bool, QueueError> {
        work(async {
            let mut session = Session::begin(&self.0).await?;
            let still = sqlx::query(STILL).bind(i64::try_from(epoch).unwrap_or(i64::MAX));
            if still.fetch_optional(session.connection()).await?.is_none() {
                session.commit().await?;
                return Ok(false);
            }
            let each = |of: fn(&Delivery) -> String| -> Vec<String> { deliveries.iter().map(of).collect() };
            let groups = each(|delivery| delivery.group_id.clone());
            sqlx::query(HOLD_GROUPS).bind(&groups).execute(session.connection()).await?;
            let held = sqlx::query(HOLD)
                .bind(groups)
                .bind(each(|delivery| delivery.sequence.0.to_string()))
                .bind(each(|delivery| delivery.message_id.clone()))
                .bind(deliveries.iter().map(|delivery| delivery.sent_at).collect::<Vec<DateTime<Utc>>>())
                .bind(deliveries.iter().map(|delivery| delivery.body.as_bytes()).collect::<Vec<&[u8]>>())
                .bind(each(|delivery| serde_json::to_string(&delivery.attributes).unwrap_or_default()));
            held.execute(session.connection()).await?;
            session.commit().await?;
            Ok(true)
        })
        .await
    }

    async fn receive(&self, visibility: Duration) -> Result<Vec<Delivery>, QueueError> {
        work(async {
            let mut session = Session::begin(&self.0).await?;
            let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let free = sqlx::query(FREE).bind(most).fetch_all(session.connection()).await?;
            let free: Vec<String> = free.iter().map(|row| read(row, "group_id")).collect::<Result<_, _>>()?;
            if free.is_empty() {
                session.commit().await?;
                return Ok(Vec::new());
            }
            let taken = sqlx::query(TAKE).bind(&free).bind(most).fetch_all(session.connection()).await?;
            let mut deliveries = taken.iter().map(delivery).collect::<Result<Vec<Delivery>, _>>()?;
            deliveries.sort_by_key(|delivery| delivery.sequence);
            let last: BTreeMap<&str, Sequence> =
                deliveries.iter().map(|delivery| (delivery.group_id.as_str(), delivery.sequence)).collect();
            if deliveries.len() < BATCH {
                // nothing was left out: a group that nothing came of is empty, and nobody adds to it while we have its row
                let empty: Vec<&String> = free.iter().filter(|group| !last.contains_key(group.as_str())).collect();
                sqlx::query(EMPTY).bind(empty).execute(session.connection()).await?;
            }
            let (groups, sequences): (Vec<&str>, Vec<String>) =
                last.iter().map(|(group, last)| (*group, last.0.to_string())).unzip();
            let have = sqlx::query(HAVE).bind(groups).bind(sequences).bind(visibility.as_secs_f64());
            let have = have.fetch_all(session.connection()).await?;
            session.commit().await?;
            let receipts: BTreeMap<String, Uuid> = have
                .iter()
                .map(|row| Ok((read(row, "group_id")?, read(row, "receipt")?)))
                .collect::<Result<_, Failure>>()?;
            for delivery in &mut deliveries {
                if let Some(receipt) = receipts.get(&delivery.group_id) {
                    delivery.receipt = Receipt(Arc::from(format!("{RECEIPT}{receipt}:{}", delivery.sequence.0)));
                }
            }
            Ok(deliveries)
        })
        .await
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        work(async {
            let parts: Vec<(Uuid, String)> = receipts.iter().map(parts).collect();
            let (had, sequences): (Vec<Uuid>, Vec<String>) = parts.iter().cloned().unzip();
            let mut session = Session::begin(&self.0).await?;
            let have = sqlx::query(HAD).bind(&had).fetch_all(session.connection()).await?;
            let have: Vec<Uuid> = have.iter().map(|row| read(row, "receipt")).collect::<Result<_, _>>()?;
            sqlx::query(DELETE).bind(&had).bind(sequences).execute(session.connection()).await?;
            sqlx::query(FREED).bind(&had).execute(session.connection()).await?;
            session.commit().await?;
            Ok(had
                .iter()
                .map(|receipt| if have.contains(receipt) { Ok(()) } else { Err(QueueError::LeaseLost) })
                .collect())
        })
        .await
    }

    async fn hide(&self, receipts: &[(Receipt, Duration)]) -> Result<Vec<Result<(), QueueError>>, QueueError> {
        work(async {
            let had: Vec<Uuid> = receipts.iter().map(|(receipt, _)| parts(receipt).0).collect();
            let seconds: Vec<f64> = receipts.iter().map(|(_, time)| time.as_secs_f64()).collect();
            let mut session = Session::take(&self.0).await?;
            let have = sqlx::query(HIDE).bind(&had).bind(seconds).fetch_all(session.connection()).await?;
            session.give_back();
            let have: Vec<Uuid> = have.iter().map(|row| read(row, "receipt")).collect::<Result<_, _>>()?;
            Ok(had
                .iter()
                .map(|receipt| if have.contains(receipt) { Ok(()) } else { Err(QueueError::LeaseLost) })
                .collect())
        })
        .await
    }
}

/// Of a receipt, who has the group, and which delivery it is. What is no receipt of ours settles nothing.
fn parts(receipt: &Receipt) -> (Uuid, String) {
    let parts = receipt.0.strip_prefix(RECEIPT).and_then(|parts| parts.split_once(':'));
    let parts = parts.and_then(|(receipt, sequence)| Some((receipt.parse().ok()?, sequence.to_owned())));
    parts.unwrap_or_else(|| (Uuid::nil(), "0".into()))
}

fn standing(stage: &PgRow, size: &PgRow) -> Result<Standing, Failure> {
    let name: String = read(stage, "stage")?;
    let stage_of = Stage::ALL.into_iter().find(|stage| stage.name() == name);
    Ok(Standing {
        stage: stage_of.ok_or_else(|| unreadable("stage"))?,
        epoch: unsigned(read(stage, "epoch")?),
        bytes: unsigned(read(size, "bytes")?),
    })
}

fn seen(row: &PgRow) -> Result<Seen, Failure> {
    let duration = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Ok(Seen {
        silent_for: duration(read(row, "silent_for")?),
        away_for: read::<Option<f64>>(row, "away_for")?.map(duration),
        stopped: read::<Option<i64>>(row, "stopped")?.map(unsigned),
    })
}

fn replica(row: &PgRow) -> Result<Replica, Failure> {
    Ok(Replica {
        replica: read(row, "replica")?,
        host: read(row, "host")?,
        seen_at: read(row, "seen_at")?,
        away_since: read(row, "away_since")?,
        stopped: read::<Option<i64>>(row, "stopped")?.map(unsigned),
    })
}

fn delivery(row: &PgRow) -> Result<Delivery, Failure> {
    let (sequence, body, attributes): (String, Vec<u8>, String) =
        (read(row, "sequence")?, read(row, "body")?, read(row, "attributes")?);
    Ok(Delivery {
        message_id: read(row, "message_id")?,
        receipt: Receipt(Arc::from("")),
        group_id: read(row, "group_id")?,
        sequence: Sequence(sequence.parse().map_err(|_| unreadable("sequence"))?),
        sent_at: read(row, "sent_at")?,
        receive_count: u32::try_from(read::<i32>(row, "receives")?).unwrap_or(1),
        body: Arc::from(String::from_utf8(body).map_err(|_| unreadable("body"))?),
        attributes: serde_json::from_str(&attributes).map_err(|_| unreadable("attributes"))?,
    })
}

fn read<'r, T>(row: &'r PgRow, column: &'static str) -> Result<T, Failure>
where
    T: sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>,
{
    row.try_get(column).map_err(|_| unreadable(column))
}

fn unreadable(column: &str) -> Failure {
    Failure { cause: Cause::Read, said: format!("unreadable {column}") }
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Waits for a piece of work, but not for ever.
async fn work<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, QueueError> {
    let unavailable = |failure: Failure| QueueError::Unavailable(format!("the spool: {}", failure.said));
    within(PATIENCE, work).await.map_err(unavailable)
}
