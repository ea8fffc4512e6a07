//! Settling: what became of an attempt, unless its lease was lost meanwhile.

use std::time::Duration;

use sqlx::PgConnection;

use super::{Claim, Outbox, OutboxError, seconds, within};
use crate::postgres::Session;

/// Only the claim that holds the lane may go on; what was settled or changed since is not ours any more.
const HOLD: &str = "
    select 1 from outbox_lane where sink_id = $1 and lane = $2 and lease_epoch = $3 for update";

const MOVE: &str = "
    update outbox_dispatch
    set state = $4,
        attempts = attempts + $5,
        last_reason = $6,
        done_at = case when $4 = 'pending' then null else clock_timestamp() end
    where sink_id = $1 and lane = $2 and seq = $3 and state = 'pending'";

/// `$4` dispatches were settled, which is 0 or 1: what changed no row must not be subtracted.
const NEXT: &str = "
    update outbox_lane
    set pending = pending - $4,
        attempts = case when $4 > 0 then 0 else attempts - $5 end,
        parked = $6,
        leased_until = null,
        due_at = clock_timestamp() + make_interval(secs => $7),
        lease_epoch = lease_epoch + 1
    where sink_id = $1 and lane = $2 and lease_epoch = $3";

const LOG: &str = "
    insert into outbox_attempt (notice_id, sink_id, took_ms, outcome, status, reason) values ($1, $2, $3, $4, $5, $6)";

/// What is to become of a claimed dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It was taken by the sink: the lane goes on.
    Delivered,
    /// Try again after a while; the lane waits.
    Retry(Duration),
    /// It was not tried, or not for its own fault: the attempt does not count, the lane comes up again after a while.
    Release(Duration),
    /// It is given up: the lane goes on, and the gap in its sequence shows it.
    Dead,
    /// It is given up, and nothing behind it goes before an operator has looked.
    Park,
}

impl Settlement {
    fn outcome(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retry(_) => "retry",
            Self::Release(_) => "released",
            Self::Dead => "dead",
            Self::Park => "parked",
        }
    }
}

/// How an attempt went, for the log of attempts: in our words, nothing of what was sent or answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// How long it took.
    pub took: Duration,
    /// The receiver's status, where it has one.
    pub status: Option<u16>,
    /// Why it failed.
    pub reason: Option<String>,
}

impl Outbox {
    /// Settles a claim. Returns whether it was still held: if not, another has the lane, and nothing was changed.
    ///
    /// # Errors
    /// The database does not answer: the dispatch comes up again when its lease ends, unless it was settled after all.
    pub async fn settle(&self, claim: &Claim, as_: Settlement, attempt: &Attempt) -> Result<bool, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let settled = settle(session.connection(), claim, as_, attempt).await?;
            session.commit().await?;
            Ok(settled)
        })
        .await
    }
}

async fn settle(
    connection: &mut PgConnection,
    claim: &Claim,
    settlement: Settlement,
    attempt: &Attempt,
) -> Result<bool, sqlx::Error> {
    let (sink, lane, epoch) = (claim.sink.0, claim.lane, claim.epoch);
    let held = sqlx::query(HOLD).bind(sink).bind(lane).bind(epoch).fetch_optional(&mut *connection).await?;
    if held.is_none() {
        return Ok(false);
    }
    let (state, wait) = match settlement {
        Settlement::Delivered => ("delivered", Duration::ZERO),
        Settlement::Retry(wait) | Settlement::Release(wait) => ("pending", wait),
        Settlement::Dead => ("dead", Duration::ZERO),
        Settlement::Park => ("pending", Duration::ZERO),
    };
    let counted = !matches!(settlement, Settlement::Release(_));
    let moved = sqlx::query(MOVE)
        .bind(sink)
        .bind(lane)
        .bind(claim.seq)
        .bind(state)
        .bind(i32::from(counted))
        .bind(attempt.reason.as_deref())
        .execute(&mut *connection)
        .await?
        .rows_affected();
    let ended = if state == "pending" { 0 } else { i32::from(moved > 0) };
    sqlx::query(NEXT)
        .bind(sink)
        .bind(lane)
        .bind(epoch)
        .bind(ended)
        .bind(i32::from(!counted))
        .bind(settlement == Settlement::Park)
        .bind(seconds(wait))
        .execute(&mut *connection)
        .await?;
    sqlx::query(LOG)
        .bind(claim.notice.0)
        .bind(sink)
        .bind(i32::try_from(attempt.took.as_millis()).unwrap_or(i32::MAX))
        .bind(settlement.outcome())
        .bind(attempt.status.map(i32::from))
        .bind(attempt.reason.as_deref())
        .execute(connection)
        .await?;
    Ok(moved > 0)
}
