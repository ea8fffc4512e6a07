//! What a failure of the database means to the caller: wait, or do not try that again.

use super::ArchiveError;
use crate::postgres::{Cause, Failure};

impl From<Failure> for ArchiveError {
    fn from(Failure { cause, said }: Failure) -> Self {
        match cause {
            Cause::Outage => Self::Unavailable(said),
            Cause::Sent | Cause::Read => Self::Refused(said),
        }
    }
}

impl From<sqlx::Error> for ArchiveError {
    fn from(failure: sqlx::Error) -> Self {
        Failure::from(failure).into()
    }
}
