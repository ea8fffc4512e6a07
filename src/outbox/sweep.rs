//! Housekeeping: what is settled and old goes, a batch at a time, by whichever replica comes by.

use super::{Outbox, OutboxError, within};

/// Delivered and skipped ones stay for a week, given up ones for a month: as long as they can be replayed.
const DISPATCHES: &str = "
    delete from outbox_dispatch
    where ctid = any(array(
        select ctid from outbox_dispatch
        where state <> 'pending'
            and done_at < clock_timestamp() - interval '7 days'
            and (state <> 'dead' or done_at < clock_timestamp() - interval '30 days')
        order by done_at
        limit $1
        for update skip locked
    ))";

/// Notices stay for two weeks: as long as a sink can recover what it missed.
const NOTICES: &str = "
    delete from outbox_notice
    where ctid = any(array(
        select n.ctid from outbox_notice n
        where n.created_at < clock_timestamp() - interval '14 days'
            and not exists (select 1 from outbox_dispatch d where d.notice_id = n.id)
        order by n.created_at
        limit $1
        for update skip locked
    ))";

/// A lane begins at 1 again when nothing of it is left, and only then: its places are unique.
const LANES: &str = "
    delete from outbox_lane
    where ctid = any(array(
        select l.ctid from outbox_lane l
        where l.pending = 0 and l.due_at < clock_timestamp() - interval '7 days'
            and not exists (select 1 from outbox_dispatch d where d.sink_id = l.sink_id and d.lane = l.lane)
        limit $1
        for update skip locked
    ))";

const ATTEMPTS: &str = "
    delete from outbox_attempt
    where id = any(array(
        select id from outbox_attempt where at < clock_timestamp() - interval '14 days' order by at limit $1
        for update skip locked
    ))";

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Dispatches.
    pub dispatches: u64,
    /// Notices.
    pub notices: u64,
    /// Lanes.
    pub lanes: u64,
    /// Attempts.
    pub attempts: u64,
}

impl Outbox {
    /// Deletes at most `batch` rows of each table that are old enough.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep(&self, batch: u32) -> Result<Swept, OutboxError> {
        within(async {
            let delete = async |sql| {
                let deleted = sqlx::query(sql).bind(i64::from(batch)).execute(&self.pool).await?;
                Ok::<_, sqlx::Error>(deleted.rows_affected())
            };
            Ok(Swept {
                dispatches: delete(DISPATCHES).await?,
                notices: delete(NOTICES).await?,
                lanes: delete(LANES).await?,
                attempts: delete(ATTEMPTS).await?,
            })
        })
        .await
    }

    /// Lanes whose count of pending dispatches is wrong: there should never be any.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn unsound_lanes(&self) -> Result<i64, OutboxError> {
        const UNSOUND: &str = "
            select count(*)
            from outbox_lane l
            where l.pending <> (
                select count(*) from outbox_dispatch d
                where d.sink_id = l.sink_id and d.lane = l.lane and d.state = 'pending'
            )";
        within(async { Ok(sqlx::query_scalar(UNSOUND).fetch_one(&self.pool).await?) }).await
    }
}
