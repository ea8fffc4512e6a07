//! `conversationd spool`: how an outage of DynamoDB is gone through, and who is waited for.

use std::process::ExitCode;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{
    moment::{now, shown},
    output::{Output, counted},
    rows::{aligned, cell},
};
use crate::{
    config::DatabaseConfig,
    spool::{Fleet, PostgresSpool, Replica, Stage},
};

/// How to show it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// The same for machines: times as RFC 3339, sizes in bytes.
#[derive(Serialize)]
struct Shown<'a> {
    stage: Stage,
    since: DateTime<Utc>,
    epoch: u64,
    held: u64,
    oldest_sent_at: Option<DateTime<Utc>>,
    size_bytes: u64,
    replicas: Vec<ShownReplica<'a>>,
}

#[derive(Serialize)]
struct ShownReplica<'a> {
    host: &'a str,
    replica: uuid::Uuid,
    seen_at: DateTime<Utc>,
    dynamodb_away_since: Option<DateTime<Utc>>,
    stopped: bool,
}

/// Shows stage, what is held, and the replicas.
///
/// # Errors
/// The database does not answer, or has no spool.
pub async fn run(arguments: &Arguments, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let spool = PostgresSpool::new(database.url.reveal(), database.schema.as_deref())?;
    let fleet = spool.fleet().await.context("the spool cannot be read; `conversationd doctor` says more")?;
    let mut output = Output::new();
    if arguments.json {
        output.json(&for_machines(&fleet))?;
    } else {
        for line in for_people(&fleet, now()) {
            output.line(line)?;
        }
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn has_stopped(fleet: &Fleet, replica: &Replica) -> bool {
    fleet.standing.stage != Stage::Direct && replica.stopped == Some(fleet.standing.epoch)
}

fn for_machines(fleet: &Fleet) -> Shown<'_> {
    let replica = |replica| {
        let Replica { host, replica: name, seen_at, away_since, .. }: &Replica = replica;
        let stopped = has_stopped(fleet, replica);
        ShownReplica { host, replica: *name, seen_at: *seen_at, dynamodb_away_since: *away_since, stopped }
    };
    Shown {
        stage: fleet.standing.stage,
        since: fleet.since,
        epoch: fleet.standing.epoch,
        held: fleet.held,
        oldest_sent_at: fleet.oldest,
        size_bytes: fleet.standing.bytes,
        replicas: fleet.replicas.iter().map(replica).collect(),
    }
}

fn for_people(fleet: &Fleet, now: DateTime<Utc>) -> Vec<String> {
    let (stage, since) = (fleet.standing.stage, shown(fleet.since));
    let meaning = match stage {
        Stage::Direct => "deliveries come from the queue",
        Stage::Entering => "DynamoDB is away; nothing is taken until every replica has ended what it has of the queue",
        Stage::Spooling => "DynamoDB is away; the queue is moved into the spool",
        Stage::Leaving => "DynamoDB is back; deliveries come from the spool until it is empty",
    };
    let oldest = fleet.oldest.map_or_else(String::new, |at| format!(", the oldest sent {} UTC", shown(at)));
    let megabytes = fleet.standing.bytes.div_ceil(1 << 20);
    let mut lines = vec![
        format!("{stage} since {since} UTC: {meaning}"),
        format!("{} held{oldest}; {megabytes} MiB with indexes", held(fleet.held)),
    ];
    if fleet.replicas.is_empty() {
        lines.push("no replica takes part: CONVERSATIOND_SPOOL_AFTER_SECONDS is not set, or none runs".into());
        return lines;
    }
    let rows: Vec<[String; 5]> = fleet
        .replicas
        .iter()
        .map(|replica| {
            let silent = (now - replica.seen_at).num_seconds().max(0);
            let stopped = if has_stopped(fleet, replica) { "yes" } else { "-" };
            let away = cell(replica.away_since.map(|at| format!("away since {}", shown(at))));
            [replica.host.clone(), replica.replica.to_string(), format!("{silent} s ago"), away, stopped.to_owned()]
        })
        .collect();
    lines.extend(aligned(["HOST", "REPLICA", "SEEN", "DYNAMODB", "STOPPED"], &rows));
    if stage == Stage::Entering {
        let awaited = fleet.replicas.iter().filter(|replica| !has_stopped(fleet, replica)).count() as u64;
        lines.push(format!(
            "{} waited for; one that died is, until its lease is over (CONVERSATIOND_SPOOL_LEASE_SECONDS, and a minute)",
            counted(awaited, "replica")
        ));
    }
    lines
}

fn held(count: u64) -> String {
    if count == 1 { "1 delivery".into() } else { format!("{count} deliveries") }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;
    use crate::spool::Standing;

    fn fleet(stage: Stage) -> Fleet {
        let at = DateTime::UNIX_EPOCH;
        let replica = |n, stopped| Replica {
            replica: Uuid::from_u128(n),
            host: format!("pod-{n}"),
            seen_at: at + TimeDelta::seconds(50),
            away_since: Some(at),
            stopped,
        };
        Fleet {
            standing: Standing { stage, epoch: 3, bytes: 3 << 20 },
            since: at,
            held: 2,
            oldest: Some(at),
            replicas: vec![replica(1, Some(3)), replica(2, Some(2))],
        }
    }

    #[test]
    fn people_see_who_is_waited_for() {
        let lines = for_people(&fleet(Stage::Entering), DateTime::UNIX_EPOCH + TimeDelta::seconds(60));
        assert!(lines[0].starts_with("entering since 1970-01-01 00:00:00 UTC: DynamoDB is away"), "{}", lines[0]);
        assert_eq!(lines[1], "2 deliveries held, the oldest sent 1970-01-01 00:00:00 UTC; 3 MiB with indexes");
        assert!(
            lines[3].starts_with("pod-1") && lines[3].ends_with("yes") && lines[3].contains("10 s ago"),
            "{}",
            lines[3]
        );
        assert!(lines[4].ends_with("-"), "what it said of another epoch counts for nothing: {}", lines[4]);
        assert!(lines[5].starts_with("1 replica waited for"), "{}", lines[5]);
        let nobody = Fleet { replicas: Vec::new(), ..fleet(Stage::Direct) };
        assert!(for_people(&nobody, DateTime::UNIX_EPOCH)[2].starts_with("no replica takes part"));
    }

    #[test]
    fn machines_see_the_same() {
        let shown = serde_json::to_value(for_machines(&fleet(Stage::Spooling))).expect("JSON");
        assert_eq!((&shown["stage"], &shown["held"]), (&"spooling".into(), &2.into()));
        assert_eq!((&shown["replicas"][0]["stopped"], &shown["replicas"][1]["stopped"]), (&true.into(), &false.into()));
    }
}
