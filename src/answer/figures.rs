//! `get_stats`: what a project's closed conversations of a time add up to.

use chrono::TimeDelta;

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
        let mut content = figures.told();
        content["from"] = at(from).into();
        content["to"] = at(to).into();
        content["from_replica"] = replica.is_some().into();
        Ok(Outcome::ok(content))
    }
}
