//! Claiming: the heads of lanes that are due, each for the length of a lease, each counted as an attempt.

use std::time::Duration;

use uuid::Uuid;

use super::{Claim, Claimed, NoticeRow, Outbox, OutboxError, SinkId, seconds, within};
use crate::{domain::NoticeId, postgres::Session};

/// Takes lanes. Their rows are updated by their place, which costs the same however many there are; one that another replica
/// changed in between is not where it was, and comes with the next claim. `due_at` is at once the next attempt and the end of a lease, as a visibility timeout is. The time is this
/// statement's (which an index can use), and whoever is locked by another replica is passed over.
const TAKE: &str = "
    with picked as (
        select l.place
        from unnest($1::int[], $2::int[]) as asked(sink_id, room)
        join outbox_sink s on s.id = asked.sink_id
            and s.state = 'enabled'
            and s.breaker = case when $4 then 'half_open' else 'closed' end
            and (s.blocked_until is null or s.blocked_until <= statement_timestamp())
        cross join lateral (
            select k.ctid as place
            from outbox_lane k
            where k.sink_id = s.id and k.pending > 0 and not k.parked and k.due_at <= statement_timestamp()
            order by k.due_at
            limit asked.room
            for update skip locked
        ) l
    )
    update outbox_lane l
    set lease_epoch = l.lease_epoch + 1,
        attempts = l.attempts + 1,
        due_at = statement_timestamp() + make_interval(secs => $3),
        leased_until = statement_timestamp() + make_interval(secs => $3)
    where l.ctid = any(array(select place from picked))
    returning l.sink_id, l.lane, l.lease_epoch, l.attempts";

/// Reads the heads of lanes just taken. A statement of its own: its snapshot is of after the locks. Read together with the
/// lock, a head that another replica settled meanwhile would be sent again, and the one behind it lost.
const HEADS: &str = "
    select held.sink_id, held.lane, head.seq,
           n.id, n.kind, n.project, n.conversation_id, n.conversation_lane, n.contact_lane, n.occurred_at,
           n.content::text as content
    from unnest($1::int[], $2::uuid[]) as held(sink_id, lane)
    cross join lateral (
        select d.seq, d.notice_id
        from outbox_dispatch d
        where d.sink_id = held.sink_id and d.lane = held.lane and d.state = 'pending'
        order by d.seq
        limit 1
    ) head
    join outbox_notice n on n.id = head.notice_id";

/// The two statements of a claim, for whoever asks the server how it runs them.
pub const CLAIM_STATEMENTS: (&str, &str) = (TAKE, HEADS);

/// How much of a sink may be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The sink.
    pub sink: SinkId,
    /// Lanes at most.
    pub lanes: u32,
}

#[derive(sqlx::FromRow)]
struct Taken {
    sink_id: i32,
    lane: Uuid,
    lease_epoch: i64,
    attempts: i32,
}

#[derive(sqlx::FromRow)]
struct HeadRow {
    sink_id: i32,
    lane: Uuid,
    seq: i64,
    #[sqlx(flatten)]
    notice: NoticeRow,
}

impl Outbox {
    /// Claims heads of lanes that are due, the longest due first, for `lease`. Sinks that are not enabled, whose breaker is not
    /// closed, or that asked for silence have none.
    ///
    /// # Errors
    /// The database does not answer: what was claimed all the same comes up again when its lease ends.
    pub async fn claim(&self, rooms: &[Room], lease: Duration) -> Result<Vec<Claimed>, OutboxError> {
        self.take(rooms, lease, false).await
    }

    /// Claims the one lane with which the winner of [`Outbox::probe`] tries a sink whose breaker was open.
    ///
    /// # Errors
    /// As for [`Outbox::claim`].
    pub async fn claim_probe(&self, sink: SinkId, lease: Duration) -> Result<Vec<Claimed>, OutboxError> {
        self.take(&[Room { sink, lanes: 1 }], lease, true).await
    }

    async fn take(&self, rooms: &[Room], lease: Duration, probe: bool) -> Result<Vec<Claimed>, OutboxError> {
        let rooms: Vec<&Room> = rooms.iter().filter(|room| room.lanes > 0).collect();
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let taken: Vec<Taken> = sqlx::query_as(TAKE)
                .bind(rooms.iter().map(|room| room.sink.0).collect::<Vec<_>>())
                .bind(rooms.iter().map(|room| i32::try_from(room.lanes).unwrap_or(i32::MAX)).collect::<Vec<_>>())
                .bind(seconds(lease))
                .bind(probe)
                .fetch_all(session.connection())
                .await?;
            let heads: Vec<HeadRow> = if taken.is_empty() {
                Vec::new()
            } else {
                sqlx::query_as(HEADS)
                    .bind(taken.iter().map(|taken| taken.sink_id).collect::<Vec<_>>())
                    .bind(taken.iter().map(|taken| taken.lane).collect::<Vec<_>>())
                    .fetch_all(session.connection())
                    .await?
            };
            session.commit().await?;
            heads.into_iter().filter_map(|head| claimed(head, &taken, probe)).collect()
        })
        .await
    }
}

fn claimed(head: HeadRow, taken: &[Taken], probe: bool) -> Option<Result<Claimed, OutboxError>> {
    let taken = taken.iter().find(|taken| (taken.sink_id, taken.lane) == (head.sink_id, head.lane))?;
    let claim = Claim {
        sink: SinkId(head.sink_id),
        lane: head.lane,
        seq: head.seq,
        notice: NoticeId(head.notice.id),
        epoch: taken.lease_epoch,
    };
    let attempt = u32::try_from(taken.attempts).unwrap_or(u32::MAX);
    Some(head.notice.try_into().map(|notice| Claimed { claim, attempt, probe, notice }))
}
