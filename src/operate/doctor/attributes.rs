//! A queue's attributes against infra/conversationd.yaml. What a queue does not tell, as some emulators do not, is no finding.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Name;

use super::Finding;
use crate::operate::{definition::QueueShape, provision::differing};

/// Which of the two queues, and the names of its checks.
pub(super) struct Checks {
    pub(super) reachable: &'static str,
    pub(super) kind: &'static str,
    pub(super) throughput: &'static str,
    pub(super) deduplication: &'static str,
    pub(super) encryption: &'static str,
    pub(super) attributes: &'static str,
    pub(super) retention: &'static str,
    pub(super) variable: &'static str,
}

pub(super) const QUEUE: Checks = Checks {
    reachable: "queue",
    kind: "queue kind",
    throughput: "queue throughput",
    deduplication: "queue deduplication",
    encryption: "queue encryption",
    attributes: "queue attributes",
    retention: "queue retention",
    variable: "SQS_CONVERSATION_QUEUE_URL",
};

pub(super) const DEAD_LETTER: Checks = Checks {
    reachable: "dead-letter queue",
    kind: "dead-letter kind",
    throughput: "dead-letter throughput",
    deduplication: "dead-letter deduplication",
    encryption: "dead-letter encryption",
    attributes: "dead-letter attributes",
    retention: "dead-letter retention",
    variable: "SQS_CONVERSATION_DLQ_URL",
};

/// What a queue says of itself.
pub(super) type Attributes = HashMap<Name, String>;

/// Attributes with a check of their own elsewhere.
const CHECKED_APART: [&str; 4] = ["FifoQueue", "RedrivePolicy", "MessageRetentionPeriod", "VisibilityTimeout"];

/// The two that together are high throughput.
const THROUGHPUT: [&str; 2] = ["DeduplicationScope", "FifoThroughputLimit"];

/// Every check of a queue whose attributes were told; `shape` is what the definition says of it.
pub(super) fn compared(checks: &Checks, shape: Option<QueueShape>, attributes: &Attributes) -> Vec<Finding> {
    let Some(shape) = shape else {
        let why = "a queue that differs is not noticed";
        let found = "not compared: infra/conversationd.yaml is not as this program expects it";
        return vec![Finding::warning(checks.attributes, found, why, "build this program from a clean checkout")];
    };
    let mut differing = differing(&shape, attributes);
    differing.retain(|name| !CHECKED_APART.contains(&name.as_str()));
    let mut take = |wanted: &[&str]| -> Vec<String> {
        let (taken, left) = differing.drain(..).partition(|name| wanted.contains(&name.as_str()));
        differing = left;
        taken
    };
    let (throughput, deduplication) = (take(&THROUGHPUT), take(&["ContentBasedDeduplication"]));
    let encryption = take(&["SqsManagedSseEnabled"]);
    vec![
        kind(checks, attributes),
        self::throughput(checks, &shape, &throughput),
        self::deduplication(checks, !deduplication.is_empty()),
        self::encryption(checks, !encryption.is_empty(), attributes),
        retention(checks, &shape, attributes),
        others(checks, &shape, &differing),
    ]
}

fn kind(checks: &Checks, attributes: &Attributes) -> Finding {
    match attributes.get(&Name::FifoQueue).map(String::as_str) {
        Some("true") => Finding::ok(checks.kind, "FIFO"),
        _ => not_fifo(checks),
    }
}

/// A queue of the other kind.
pub(super) fn not_fifo(checks: &Checks) -> Finding {
    let why = "it keeps no order, and delivers twice: conversations would be told out of order";
    let advice =
        format!("make it anew: conversationd provision, and set {}; a kind cannot be changed", checks.variable);
    Finding::fault(checks.kind, "a standard queue, not a FIFO queue", why, advice)
}

/// `Name=value,…` as `aws sqs set-queue-attributes --attributes` takes it.
fn assignments(shape: &QueueShape, names: &[String]) -> String {
    let wanted = |name: &String| format!("{name}={}", shape.attributes.get(name).map_or("", String::as_str));
    names.iter().map(wanted).collect::<Vec<_>>().join(",")
}

fn set(checks: &Checks, assignments: &str) -> String {
    format!("aws sqs set-queue-attributes --queue-url \"${}\" --attributes {assignments}", checks.variable)
}

fn throughput(checks: &Checks, shape: &QueueShape, differing: &[String]) -> Finding {
    if differing.is_empty() {
        return Finding::ok(checks.throughput, "high: limits are per thread");
    }
    let found = format!("not high: {} stands otherwise", differing.join(" and "));
    let why = "all threads together get 300 calls a second";
    let both = THROUGHPUT.map(str::to_owned);
    Finding::warning(checks.throughput, found, why, set(checks, &assignments(shape, &both)))
}

fn deduplication(checks: &Checks, by_content: bool) -> Finding {
    if !by_content {
        return Finding::ok(checks.deduplication, "by the publisher's id");
    }
    let why = "of two events with equal bodies within five minutes, sent without an id, SQS drops the second silently";
    let advice = set(checks, "ContentBasedDeduplication=false");
    Finding::warning(checks.deduplication, "by content where the publisher gives no id", why, advice)
}

fn encryption(checks: &Checks, differs: bool, attributes: &Attributes) -> Finding {
    match attributes.get(&Name::KmsMasterKeyId).filter(|key| !key.is_empty()) {
        Some(_) => Finding::ok(checks.encryption, "by a KMS key"),
        None if differs => {
            let why = "what people said lies unencrypted for as long as it waits";
            Finding::warning(checks.encryption, "off", why, set(checks, "SqsManagedSseEnabled=true"))
        }
        None => Finding::ok(checks.encryption, "by SQS's own key"),
    }
}

fn retention(checks: &Checks, shape: &QueueShape, attributes: &Attributes) -> Finding {
    let seconds = |text: &String| text.parse::<u64>().ok();
    let wanted = shape.attributes.get("MessageRetentionPeriod").and_then(seconds).unwrap_or_default();
    let Some(found) = attributes.get(&Name::MessageRetentionPeriod).and_then(seconds) else {
        return Finding::ok(checks.retention, "the queue does not tell it");
    };
    let shown = format!("{:.1} days", found as f64 / 86_400.0);
    if found >= wanted {
        return Finding::ok(checks.retention, shown);
    }
    let why = "what nobody got to by then is lost: over an outage, or over a holiday of whoever looks at dead letters";
    Finding::warning(checks.retention, shown, why, set(checks, &format!("MessageRetentionPeriod={wanted}")))
}

fn others(checks: &Checks, shape: &QueueShape, differing: &[String]) -> Finding {
    if differing.is_empty() {
        return Finding::ok(checks.attributes, "the others are as infra/conversationd.yaml says");
    }
    let found = format!("other than infra/conversationd.yaml says: {}", differing.join(", "));
    let why = "what it was measured and tested with is something else";
    Finding::warning(checks.attributes, found, why, set(checks, &assignments(shape, differing)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::{definition::Definition, doctor::Level};

    fn shape() -> QueueShape {
        Definition::with_prefix("t").and_then(|it| it.queue("arn")).expect("a shape")
    }

    fn as_defined() -> Attributes {
        shape().attributes.iter().map(|(name, value)| (Name::from(name.as_str()), value.clone())).collect()
    }

    fn bad(attributes: &Attributes) -> Vec<(&'static str, Level)> {
        let findings = compared(&QUEUE, Some(shape()), attributes);
        let bad = findings.iter().filter(|finding| finding.level != Level::Ok);
        bad.map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn each_attribute_that_stands_otherwise_has_a_finding_of_its_own() {
        assert_eq!(bad(&as_defined()), []);
        for (name, value, check, level) in [
            (Name::DeduplicationScope, "queue", "queue throughput", Level::Warning),
            (Name::FifoThroughputLimit, "perQueue", "queue throughput", Level::Warning),
            (Name::ContentBasedDeduplication, "true", "queue deduplication", Level::Warning),
            (Name::SqsManagedSseEnabled, "false", "queue encryption", Level::Warning),
            (Name::MessageRetentionPeriod, "345600", "queue retention", Level::Warning),
            (Name::ReceiveMessageWaitTimeSeconds, "0", "queue attributes", Level::Warning),
            (Name::FifoQueue, "false", "queue kind", Level::Fault),
        ] {
            let mut attributes = as_defined();
            attributes.insert(name, value.to_owned());
            assert_eq!(bad(&attributes), [(check, level)], "{check} {value}");
        }
    }

    #[test]
    fn what_an_emulator_does_not_tell_is_no_alarm_but_for_the_kind() {
        let fifo = Attributes::from([(Name::FifoQueue, "true".to_owned())]);
        assert_eq!(bad(&fifo), []);
        assert_eq!(bad(&Attributes::new()), [("queue kind", Level::Fault)]);
    }

    #[test]
    fn a_key_of_ones_own_is_encryption_too() {
        let mut attributes = as_defined();
        attributes.insert(Name::SqsManagedSseEnabled, "false".into());
        attributes.insert(Name::KmsMasterKeyId, "alias/ours".into());
        assert_eq!(bad(&attributes), []);
    }
}
