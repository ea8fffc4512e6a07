//! What a failure of the database means to the caller: wait, or do not try that again.

use sqlx::{Decode, Postgres, Row as _, Type, postgres::PgRow};

use crate::{
    hot::HotError,
    postgres::{Cause, Failure},
};

impl From<Failure> for HotError {
    fn from(Failure { cause, said }: Failure) -> Self {
        match cause {
            Cause::Outage => Self::Unavailable(said),
            Cause::Sent => Self::Refused(said),
            Cause::Read => Self::Unreadable("column"),
        }
    }
}

/// The value of a column of a row that must be there.
pub(super) fn read<'r, T>(row: Option<&'r PgRow>, column: &'static str) -> Result<T, HotError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.ok_or(HotError::Unreadable(column))?.try_get(column).map_err(|_| HotError::Unreadable(column))
}
