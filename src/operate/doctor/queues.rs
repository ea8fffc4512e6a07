//! The inbound queue and its dead-letter queue.

use std::collections::HashMap;

use aws_sdk_sqs::types::QueueAttributeName as Name;

use super::Finding;
use crate::{
    config::{Config, Faults, QueueConfig},
    operate::{
        clients,
        definition::{Definition, QueueShape},
        provision::differing,
    },
};

/// Fewer receipts than this, and an outage moves healthy deliveries out of their order.
const LEAST_RECEIVE_COUNT: u64 = 50;

/// Attributes that have a check of their own.
const CHECKED_APART: [&str; 4] = ["FifoQueue", "RedrivePolicy", "MessageRetentionPeriod", "VisibilityTimeout"];

/// Which of the two, and the names of its checks.
struct Checks {
    reachable: &'static str,
    attributes: &'static str,
    retention: &'static str,
    variable: &'static str,
}

const QUEUE: Checks = Checks {
    reachable: "queue",
    attributes: "queue attributes",
    retention: "queue retention",
    variable: "SQS_CONVERSATION_QUEUE_URL",
};

const DEAD_LETTER: Checks = Checks {
    reachable: "dead-letter queue",
    attributes: "dead-letter attributes",
    retention: "dead-letter retention",
    variable: "SQS_CONVERSATION_DLQ_URL",
};

/// What a queue says of itself.
type Attributes = HashMap<Name, String>;

/// Looks at both.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (queue, dead_letter) = (QueueConfig::read(get), QueueConfig::read_dead_letter(get));
    let ((mut findings, queue), (of_dead_letter, dead_letter)) =
        tokio::join!(look(&QUEUE, queue), look(&DEAD_LETTER, dead_letter));
    let definition = Definition::with_prefix("conversationd"); // only names depend on it
    let arn = dead_letter.as_ref().and_then(|attributes| attributes.get(&Name::QueueArn)).cloned().unwrap_or_default();
    if let Some(attributes) = &queue {
        let shape = definition.as_ref().ok().and_then(|definition| definition.queue(&arn).ok());
        findings.extend(standing(&QUEUE, shape, attributes));
        findings.push(redrive(attributes, dead_letter.is_some().then_some(&arn)));
        findings.push(visibility(attributes, get));
    }
    findings.extend(of_dead_letter);
    if let Some(attributes) = &dead_letter {
        let shape = definition.as_ref().ok().and_then(|definition| definition.dead_letter_queue().ok());
        findings.extend(standing(&DEAD_LETTER, shape, attributes));
        findings.push(dead_letters(attributes));
    }
    findings
}

/// Asks a queue for its attributes.
async fn look(checks: &Checks, queue: Result<QueueConfig, Faults>) -> (Vec<Finding>, Option<Attributes>) {
    let Ok(queue) = queue else { return (vec![Finding::not_looked_at(checks.reachable)], None) };
    let sqs = clients(queue.region.clone(), None).await.sqs.control;
    match sqs.get_queue_attributes().queue_url(&queue.url).attribute_names(Name::All).send().await {
        Ok(got) => {
            let attributes = got.attributes.unwrap_or_default();
            let count = |name| attributes.get(&name).map_or("?", String::as_str);
            let waiting = count(Name::ApproximateNumberOfMessages);
            let in_flight = count(Name::ApproximateNumberOfMessagesNotVisible);
            let found = format!("{} answers: {waiting} waiting, {in_flight} in flight", queue.name());
            (vec![Finding::ok(checks.reachable, found)], Some(attributes))
        }
        Err(failure) => {
            let mut finding =
                Finding::unanswered(checks.reachable, &failure, checks.variable, "sqs:GetQueueAttributes");
            finding.found = format!("{}: {}", queue.name(), finding.found);
            (vec![finding], None)
        }
    }
}

/// What holds of either queue.
fn standing(checks: &Checks, shape: Option<QueueShape>, attributes: &Attributes) -> Vec<Finding> {
    let mut findings = Vec::new();
    if attributes.get(&Name::FifoQueue).map(String::as_str) != Some("true") {
        let advice = "make it anew as a FIFO queue: conversationd provision; the kind of a queue cannot be changed";
        findings.push(Finding::fault(checks.attributes, "it is not a FIFO queue: there is no order in it", advice));
    }
    match shape {
        None => findings.push(Finding::warning(
            checks.attributes,
            "not compared: infra/conversationd.yaml is not as this program expects it",
            "build this program from a clean checkout",
        )),
        Some(shape) => {
            let mut names = differing(&shape, attributes);
            names.retain(|name| !CHECKED_APART.contains(&name.as_str()));
            findings.push(if names.is_empty() {
                Finding::ok(checks.attributes, "as infra/conversationd.yaml says")
            } else {
                let found = format!("other than infra/conversationd.yaml says: {}", names.join(", "));
                Finding::warning(checks.attributes, found, "deploy infra/conversationd.yaml again")
            });
            findings.push(retention(checks, &shape, attributes));
        }
    }
    findings
}

fn retention(checks: &Checks, shape: &QueueShape, attributes: &Attributes) -> Finding {
    let seconds = |text: Option<&String>| text.and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let wanted = seconds(shape.attributes.get("MessageRetentionPeriod"));
    let found = seconds(attributes.get(&Name::MessageRetentionPeriod));
    let in_days = |seconds: u64| format!("{:.1} days", seconds as f64 / 86_400.0);
    if found >= wanted {
        return Finding::ok(checks.retention, in_days(found));
    }
    let found = format!("{}: an outage longer than that loses messages", in_days(found));
    Finding::warning(checks.retention, found, format!("set MessageRetentionPeriod to {wanted} ({})", in_days(wanted)))
}

/// Whether what cannot be handled goes where it is looked for. `dead_letter` is the ARN of the queue that was set, if it answers.
fn redrive(attributes: &Attributes, dead_letter: Option<&String>) -> Finding {
    const CHECK: &str = "queue redrive policy";
    const ADVICE: &str =
        "deploy infra/conversationd.yaml, or set SQS_CONVERSATION_DLQ_URL to the queue that the policy names";
    let policy = attributes.get(&Name::RedrivePolicy).and_then(|policy| serde_json::from_str(policy).ok());
    let Some(policy): Option<serde_json::Value> = policy else {
        let found = "there is none: a delivery that kills the daemon comes back for ever, and its thread stands still";
        return Finding::fault(CHECK, found, "deploy infra/conversationd.yaml");
    };
    let target = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
    let name = target.rsplit(':').next().unwrap_or_default();
    let count = policy["maxReceiveCount"].to_string().replace('"', "").parse::<u64>().unwrap_or_default();
    match dead_letter {
        None => {
            Finding::warning(CHECK, format!("goes to {name}; the dead-letter queue itself does not answer"), ADVICE)
        }
        Some(arn) if arn != target => {
            let set = arn.rsplit(':').next().unwrap_or_default();
            Finding::fault(
                CHECK,
                format!("goes to {name}, not to {set}, the dead-letter queue of the settings"),
                ADVICE,
            )
        }
        Some(_) if count < LEAST_RECEIVE_COUNT => {
            let found =
                format!("maxReceiveCount is {count}: an outage would move healthy deliveries out of their order");
            Finding::warning(CHECK, found, format!("set it to 100, and not below {LEAST_RECEIVE_COUNT}"))
        }
        Some(_) => Finding::ok(CHECK, format!("goes to {name} after {count} receipts")),
    }
}

fn visibility(attributes: &Attributes, get: &dyn Fn(&str) -> Option<String>) -> Finding {
    const CHECK: &str = "queue visibility";
    let stands = attributes.get(&Name::VisibilityTimeout).and_then(|seconds| seconds.parse::<u64>().ok());
    let Some(stands) = stands else {
        return Finding::warning(CHECK, "the queue does not tell its visibility timeout", "see that it is 60 seconds");
    };
    match Config::read(get) {
        Ok(config) if stands < config.visibility.as_secs() => {
            let set = config.visibility.as_secs();
            let found = format!("{stands} s, less than the daemon's own {set} s: other readers disturb its turns");
            Finding::warning(CHECK, found, format!("set VisibilityTimeout to {set} at least"))
        }
        Ok(_) => Finding::ok(CHECK, format!("{stands} s")),
        Err(_) => Finding::ok(CHECK, format!("{stands} s; not compared, the settings cannot be used")),
    }
}

fn dead_letters(attributes: &Attributes) -> Finding {
    const CHECK: &str = "dead letters";
    let count = |name| attributes.get(&name).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    match count(Name::ApproximateNumberOfMessages) + count(Name::ApproximateNumberOfMessagesNotVisible) {
        0 => Finding::ok(CHECK, "none"),
        dead => Finding::warning(
            CHECK,
            format!("{dead} in the dead-letter queue, each gone for good 14 days after it came"),
            "`conversationd dlq list` says why; mend that, then `conversationd dlq redrive --all --canary 5`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    fn with_policy(policy: &str) -> Attributes {
        HashMap::from([(Name::RedrivePolicy, policy.to_owned())])
    }

    #[test]
    fn a_redrive_policy_must_point_to_the_dead_letter_queue_of_the_settings_and_be_patient() {
        let dead_letter = "arn:aws:sqs:x:1:c-dlq.fifo".to_owned();
        let policy = |target: &str, count: &str| {
            with_policy(&format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{count}}}"#))
        };
        for (attributes, level) in [
            (policy(&dead_letter, "100"), Level::Ok),
            (policy(&dead_letter, "\"100\""), Level::Ok),
            (policy(&dead_letter, "3"), Level::Warning),
            (policy("arn:aws:sqs:x:1:other.fifo", "100"), Level::Fault),
            (with_policy("none"), Level::Fault),
            (Attributes::new(), Level::Fault),
        ] {
            assert_eq!(redrive(&attributes, Some(&dead_letter)).level, level, "{attributes:?}");
        }
        assert_eq!(redrive(&policy(&dead_letter, "100"), None).level, Level::Warning);
    }

    #[test]
    fn what_differs_is_named_and_a_short_retention_is_a_warning() {
        let shape = Definition::with_prefix("t").and_then(|it| it.queue("arn")).expect("a shape");
        let mut attributes: Attributes =
            shape.attributes.iter().map(|(name, value)| (Name::from(name.as_str()), value.clone())).collect();
        let levels = |attributes: &Attributes| -> Vec<Level> {
            standing(&QUEUE, Some(shape.clone()), attributes).iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels(&attributes), [Level::Ok, Level::Ok]);
        attributes.insert(Name::DeduplicationScope, "queue".into());
        attributes.insert(Name::MessageRetentionPeriod, "345600".into());
        assert_eq!(levels(&attributes), [Level::Warning, Level::Warning]);
        assert!(standing(&QUEUE, Some(shape.clone()), &attributes)[0].found.contains("DeduplicationScope"));
        attributes.remove(&Name::FifoQueue);
        assert_eq!(levels(&attributes), [Level::Fault, Level::Warning, Level::Warning]);
    }
}
