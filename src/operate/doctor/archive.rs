//! PostgreSQL: whether it answers, is new enough, durable, migrated, lets the daemon's role do its work, and agrees on the time;
//! and whether the replica, if there is one, is near behind.

use chrono::TimeDelta;

use super::{Finding, Role, clock};
use crate::{
    app,
    archive::{ArchiveError, Lacking, NEEDED, PostgresArchive, Standing},
    config::{DatabaseConfig, HotConfig, rules_of_spool},
    hot,
    operate::moment::now,
    spool,
};

const REACHABLE: &str = "archive";
const SCHEMA: &str = "archive schema";
const PRIVILEGES: &str = "archive privileges";
const DURABILITY: &str = "archive durability";
const CONNECTIONS: &str = "archive connections";
const CLOCK: &str = "archive clock";
const REPLICA: &str = "read replica";

const NOTHING_ARCHIVED: &str =
    "no conversation can be archived: closes wait, and messages stay in DynamoDB until they expire";

const NOTHING_TAKEN: &str =
    "it is the hot store too: nothing can be taken in, and the queue keeps what comes for fourteen days";

/// Oldest server that has what the migrations use.
const OLDEST: i32 = 140_000;

/// A replica further behind than this shows another day's statistics than people remember.
const BEHIND: TimeDelta = TimeDelta::minutes(5);

/// Looks at all of it.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let Ok(database) = DatabaseConfig::read(get) else { return vec![Finding::not_looked_at(REACHABLE)] };
    let hot = match HotConfig::read(get) {
        Ok(HotConfig::Postgres { connections, .. }) => Some(connections),
        _ => None,
    };
    let spools = matches!(rules_of_spool(get), Ok(Some(_)));
    let why = if hot.is_some() { NOTHING_TAKEN } else { NOTHING_ARCHIVED };
    let archive = match app::archive(&database) {
        Ok(archive) => archive,
        Err(failure) => {
            return vec![Finding::fault(REACHABLE, failure.to_string(), why, "mend DATABASE_URL")];
        }
    };
    // the first answer includes connecting; only the second tells the time well
    if let Err(failure) = archive.standing().await {
        let advice = "see that DATABASE_URL names a server that runs, and a role that may log in and read the schema";
        return vec![Finding::fault(REACHABLE, failure.to_string(), why, advice)];
    }
    let asked_at = now();
    let standing = archive.standing().await;
    let answered_at = now();
    let of_hot = if hot.is_some() { hot::NEEDED } else { &[] };
    let of_spool = if spools { spool::NEEDED } else { &[] };
    let needed = [NEEDED, of_hot, of_spool].concat();
    let lacking = archive.lacking(&needed).await;
    archive.close().await;
    let standing = match standing {
        Ok(standing) => standing,
        Err(failure) => {
            let advice = "look again: it answered once";
            return vec![Finding::fault(REACHABLE, failure.to_string(), why, advice)];
        }
    };
    let mut findings = vec![
        server(&standing),
        schema(&standing, why),
        durability(&standing),
        connections(&database, hot, spools, &standing),
        clock::judged(CLOCK, "the database's", (standing.now, standing.now), asked_at, answered_at),
    ];
    if role == Role::Daemon && standing.version.is_some() {
        findings.push(privileges(lacking, &needed));
    }
    findings
}

/// Looks at the replica; says nothing when there is none.
pub(super) async fn replica(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let Ok(database) = DatabaseConfig::read(get) else { return Vec::new() };
    if database.replica.is_none() {
        return Vec::new();
    }
    let why = "statistics cannot be asked for; everything else goes on";
    let replica: PostgresArchive = match app::replica(&database) {
        Ok(replica) => replica,
        Err(failure) => {
            let advice = "mend CONVERSATIOND_READ_REPLICA_URL";
            return vec![Finding::fault(REPLICA, failure.to_string(), why, advice)];
        }
    };
    let standing = replica.standing().await;
    replica.close().await;
    vec![match standing {
        Err(failure) => {
            let advice = "see that CONVERSATIOND_READ_REPLICA_URL names a server that runs; without the setting the archive \
                          itself is read";
            // in words of the archive: this is another server
            let how = match failure {
                ArchiveError::Unavailable(how) | ArchiveError::Refused(how) => how,
                other => other.to_string(),
            };
            Finding::fault(REPLICA, format!("does not answer: {how}"), why, advice)
        }
        Ok(standing) => copied(&standing),
    }]
}

fn copied(standing: &Standing) -> Finding {
    if standing.version.is_none() || !standing.missing.is_empty() {
        let why = "statistics read tables that are not there";
        let advice = "see that it follows the archive: its migrations come from there";
        return Finding::fault(REPLICA, "its schema is not this release's", why, advice);
    }
    match standing.behind {
        Some(behind) if behind > BEHIND.num_seconds() => {
            let found = format!("its last change is {behind} s old");
            let why = "statistics are of that time, unless nothing changed since";
            Finding::warning(REPLICA, found, why, "look at pg_stat_replication on the archive's server")
        }
        Some(behind) => Finding::ok(REPLICA, format!("answers, {behind} s behind")),
        None => Finding::ok(REPLICA, "answers, and is no replica: it is read as it is"),
    }
}

fn privileges(lacking: Result<Vec<Lacking>, ArchiveError>, needed: &[(&str, &[&str])]) -> Finding {
    let lacking = match lacking {
        Ok(lacking) => lacking,
        Err(failure) => {
            let why = "whatever the role may not do is not seen";
            return Finding::warning(PRIVILEGES, failure.to_string(), why, "look again: it answered before");
        }
    };
    if lacking.is_empty() {
        let tables = needed.iter().filter(|(name, _)| !name.contains('('));
        return Finding::ok(PRIVILEGES, format!("all that the daemon does with {} tables", tables.count()));
    }
    let each: Vec<String> = lacking.iter().map(Lacking::to_string).collect();
    let advice = format!("as the owner of the tables: grant {} to the role of DATABASE_URL", each.join("; grant "));
    let found = format!("the role of DATABASE_URL lacks {}", each.join(", "));
    Finding::fault(PRIVILEGES, found, "what needs it fails each time, and its thread waits", advice)
}

fn connections(database: &DatabaseConfig, hot: Option<u32>, spools: bool, standing: &Standing) -> Finding {
    let of_spool = if spools { spool::CONNECTIONS } else { 0 };
    let more = hot.unwrap_or_default().saturating_add(of_spool);
    let wanted = database.connections.saturating_add(database.read_connections).saturating_add(more);
    let most = standing.connections.unsigned_abs();
    if wanted <= most {
        return Finding::ok(CONNECTIONS, format!("{wanted} of {most} for one replica, and 8 more with sinks"));
    }
    let found = format!("one replica takes up to {wanted}, the server no more than {most} of everybody");
    let why = "closes fail while others hold the rest";
    let most = if hot.is_some() { ", CONVERSATIOND_HOT_CONNECTIONS" } else { "" };
    let advice = format!("lower CONVERSATIOND_DATABASE_CONNECTIONS{most}, or raise max_connections");
    Finding::warning(CONNECTIONS, found, why, advice)
}

fn server(standing: &Standing) -> Finding {
    let (major, minor) = (standing.server / 10_000, standing.server % 10_000);
    let found = format!("PostgreSQL {major}.{minor} answers");
    if standing.server >= OLDEST {
        Finding::ok(REACHABLE, found)
    } else {
        let why = "the migrations use what it does not have";
        Finding::fault(REACHABLE, found, why, format!("use PostgreSQL {} or newer", OLDEST / 10_000))
    }
}

fn schema(standing: &Standing, nothing: &'static str) -> Finding {
    let list = |versions: &[i64]| versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let Some(version) = standing.version else {
        return Finding::fault(SCHEMA, "no migration stands: there are no tables", nothing, "conversationd migrate");
    };
    if !standing.missing.is_empty() {
        let found = format!("at version {version}; of this release are missing: {}", list(&standing.missing));
        Finding::fault(SCHEMA, found, "what this release writes has no place there", "conversationd migrate")
    } else if !standing.altered.is_empty() {
        let found = format!("stand otherwise than in this release: {}", list(&standing.altered));
        let why = "two archives of one release are not alike, and the next migration may fail on one of them";
        let advice = "a released migration was edited: put its text back, and add a new one instead";
        Finding::fault(SCHEMA, found, why, advice)
    } else if version > standing.release {
        let found = format!("at version {version}, newer than this release's {}", standing.release);
        let why = "this release does not write what the newer one reads";
        Finding::warning(SCHEMA, found, why, "run the newer release: it was here already")
    } else {
        Finding::ok(SCHEMA, format!("at version {version}, this release's"))
    }
}

fn durability(standing: &Standing) -> Finding {
    match (standing.fsync, standing.synchronous_commit.as_str()) {
        (false, _) => Finding::warning(
            DURABILITY,
            "fsync is off",
            "a power cut can destroy the archive",
            "turn fsync on; off is for tests only",
        ),
        (true, "off") => Finding::warning(
            DURABILITY,
            "synchronous_commit is off",
            "a crash can lose transcripts that the queue no longer has",
            "turn synchronous_commit on, for the server or for this role",
        ),
        (true, commit) => Finding::ok(DURABILITY, format!("fsync is on, synchronous_commit is {commit}")),
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::operate::doctor::Level;

    fn standing() -> Standing {
        Standing {
            server: 180_001,
            fsync: true,
            synchronous_commit: "on".into(),
            now: DateTime::UNIX_EPOCH,
            connections: 100,
            behind: None,
            version: Some(2),
            release: 2,
            missing: Vec::new(),
            altered: Vec::new(),
        }
    }

    #[test]
    fn a_schema_is_this_releases_or_it_is_told_what_it_lacks() {
        for (standing, level) in [
            (standing(), Level::Ok),
            (Standing { version: None, missing: vec![1, 2], ..standing() }, Level::Fault),
            (Standing { version: Some(1), missing: vec![2], ..standing() }, Level::Fault),
            (Standing { altered: vec![1], ..standing() }, Level::Fault),
            (Standing { version: Some(3), ..standing() }, Level::Warning),
        ] {
            assert_eq!(schema(&standing, NOTHING_ARCHIVED).level, level, "{standing:?}");
        }
    }

    #[test]
    fn a_server_that_is_old_or_may_forget_is_told() {
        assert_eq!(server(&standing()).found, "PostgreSQL 18.1 answers");
        assert_eq!(server(&Standing { server: 130_014, ..standing() }).level, Level::Fault);
        assert_eq!(durability(&standing()).level, Level::Ok);
        assert_eq!(durability(&Standing { fsync: false, ..standing() }).level, Level::Warning);
        let forgetful = Standing { synchronous_commit: "off".into(), ..standing() };
        assert_eq!(durability(&forgetful).level, Level::Warning);
    }

    #[test]
    fn a_replica_must_follow_and_be_near() {
        for (standing, level) in [
            (standing(), Level::Ok),
            (Standing { behind: Some(2), ..standing() }, Level::Ok),
            (Standing { behind: Some(301), ..standing() }, Level::Warning),
            (Standing { version: None, ..standing() }, Level::Fault),
            (Standing { missing: vec![2], ..standing() }, Level::Fault),
        ] {
            assert_eq!(copied(&standing).level, level, "{standing:?}");
        }
    }

    #[test]
    fn each_right_that_lacks_is_named_in_what_to_do() {
        let lacking = Lacking { name: "rating".into(), privilege: "INSERT".into() };
        let swept = Lacking { name: "hot_expire(integer)".into(), privilege: "EXECUTE".into() };
        let found = privileges(Ok(vec![lacking, swept]), NEEDED);
        assert_eq!(found.level, Level::Fault);
        let advice = found.advice.unwrap_or_default();
        assert!(
            advice.contains("grant INSERT on rating; grant EXECUTE on function hot_expire(integer) to"),
            "{advice}"
        );
        assert_eq!(privileges(Ok(Vec::new()), NEEDED).level, Level::Ok);
    }
}
