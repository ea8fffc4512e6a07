//! The consumer's laws C1 to C7 as properties over random schedules, and what they cost: on the model queue, whose every call may
//! be refused, lose its answer, come late, be done in part, or find its caller asleep.
//!
//! Each law has a known-bad variant, at the edges and never in the daemon, under which its property must fail.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // a test may read the environment, and panic

#[path = "laws/saturation.rs"]
mod saturation;
#[path = "laws/schedule.rs"]
mod schedule;
#[path = "laws/stage.rs"]
mod stage;
#[path = "laws/stop.rs"]
mod stop;
#[path = "laws/stories.rs"]
mod stories;

mod model;
