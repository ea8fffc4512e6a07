//! A project's figures: what its closed conversations of a time add up to.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::{FromRow, Postgres, QueryBuilder};

use super::{ArchiveError, PostgresArchive};

/// Groups at most: a year of days.
const MOST_GROUPS: i64 = 366;

/// Agents among the busiest.
const BUSIEST: i64 = 10;

/// The figures of one group as one JSON object. Times are in milliseconds; the means and medians of nothing are null.
const FIGURES: &str = "jsonb_build_object(
    'conversations', count(*),
    'resolution', jsonb_build_object(
        'resolved', count(*) filter (where c.resolution = 0),
        'unresolved', count(*) filter (where c.resolution = 1),
        'in_progress', count(*) filter (where c.resolution = 2),
        'unclassified', count(*) filter (where c.resolution = 3),
        'chat_room', count(*) filter (where c.resolution = 4),
        'not_said', count(*) filter (where c.resolution is null)),
    'messages', jsonb_build_object(
        'all', coalesce(sum(c.message_count), 0),
        'incoming', coalesce(sum(s.incoming_count), 0),
        'outgoing', coalesce(sum(s.outgoing_count), 0),
        'system', coalesce(sum(s.system_count), 0)),
    'tokens', coalesce(sum(c.token_count), 0),
    'duration_ms', jsonb_build_object(
        'average', round(avg(s.duration_ms)),
        'median', percentile_disc(0.5) within group (order by s.duration_ms),
        'p95', percentile_disc(0.95) within group (order by s.duration_ms)),
    'first_response_ms', jsonb_build_object(
        'answered', count(s.first_response_ms),
        'average', round(avg(s.first_response_ms)),
        'median', percentile_disc(0.5) within group (order by s.first_response_ms),
        'p95', percentile_disc(0.95) within group (order by s.first_response_ms)),
    'csat', jsonb_build_object(
        'rated', count(c.csat),
        'average', round(avg(c.csat), 2),
        'buckets', jsonb_build_object(
            '1', count(*) filter (where c.csat = 1),
            '2', count(*) filter (where c.csat = 2),
            '3', count(*) filter (where c.csat = 3),
            '4', count(*) filter (where c.csat = 4),
            '5', count(*) filter (where c.csat = 5))),
    'nps', jsonb_build_object(
        'rated', count(c.nps),
        'average', round(avg(c.nps), 2),
        'buckets', jsonb_build_object(
            'detractors', count(*) filter (where c.nps <= 6),
            'passives', count(*) filter (where c.nps in (7, 8)),
            'promoters', count(*) filter (where c.nps >= 9)),
        'score', round(100.0 * (count(*) filter (where c.nps >= 9) - count(*) filter (where c.nps <= 6))
            / nullif(count(c.nps), 0), 1)))";

/// A replica knows what it has replayed.
const AS_OF: &str = "select case when pg_is_in_recovery() then pg_last_xact_replay_timestamp() else now() end as as_of";

/// By what figures are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The day of the close, in UTC.
    Day,
    /// The agent.
    Agent,
}

/// Which conversations the figures are of.
#[derive(Clone, Debug)]
pub struct Period {
    /// The project.
    pub project: String,
    /// Closed at this time or later.
    pub from: DateTime<Utc>,
    /// Closed before this time.
    pub to: DateTime<Utc>,
    /// Of this agent only.
    pub agent: Option<String>,
    /// Grouped as well.
    pub grouping: Option<Grouping>,
}

/// Figures, each a JSON object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Of all conversations.
    pub all: Value,
    /// Of each group, by its name: days in order, agents by how many conversations they had.
    pub groups: Vec<(Option<String>, Value)>,
    /// The agents with most conversations.
    pub busiest: Vec<(String, i64)>,
    /// Up to when the database that was asked knows the archive: a replica lags behind. `None` when it cannot say.
    pub as_of: Option<DateTime<Utc>>,
}

impl Figures {
    /// As they are told: `stats`, `groups`, `busiest_agents`, `as_of`.
    pub fn told(self) -> Value {
        let groups = self.groups.into_iter().map(|(name, mut figures)| {
            figures["group"] = name.into();
            figures
        });
        let busiest = self.busiest.iter().map(|(agent, n)| json!({"agent_id": agent, "conversations": n}));
        json!({
            "stats": self.all,
            "groups": groups.collect::<Vec<Value>>(),
            "busiest_agents": busiest.collect::<Vec<Value>>(),
            "as_of": self.as_of.map(|at| at.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        })
    }
}

#[derive(FromRow)]
struct Group {
    name: Option<String>,
    figures: Value,
}

#[derive(FromRow)]
struct AsOf {
    as_of: Option<DateTime<Utc>>,
}

#[derive(FromRow)]
struct Busy {
    agent_id: String,
    conversations: i64,
}

impl PostgresArchive {
    pub(super) async fn figured(&self, span: &Period) -> Result<Figures, ArchiveError> {
        let mut query = QueryBuilder::<Postgres>::new("select null::text as name, ");
        query.push(FIGURES).push(" as figures");
        within(&mut query, span);
        let all: Vec<Group> = self.rows(query).await?;
        let mut groups = Vec::new();
        if let Some(grouping) = span.grouping {
            let (name, order) = match grouping {
                Grouping::Day => ("to_char(c.closed_at at time zone 'UTC', 'YYYY-MM-DD')", "1 desc"),
                Grouping::Agent => ("c.agent_id", "count(*) desc, 1"),
            };
            let mut query = QueryBuilder::<Postgres>::new(format!("select {name} as name, "));
            query.push(FIGURES).push(" as figures");
            within(&mut query, span);
            query.push(format!(" group by 1 order by {order} limit {MOST_GROUPS}"));
            groups = self.rows::<Group>(query).await?;
        }
        let mut query = QueryBuilder::<Postgres>::new("select c.agent_id, count(*) as conversations");
        within(&mut query, span);
        query.push(" and c.agent_id is not null group by 1 order by 2 desc, 1 limit ").push_bind(BUSIEST);
        let busiest: Vec<Busy> = self.rows(query).await?;
        let as_of: Vec<AsOf> = self.rows(QueryBuilder::new(AS_OF)).await?;
        Ok(Figures {
            all: all.into_iter().next().map(|group| group.figures).unwrap_or_default(),
            groups: groups.into_iter().map(|group| (group.name, group.figures)).collect(),
            busiest: busiest.into_iter().map(|busy| (busy.agent_id, busy.conversations)).collect(),
            as_of: as_of.first().and_then(|row| row.as_of),
        })
    }
}

fn within(query: &mut QueryBuilder<Postgres>, span: &Period) {
    query.push(" from conversation c left join conversation_stats s on s.conversation_id = c.id where c.project = ");
    query.push_bind(&span.project).push(" and c.closed_at >= ").push_bind(span.from);
    query.push(" and c.closed_at < ").push_bind(span.to);
    if let Some(agent) = &span.agent {
        query.push(" and left(c.agent_id, 256) = left(").push_bind(agent).push(", 256) and c.agent_id = ");
        query.push_bind(agent);
    }
}
