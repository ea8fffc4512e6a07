//! `get_stats`: what a project's closed conversations of a time add up to.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{
    Asking,
    context::at,
    outcome::{Outcome, Unanswered},
};
use crate::{
    archive::{Grouping, Period},
    event::request::GetStats,
};

/// The time of figures unless the asker says otherwise, up to when the question was asked.
const SPAN: TimeDelta = TimeDelta::days(30);

/// The longest time: it bounds what one question can read.
const LONGEST_SPAN: TimeDelta = TimeDelta::days(366);

impl Asking<'_> {
    pub(super) async fn stats(&self, wanted: &GetStats) -> Result<Outcome, Unanswered> {
        let grouping = match wanted.group_by.as_deref() {
            None => None,
            Some("day") => Some(Grouping::Day),
            Some("agent") => Some(Grouping::Agent),
            Some(_) => return Err(Unanswered::Refused("group_by must be day or agent")),
        };
        let to = wanted.to.unwrap_or(self.event.received_at);
        let from = wanted.from.unwrap_or(to - SPAN);
        if from > to || to - from > LONGEST_SPAN {
            return Err(Unanswered::Refused("from must come before to, by 366 days at most"));
        }
        let (project, agent) = (self.project().to_owned(), wanted.agent_id.clone());
        let replica = self.answers.replica.as_ref();
        let reader = replica.unwrap_or(&self.answers.archive);
        let figures = reader.figures(&Period { project, from, to, agent, grouping }).await?;
        let groups = figures.groups.into_iter().map(|(name, mut figures)| {
            figures["group"] = name.into();
            figures
        });
        let busiest = figures.busiest.iter().map(|(agent, n)| json!({"agent_id": agent, "conversations": n}));
        let content = json!({
            "from": at(from),
            "to": at(to),
            "as_of": figures.as_of.map(at),
            "from_replica": replica.is_some(),
            "stats": figures.all,
            "groups": grouping.map(|_| groups.collect::<Vec<Value>>()),
            "busiest_agents": busiest.collect::<Vec<Value>>(),
        });
        Ok(Outcome::ok(content))
    }
}
