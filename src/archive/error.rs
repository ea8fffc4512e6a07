//! What a failure of the database means to the caller: wait, or do not try that again.
//!
//! PostgreSQL puts values of rows into its messages and details, so neither is ever repeated: an error names the
//! SQLSTATE, the severity and the constraint.

use sqlx::postgres::PgDatabaseError;

use super::ArchiveError;

impl From<sqlx::Error> for ArchiveError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{
            BeginFailed, Configuration, Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls, WorkerCrashed,
        };
        match error {
            Database(error) => of_server(error.downcast_ref::<PgDatabaseError>()),
            Io(error) => Self::Unavailable(format!("connection: {:?}", error.kind())),
            Tls(_) => Self::Unavailable("no TLS connection".into()),
            Protocol(_) => Self::Unavailable("connection out of step".into()),
            PoolTimedOut => Self::Unavailable("no connection in time".into()),
            PoolClosed => Self::Unavailable("shutting down".into()),
            WorkerCrashed | BeginFailed => Self::Unavailable("connection unusable".into()),
            Configuration(_) => Self::Unavailable("connection settings".into()),
            _ => Self::Refused("a value could not be sent or read".into()),
        }
    }
}

fn of_server(error: &PgDatabaseError) -> ArchiveError {
    let constraint = error.constraint().map(|name| format!(" on {name}")).unwrap_or_default();
    let said = format!("SQLSTATE {} ({:?}){constraint}", error.code(), error.severity());
    if is_transient(error.code()) { ArchiveError::Unavailable(said) } else { ArchiveError::Refused(said) }
}

/// Whether the cause lies in the server, the network, the deployment or another transaction, and not in what was sent.
fn is_transient(code: &str) -> bool {
    match code.get(..2).unwrap_or_default() {
        // Connection; resources (disk full, memory, too many connections); operator (shutdown, timeouts); system; internal.
        "08" | "53" | "57" | "58" | "XX" => true,
        // Rolled back for the sake of another (serialization, deadlock); read-only or timed out in transaction.
        "40" | "25" => true,
        // Credentials; database or schema missing; object missing or forbidden: our statements are fixed, so no
        // message is guilty of a role without grants or a migration not yet applied.
        "28" | "3D" | "3F" | "42" => true,
        _ => code == "55P03" || code == "55006",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_sent_is_refused() {
        for code in [
            "08006", "53100", "53300", "57014", "57P01", "57P03", "58030", "40001", "40P01", "25006", "25P03", "28P01",
            "3D000", "42P01", "42501", "55P03", "XX000",
        ] {
            assert!(is_transient(code), "{code}");
        }
        for code in ["22021", "22003", "23502", "23503", "23505", "23514", "54000", "P0001", "", "é"] {
            assert!(!is_transient(code), "{code}");
        }
    }

    #[test]
    fn what_the_driver_says_is_not_repeated() {
        let error = ArchiveError::from(sqlx::Error::Protocol("whatsapp:+551199".into()));
        assert!(!error.to_string().contains("551199"));
        assert!(matches!(ArchiveError::from(sqlx::Error::PoolTimedOut), ArchiveError::Unavailable(_)));
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(ArchiveError::from(sqlx::Error::Io(refused)), ArchiveError::Unavailable(_)));
    }
}
