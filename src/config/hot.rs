//! Settings of the hot store: which it is, and where.

use super::{DatabaseConfig, Faults, HOT_CONNECTIONS, HOT_STORE, Secret, TABLE, TABLE_REGION, reader::Reader};

/// The table, for commands that need no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// Its name.
    pub name: String,
    /// Its region, unless AWS_REGION.
    pub region: Option<String>,
}

/// Where conversations in progress are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HotConfig {
    /// In a table of DynamoDB.
    DynamoDb(TableConfig),
    /// In the archive's database, over connections of their own.
    Postgres {
        /// PostgreSQL URL.
        url: Secret,
        /// Schema of the tables, unless the database's own default.
        schema: Option<String>,
        /// Pool size.
        connections: u32,
    },
}

impl HotConfig {
    /// Reads which it is, and where.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let hot = match is_postgres(&mut reader) {
            true => {
                let database = DatabaseConfig::read_with(&mut reader);
                Self::in_database(&mut reader, &database)
            }
            false => Self::in_table(&mut reader),
        };
        reader.end(hot)
    }

    /// Whether there must be a table.
    ///
    /// # Errors
    /// The setting cannot be used.
    pub fn needs_table(get: &dyn Fn(&str) -> Option<String>) -> Result<bool, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let postgres = is_postgres(&mut reader);
        reader.end(!postgres)
    }

    /// The same beside the archive's settings, whose faults are told already.
    pub(super) fn read_with(reader: &mut Reader<'_>, database: &DatabaseConfig) -> Self {
        if is_postgres(reader) { Self::in_database(reader, database) } else { Self::in_table(reader) }
    }

    /// Region of the table, if there is one.
    pub fn table_region(&self) -> Option<&str> {
        match self {
            Self::DynamoDb(table) => table.region.as_deref(),
            Self::Postgres { .. } => None,
        }
    }

    fn in_table(reader: &mut Reader<'_>) -> Self {
        Self::DynamoDb(TableConfig { name: reader.required(TABLE), region: reader.optional(TABLE_REGION) })
    }

    fn in_database(reader: &mut Reader<'_>, database: &DatabaseConfig) -> Self {
        let connections = reader.number(HOT_CONNECTIONS, 2, 1000);
        Self::Postgres { url: database.url.clone(), schema: database.schema.clone(), connections }
    }
}

fn is_postgres(reader: &mut Reader<'_>) -> bool {
    match reader.optional(HOT_STORE).as_deref() {
        None | Some("dynamodb") => false,
        Some("postgres") => true,
        Some(_) => {
            reader.fault(HOT_STORE, "must be dynamodb or postgres".into());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<HotConfig, Vec<&'static str>> {
        let get = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned());
        HotConfig::read(&get).map_err(|faults| faults.0.iter().map(|fault| fault.variable).collect())
    }

    #[test]
    fn each_store_needs_its_own_settings_and_none_of_the_other() {
        let (table, url) = (("DYNAMODB_MESSAGE_TABLE", "t"), ("DATABASE_URL", "postgres://u:hunter2@db/c"));
        let postgres = ("CONVERSATIOND_HOT_STORE", "postgres");
        assert!(matches!(read(&[table]), Ok(HotConfig::DynamoDb(_))));
        assert!(matches!(read(&[postgres, url]), Ok(HotConfig::Postgres { connections: 16, .. })));
        assert_eq!(read(&[url]), Err(vec!["DYNAMODB_MESSAGE_TABLE"]));
        assert_eq!(read(&[postgres, table]), Err(vec!["DATABASE_URL"]));
        assert_eq!(read(&[table, ("CONVERSATIOND_HOT_STORE", "sqlite")]), Err(vec!["CONVERSATIOND_HOT_STORE"]));
    }
}
