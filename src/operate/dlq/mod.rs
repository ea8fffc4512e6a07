//! `conversationd dlq`: what could not be handled, why, and the ways back.

pub mod journal;
pub mod mover;
pub mod wanted;
