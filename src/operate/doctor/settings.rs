//! Whether every setting can be used, is a setting at all, and fits the others.

use std::time::Duration;

use super::Finding;
use crate::config::{Config, Fault, Faults, LogConfig, SETTINGS, unknown_settings};

const CHECK: &str = "settings";
const NAME: &str = "setting name";
const LEASES: &str = "leases";

/// A lease is extended once half of it is over, by a call that may take ten seconds.
const LEAST_LEASE: Duration = Duration::from_secs(20);

/// One finding for each fault, or one for all settings; one for each variable that bears our name and is no setting; and one for
/// how leases go with what is done under them.
pub(super) fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let config = Config::read(get);
    let unknown = unknown_settings().into_iter().map(|variable| misnamed(&variable));
    let mut findings: Vec<Finding> = match &config {
        Ok(config) => vec![leases(config.visibility, config.longest_lease, config.answers.patience)],
        Err(_) => Vec::new(),
    };
    findings.splice(0..0, faults(get, config.err()).into_iter().chain(unknown));
    findings
}

fn faults(get: &dyn Fn(&str) -> Option<String>, faults: Option<Faults>) -> Vec<Finding> {
    let faults = match (LogConfig::read(get).err(), faults) {
        (Some(one), Some(other)) => one.and(other),
        (one, other) => one.or(other).unwrap_or(Faults(Vec::new())),
    };
    if faults.0.is_empty() {
        return vec![Finding::ok(CHECK, format!("all {} can be used", SETTINGS.len()))];
    }
    let finding = |fault: Fault| {
        let found = format!("{} {}", fault.variable, fault.reason);
        let why = "the daemon does not start with it";
        Finding::fault(CHECK, found, why, "`conversationd run --help` says what it is for")
    };
    faults.0.into_iter().map(finding).collect()
}

fn misnamed(variable: &str) -> Finding {
    let advice = match nearest(variable) {
        Some(meant) => format!("is {meant} meant? `conversationd run --help` lists them all"),
        None => "mend its name: `conversationd run --help` lists them all".to_owned(),
    };
    let why = "it changes nothing, and what was meant keeps its default";
    Finding::warning(NAME, format!("no setting is called {variable}"), why, advice)
}

/// The setting whose name is nearest, if it is near.
fn nearest(variable: &str) -> Option<&'static str> {
    let near = SETTINGS.iter().map(|setting| (distance(variable, setting.variable), setting.variable)).min()?;
    (near.0 <= variable.len() / 4).then_some(near.1)
}

/// How many letters must be put in, taken out or changed to make one of the other.
fn distance(one: &str, other: &str) -> usize {
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.bytes().enumerate() {
        let mut here = vec![row + 1];
        for (column, fits) in other.bytes().enumerate() {
            let left = here.last().copied().unwrap_or_default();
            let changed = above[column] + usize::from(letter != fits);
            here.push(changed.min(above[column + 1] + 1).min(left + 1));
        }
        above = here;
    }
    above.last().copied().unwrap_or_default()
}

fn leases(lease: Duration, longest: Duration, answer: Duration) -> Finding {
    let shown = format!("{} s, extended up to {} s", lease.as_secs(), longest.as_secs());
    if lease < LEAST_LEASE {
        let advice = format!("set CONVERSATIOND_VISIBILITY_SECONDS to {} at least; 60 is usual", LEAST_LEASE.as_secs());
        let why = "a slow call to AWS takes up to 10 s: the lease may lapse before it is extended, and the delivery run twice";
        return Finding::warning(LEASES, shown, why, advice);
    }
    if longest < answer + LEAST_LEASE {
        let advice = "set CONVERSATIOND_LONGEST_LEASE_SECONDS to some minutes more than CONVERSATIOND_REQUEST_SECONDS";
        let why = "an answer that takes its whole time is given up to another replica, and begun again";
        return Finding::warning(LEASES, format!("{shown}; an answer may take {} s", answer.as_secs()), why, advice);
    }
    Finding::ok(LEASES, shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    #[test]
    fn every_fault_is_a_finding_of_its_own() {
        let findings = check(&|name| (name == "CONVERSATIOND_LOG_FORMAT").then(|| "xml".to_owned()));
        let named = |name: &str| findings.iter().any(|finding| finding.found.starts_with(name));
        for name in ["CONVERSATIOND_LOG_FORMAT", "SQS_CONVERSATION_QUEUE_URL", "DATABASE_URL", "DYNAMODB_MESSAGE_TABLE"]
        {
            assert!(named(name), "{name}");
        }
    }

    #[test]
    fn a_misspelled_name_is_answered_with_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("CONVERSATIOND_VISIBILTY_SECONDS", Some("CONVERSATIOND_VISIBILITY_SECONDS")),
            ("CONVERSATIOND_POLLER", Some("CONVERSATIOND_POLLERS")),
            ("CONVERSATIOND_SOMETHING_ELSE_ALTOGETHER", None),
        ] {
            assert_eq!(nearest(wrong), meant, "{wrong}");
        }
        assert_eq!([distance("", "abc"), distance("abc", "abc"), distance("kitten", "sitting")], [3, 0, 3]);
    }

    #[test]
    fn a_lease_outlives_the_call_that_extends_it_and_the_longest_answer() {
        let seconds = Duration::from_secs;
        for (lease, longest, answer, level) in [
            (60, 900, 10, Level::Ok),
            (20, 900, 60, Level::Ok),
            (19, 900, 10, Level::Warning),
            (60, 60, 60, Level::Warning),
        ] {
            let found = leases(seconds(lease), seconds(longest), seconds(answer));
            assert_eq!(found.level, level, "{lease} {longest} {answer}");
        }
    }
}
