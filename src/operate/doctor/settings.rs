//! Whether every setting can be used.

use super::Finding;
use crate::config::{Config, Faults, LogConfig, SETTINGS, unknown_settings};

const CHECK: &str = "settings";

/// One finding for each fault, or one for all settings; and one for each variable that bears our name and is no setting.
pub(super) fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let unknown = unknown_settings().into_iter().map(|variable| {
        Finding::warning(CHECK, format!("no setting is called {variable}"), "mend its name: `conversationd run --help`")
    });
    faults(get).into_iter().chain(unknown).collect()
}

fn faults(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let faults = match (LogConfig::read(get).err(), Config::read(get).err()) {
        (Some(one), Some(other)) => one.and(other),
        (one, other) => one.or(other).unwrap_or(Faults(Vec::new())),
    };
    if faults.0.is_empty() {
        return vec![Finding::ok(CHECK, format!("all {} can be used", SETTINGS.len()))];
    }
    let finding = |fault: crate::config::Fault| {
        let found = format!("{} {}", fault.variable, fault.reason);
        Finding::fault(CHECK, found, "`conversationd run --help` says what it is for")
    };
    faults.0.into_iter().map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_a_finding_of_its_own() {
        let findings = check(&|name| (name == "CONVERSATIOND_LOG_FORMAT").then(|| "xml".to_owned()));
        let named = |name: &str| findings.iter().any(|finding| finding.found.starts_with(name));
        for name in ["CONVERSATIOND_LOG_FORMAT", "SQS_CONVERSATION_QUEUE_URL", "DATABASE_URL", "DYNAMODB_MESSAGE_TABLE"]
        {
            assert!(named(name), "{name}");
        }
    }
}
