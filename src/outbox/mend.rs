//! What operators change. Each locks the lane first, as a claim does, and whoever holds the lane then settles nothing wrong.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{DispatchRow, Outbox, OutboxError, within};
use crate::postgres::Session;

const LOCK: &str = "select 1 from outbox_lane where sink_id = $1 and lane = $2 for update";

/// Now, or when the lease ends of a claim that may be sending still: nothing overtakes what is on its way.
const DUE_NOW: &str = "
    update outbox_lane
    set due_at = greatest(clock_timestamp(), leased_until), attempts = 0, parked = false, lease_epoch = lease_epoch + 1
    where sink_id = $1 and lane = $2 and pending > 0";

const SKIP: &str = "
    update outbox_dispatch set state = 'skipped', done_at = clock_timestamp(), last_reason = $4
    where sink_id = $1 and lane = $2 and seq = $3 and state = 'pending'";

const ONE_LESS: &str = "
    update outbox_lane
    set pending = pending - 1, due_at = greatest(clock_timestamp(), leased_until), attempts = 0, parked = false, lease_epoch = lease_epoch + 1
    where sink_id = $1 and lane = $2";

const REPLAY: &str = "
    update outbox_dispatch set state = 'pending', done_at = null
    where sink_id = $1 and lane = $2 and seq = $3 and state in ('dead', 'skipped')";

const ONE_MORE: &str = "
    update outbox_lane
    set pending = pending + 1,
        attempts = 0,
        due_at = case when pending = 0 then clock_timestamp() else due_at end
    where sink_id = $1 and lane = $2";

const RESUME: &str = "
    update outbox_sink
    set state = 'enabled', state_reason = null, state_since = clock_timestamp(),
        breaker = 'closed', failures = 0, trips = 0, open_until = null, failing_since = null, blocked_until = null
    where name = $1 and state in ('enabled', 'paused', 'disabled')";

/// What a disabled sink, or one added later, has missed: in the order in which it was told.
const RECOVER: &str = "
    with missed as (
        select s.id as sink_id, n.id,
               case s.order_by when 'contact' then n.contact_lane else n.conversation_lane end as lane,
               n.created_at, n.occurred_at
        from outbox_sink s
        join outbox_notice n on n.kind = any(s.kinds)
            and (s.projects is null or n.project is null or n.project = any(s.projects))
        where s.name = $1 and n.created_at >= $2
            and not exists (select 1 from outbox_dispatch d where d.sink_id = s.id and d.notice_id = n.id)
        order by n.created_at, n.occurred_at, n.id
        limit $3
    ),
    numbered as (
        select *, row_number() over (partition by lane order by created_at, occurred_at, id) as place from missed
    ),
    grown as (
        insert into outbox_lane as l (sink_id, lane, last_seq, pending, due_at)
        select sink_id, lane, count(*), count(*), clock_timestamp() from numbered group by sink_id, lane order by sink_id, lane
        on conflict (sink_id, lane) do update
        set last_seq = l.last_seq + excluded.last_seq,
            pending = l.pending + excluded.pending,
            due_at = case when l.pending = 0 then excluded.due_at else l.due_at end
        returning l.sink_id, l.lane, l.last_seq
    ),
    put as (
        insert into outbox_dispatch (sink_id, lane, seq, notice_id)
        select n.sink_id, n.lane, g.last_seq - count(*) over (partition by n.lane) + n.place, n.id
        from numbered n join grown g using (sink_id, lane)
        returning 1
    )
    select count(*) from put";

/// Notices recovered at once.
const RECOVERED_AT_ONCE: i64 = 1_000;

/// What became of one dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mended {
    /// It is done.
    Done,
    /// Somebody was first: it is not as it was.
    Changed,
}

impl From<u64> for Mended {
    fn from(rows: u64) -> Self {
        if rows > 0 { Self::Done } else { Self::Changed }
    }
}

impl Outbox {
    /// Sends a lane's head now, as if it were the first attempt.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn retry(&self, row: &DispatchRow) -> Result<Mended, OutboxError> {
        within(async {
            let now = sqlx::query(DUE_NOW).bind(row.sink_id).bind(row.lane);
            Ok(now.execute(&self.pool).await?.rows_affected().into())
        })
        .await
    }

    /// Gives a pending dispatch up: the lane goes on without it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn skip(&self, row: &DispatchRow, reason: &str) -> Result<Mended, OutboxError> {
        self.change(row, async |connection: &mut PgConnection| {
            let skip = sqlx::query(SKIP).bind(row.sink_id).bind(row.lane).bind(row.seq).bind(reason);
            let skipped = skip.execute(&mut *connection).await?.rows_affected();
            if skipped > 0 {
                sqlx::query(ONE_LESS).bind(row.sink_id).bind(row.lane).execute(connection).await?;
            }
            Ok(skipped)
        })
        .await
    }

    /// Sends a dispatch that was given up once more, in its old place: before everything behind it that still waits.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn replay(&self, row: &DispatchRow) -> Result<Mended, OutboxError> {
        self.change(row, async |connection: &mut PgConnection| {
            let replay = sqlx::query(REPLAY).bind(row.sink_id).bind(row.lane).bind(row.seq);
            let replayed = replay.execute(&mut *connection).await?.rows_affected();
            if replayed > 0 {
                sqlx::query(ONE_MORE).bind(row.sink_id).bind(row.lane).execute(connection).await?;
            }
            Ok(replayed)
        })
        .await
    }

    async fn change(
        &self,
        row: &DispatchRow,
        change: impl AsyncFnOnce(&mut PgConnection) -> Result<u64, sqlx::Error>,
    ) -> Result<Mended, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            sqlx::query(LOCK).bind(row.sink_id).bind(row.lane).execute(session.connection()).await?;
            let changed = change(session.connection()).await?;
            session.commit().await?;
            Ok(changed.into())
        })
        .await
    }

    /// Enables a sink that was paused or disabled, with its breaker closed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn resume(&self, sink: &str) -> Result<Mended, OutboxError> {
        within(async { Ok(sqlx::query(RESUME).bind(sink).execute(&self.pool).await?.rows_affected().into()) }).await
    }

    /// Adds what a sink missed of notices told since then, while it was disabled or not there. Returns how many; call it
    /// until there are none.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn recover(&self, sink: &str, since: DateTime<Utc>) -> Result<u64, OutboxError> {
        within(async {
            let recover = sqlx::query_scalar(RECOVER).bind(sink).bind(since).bind(RECOVERED_AT_ONCE);
            let added: i64 = recover.fetch_one(&self.pool).await?;
            Ok(added.unsigned_abs())
        })
        .await
    }
}
