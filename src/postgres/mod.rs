//! What every room that speaks to PostgreSQL shares: how it connects, for how long it waits, and what a failure means to it.

mod failure;
mod session;

use std::{str::FromStr, time::Duration};

use anyhow::{Context, ensure};
use sqlx::postgres::PgConnectOptions;

pub use failure::{Cause, Failure};
pub use session::{Session, within};

/// How to connect to the database of `url` (secret): to the tables in `schema`, or in the role's own, with statements that
/// the server ends after `statement`. `whose` it is, faults say.
///
/// # Errors
/// The URL cannot be read, or the schema's name needs quoting. The URL, which holds a password, is not repeated.
pub fn connect(
    url: &str,
    schema: Option<&str>,
    statement: Duration,
    whose: &'static str,
) -> anyhow::Result<PgConnectOptions> {
    let connect =
        PgConnectOptions::from_str(url).ok().with_context(|| format!("the URL of {whose} is not a PostgreSQL URL"))?;
    let connect = connect.options([("statement_timeout", statement.as_millis())]);
    let Some(schema) = schema else { return Ok(connect) };
    ensure!(is_plain_name(schema), "the schema of {whose} must be of a-z, 0-9 and _, and 63 at most");
    Ok(connect.options([("search_path", schema)]))
}

/// Whether `name` needs no quoting, in a statement or in a connection option.
fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.len() <= 63 && name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        let wrong =
            connect("postgres://u:hunter2@host:port/db", None, Duration::from_secs(1), "the archive").unwrap_err();
        assert_eq!(wrong.to_string(), "the URL of the archive is not a PostgreSQL URL");
        assert!(!format!("{wrong:?}").contains("hunter2"));
    }

    #[test]
    fn a_schema_needs_no_quoting() {
        for name in ["", "1st", "Archive", "a b", "a\"b", "a;b", "é", &"a".repeat(64)] {
            assert!(!is_plain_name(name), "{name}");
        }
        assert!(is_plain_name("archive_2"));
    }
}
