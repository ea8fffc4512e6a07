//! The modules in flow order; the README, which follows, is the way in.
#![doc = include_str!("../README.md")]

/// What the binary, the tests and the benches allocate with: the floor of docs/benchmarks.md too.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod config;
pub mod crm;
pub mod telemetry;

pub mod app;

pub mod alert;
pub mod answer;
pub mod breaker;
pub mod clock;
pub mod coalesce;
pub mod counters;
pub mod http;
pub mod journal;
pub mod postgres;
pub mod tally;

pub mod domain;
pub mod queue;

pub mod context;
pub mod event;
pub mod handler;

pub mod archive;
pub mod hot;
pub mod outbox;
pub mod sink;

pub mod classifier;

pub mod consumer;
pub mod fleet;
pub mod pipeline;
pub mod relay;
pub mod requests;
pub mod spool;
pub mod timer;

pub mod operate;
