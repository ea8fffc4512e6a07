//! `conversationd`.
pub mod archive;
pub mod clock;
pub mod coalesce;
pub mod domain;
pub mod event;
pub mod handler;
pub mod hot;
pub mod queue;
