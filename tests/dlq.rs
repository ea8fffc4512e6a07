//! Dead letters: the mover on the model queue, and stories of the operator's commands on the local stack.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read
#![allow(dead_code)] // it borrows a part of the other stories' tools

#[path = "dlq/moved.rs"]
mod moved;
#[path = "operate/site.rs"]
mod site;
#[path = "dlq/stories.rs"]
mod stories;
#[path = "dlq/unsteady.rs"]
mod unsteady;

mod model;
