//! Retention: closed conversations leave whole, oldest first, and numbers of nobody stay.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{FromRow, Postgres, QueryBuilder};
use uuid::Uuid;

use super::hold::{HELD, no_more_holds};
use super::session::within;
use super::{ArchiveError, PostgresArchive};
use crate::outbox;

/// What of one project is old enough to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, FromRow)]
pub struct Purgeable {
    /// Project (tenant).
    pub project: String,
    /// Conversations that would go.
    pub conversations: i64,
    /// Their messages.
    pub messages: i64,
    /// Conversations that stay because a hold covers them.
    pub held: i64,
    /// The earliest close among all of them.
    pub earliest: Option<DateTime<Utc>>,
}

/// What a batch removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Conversations.
    pub conversations: u64,
    /// Messages.
    pub messages: u64,
    /// Ratings, those of no conversation included.
    pub ratings: u64,
}

const COUNT_DAYS: &str = "
    insert into purged_day as kept (
        project, day, conversation_count, incoming_count, outgoing_count, system_count, token_count, csat_count,
        csat_sum, nps_count, nps_promoters, nps_detractors
    )
    select c.project, (c.closed_at at time zone 'UTC')::date, count(*), sum(s.incoming_count), sum(s.outgoing_count),
           sum(s.system_count), sum(s.token_count), count(s.csat), coalesce(sum(s.csat), 0), count(s.nps),
           count(*) filter (where s.nps >= 9), count(*) filter (where s.nps <= 6)
    from conversation c cross join lateral conversation_statistics(c.id) s
    where c.id = any($1)
    group by 1, 2
    on conflict (project, day) do update
    set conversation_count = kept.conversation_count + excluded.conversation_count,
        incoming_count = kept.incoming_count + excluded.incoming_count,
        outgoing_count = kept.outgoing_count + excluded.outgoing_count,
        system_count = kept.system_count + excluded.system_count,
        token_count = kept.token_count + excluded.token_count,
        csat_count = kept.csat_count + excluded.csat_count,
        csat_sum = kept.csat_sum + excluded.csat_sum,
        nps_count = kept.nps_count + excluded.nps_count,
        nps_promoters = kept.nps_promoters + excluded.nps_promoters,
        nps_detractors = kept.nps_detractors + excluded.nps_detractors,
        updated_at = now()";

impl PostgresArchive {
    /// What closed before `before`, by project.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be read now.
    pub async fn purgeable(
        &self,
        before: DateTime<Utc>,
        project: Option<&str>,
    ) -> Result<Vec<Purgeable>, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("with c as (select c.*, ");
        query.push(HELD).push(" as held from conversation c where c.closed_at < ").push_bind(before);
        if let Some(project) = project {
            query.push(" and c.project = ").push_bind(project.to_owned());
        }
        query.push(
            ") select project, count(*) filter (where not held) as conversations,
                      coalesce(sum(message_count) filter (where not held), 0)::bigint as messages,
                      count(*) filter (where held) as held, min(closed_at) as earliest
               from c group by project order by project",
        );
        self.rows(query).await
    }

    /// Removes the `limit` oldest conversations that closed before `before` and that no hold covers, with everything that
    /// hangs on them, and adds them to the counts of their days; all of it or nothing. None left: nothing removed.
    ///
    /// # Errors
    ///
    /// [`ArchiveError::Unavailable`] when the archive cannot be written now, or the role may not delete.
    pub async fn purge_batch(
        &self,
        before: DateTime<Utc>,
        project: Option<&str>,
        limit: u32,
    ) -> Result<Purged, ArchiveError> {
        let mut session = self.session().await?;
        session.command("begin isolation level read committed").await?;
        no_more_holds(&mut session).await?;
        let (patience, connection) = session.parts();

        let mut query = QueryBuilder::<Postgres>::new("select c.id from conversation c where c.closed_at < ");
        query.push_bind(before).push(" and not ").push(HELD);
        if let Some(project) = project {
            query.push(" and c.project = ").push_bind(project.to_owned());
        }
        query.push(" order by c.closed_at, c.id limit ").push_bind(i64::from(limit)).push(" for update skip locked");
        let ids: Vec<Uuid> = within(patience, query.build_query_scalar().fetch_all(&mut *connection)).await?;

        let mut purged = Purged { conversations: ids.len() as u64, ..Purged::default() };
        if !ids.is_empty() {
            within(patience, sqlx::query(COUNT_DAYS).bind(&ids).execute(&mut *connection)).await?;
            within(patience, outbox::erase(connection, &ids, None, "the conversation was purged")).await?;
            for (sql, removed) in [
                ("delete from rating where conversation_id = any($1)", Some(&mut purged.ratings)),
                ("delete from crm_link where conversation_id = any($1)", None),
                ("delete from conversation_stats where conversation_id = any($1)", None),
                ("delete from message where conversation_id = any($1)", Some(&mut purged.messages)),
                ("delete from conversation where id = any($1)", None),
            ] {
                let gone = within(patience, sqlx::query(sql).bind(&ids).execute(&mut *connection)).await?;
                if let Some(removed) = removed {
                    *removed = gone.rows_affected();
                }
            }
        }
        let mut alone = QueryBuilder::<Postgres>::new("delete from rating c where c.conversation_id is null");
        alone.push(" and c.answered_at < ").push_bind(before).push(" and not ").push(HELD);
        if let Some(project) = project {
            alone.push(" and c.project = ").push_bind(project.to_owned());
        }
        purged.ratings += within(patience, alone.build().execute(connection)).await?.rows_affected();
        session.command("commit").await?;
        session.give_back();
        Ok(purged)
    }
}
