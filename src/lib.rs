//! `conversationd`.
pub mod archive;
pub mod domain;
pub mod event;
