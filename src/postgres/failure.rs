//! What a failure of the driver or of the server means to the caller: wait, or do not try that again.
//!
//! PostgreSQL puts values of rows into its messages and details, and the driver may repeat them: none is ever repeated
//! here. A failure is told by its SQLSTATE, its severity and its constraint.

use sqlx::postgres::PgDatabaseError;

/// Why it was not done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// What it lies in.
    pub cause: Cause,
    /// In a few words, for people.
    pub said: String,
}

/// What a failure lies in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// In the server, the network, the deployment or another transaction: try again later, and charge nobody.
    Outage,
    /// In what was sent: trying again will not help without a change.
    Sent,
    /// In a row that this release cannot read.
    Read,
}

impl From<sqlx::Error> for Failure {
    fn from(failure: sqlx::Error) -> Self {
        use sqlx::Error::{
            ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Configuration, Database, Decode, Encode, Io,
            PoolClosed, PoolTimedOut, RowNotFound, Tls,
        };
        let (cause, said) = match failure {
            Database(failure) => match failure.try_downcast_ref::<PgDatabaseError>() {
                Some(failure) => return of_server(failure),
                None => (Cause::Outage, "a fault of its own".to_owned()),
            },
            Io(failure) => (Cause::Outage, format!("connection: {:?}", failure.kind())),
            Tls(_) => (Cause::Outage, "no TLS connection".to_owned()),
            PoolTimedOut => (Cause::Outage, "no connection in time".to_owned()),
            PoolClosed => (Cause::Outage, "shutting down".to_owned()),
            Configuration(_) => (Cause::Outage, "connection settings".to_owned()),
            Encode(_) => (Cause::Sent, "a value could not be sent".to_owned()),
            ColumnDecode { .. } | ColumnIndexOutOfBounds { .. } | ColumnNotFound(_) | Decode(_) | RowNotFound => {
                (Cause::Read, "a value could not be read".to_owned())
            }
            _ => (Cause::Outage, "the connection is out of step".to_owned()),
        };
        Self { cause, said }
    }
}

fn of_server(failure: &PgDatabaseError) -> Failure {
    let constraint = failure.constraint().map(|name| format!(" on {name}")).unwrap_or_default();
    let said = format!("SQLSTATE {} ({:?}){constraint}", failure.code(), failure.severity());
    Failure { cause: cause(failure.code()), said }
}

/// Only a value that does not fit, a constraint, a limit of the program or a trigger that raises is the fault of what was
/// sent. Our statements are fixed, so no message is guilty of a missing grant or a migration not yet applied.
fn cause(code: &str) -> Cause {
    match code.get(..2) {
        Some("22" | "23" | "44" | "54" | "P0") => Cause::Sent,
        _ => Cause::Outage,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_refused() {
        for code in ["22021", "22003", "23502", "23503", "23505", "23514", "44000", "54000", "P0001"] {
            assert_eq!(cause(code), Cause::Sent, "{code}");
        }
        for code in [
            "08006", "25006", "25P03", "28P01", "3D000", "40001", "40P01", "42501", "42P01", "53100", "53300", "55P03",
            "57014", "57P01", "57P03", "58030", "XX000", "", "é",
        ] {
            assert_eq!(cause(code), Cause::Outage, "{code}");
        }
    }

    #[test]
    fn what_the_driver_says_is_not_repeated() {
        let said = Failure::from(sqlx::Error::Protocol("whatsapp:+551199".into()));
        assert_eq!(said, Failure { cause: Cause::Outage, said: "the connection is out of step".into() });
        let read = Failure::from(sqlx::Error::Decode("whatsapp:+551199".into()));
        assert_eq!(read, Failure { cause: Cause::Read, said: "a value could not be read".into() });
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert_eq!(Failure::from(sqlx::Error::Io(refused)).said, "connection: ConnectionRefused");
    }
}
