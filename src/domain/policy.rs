//! When conversations close by themselves.

use std::time::Duration;

/// The times that decide when an open conversation comes up, and what then happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A closed session closes its conversation after this long without a word.
    pub grace: Duration,
    /// A conversation without a message for this long closes.
    pub idle: Duration,
    /// A conversation open for this long has its messages copied into the archive, and again after as long.
    pub checkpoint: Duration,
    /// A conversation that was sealed and not finished comes up again after this long.
    pub unfinished: Duration,
}
