//! The net below the daemon: where SQS moves what is received too often, seen from both queues.

use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde_json::Value;

use super::{Finding, attributes::Attributes};

/// Fewer receipts than this, and an outage moves healthy deliveries out of their order.
const LEAST_RECEIVE_COUNT: u64 = 50;

const POLICY: &str = "queue redrive policy";
const COUNT: &str = "queue receive count";
const ALLOWED: &str = "dead-letter redrive policy";

const DEPLOY: &str =
    "deploy infra/conversationd.yaml, or set SQS_CONVERSATION_DLQ_URL to the queue that the policy names";

fn name(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or_default()
}

fn policy(attributes: &Attributes, name: Name) -> Option<Value> {
    serde_json::from_str(attributes.get(&name)?).ok()
}

/// Whether what cannot be handled goes where it is looked for, and late enough. `dead_letter` is the ARN of the queue that was
/// set, if it answers.
pub(super) fn outward(attributes: &Attributes, dead_letter: Option<&str>) -> Vec<Finding> {
    let Some(policy) = policy(attributes, Name::RedrivePolicy) else {
        let why = "a delivery that kills the daemon comes back for ever, and its thread stands still";
        return vec![Finding::fault(POLICY, "there is none", why, "deploy infra/conversationd.yaml")];
    };
    let target = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
    let count = policy["maxReceiveCount"].to_string().replace('"', "").parse::<u64>().unwrap_or_default();
    let why = "what SQS moves lies where nobody looks for it";
    let found = match dead_letter {
        None => {
            let found = format!("goes to {}; the dead-letter queue itself does not answer", name(target));
            Finding::warning(POLICY, found, why, DEPLOY)
        }
        Some(arn) if arn != target => {
            let found = format!("goes to {}, not to {}, the queue of the settings", name(target), name(arn));
            Finding::fault(POLICY, found, why, DEPLOY)
        }
        Some(_) => Finding::ok(POLICY, format!("goes to {}", name(target))),
    };
    vec![found, receive_count(target, count)]
}

fn receive_count(target: &str, count: u64) -> Finding {
    if count >= LEAST_RECEIVE_COUNT {
        return Finding::ok(COUNT, format!("{count} receipts"));
    }
    let why = "every receipt counts, also of what only stood behind a failing head: an outage or a few deployments move \
               healthy deliveries out of their order";
    let policy = format!(r#"{{\"deadLetterTargetArn\":\"{target}\",\"maxReceiveCount\":100}}"#);
    let advice = format!(
        "aws sqs set-queue-attributes --queue-url \"$SQS_CONVERSATION_QUEUE_URL\" --attributes \
         '{{\"RedrivePolicy\":\"{policy}\"}}'"
    );
    Finding::warning(COUNT, format!("{count}, less than {LEAST_RECEIVE_COUNT}"), why, advice)
}

/// Whether the dead-letter queue takes what the inbound queue gives up, and moves nothing on. `queue` is the ARN of that, if it
/// answers.
pub(super) fn inward(attributes: &Attributes, queue: Option<&str>) -> Finding {
    if let Some(policy) = policy(attributes, Name::RedrivePolicy) {
        let target = policy["deadLetterTargetArn"].as_str().unwrap_or_default();
        let why = "looking at dead letters counts as receiving them: they would wander off, out of the index";
        let advice =
            "aws sqs set-queue-attributes --queue-url \"$SQS_CONVERSATION_DLQ_URL\" --attributes RedrivePolicy=";
        return Finding::fault(ALLOWED, format!("it has one itself, to {}", name(target)), why, advice);
    }
    let allowed = policy(attributes, Name::RedriveAllowPolicy);
    let listed = |policy: &Value| {
        let sources = policy["sourceQueueArns"].as_array();
        sources.is_some_and(|arns| arns.iter().any(|arn| arn.as_str() == queue))
    };
    match allowed.as_ref().map(|policy| (policy["redrivePermission"].as_str().unwrap_or_default(), policy)) {
        Some(("denyAll", _)) => denied("it lets no queue move anything into it"),
        Some(("byQueue", policy)) if queue.is_some() && !listed(policy) => {
            denied("it lets other queues move into it, and not the inbound one")
        }
        _ => Finding::ok(ALLOWED, "takes what the inbound queue gives up"),
    }
}

fn denied(found: &str) -> Finding {
    let why = "what is received too often stays at the head of its thread for ever";
    let advice =
        "aws sqs set-queue-attributes --queue-url \"$SQS_CONVERSATION_DLQ_URL\" --attributes RedriveAllowPolicy=";
    Finding::fault(ALLOWED, found, why, advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    const QUEUE: &str = "arn:aws:sqs:x:1:c.fifo";
    const DEAD_LETTER: &str = "arn:aws:sqs:x:1:c-dlq.fifo";

    fn levels(policy: &str, dead_letter: Option<&str>) -> Vec<Level> {
        let attributes = Attributes::from([(Name::RedrivePolicy, policy.to_owned())]);
        outward(&attributes, dead_letter).iter().map(|finding| finding.level).collect()
    }

    #[test]
    fn a_redrive_policy_must_point_to_the_dead_letter_queue_of_the_settings_and_be_patient() {
        let policy =
            |target: &str, count: &str| format!(r#"{{"deadLetterTargetArn":"{target}","maxReceiveCount":{count}}}"#);
        for (policy, expected) in [
            (policy(DEAD_LETTER, "100"), vec![Level::Ok, Level::Ok]),
            (policy(DEAD_LETTER, "\"100\""), vec![Level::Ok, Level::Ok]),
            (policy(DEAD_LETTER, "3"), vec![Level::Ok, Level::Warning]),
            (policy("arn:aws:sqs:x:1:other.fifo", "100"), vec![Level::Fault, Level::Ok]),
            ("none".to_owned(), vec![Level::Fault]),
        ] {
            assert_eq!(levels(&policy, Some(DEAD_LETTER)), expected, "{policy}");
        }
        assert_eq!(levels(&policy(DEAD_LETTER, "100"), None), [Level::Warning, Level::Ok]);
        assert_eq!(outward(&Attributes::new(), Some(DEAD_LETTER))[0].level, Level::Fault);
    }

    #[test]
    fn the_dead_letter_queue_must_take_what_comes_and_keep_it() {
        let by_queue = |arn: &str| format!(r#"{{"redrivePermission":"byQueue","sourceQueueArns":["{arn}"]}}"#);
        for (name, value, level) in [
            (Name::RedriveAllowPolicy, String::new(), Level::Ok),
            (Name::RedriveAllowPolicy, r#"{"redrivePermission":"allowAll"}"#.to_owned(), Level::Ok),
            (Name::RedriveAllowPolicy, r#"{"redrivePermission":"denyAll"}"#.to_owned(), Level::Fault),
            (Name::RedriveAllowPolicy, by_queue(QUEUE), Level::Ok),
            (Name::RedriveAllowPolicy, by_queue("arn:aws:sqs:x:1:other.fifo"), Level::Fault),
            (Name::RedrivePolicy, format!(r#"{{"deadLetterTargetArn":"{QUEUE}"}}"#), Level::Fault),
        ] {
            let attributes = Attributes::from([(name, value.clone())]);
            assert_eq!(inward(&attributes, Some(QUEUE)).level, level, "{value}");
        }
    }
}
