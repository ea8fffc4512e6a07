//! Settings of the archive's database, and of its replica.

use super::{
    DATABASE_CONNECTIONS, DATABASE_SCHEMA, DATABASE_URL, Faults, READ_CONNECTIONS, READ_REPLICA, Secret, reader::Reader,
};

/// Where the archive is.
#[derive(Clone, Debug)]
pub struct DatabaseConfig {
    /// PostgreSQL URL.
    pub url: Secret,
    /// Schema of the tables, unless the database's own default.
    pub schema: Option<String>,
    /// Pool size.
    pub connections: u32,
    /// Pool size of those who only read.
    pub read_connections: u32,
    /// A replica, to read statistics from.
    pub replica: Option<Secret>,
}

impl DatabaseConfig {
    /// Reads where the archive is.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let database = Self::read_with(&mut reader);
        reader.end(database)
    }

    pub(super) fn read_with(reader: &mut Reader<'_>) -> Self {
        let url = reader.required(DATABASE_URL);
        let replica = reader.optional(READ_REPLICA);
        for (setting, url) in [(DATABASE_URL, Some(&url)), (READ_REPLICA, replica.as_ref())] {
            let fits =
                |url: &String| url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://");
            if !url.is_none_or(fits) {
                reader.fault(setting, "must be a PostgreSQL URL: postgres://user:password@host/database".into());
            }
        }
        let schema = reader.optional(DATABASE_SCHEMA);
        let plain = |name: &String| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if schema.as_ref().is_some_and(|name| !plain(name) || name.len() > 63) {
            reader.fault(DATABASE_SCHEMA, "must be lower-case letters, digits and underscores, at most 63".into());
        }
        Self {
            url: Secret(url),
            schema,
            connections: reader.number(DATABASE_CONNECTIONS, 2, 1000),
            read_connections: reader.number(READ_CONNECTIONS, 1, 1000),
            replica: replica.map(Secret),
        }
    }
}
