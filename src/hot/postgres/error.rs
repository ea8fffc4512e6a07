//! What a failure of the database means to the caller: wait, or do not try that again.
//!
//! PostgreSQL puts values of rows into its messages, so none is repeated: an error names the SQLSTATE and the constraint.

use sqlx::{
    Decode, Postgres, Row as _, Type,
    postgres::{PgDatabaseError, PgRow},
};

use crate::hot::HotError;

/// Only a request that is wrong in itself is refused. A missing table or grant is an outage: it is nobody's message's fault.
pub(super) fn error(failure: sqlx::Error) -> HotError {
    match failure {
        sqlx::Error::Database(failure) => match failure.try_downcast_ref::<PgDatabaseError>() {
            Some(failure) => of_server(failure.code(), failure.constraint()),
            None => HotError::Unavailable("a fault of its own".into()),
        },
        sqlx::Error::Io(failure) => HotError::Unavailable(format!("connection: {:?}", failure.kind())),
        sqlx::Error::PoolTimedOut => HotError::Unavailable("no connection in time".into()),
        sqlx::Error::PoolClosed => HotError::Unavailable("shutting down".into()),
        sqlx::Error::Encode(_) => HotError::Refused("a value could not be sent".into()),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
            HotError::Unreadable("column")
        }
        _ => HotError::Unavailable("the connection is out of step".into()),
    }
}

fn of_server(code: &str, constraint: Option<&str>) -> HotError {
    let constraint = constraint.map(|name| format!(" on {name}")).unwrap_or_default();
    let said = format!("SQLSTATE {code}{constraint}");
    // a value that does not fit, a constraint, a limit: all else lies in the server, the network or the deployment
    match code.get(..2) {
        Some("22" | "23" | "54") => HotError::Refused(said),
        _ => HotError::Unavailable(said),
    }
}

/// The value of a column of a row that must be there.
pub(super) fn read<'r, T>(row: Option<&'r PgRow>, column: &'static str) -> Result<T, HotError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.ok_or(HotError::Unreadable(column))?.try_get(column).map_err(|_| HotError::Unreadable(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_refused() {
        for code in ["22021", "22003", "23514", "54000"] {
            assert!(matches!(of_server(code, None), HotError::Refused(_)), "{code}");
        }
        for code in ["08006", "25006", "28P01", "40001", "42P01", "42501", "53300", "57014", "57P01", "XX000", "", "é"]
        {
            assert!(matches!(of_server(code, None), HotError::Unavailable(_)), "{code}");
        }
    }

    #[test]
    fn what_the_driver_says_is_not_repeated() {
        let said = error(sqlx::Error::Protocol("whatsapp:+551199".into())).to_string();
        assert!(!said.contains("551199"), "{said}");
    }
}
