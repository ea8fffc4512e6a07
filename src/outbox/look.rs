//! What operators read: sinks and how they fare, dispatches, attempts.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;
use uuid::Uuid;

use super::{NoticeRow, Outbox, OutboxError, seconds, within};
use crate::domain::Notice;

const SINKS: &str = "
    select s.id, s.name, s.form, s.order_by, s.state, s.state_reason, s.state_since, s.breaker, s.open_until, s.failures,
           s.failing_since, s.blocked_until, s.kinds, s.projects,
           coalesce(l.pending, 0)::bigint as pending, coalesce(l.parked, 0)::bigint as parked, l.oldest_due,
           (select count(*) from outbox_dispatch d where d.sink_id = s.id and d.state = 'dead') as dead
    from outbox_sink s
    left join lateral (
        select sum(l.pending) as pending, count(*) filter (where l.parked) as parked, min(l.due_at) as oldest_due
        from outbox_lane l
        where l.sink_id = s.id and l.pending > 0
    ) l on true
    order by s.name";

/// Settled ones by when they were, the others by when they came: each has an index that ends early.
const LIST: &str = "
    select s.name as sink, d.sink_id, d.lane, d.seq, d.notice_id, d.state, d.attempts, d.last_reason, d.created_at, d.done_at,
           n.kind, n.project, n.conversation_id, n.occurred_at,
           l.parked and not exists (
               select 1 from outbox_dispatch e
               where e.sink_id = d.sink_id and e.lane = d.lane and e.state = 'pending' and e.seq < d.seq
           ) as parked,
           case when d.state = 'pending' then l.due_at end as due_at
    from outbox_dispatch d
    join outbox_sink s on s.id = d.sink_id
    join outbox_notice n on n.id = d.notice_id
    join outbox_lane l on l.sink_id = d.sink_id and l.lane = d.lane
    where ($1::text is null or s.name = $1)
        and ($2::text[] is null or d.state = any($2))
        and ($3::uuid is null or d.notice_id = $3)
        and ($4::uuid is null or n.conversation_id = $4)
        and ($5::text is null or n.project = $5)
        and ($6::timestamptz is null or coalesce(d.done_at, d.created_at) >= $6)
        and ($7::timestamptz is null or coalesce(d.done_at, d.created_at) < $7)
        and ($9::text is null or position(lower($9) in lower(d.last_reason)) > 0)
    order by coalesce(d.done_at, d.created_at), d.sink_id, d.lane, d.seq
    limit $8";

const NOTICE: &str = "
    select id, kind, project, conversation_id, conversation_lane, contact_lane, occurred_at, content::text as content
    from outbox_notice where id = $1";

const ATTEMPTS: &str = "
    select s.name as sink, a.at, a.took_ms, a.outcome, a.status, a.reason
    from outbox_attempt a
    join outbox_sink s on s.id = a.sink_id
    where a.notice_id = $1
    order by a.at, a.id
    limit 1000";

const LAGGING: &str = "
    select s.name
    from outbox_sink s
    where s.state = 'enabled' and exists (
        select 1 from outbox_dispatch d
        where d.sink_id = s.id and d.state = 'pending' and d.created_at < clock_timestamp() - make_interval(secs => $1)
    )
    order by s.name";

/// A sink and how it fares.
#[derive(Clone, Debug, FromRow)]
pub struct SinkRow {
    /// Its number.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// What kind of outside system it is.
    pub form: String,
    /// Whose order it keeps: `conversation` or `contact`.
    pub order_by: String,
    /// `enabled`, `paused`, `disabled` or `removed`.
    pub state: String,
    /// Why, when it is not enabled.
    pub state_reason: Option<String>,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// `closed`, `open` or `half_open`.
    pub breaker: String,
    /// When its breaker is next tried.
    pub open_until: Option<DateTime<Utc>>,
    /// Failures in a row.
    pub failures: i32,
    /// Since when it has failed without a success.
    pub failing_since: Option<DateTime<Utc>>,
    /// It asked for silence until then.
    pub blocked_until: Option<DateTime<Utc>>,
    /// Kinds of notices it takes.
    pub kinds: Vec<String>,
    /// Projects it hears of; `None` for all.
    pub projects: Option<Vec<String>>,
    /// Dispatches that wait.
    pub pending: i64,
    /// Lanes that wait for an operator.
    pub parked: i64,
    /// The longest due of its lanes.
    pub oldest_due: Option<DateTime<Utc>>,
    /// Dispatches that were given up.
    pub dead: i64,
}

/// Which dispatches.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this sink.
    pub sink: Option<String>,
    /// In one of these states: `pending`, `delivered`, `dead`, `skipped`.
    pub states: Option<Vec<&'static str>>,
    /// Of this notice.
    pub notice: Option<Uuid>,
    /// About this conversation.
    pub conversation: Option<Uuid>,
    /// Of this project.
    pub project: Option<String>,
    /// Settled at this time or later; of those pending, added.
    pub since: Option<DateTime<Utc>>,
    /// Settled before this time; of those pending, added.
    pub until: Option<DateTime<Utc>>,
    /// Whose last attempt came to a reason with this text in it, in any case of letters.
    pub reason: Option<String>,
    /// So many at most.
    pub limit: u32,
}

/// A dispatch.
#[derive(Clone, Debug, FromRow)]
pub struct DispatchRow {
    /// The sink's name.
    pub sink: String,
    /// The sink's number.
    pub sink_id: i32,
    /// Its lane.
    pub lane: Uuid,
    /// Its place there.
    pub seq: i64,
    /// Its notice.
    pub notice_id: Uuid,
    /// `pending`, `delivered`, `dead` or `skipped`.
    pub state: String,
    /// Attempts so far.
    pub attempts: i32,
    /// What the last came to.
    pub last_reason: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was settled.
    pub done_at: Option<DateTime<Utc>>,
    /// What it tells.
    pub kind: String,
    /// The project.
    pub project: Option<String>,
    /// The conversation.
    pub conversation_id: Option<Uuid>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// It is the head of a lane that waits for an operator.
    pub parked: bool,
    /// When its lane comes up; `None` once it is settled.
    pub due_at: Option<DateTime<Utc>>,
}

/// One attempt.
#[derive(Clone, Debug, FromRow)]
pub struct AttemptRow {
    /// The sink's name.
    pub sink: String,
    /// When it ended.
    pub at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub took_ms: i32,
    /// What became of the dispatch.
    pub outcome: String,
    /// The receiver's status.
    pub status: Option<i32>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Outbox {
    /// All sinks the database knows, by name.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sinks(&self) -> Result<Vec<SinkRow>, OutboxError> {
        within(async { Ok(sqlx::query_as(SINKS).fetch_all(&self.pool).await?) }).await
    }

    /// Names of enabled sinks for which a dispatch has waited for `lag` or longer.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn lagging(&self, lag: Duration) -> Result<Vec<String>, OutboxError> {
        within(async { Ok(sqlx::query_scalar(LAGGING).bind(seconds(lag)).fetch_all(&self.pool).await?) }).await
    }

    /// Dispatches that fit, the oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<DispatchRow>, OutboxError> {
        let query = sqlx::query_as(LIST)
            .bind(filter.sink.as_deref())
            .bind(filter.states.clone())
            .bind(filter.notice)
            .bind(filter.conversation)
            .bind(filter.project.as_deref())
            .bind(filter.since)
            .bind(filter.until)
            .bind(i64::from(filter.limit))
            .bind(filter.reason.as_deref());
        within(async { Ok(query.fetch_all(&self.pool).await?) }).await
    }

    /// One notice, if it is still kept.
    ///
    /// # Errors
    /// The database does not answer, or this release cannot read it.
    pub async fn notice(&self, id: Uuid) -> Result<Option<Notice>, OutboxError> {
        within(async {
            let row: Option<NoticeRow> = sqlx::query_as(NOTICE).bind(id).fetch_optional(&self.pool).await?;
            row.map(Notice::try_from).transpose()
        })
        .await
    }

    /// The attempts at a notice, in order; 1,000 at most.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn attempts(&self, notice: Uuid) -> Result<Vec<AttemptRow>, OutboxError> {
        within(async { Ok(sqlx::query_as(ATTEMPTS).bind(notice).fetch_all(&self.pool).await?) }).await
    }
}
