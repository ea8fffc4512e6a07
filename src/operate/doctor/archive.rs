//! PostgreSQL: whether it answers, is new enough, durable, migrated, and agrees on the time.

use chrono::{DateTime, TimeDelta, Utc};

use super::Finding;
use crate::{app, archive::Standing, config::DatabaseConfig, operate::moment::now};

const REACHABLE: &str = "archive";
const SCHEMA: &str = "archive schema";
const DURABILITY: &str = "archive durability";
const CLOCK: &str = "clock";

/// Oldest server that has what the migrations use.
const OLDEST: i32 = 140_000;

/// The timer compares this machine's clock with SQS's: so far apart, closes come visibly early or late.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// Looks at all of it.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let Ok(database) = DatabaseConfig::read(get) else { return vec![Finding::not_looked_at(REACHABLE)] };
    let archive = match app::archive(&database) {
        Ok(archive) => archive,
        Err(failure) => return vec![Finding::fault(REACHABLE, failure.to_string(), "mend DATABASE_URL")],
    };
    // the first answer includes connecting; only the second tells the time well
    if let Err(failure) = archive.standing().await {
        let advice = "see that DATABASE_URL names a server that runs, and a role that may log in and read the schema";
        return vec![Finding::fault(REACHABLE, failure.to_string(), advice)];
    }
    let asked_at = now();
    let standing = archive.standing().await;
    let answered_at = now();
    archive.close().await;
    match standing {
        Ok(standing) => vec![
            server(&standing),
            schema(&standing),
            durability(&standing),
            clock(standing.now, asked_at, answered_at),
        ],
        Err(failure) => vec![Finding::fault(REACHABLE, failure.to_string(), "look again: it answered once")],
    }
}

fn server(standing: &Standing) -> Finding {
    let (major, minor) = (standing.server / 10_000, standing.server % 10_000);
    let found = format!("PostgreSQL {major}.{minor} answers");
    if standing.server >= OLDEST {
        Finding::ok(REACHABLE, found)
    } else {
        Finding::fault(REACHABLE, found, format!("use PostgreSQL {} or newer", OLDEST / 10_000))
    }
}

fn schema(standing: &Standing) -> Finding {
    let list = |versions: &[i64]| versions.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let Some(version) = standing.version else {
        return Finding::fault(SCHEMA, "no migration stands: there are no tables", "conversationd migrate");
    };
    if !standing.missing.is_empty() {
        let found = format!("at version {version}; of this release are missing: {}", list(&standing.missing));
        Finding::fault(SCHEMA, found, "conversationd migrate")
    } else if !standing.altered.is_empty() {
        let found = format!("stand otherwise than in this release: {}", list(&standing.altered));
        Finding::fault(SCHEMA, found, "a released migration was edited: put its text back, and add a new one instead")
    } else if version > standing.release {
        let found = format!("at version {version}, newer than this release's {}", standing.release);
        Finding::warning(SCHEMA, found, "run the newer release: it was here already")
    } else {
        Finding::ok(SCHEMA, format!("at version {version}, this release's"))
    }
}

fn durability(standing: &Standing) -> Finding {
    match (standing.fsync, standing.synchronous_commit.as_str()) {
        (false, _) => Finding::warning(
            DURABILITY,
            "fsync is off: a power cut can destroy the archive",
            "turn fsync on; off is for tests only",
        ),
        (true, "off") => Finding::warning(
            DURABILITY,
            "synchronous_commit is off: a crash can lose transcripts that the queue no longer has",
            "turn synchronous_commit on, for the server or for this role",
        ),
        (true, commit) => Finding::ok(DURABILITY, format!("fsync is on, synchronous_commit is {commit}")),
    }
}

/// The server told its time between the asking and the answer.
fn clock(there: DateTime<Utc>, asked_at: DateTime<Utc>, answered_at: DateTime<Utc>) -> Finding {
    let apart = if there < asked_at { asked_at - there } else { (there - answered_at).max(TimeDelta::zero()) };
    let shown = format!("{:.1} s", apart.num_milliseconds() as f64 / 1_000.0);
    if apart <= SKEW {
        Finding::ok(CLOCK, format!("within {shown} of the database's"))
    } else {
        Finding::warning(CLOCK, format!("{shown} off the database's"), "let NTP set the clock of both machines")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    fn standing() -> Standing {
        Standing {
            server: 180_001,
            fsync: true,
            synchronous_commit: "on".into(),
            now: DateTime::UNIX_EPOCH,
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
            assert_eq!(schema(&standing).level, level, "{standing:?}");
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
    fn clocks_agree_when_the_answer_falls_between_asking_and_hearing() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (there, level) in [(100, Level::Ok), (110, Level::Ok), (94, Level::Warning), (116, Level::Warning)] {
            assert_eq!(clock(at(there), at(100), at(110)).level, level, "{there}");
        }
    }
}
