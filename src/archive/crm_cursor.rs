//! How far the journal of a CRM was read, and who reads it: one replica at a time, fenced as lanes of the outbox are.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::FromRow;

use super::session::within;
use super::{ArchiveError, PostgresArchive};

/// Whose lease ended has none; the row is made by whoever comes first.
const TAKE: &str = "
    insert into crm_cursor as c (crm, account, stream, lease_epoch, leased_until)
    values ($1, $2, $3, 1, clock_timestamp() + make_interval(secs => $4))
    on conflict on constraint crm_cursor_pk do update
    set lease_epoch = c.lease_epoch + 1, leased_until = excluded.leased_until
    where c.leased_until <= clock_timestamp()
    returning place, placed_at, seen_at, again_from, lease_epoch, clock_timestamp() as now";

const MOVE: &str = "
    update crm_cursor
    set place = $5, placed_at = $6, seen_at = case when $7 then clock_timestamp() else seen_at end, again_from = $8,
        leased_until = clock_timestamp() + make_interval(secs => $9), updated_at = clock_timestamp()
    where crm = $1 and account = $2 and stream = $3 and lease_epoch = $4";

const LINKED: &str = "
    select distinct crm_id from crm_link
    where crm = $1 and crm_id > $2 and ($3::text[] is null or project = any($3))
    order by crm_id limit $4";

/// Which journal.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The CRM.
    pub crm: &'a str,
    /// The account.
    pub account: &'a str,
    /// Which of its journals.
    pub stream: &'a str,
}

/// How far it was read, held until the lease ends.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Cursor {
    /// The last place that is done.
    pub place: Option<String>,
    /// When that place was published.
    pub placed_at: Option<DateTime<Utc>>,
    /// When the journal was last seen to its end, or to that place.
    pub seen_at: Option<DateTime<Utc>>,
    /// After a gap: the last record that was asked for again; empty at the beginning.
    pub again_from: Option<String>,
    lease_epoch: i64,
    /// The database's time when it was taken.
    pub now: DateTime<Utc>,
}

impl PostgresArchive {
    /// Takes the cursor for the length of `lease`. `None` while another has it.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn take_cursor(&self, of: Stream<'_>, lease: Duration) -> Result<Option<Cursor>, ArchiveError> {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let take = sqlx::query_as(TAKE).bind(of.crm).bind(of.account).bind(of.stream).bind(lease.as_secs_f64());
        let taken = within(patience, take.fetch_optional(connection)).await?;
        session.give_back();
        Ok(taken)
    }

    /// Writes `cursor` as it is now, holding it for `lease` from now on; none gives it back. `seen`: the journal has nothing
    /// more, or was read to here. Returns whether it was still held: if not, nothing was written.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now.
    pub async fn move_cursor(
        &self,
        of: Stream<'_>,
        cursor: &Cursor,
        seen: bool,
        lease: Duration,
    ) -> Result<bool, ArchiveError> {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let moved = sqlx::query(MOVE)
            .bind(of.crm)
            .bind(of.account)
            .bind(of.stream)
            .bind(cursor.lease_epoch)
            .bind(cursor.place.as_deref())
            .bind(cursor.placed_at)
            .bind(seen)
            .bind(cursor.again_from.as_deref())
            .bind(lease.as_secs_f64());
        let moved = within(patience, moved.execute(connection)).await?.rows_affected() > 0;
        session.give_back();
        Ok(moved)
    }

    /// Records of a CRM that conversations are linked to, in order, behind `after`, `limit` at most.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn linked_records(
        &self,
        crm: &str,
        projects: Option<&[String]>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<String>, ArchiveError> {
        let mut session = self.session().await?;
        let (patience, connection) = session.parts();
        let linked = sqlx::query_scalar(LINKED).bind(crm).bind(after).bind(projects).bind(i64::from(limit));
        let linked = within(patience, linked.fetch_all(connection)).await?;
        session.give_back();
        Ok(linked)
    }
}
