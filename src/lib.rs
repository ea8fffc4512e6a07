//! `conversationd`: keeps a company's chat conversations.
//!
//! The modules in flow order: a delivery comes from [`queue`], is decoded by [`event`], decided by [`handler`] on [`domain`] nouns,
//! committed by [`pipeline`] to [`hot`] and [`archive`], and settled. [`consumer`] and [`timer`] are the loops; [`app`] puts
//! everything together; [`operate`] is the operator's.

pub mod config;
pub mod telemetry;

pub mod app;

pub mod clock;
pub mod coalesce;
pub mod counters;

pub mod domain;
pub mod queue;

pub mod event;
pub mod handler;

pub mod archive;
pub mod hot;

pub mod consumer;
pub mod pipeline;
pub mod timer;

pub mod operate;
