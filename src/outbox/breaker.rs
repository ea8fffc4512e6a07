//! The breaker of a sink, shared by all replicas in the sink's row; and what pauses or disables a sink.
//!
//! Closed → five failures in a row → open for a while, doubling → one replica wins the probe and sends one head → closed, or
//! open for longer. While it is not closed nothing is claimed, so an outage burns no attempts.

use std::time::Duration;

use super::{Outbox, OutboxError, SinkId, enqueue::enqueue, seconds, within};
use crate::{domain::Notice, postgres::Session};

/// Failures in a row that open it.
const FAILURES: i32 = 5;

/// The first time it is open; doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest time it is open.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A sink that failed for this long without a success is disabled.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(120 * 3600);

/// Requests that were on their way when it opened do not prolong it.
const FAILED: &str = "
    update outbox_sink
    set failures = failures + 1,
        failing_since = coalesce(failing_since, clock_timestamp()),
        breaker = case when failures + 1 < $2 and breaker = 'closed' then 'closed' else 'open' end,
        trips = case when failures + 1 < $2 and breaker = 'closed' then trips else trips + 1 end,
        open_until = case when failures + 1 < $2 and breaker = 'closed' then open_until
            else clock_timestamp() + make_interval(secs =>
                least($4, $3 * power(2, least(trips, 16))) * (0.8 + 0.4 * random())) end,
        state = case when failing_since <= clock_timestamp() - make_interval(secs => $5) then 'disabled' else state end,
        state_reason = case when failing_since <= clock_timestamp() - make_interval(secs => $5)
            then 'failed for too long' else state_reason end,
        state_since = case when failing_since <= clock_timestamp() - make_interval(secs => $5)
            then clock_timestamp() else state_since end
    where id = $1 and state = 'enabled' and not (breaker = 'open' and open_until > clock_timestamp())
    returning breaker, state";

const SUCCEEDED: &str = "
    update outbox_sink
    set breaker = 'closed', failures = 0, trips = 0, open_until = null, failing_since = null
    where id = $1 and (breaker <> 'closed' or failures > 0)";

/// Exactly one replica gets each of them: the row is updated by one, and for the next its time is no longer over.
const PROBE: &str = "
    update outbox_sink
    set breaker = 'half_open', open_until = clock_timestamp() + make_interval(secs => $2)
    where id = any($1) and breaker in ('open', 'half_open') and open_until <= clock_timestamp() and state = 'enabled'
        and (blocked_until is null or blocked_until <= clock_timestamp())
    returning id";

const BLOCK: &str = "
    update outbox_sink
    set blocked_until = greatest(blocked_until, clock_timestamp() + make_interval(secs => $2))
    where id = $1";

const STOP: &str = "
    update outbox_sink set state = $2, state_reason = $3, state_since = clock_timestamp()
    where id = $1 and state in ('enabled', 'paused') and state <> $2
    returning name";

/// What a failure did to a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It was counted; the breaker is closed still, or was open already.
    Counted,
    /// It opened the breaker.
    Opened,
    /// The sink has failed for 120 hours and is disabled now.
    Disabled,
}

impl Outbox {
    /// An attempt failed in a way that says the sink is in trouble. `alert` is told when that disables it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn failed(&self, sink: SinkId, alert: &Notice) -> Result<Failed, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let now: Option<(String, String)> = sqlx::query_as(FAILED)
                .bind(sink.0)
                .bind(FAILURES)
                .bind(seconds(FIRST_PAUSE))
                .bind(seconds(LONGEST_PAUSE))
                .bind(seconds(GIVEN_UP_AFTER))
                .fetch_optional(session.connection())
                .await?;
            let failed = match now {
                Some((_, state)) if state == "disabled" => Failed::Disabled,
                Some((breaker, _)) if breaker == "open" => Failed::Opened,
                _ => Failed::Counted,
            };
            if failed == Failed::Disabled {
                enqueue(session.connection(), std::slice::from_ref(alert)).await?;
            }
            session.commit().await?;
            Ok(failed)
        })
        .await
    }

    /// The sink took something: its breaker is closed.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn succeeded(&self, sink: SinkId) -> Result<(), OutboxError> {
        within(async {
            sqlx::query(SUCCEEDED).bind(sink.0).execute(&self.pool).await?;
            Ok(())
        })
        .await
    }

    /// Those of `sinks` that this replica may try now, with one head each: their breakers' time is over, and no other replica
    /// was first. Nobody else may for `lease`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn probe(&self, sinks: &[SinkId], lease: Duration) -> Result<Vec<SinkId>, OutboxError> {
        within(async {
            let ids: Vec<i32> = sinks.iter().map(|sink| sink.0).collect();
            let won: Vec<i32> = sqlx::query_scalar(PROBE).bind(ids).bind(seconds(lease)).fetch_all(&self.pool).await?;
            Ok(won.into_iter().map(SinkId).collect())
        })
        .await
    }

    /// The sink asked for silence: no replica sends before `wait` is over.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn block(&self, sink: SinkId, wait: Duration) -> Result<(), OutboxError> {
        within(async {
            sqlx::query(BLOCK).bind(sink.0).bind(seconds(wait)).execute(&self.pool).await?;
            Ok(())
        })
        .await
    }

    /// Pauses the sink: notices for it wait. Returns whether that is new; `alert` is told then.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn pause(&self, sink: SinkId, reason: &str, alert: Option<&Notice>) -> Result<bool, OutboxError> {
        self.stop(sink, "paused", reason, alert).await
    }

    /// Disables the sink: nothing more is added for it. Returns whether that is new; `alert` is told then.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn disable(&self, sink: SinkId, reason: &str, alert: Option<&Notice>) -> Result<bool, OutboxError> {
        self.stop(sink, "disabled", reason, alert).await
    }

    async fn stop(&self, sink: SinkId, as_: &str, reason: &str, alert: Option<&Notice>) -> Result<bool, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let stop = sqlx::query(STOP).bind(sink.0).bind(as_).bind(reason);
            let stopped = stop.fetch_optional(session.connection()).await?.is_some();
            if let Some(alert) = alert.filter(|_| stopped) {
                enqueue(session.connection(), std::slice::from_ref(alert)).await?;
            }
            session.commit().await?;
            Ok(stopped)
        })
        .await
    }
}
