//! Clocks: this machine's against AWS's, by the date of its answers; and how two clocks are compared.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::config::{
    ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeDeserializationInterceptorContextRef,
};
use chrono::{DateTime, TimeDelta, Utc};

use super::Finding;
use crate::{
    config::QueueConfig,
    operate::{clients, moment::now},
};

const AWS: &str = "AWS clock";

/// The timer compares this machine's clock with SQS's: so far apart, closes come visibly early or late.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// A date in a header is cut to the second.
const CUT: TimeDelta = TimeDelta::seconds(1);

/// The date of an answer.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Option<DateTime<Utc>>>>);

impl Seen {
    fn date(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Seen {
    fn name(&self) -> &'static str {
        "date"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), aws_sdk_sqs::error::BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|text| DateTime::parse_from_rfc2822(text).ok()).map(|date| date.to_utc());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date;
        Ok(())
    }
}

/// Asks the queue something, twice: the first answer includes connecting. Whatever it says, it has a date. Nothing is said of
/// AWS when it does not answer: the check of the queue does.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let Ok(queue) = QueueConfig::read(get) else { return Vec::new() };
    let sqs = clients(queue.region.clone(), None).await.sqs.control;
    let ask = async |seen: &Seen| {
        let call = sqs.get_queue_attributes().queue_url(&queue.url);
        let _ = call.customize().interceptor(seen.clone()).send().await;
    };
    let first = Seen::default();
    ask(&first).await;
    if first.date().is_none() {
        return Vec::new();
    }
    let (seen, asked_at) = (Seen::default(), now());
    ask(&seen).await;
    let answered_at = now();
    let date = seen.date();
    date.map(|date| judged(AWS, "AWS's", (date, date + CUT), asked_at, answered_at)).into_iter().collect()
}

/// Compares this machine's clock, when it asked and when it was answered, with `there`: the earliest and the latest that the
/// other can have meant.
pub(super) fn judged(
    check: &'static str,
    whose: &str,
    there: (DateTime<Utc>, DateTime<Utc>),
    asked_at: DateTime<Utc>,
    answered_at: DateTime<Utc>,
) -> Finding {
    let (earliest, latest) = there;
    let apart = (asked_at - latest).max(earliest - answered_at).max(TimeDelta::zero());
    let shown = format!("{:.1} s", apart.num_milliseconds() as f64 / 1_000.0);
    if apart <= SKEW {
        return Finding::ok(check, format!("within {shown} of {whose}"));
    }
    let why = "conversations close early or late by as much, and five minutes apart AWS refuses every call";
    Finding::warning(
        check,
        format!("{shown} off {whose}"),
        why,
        "let NTP set the clocks: `timedatectl` tells whether it does",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    #[test]
    fn clocks_agree_when_the_answer_falls_between_asking_and_hearing() {
        let at = |seconds: i64| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for (there, cut, level) in [
            (100, 0, Level::Ok),
            (110, 0, Level::Ok),
            (95, 0, Level::Ok),
            (94, 0, Level::Warning),
            (94, 1, Level::Ok),
            (93, 1, Level::Warning),
            (115, 1, Level::Ok),
            (116, 1, Level::Warning),
        ] {
            let found = judged(AWS, "AWS's", (at(there), at(there + cut)), at(100), at(110));
            assert_eq!(found.level, level, "{there} {cut}");
        }
    }
}
