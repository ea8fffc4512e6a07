//! What each replica says of itself: one small row in the hot store, written anew every few seconds, so that `conversationd top`
//! sees all replicas and needs no port on any.
//!
//! Rows stand by day, so that those of replicas long gone, which leave by TTL, are never read. A row names nobody but projects.

mod announcer;
mod beat;

pub use announcer::{Announcer, Speaker, beats};
pub use beat::{Beat, Buckets, Levels, Recent, State, quantile};
