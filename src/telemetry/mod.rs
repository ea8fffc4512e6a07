//! What the daemon says about itself: logs and error reports, metrics as a page and as pushes, and whether it lives.
//!
//! None of it carries personal data, and none of it can hold up a turn: it reads what `counters` counted, in tasks of its own.

mod exposition;
mod health;
mod logs;
mod otlp;
mod page;
mod panics;
mod push;

pub use exposition::prometheus_name;
pub use health::{Health, HealthFile, STALE_AFTER, State, Status};
pub use logs::start;
pub use page::Page;
pub use push::Push;
