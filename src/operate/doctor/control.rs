//! What the replicas are told: whether consuming is paused, and which groups are parked.

use super::Finding;
use crate::{
    config::HotConfig,
    hot::{Controls, HotError},
    operate::{hot, pause::described},
};

const PAUSED: &str = "consuming";
const PARKED: &str = "parked groups";

/// Looks at both; says nothing of tables that are not there, for their own checks do.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let Ok(config) = HotConfig::read(get) else { return Vec::new() };
    let Ok(store) = hot(&config).await else { return Vec::new() };
    match store.controls().await {
        Ok(controls) => findings(&controls),
        Err(HotError::Unavailable(code)) if is_missing(&code) => Vec::new(),
        Err(failure) => {
            let found = format!("what the replicas are told cannot be read: {failure}");
            let why = "a replica that cannot read it consumes nothing";
            let advice = match config {
                HotConfig::DynamoDb(_) => "give the role the right to dynamodb:Query on the table",
                HotConfig::Postgres { .. } => {
                    "conversationd migrate, and grant the role conversationd_hot: infra/archive/roles.sql"
                }
            };
            vec![Finding::fault(PAUSED, found, why, advice)]
        }
    }
}

/// Whether there is no table, or no migration was applied: other checks say so.
fn is_missing(code: &str) -> bool {
    code.contains("ResourceNotFound") || code.contains("SQLSTATE 42P01")
}

fn findings(controls: &Controls) -> Vec<Finding> {
    let paused = match &controls.pause {
        None => Finding::ok(PAUSED, "not paused"),
        Some(pause) => {
            let why = "the queue grows, and forgets what is older than 14 days";
            let advice = "`conversationd resume` when the reason is gone";
            Finding::warning(PAUSED, format!("paused {}", described(pause)), why, advice)
        }
    };
    let parked = match controls.parked.len() {
        0 => Finding::ok(PARKED, "none"),
        parked => {
            let why = "whatever comes in them becomes dead letters, in order";
            let advice = "`conversationd dlq group parked` says why, `conversationd dlq group unpark` lets one go on";
            Finding::warning(PARKED, parked.to_string(), why, advice)
        }
    };
    vec![paused, parked]
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::{
        hot::{Parked, Pause},
        operate::doctor::Level,
    };

    #[test]
    fn a_pause_and_parked_groups_are_warnings_that_name_nobody() {
        let levels = |controls: &Controls| findings(controls).iter().map(|finding| finding.level).collect::<Vec<_>>();
        let mut controls = Controls::default();
        assert_eq!(levels(&controls), [Level::Ok, Level::Ok]);
        let at = DateTime::UNIX_EPOCH;
        controls.pause = Some(Pause { at, reason: Some("a deployment".into()) });
        let parked = Parked { at, message_id: "m".into(), event_type: "due".into(), reason: "it failed".into() };
        controls.parked.insert("p:c:tel:+5511".into(), parked);
        assert_eq!(levels(&controls), [Level::Warning, Level::Warning]);
        let found = findings(&controls);
        assert!(found[0].found.contains("a deployment") && !found[1].found.contains("5511"), "{found:?}");
    }
}
