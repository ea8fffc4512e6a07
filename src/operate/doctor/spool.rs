//! The spool: whether anything waits there that nobody looks for, and whether every replica takes part.

use std::collections::BTreeSet;

use super::Finding;
use crate::{
    config::{DatabaseConfig, HotConfig, rules_of_spool},
    fleet::{Beat, State, beats},
    operate::{hot, moment::now},
    queue::QueueError,
    spool::{Fleet, PostgresSpool, Stage},
};

const SPOOL: &str = "spool";

/// Looks; says nothing where there is no spool and nothing in it.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (Ok(database), Ok(rules)) = (DatabaseConfig::read(get), rules_of_spool(get)) else { return Vec::new() };
    let Ok(spool) = PostgresSpool::new(database.url.reveal(), database.schema.as_deref()) else { return Vec::new() };
    let fleet = match spool.fleet().await {
        Ok(fleet) => fleet,
        // the archive's own check tells of a database that does not answer, or is not migrated
        Err(_) if rules.is_none() => return Vec::new(),
        Err(failure) => return vec![unreadable(&failure)],
    };
    let running = match HotConfig::read(get) {
        Ok(config) if rules.is_some() => match hot(&config).await {
            Ok(store) => beats(&*store, now()).await.unwrap_or_default(),
            Err(_) => Vec::new(),
        },
        _ => Vec::new(),
    };
    judged(&fleet, rules.is_some(), &running)
}

fn unreadable(failure: &QueueError) -> Finding {
    let why = "no replica takes anything from the queue before it has heard where the fleet stands";
    let advice = "conversationd migrate, and give the role its rights: infra/archive/roles.sql, conversationd_spool";
    Finding::fault(SPOOL, failure.to_string(), why, advice)
}

fn judged(fleet: &Fleet, on: bool, running: &[Beat]) -> Vec<Finding> {
    let stage = fleet.standing.stage;
    if !on {
        if stage == Stage::Direct && fleet.held == 0 {
            return Vec::new();
        }
        let found = format!("{stage}, {} held, and CONVERSATIOND_SPOOL_AFTER_SECONDS is not set", fleet.held);
        let why = "nobody looks for what is in it, and what came after it is handled first";
        let advice = "set it again for all replicas, until `conversationd spool` says that nothing is held";
        return vec![Finding::fault(SPOOL, found, why, advice)];
    }
    let takes_part: BTreeSet<String> = fleet.replicas.iter().map(|replica| replica.replica.to_string()).collect();
    let left_out: Vec<&str> = running
        .iter()
        .filter(|beat| beat.state == State::Running && !beat.is_silent(now()) && !takes_part.contains(&beat.name))
        .map(|beat| beat.host.as_str())
        .collect();
    if !left_out.is_empty() {
        let found = format!("takes no part: {}", left_out.join(", "));
        let why = "in an outage it would handle from the queue what the others spool: order is lost";
        let advice = "give all replicas the same CONVERSATIOND_SPOOL_AFTER_SECONDS, and start them again";
        return vec![Finding::fault(SPOOL, found, why, advice)];
    }
    vec![match stage {
        Stage::Direct => Finding::ok(SPOOL, format!("empty, {} replicas take part", fleet.replicas.len())),
        stage => {
            let found = format!("{stage}, {} held", fleet.held);
            let why =
                "an outage of DynamoDB is gone through: nothing is answered from, closed or archived until it is over";
            Finding::warning(SPOOL, found, why, "`conversationd spool` says how far it is")
        }
    }]
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use uuid::Uuid;

    use super::*;
    use crate::{
        operate::doctor::Level,
        spool::{Replica, Standing},
    };

    fn fleet(stage: Stage, held: u64) -> Fleet {
        let at = DateTime::UNIX_EPOCH;
        let replica =
            Replica { replica: Uuid::from_u128(1), host: "pod-1".into(), seen_at: at, away_since: None, stopped: None };
        Fleet {
            standing: Standing { stage, epoch: 1, bytes: 0 },
            since: at,
            held,
            oldest: None,
            replicas: vec![replica],
        }
    }

    fn beat(replica: u128, host: &str) -> Beat {
        let body = serde_json::json!({
            "name": Uuid::from_u128(replica), "host": host, "version": "1", "state": "running",
            "started_at": now(), "at": now(),
        });
        serde_json::from_value(body).expect("a beat")
    }

    #[test]
    fn what_nobody_looks_for_and_who_takes_no_part_are_faults() {
        let levels = |fleet: &Fleet, on, running: &[Beat]| {
            judged(fleet, on, running).iter().map(|finding| finding.level).collect::<Vec<_>>()
        };
        assert_eq!(levels(&fleet(Stage::Direct, 0), false, &[]), []);
        assert_eq!(levels(&fleet(Stage::Direct, 2), false, &[]), [Level::Fault]);
        assert_eq!(levels(&fleet(Stage::Leaving, 0), false, &[]), [Level::Fault]);
        assert_eq!(levels(&fleet(Stage::Direct, 0), true, &[beat(1, "pod-1")]), [Level::Ok]);
        assert_eq!(levels(&fleet(Stage::Spooling, 9), true, &[beat(1, "pod-1")]), [Level::Warning]);
        let running = [beat(1, "pod-1"), beat(2, "pod-2")];
        assert!(judged(&fleet(Stage::Direct, 0), true, &running)[0].found.ends_with("no part: pod-2"));
    }
}
