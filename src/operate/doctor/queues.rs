//! The inbound queue and its dead-letter queue, as they answer.

use aws_sdk_sqs::{Client, types::QueueAttributeName as Name};

use super::{
    Finding,
    attributes::{self, Attributes, Checks, DEAD_LETTER, QUEUE},
    redrive,
};
use crate::{
    config::{Config, Faults, QueueConfig},
    operate::{clients, definition::Definition},
};

/// Looks at both.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (queue, dead_letter) = (QueueConfig::read(get), QueueConfig::read_dead_letter(get));
    let ((mut findings, queue), (of_dead_letter, dead_letter)) =
        tokio::join!(look(&QUEUE, queue, get), look(&DEAD_LETTER, dead_letter, get));
    let definition = Definition::with_prefix("conversationd"); // only names depend on it
    let arn_of = |attributes: &Option<Attributes>| attributes.as_ref()?.get(&Name::QueueArn).cloned();
    let (queue_arn, dead_letter_arn) = (arn_of(&queue), arn_of(&dead_letter));
    if let Some(attributes) = &queue {
        let arn = dead_letter_arn.as_deref().unwrap_or_default();
        let shape = definition.as_ref().ok().and_then(|definition| definition.queue(arn).ok());
        findings.extend(attributes::compared(&QUEUE, shape, attributes));
        findings.extend(redrive::outward(attributes, dead_letter_arn.as_deref()));
        findings.push(visibility(attributes, get));
        findings.push(delay(attributes));
    }
    findings.extend(of_dead_letter);
    if let Some(attributes) = &dead_letter {
        let shape = definition.as_ref().ok().and_then(|definition| definition.dead_letter_queue().ok());
        findings.extend(attributes::compared(&DEAD_LETTER, shape, attributes));
        findings.push(redrive::inward(attributes, queue_arn.as_deref()));
        findings.push(dead_letters(attributes));
    }
    findings
}

/// Asks a queue for its attributes.
async fn look(
    checks: &Checks,
    queue: Result<QueueConfig, Faults>,
    get: &dyn Fn(&str) -> Option<String>,
) -> (Vec<Finding>, Option<Attributes>) {
    let Ok(queue) = queue else {
        let of_no_order = get(checks.variable).is_some_and(|url| url.contains("://") && !url.trim().ends_with(".fifo"));
        let kind = of_no_order.then(|| attributes::not_fifo(checks));
        return (kind.into_iter().chain([Finding::not_looked_at(checks.reachable)]).collect(), None);
    };
    let sqs = clients(queue.region.clone(), None).await.sqs.control;
    match answer(checks.reachable, checks.variable, &sqs, &queue.url).await {
        Ok((finding, attributes)) => (vec![finding], Some(attributes)),
        Err(finding) => (vec![finding], None),
    }
}

/// What the queue at `url` says of itself, or what is wrong with it.
pub(super) async fn answer(
    check: &'static str,
    variable: &str,
    sqs: &Client,
    url: &str,
) -> Result<(Finding, Attributes), Finding> {
    let name = url.rsplit('/').next().unwrap_or_default();
    match sqs.get_queue_attributes().queue_url(url).attribute_names(Name::All).send().await {
        Ok(got) => {
            let attributes = got.attributes.unwrap_or_default();
            let count = |name| attributes.get(&name).map_or("?", String::as_str);
            let waiting = count(Name::ApproximateNumberOfMessages);
            let in_flight = count(Name::ApproximateNumberOfMessagesNotVisible);
            let found = format!("{name} answers: {waiting} waiting, {in_flight} in flight");
            Ok((Finding::ok(check, found), attributes))
        }
        Err(failure) => {
            let mut finding = Finding::unanswered(check, &failure, variable, "sqs:GetQueueAttributes");
            finding.found = format!("{name}: {}", finding.found);
            Err(finding)
        }
    }
}

fn visibility(attributes: &Attributes, get: &dyn Fn(&str) -> Option<String>) -> Finding {
    const CHECK: &str = "queue visibility";
    let stands = attributes.get(&Name::VisibilityTimeout).and_then(|seconds| seconds.parse::<u64>().ok());
    let Some(stands) = stands else {
        return Finding::ok(CHECK, "the queue does not tell it; the daemon asks for its own with every receive");
    };
    match Config::read(get) {
        Ok(config) if stands < config.visibility.as_secs() => {
            let set = config.visibility.as_secs();
            let found = format!("{stands} s, less than the daemon's own {set} s");
            let why = "whoever else receives from it, a console or a script, sends deliveries round again in mid-turn";
            Finding::warning(CHECK, found, why, format!("set VisibilityTimeout of the queue to {set} at least"))
        }
        Ok(_) => Finding::ok(CHECK, format!("{stands} s")),
        Err(_) => Finding::ok(CHECK, format!("{stands} s; not compared, the settings cannot be used")),
    }
}

fn delay(attributes: &Attributes) -> Finding {
    const CHECK: &str = "queue delay";
    match attributes.get(&Name::DelaySeconds).map_or("0", String::as_str) {
        "0" => Finding::ok(CHECK, "none"),
        seconds => {
            let why = "every event and every answer comes so much later; clocks of conversations do not wait for it";
            Finding::warning(CHECK, format!("{seconds} s"), why, "set DelaySeconds of the queue to 0")
        }
    }
}

fn dead_letters(attributes: &Attributes) -> Finding {
    const CHECK: &str = "dead letters";
    let count = |name| attributes.get(&name).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    match count(Name::ApproximateNumberOfMessages) + count(Name::ApproximateNumberOfMessagesNotVisible) {
        0 => Finding::ok(CHECK, "none"),
        dead => Finding::warning(
            CHECK,
            format!("{dead} in the dead-letter queue"),
            "each is gone for good 14 days after it came",
            "`conversationd dlq list` says why; mend that, then `conversationd dlq redrive --all --canary 5`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    #[test]
    fn what_an_emulator_does_not_tell_is_no_alarm() {
        let silent = Attributes::new();
        let levels = [visibility(&silent, &|_| None).level, delay(&silent).level, dead_letters(&silent).level];
        assert_eq!(levels, [Level::Ok; 3]);
        let delayed = Attributes::from([(Name::DelaySeconds, "30".to_owned())]);
        assert_eq!(delay(&delayed).level, Level::Warning);
    }
}
