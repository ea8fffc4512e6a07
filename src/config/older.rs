//! Where the older service's database is, for the one command that reads it.

use super::{Faults, OLDER_DATABASE_URL, Secret, reader::Reader};

/// The older service's database.
#[derive(Clone, Debug)]
pub struct OlderConfig {
    /// PostgreSQL URL.
    pub url: Secret,
}

impl OlderConfig {
    /// Reads where it is.
    ///
    /// # Errors
    /// It is not said, or is no PostgreSQL URL.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let url = reader.required(OLDER_DATABASE_URL);
        if !(url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            reader.fault(OLDER_DATABASE_URL, "must be a PostgreSQL URL: postgres://user:password@host/database".into());
        }
        reader.end(Self { url: Secret(url) })
    }
}
