//! Model edges: an SQS FIFO queue, a hot store and an archive in memory, behind one faulty network.
//!
//! The daemon's own pipeline, consumer and timer run on them unchanged, on a current-thread runtime with paused time: one seed
//! decides schedule, faults, kills and clocks, and the same seed gives the same run.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used)] // each test target uses its part; a test may panic

pub mod answers;
pub mod archive;
pub mod checker;
pub mod hot;
pub mod life;
pub mod mutant;
pub mod questions;
pub mod replica;
pub mod rng;
pub mod scenario;
pub mod spool;
pub mod sqs;
pub mod witness;
pub mod world;
