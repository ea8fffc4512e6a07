//! The operator's commands, one file each.

pub mod definition;
pub mod migrate;
pub mod provision;
