//! Stories of the outbox and the relay against a real PostgreSQL, given by `DATABASE_URL`, each in a schema of its own; and
//! of sinks, against receivers on loopback and a queue of the local stack.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::unwrap_used)] // how a test fails, and what it may read

#[path = "outbox/breaker.rs"]
mod breaker;
#[path = "outbox/classifier.rs"]
mod classifier;
#[path = "outbox/commands.rs"]
mod commands;
#[path = "outbox/datalake.rs"]
mod datalake;
#[path = "outbox/house.rs"]
mod house;
#[path = "outbox/hubspot.rs"]
mod hubspot;
#[path = "outbox/journal.rs"]
mod journal;
#[path = "outbox/lanes.rs"]
mod lanes;
#[path = "outbox/listener.rs"]
mod listener;
#[path = "outbox/operators.rs"]
mod operators;
#[path = "outbox/plan.rs"]
mod plan;
#[path = "outbox/queue.rs"]
mod queue;
#[path = "outbox/receivers.rs"]
mod receivers;
#[path = "outbox/relay.rs"]
mod relay;
#[path = "archive/schema.rs"]
mod schema;
#[path = "outbox/simulation.rs"]
mod simulation;
#[allow(dead_code)] // the operators' stories use the rest of it
#[path = "operate/site.rs"]
mod site;
#[path = "outbox/whole.rs"]
mod whole;
#[path = "outbox/writing.rs"]
mod writing;
