//! Stories on the real local stack: queues, table and database as the environment names them, and what they hold at the end.
//!
//! Every story makes its own queues, table and schema, and removes them when it passed. In-process stories step the loops
//! until nothing is left; the others start the program itself, and stop, kill or freeze it. Nothing sleeps for a fixed time:
//! what takes time is waited for, with a deadline.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

mod archive;
mod asker;
mod close;
mod content;
mod crash;
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
mod outage;
mod poison;
mod postgres;
mod project;
mod proxy;
mod queues;
mod rating;
mod refused;
mod requests;
mod session;
mod settings;
mod stack;
mod statistics;
mod summaries;
mod variables;
mod window;
