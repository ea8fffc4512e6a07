//! Writing notices, inside somebody else's transaction.

use std::collections::HashSet;

use sqlx::PgConnection;

use super::{Outbox, OutboxError, within};
use crate::{domain::Notice, postgres::Session};

/// One statement for all: a notice that stands already adds nothing; a new one adds a dispatch for every sink that takes
/// it, at the end of its lane. The lane's row is locked from here to the caller's commit, so places are taken in the order of
/// commits; lanes are locked in one order everywhere, so two callers cannot wait for each other.
const ENQUEUE: &str = "
    with told as (
        select * from unnest(
            $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::uuid[], $7::timestamptz[], $8::text[], $9::text[]
        ) with ordinality
        as told(id, kind, project, conversation_id, conversation_lane, contact_lane, occurred_at, content, about, place)
    ),
    wanted as (
        select told.*, s.id as sink_id, s.state,
               case s.order_by when 'contact' then told.contact_lane else told.conversation_lane end as lane
        from told
        join outbox_sink s on told.kind = any(s.kinds)
            and (s.projects is null or told.project is null or told.project = any(s.projects))
            and told.about is distinct from s.name
            and s.state <> 'removed'
    ),
    added as (
        insert into outbox_notice (id, kind, project, conversation_id, conversation_lane, contact_lane, occurred_at, content)
        select distinct on (id) id, kind, project, conversation_id, conversation_lane, contact_lane, occurred_at, content::json
        from wanted
        order by id
        on conflict (id) do nothing
        returning id
    ),
    fanned as (
        select w.sink_id, w.lane, w.id, row_number() over (partition by w.sink_id, w.lane order by w.place) as place
        from wanted w
        join added using (id)
        where w.state in ('enabled', 'paused')
    ),
    grown as (
        insert into outbox_lane as l (sink_id, lane, last_seq, pending, due_at)
        select sink_id, lane, count(*), count(*), clock_timestamp()
        from fanned
        group by sink_id, lane
        order by sink_id, lane
        on conflict (sink_id, lane) do update
        set last_seq = l.last_seq + excluded.last_seq,
            pending = l.pending + excluded.pending,
            due_at = case when l.pending = 0 then excluded.due_at else l.due_at end
        returning l.sink_id, l.lane, l.last_seq
    ),
    put as (
        insert into outbox_dispatch (sink_id, lane, seq, notice_id)
        select f.sink_id, f.lane, g.last_seq - count(*) over (partition by f.sink_id, f.lane) + f.place, f.id
        from fanned f
        join grown g using (sink_id, lane)
        returning 1
    )
    select count(*) from put";

/// Writes `notices` (at most some hundreds), in this order within each lane, as part of the transaction open on
/// `connection`: they are told if it commits, and are nothing if it does not. A notice that was ever told adds nothing.
/// Nothing at all is written for notices that no configured sink takes.
///
/// Returns how many dispatches were added.
///
/// # Errors
/// The database's; the caller's transaction is then of no use.
pub async fn enqueue(connection: &mut PgConnection, notices: &[Notice]) -> Result<u64, sqlx::Error> {
    let mut known = HashSet::new();
    let notices: Vec<&Notice> = notices.iter().filter(|notice| known.insert(notice.id)).collect();
    if notices.is_empty() {
        return Ok(0);
    }
    let added: i64 = sqlx::query_scalar(ENQUEUE)
        .bind(column(&notices, |notice| notice.id.0))
        .bind(column(&notices, |notice| notice.kind.as_str()))
        .bind(column(&notices, |notice| notice.project.clone()))
        .bind(column(&notices, |notice| notice.conversation.map(|conversation| conversation.0)))
        .bind(column(&notices, |notice| notice.conversation_lane))
        .bind(column(&notices, |notice| notice.contact_lane))
        .bind(column(&notices, |notice| notice.occurred_at))
        .bind(column(&notices, |notice| serde_json::Value::Object(notice.content.clone()).to_string()))
        .bind(column(&notices, |notice| notice.about.clone()))
        .fetch_one(connection)
        .await?;
    Ok(added.unsigned_abs())
}

fn column<T>(notices: &[&Notice], value: impl Fn(&Notice) -> T) -> Vec<T> {
    notices.iter().map(|notice| value(notice)).collect()
}

impl Outbox {
    /// Writes notices in a transaction of their own: for what nobody else's transaction makes true.
    ///
    /// # Errors
    /// The database does not answer; nothing was written, or all of it.
    pub async fn tell(&self, notices: &[Notice]) -> Result<u64, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let added = enqueue(session.connection(), notices).await?;
            session.commit().await?;
            Ok(added)
        })
        .await
    }
}
