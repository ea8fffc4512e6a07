//! What the daemon's role must be allowed to do with each table, and what of it the role lacks.

use std::fmt;

use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{ArchiveError, PostgresArchive};

/// What `conversationd run` does with each table of the archive. `for update` asks for UPDATE, `on conflict` for SELECT.
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
    /// The table; or the function, with the types of what it takes.
    pub name: String,
    /// `SELECT`, `INSERT`, `UPDATE` or `DELETE`; of a function `EXECUTE`.
    pub privilege: String,
}

/// As `grant` takes it.
impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.privilege == "EXECUTE" { "function " } else { "" };
        write!(f, "{} on {kind}{}", self.privilege, self.name)
    }
}

impl PostgresArchive {
    /// What of `needed` the role that connects lacks, of the tables and functions that there are. Asks the catalogue, tries
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn lacking(&self, needed: &[(&str, &[&str])]) -> Result<Vec<Lacking>, ArchiveError> {
        let pairs = needed.iter().flat_map(|(name, privileges)| privileges.iter().map(move |right| (name, right)));
        let (names, privileges): (Vec<String>, Vec<String>) =
            pairs.map(|(name, right)| (name.to_string(), right.to_string())).unzip();
        let mut query = QueryBuilder::<Postgres>::new("select n.name, n.privilege from unnest(");
        query.push_bind(names).push("::text[], ").push_bind(privileges).push(MISSING);
        self.rows(query).await
    }
}

/// What is not there is not lacked: another check tells of migrations.
const MISSING: &str = "::text[]) as n (name, privilege)
    where not case n.privilege
        when 'EXECUTE' then has_function_privilege(to_regprocedure(n.name), n.privilege)
        else has_table_privilege(to_regclass(n.name), n.privilege)
    end";
