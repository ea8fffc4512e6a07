//! Metrics as OTLP has them: the JSON form of an ExportMetricsServiceRequest.
//!
//! Totals are cumulative since the process began, so a push that is lost loses nothing: the next one says it all.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::counters::{Counters, METRICS, Metric, Read};

/// AGGREGATION_TEMPORALITY_CUMULATIVE.
const CUMULATIVE: u8 = 2;

/// Everything counted from `began` until `now`, by who `resource` says.
pub(super) fn request(
    counters: &Counters,
    resource: &[(String, String)],
    began: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Value {
    let attributes: Vec<Value> = resource.iter().map(|(name, value)| attribute(name, value)).collect();
    let metrics: Vec<Value> = METRICS.iter().map(|metric| one(metric, counters, began, now)).collect();
    let scope = json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": attributes },
        "scopeMetrics": [{ "scope": scope, "metrics": metrics }],
    }] })
}

fn one(metric: &Metric, counters: &Counters, began: DateTime<Utc>, now: DateTime<Utc>) -> Value {
    let attributes: Vec<Value> = metric.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut point = json!({ "attributes": attributes, "timeUnixNano": nanos(now) });
    if !matches!(metric.read, Read::Level(_)) {
        point["startTimeUnixNano"] = nanos(began).into();
    }
    let (kind, values) = match metric.read {
        Read::Total(read) => {
            point["asInt"] = integer(read(counters));
            ("sum", json!({ "aggregationTemporality": CUMULATIVE, "isMonotonic": true }))
        }
        Read::Level(read) => {
            point["asInt"] = integer(read(counters));
            ("gauge", json!({}))
        }
        Read::Spread(read) => {
            let spread = read(counters).get();
            point["count"] = integer(spread.count());
            point["sum"] = spread.sum.into();
            point["bucketCounts"] = spread.counts.into_iter().map(integer).collect();
            point["explicitBounds"] = spread.bounds.into();
            ("histogram", json!({ "aggregationTemporality": CUMULATIVE }))
        }
    };
    let mut one = json!({ "name": metric.name, "unit": metric.unit, "description": metric.meaning, kind: values });
    one[kind]["dataPoints"] = json!([point]);
    one
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// 64 bits as protobuf's JSON has them: text.
fn integer(n: u64) -> Value {
    n.to_string().into()
}

fn nanos(time: DateTime<Utc>) -> String {
    time.timestamp_nanos_opt().unwrap_or_default().to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metric<'a>(request: &'a Value, name: &str) -> &'a Value {
        let all = request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().expect("metrics");
        all.iter().find(|metric| metric["name"] == name).expect("the metric")
    }

    #[test]
    fn a_request_says_what_was_counted_as_the_schema_has_it() {
        let counters = Counters::default();
        counters.deliveries.add(3);
        counters.pollers.set(2);
        counters.turn_duration.record(Duration::from_millis(7));
        let (began, now) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(1));
        let request = request(&counters, &[("service.name".into(), "conversationd".into())], began, now);
        assert_eq!(
            request["resourceMetrics"][0]["resource"]["attributes"][0],
            json!({ "key": "service.name", "value": { "stringValue": "conversationd" } })
        );
        assert_eq!(
            *metric(&request, "messaging.client.consumed.messages"),
            json!({
                "name": "messaging.client.consumed.messages",
                "unit": "{message}",
                "description": "Deliveries received.",
                "sum": { "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{
                    "attributes": [
                        { "key": "messaging.system", "value": { "stringValue": "aws_sqs" } },
                        { "key": "messaging.operation.name", "value": { "stringValue": "receive" } },
                    ],
                    "startTimeUnixNano": "0",
                    "timeUnixNano": "1000000000",
                    "asInt": "3",
                }] },
            })
        );
        let level = &metric(&request, "conversationd.pollers")["gauge"]["dataPoints"][0];
        assert_eq!(*level, json!({ "attributes": [], "timeUnixNano": "1000000000", "asInt": "2" }));
        let spread = &metric(&request, "messaging.process.duration")["histogram"]["dataPoints"][0];
        assert_eq!((&spread["count"], &spread["sum"]), (&json!("1"), &json!(0.007)));
        let (counts, bounds) = (spread["bucketCounts"].as_array(), spread["explicitBounds"].as_array());
        assert_eq!(counts.map(Vec::len), bounds.map(|bounds| bounds.len() + 1));
        assert_eq!(spread["bucketCounts"][1], "1");
    }
}
