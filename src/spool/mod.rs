//! Going on through an outage of DynamoDB: deliveries wait in PostgreSQL instead of the queue, and come from there, in order,
//! once DynamoDB is back.
//!
//! The spool is a FIFO queue in PostgreSQL (migrations/0010_spool.sql), and [`SpooledQueue`] is what consumer and pipeline see:
//! one queue, whose deliveries come from SQS or from the spool. Which it is, the whole fleet decides together, so that no group
//! is ever handled from both (docs/discipline.md, "Decision: an outage of DynamoDB may be spooled"):
//!
//! ```text
//! direct ──► entering ──► spooling ──► leaving ──► direct
//!   SQS        nothing     SQS → spool   from the    SQS
//!                          from the      spool,
//!                          spool         until empty
//! ```
//!
//! Off unless it is set: a replica that takes part must reach PostgreSQL now and then, also in good times.

mod keeper;
mod plan;
mod postgres;
mod queue;
mod store;

pub use keeper::{Keeper, Rules};
pub use plan::{Facts, Limits, Seen, Stage, next};
pub use postgres::{CONNECTIONS, NEEDED, PostgresSpool};
pub use queue::SpooledQueue;
pub use store::{Fleet, Replica, SpoolStore, Standing, Word};
