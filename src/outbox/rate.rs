//! How fast a sink may be sent to, by all replicas together: its row holds the bucket.

use std::time::Duration;

use super::{Outbox, OutboxError, SinkId, within};
use crate::postgres::Session;

/// What the bucket counts over.
const WINDOW: Duration = Duration::from_secs(10);

/// The last tenth of a day's limit is left to others who use the same account.
const TENTHS_OF_A_DAY: u64 = 9;

/// What may be begun within a time, by all replicas together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Dispatches in any ten seconds.
    pub per_window: u32,
    /// Dispatches in a day (UTC), of which nine tenths are used.
    pub per_day: u64,
}

impl Rate {
    /// Half of the window's at once, and half of it again while ten seconds pass: no ten seconds see more than all of it.
    fn burst(self) -> f64 {
        (f64::from(self.per_window) / 2.0).max(1.0)
    }

    fn by_day(self) -> i64 {
        i64::try_from(self.per_day / 10 * TENTHS_OF_A_DAY).unwrap_or(i64::MAX)
    }
}

/// The bucket as it is now. Whoever asks next waits for the end of this transaction.
const NOW: &str = "
    select least($2, coalesce(tokens + extract(epoch from clock_timestamp() - tokens_at)::float8 * $2 / $3, $2)),
           case when day = (clock_timestamp() at time zone 'UTC')::date then day_used else 0 end
    from outbox_sink
    where id = $1
    for update";

const TAKEN: &str = "
    update outbox_sink
    set tokens = $2, tokens_at = clock_timestamp(), day = (clock_timestamp() at time zone 'UTC')::date, day_used = $3
    where id = $1";

const GIVE_BACK: &str = "
    update outbox_sink set tokens = tokens + $2, day_used = greatest(0, day_used - $2) where id = $1";

const DAY_IS_USED: &str = "
    select exists (
        select 1 from outbox_sink
        where id = $1 and day = (clock_timestamp() at time zone 'UTC')::date and day_used >= $2
    )";

impl Outbox {
    /// Takes leave to begin up to `wanted` dispatches. Returns for how many; what is not begun is to be given back.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn take_leave(&self, sink: SinkId, wanted: u32, rate: Rate) -> Result<u32, OutboxError> {
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let now = sqlx::query_as(NOW).bind(sink.0).bind(rate.burst()).bind(WINDOW.as_secs_f64());
            let Some((tokens, used)): Option<(f64, i64)> = now.fetch_optional(session.connection()).await? else {
                return Ok(0);
            };
            let left = u32::try_from((rate.by_day() - used).max(0)).unwrap_or(u32::MAX);
            let granted = wanted.min(tokens.max(0.0) as u32).min(left);
            if granted > 0 {
                let taken = sqlx::query(TAKEN).bind(sink.0).bind(tokens - f64::from(granted));
                taken.bind(used + i64::from(granted)).execute(session.connection()).await?;
            }
            session.commit().await?;
            Ok(granted)
        })
        .await
    }

    /// Gives back leave that was not used.
    ///
    /// # Errors
    /// The database does not answer: it is used up then, until the bucket fills.
    pub async fn give_back(&self, sink: SinkId, unused: u32) -> Result<(), OutboxError> {
        within(async {
            sqlx::query(GIVE_BACK).bind(sink.0).bind(i64::from(unused)).execute(&self.pool).await?;
            Ok(())
        })
        .await
    }

    /// Whether as much was sent today as may be.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn day_is_used(&self, sink: SinkId, rate: Rate) -> Result<bool, OutboxError> {
        let used = sqlx::query_scalar(DAY_IS_USED).bind(sink.0).bind(rate.by_day());
        within(async { Ok(used.fetch_one(&self.pool).await?) }).await
    }
}
