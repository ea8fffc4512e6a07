//! The one place that reads the wall clock. Handlers never do: their time comes with the event.

use chrono::{DateTime, Utc};

/// Wall-clock time, in UTC.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // its room
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}
