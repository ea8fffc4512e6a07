//! Dead letters: the mover on the model queue, and stories of the operator's commands on the local stack.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "dlq/moved.rs"]
mod moved;

mod model;
