//! What a panic says: where it was, and its words if they are part of the program. What was put together while it ran may hold
//! a value from outside, such as the text that could not be cut, and is not shown.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::{PanicHookInfo, set_hook},
};

use tracing::error;

/// The field that says where.
pub(super) const LOCATION: &str = "location";

/// From now on panics are logged, and reported as errors are, instead of printed.
pub(super) fn log() {
    set_hook(Box::new(|panic| {
        let (location, what) = (panic.location().map(ToString::to_string).unwrap_or_default(), fixed(panic));
        let backtrace = Backtrace::capture(); // where RUST_BACKTRACE asks for it; names of functions alone
        match backtrace.status() {
            BacktraceStatus::Captured => error!(location, %backtrace, "panicked at {location}: {what}"),
            _ => error!(location, "panicked at {location}: {what}"),
        }
    }));
}

fn fixed(panic: &PanicHookInfo<'_>) -> &'static str {
    panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("what it says may hold what came from outside")
}
