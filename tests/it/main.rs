//! Stories on the real local stack: queues, table and database as the environment names them, and what they hold at the end.
//!
//! Every story makes its own queues, table and schema, and removes them when it passed. In-process stories step the loops
//! until nothing is left; the others start the program itself, and stop, kill or freeze it. Nothing sleeps for a fixed time:
//! what takes time is waited for, with a deadline.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

mod archive;
mod asker;
mod chaos;
mod close;
mod content;
mod crash;
mod crm;
mod daemon;
mod details;
mod ends;
mod events;
mod grace;
mod head;
mod late;
mod load;
mod midnight;
mod older_service;
mod opened;
mod outage;
mod poison;
mod postgres;
mod project;
mod proxy;
mod queues;
mod rating;
mod refused;
mod requests;
mod senders;
mod session;
mod settings;
mod spool;
mod stack;
mod statistics;
mod summaries;
#[allow(dead_code)] // Node is not needed here
#[path = "../contract/tools.rs"]
mod tools;
mod variables;
mod window;

/// What `make chaos` is made of.
#[allow(dead_code)] // a round is a part of it
#[path = "../chaos/harness/mod.rs"]
mod harness;
