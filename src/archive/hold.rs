//! Legal holds: whom nobody may erase, and what nobody may purge.
//!
//! A hold and a batch of an erasure or a purge take turns, by an advisory lock: once a hold stands, no batch removes what
//! it covers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, Postgres, QueryBuilder};

use super::session::{Session, within};
use super::{ArchiveError, PostgresArchive};

/// Condition on a conversation `c`: a hold covers it.
pub(super) const HELD: &str = "exists (
    select 1 from legal_hold h where h.project = c.project and (h.contact is null or h.contact = c.contact)
)";

const TURN_OF_A_HOLD: &str = "select pg_advisory_xact_lock(hashtext('conversationd legal_hold ' || current_schema()))";
const TURN_OF_OTHERS: &str =
    "select pg_advisory_xact_lock_shared(hashtext('conversationd legal_hold ' || current_schema()))";

const ADD: &str = "insert into legal_hold (project, contact, reason) values ($1, $2, $3) on conflict do nothing";
const REMOVE: &str = "delete from legal_hold where project = $1 and contact is not distinct from $2";

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Hold {
    /// Project (tenant).
    pub project: String,
    /// Contact, as a URN; `None`: everybody of the project.
    pub contact: Option<String>,
    /// Why, in the operator's words.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

/// Waits for holds that are being put on; from now to the end of the transaction there come no more.
pub(super) async fn no_more_holds(session: &mut Session) -> Result<(), ArchiveError> {
    let (patience, connection) = session.parts();
    within(patience, sqlx::query(TURN_OF_OTHERS).execute(connection)).await?;
    Ok(())
}

impl PostgresArchive {
    /// Puts a hold on a contact, or on a whole project. Returns whether it is new.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn add_hold(&self, project: &str, contact: Option<&str>, reason: &str) -> Result<bool, ArchiveError> {
        self.change_holds(sqlx::query(ADD).bind(project).bind(contact).bind(reason)).await
    }

    /// Takes a hold off. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn remove_hold(&self, project: &str, contact: Option<&str>) -> Result<bool, ArchiveError> {
        self.change_holds(sqlx::query(REMOVE).bind(project).bind(contact)).await
    }

    async fn change_holds(
        &self,
        change: sqlx::query::Query<'_, Postgres, sqlx::postgres::PgArguments>,
    ) -> Result<bool, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin").await?;
        session.command(TURN_OF_A_HOLD).await?;
        let (patience, connection): (_, &mut PgConnection) = session.parts();
        let changed = within(patience, change.execute(connection)).await?.rows_affected() > 0;
        session.command("commit").await?;
        session.give_back();
        Ok(changed)
    }

    /// The holds of a project, or all; the oldest first.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn holds(&self, project: Option<&str>) -> Result<Vec<Hold>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("select project, contact, reason, created_at from legal_hold");
        if let Some(project) = project {
            query.push(" where project = ").push_bind(project.to_owned());
        }
        query.push(" order by created_at, id");
        self.rows(query).await
    }
}
