//! What the daemon's role must be allowed to do with each table, and what of it the role lacks.

use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{ArchiveError, PostgresArchive};

/// What `conversationd run` does with each table. `for update` asks for UPDATE, `on conflict` for SELECT.
pub const NEEDED: &[(&str, &[&str])] = &[
    ("_sqlx_migrations", &["SELECT"]),
    ("conversation", &["SELECT", "INSERT", "UPDATE"]),
    ("message", &["SELECT", "INSERT"]),
    ("rating", &["SELECT", "INSERT"]),
    ("conversation_stats", &["SELECT", "INSERT", "UPDATE"]),
    ("crm_link", &["SELECT", "INSERT", "UPDATE"]),
    ("crm_property", &["SELECT", "INSERT", "UPDATE"]),
    ("crm_cursor", &["SELECT", "INSERT", "UPDATE"]),
    ("erasure", &["SELECT", "INSERT"]),
    ("outbox_sink", &["SELECT", "INSERT", "UPDATE"]),
    ("outbox_notice", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("outbox_lane", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("outbox_dispatch", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
    ("outbox_attempt", &["SELECT", "INSERT", "UPDATE", "DELETE"]),
];

/// A right that the role has not.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Lacking {
    /// The table.
    pub table_name: String,
    /// `SELECT`, `INSERT`, `UPDATE` or `DELETE`.
    pub privilege: String,
}

impl PostgresArchive {
    /// What of [`NEEDED`] the role that connects lacks, of the tables that there are. Asks the catalogue, tries nothing.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn lacking(&self) -> Result<Vec<Lacking>, ArchiveError> {
        let pairs = NEEDED.iter().flat_map(|(table, privileges)| privileges.iter().map(move |right| (table, right)));
        let (tables, privileges): (Vec<String>, Vec<String>) =
            pairs.map(|(table, right)| (table.to_string(), right.to_string())).unzip();
        let mut query = QueryBuilder::<Postgres>::new("select n.table_name, n.privilege from unnest(");
        query.push_bind(tables).push("::text[], ").push_bind(privileges).push("::text[]) as n (table_name, privilege)");
        query.push(" where not has_table_privilege(to_regclass(n.table_name), n.privilege)");
        self.rows(query).await
    }
}
