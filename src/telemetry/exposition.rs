//! Metrics as Prometheus reads them: text format 0.0.4.

use std::fmt::Write;

use crate::counters::{Counters, METRICS, Metric, Read};

/// Content type of the page.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric's name as Prometheus has it: underscores, the unit, and `_total` for what only grows.
pub fn prometheus_name(metric: &Metric) -> String {
    let unit = match metric.unit {
        "s" => "_seconds",
        "By" => "_bytes",
        _ => "",
    };
    let total = if matches!(metric.read, Read::Total(_)) { "_total" } else { "" };
    format!("{}{unit}{total}", metric.name.replace('.', "_"))
}

/// The whole page.
pub(super) fn page(counters: &Counters) -> String {
    let mut page = String::with_capacity(16 * 1024);
    for metric in METRICS {
        // writing into a String cannot fail
        let _ = family(&mut page, metric, counters);
    }
    page
}

fn family(page: &mut String, metric: &Metric, counters: &Counters) -> std::fmt::Result {
    let name = prometheus_name(metric);
    let kind = match metric.read {
        Read::Total(_) => "counter",
        Read::Level(_) => "gauge",
        Read::Spread(_) => "histogram",
    };
    let help = metric.meaning.replace('\\', "\\\\").replace('\n', "\\n");
    writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    let labels: Vec<String> =
        metric.attributes.iter().map(|(key, value)| format!("{}=\"{value}\"", key.replace('.', "_"))).collect();
    let plain = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    match metric.read {
        Read::Total(read) | Read::Level(read) => writeln!(page, "{name}{plain} {}", read(counters)),
        Read::Spread(read) => {
            let spread = read(counters).get();
            let bounds = spread.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
            let mut within = 0;
            for (bound, count) in bounds.zip(&spread.counts) {
                within += count;
                let labels = [labels.as_slice(), &[format!("le=\"{bound}\"")]].concat().join(",");
                writeln!(page, "{name}_bucket{{{labels}}} {within}")?;
            }
            writeln!(page, "{name}_sum{plain} {}\n{name}_count{plain} {within}", spread.sum)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_says_what_was_counted() {
        let counters = Counters::default();
        counters.deliveries.add(7);
        counters.bytes_held.set(1_000);
        for millis in [4, 5, 6, 20_000] {
            counters.turn_duration.record(Duration::from_millis(millis));
        }
        let page = page(&counters);
        for piece in [
            "# TYPE messaging_client_consumed_messages_total counter\n\
             messaging_client_consumed_messages_total\
             {messaging_system=\"aws_sqs\",messaging_operation_name=\"receive\"} 7\n",
            "# HELP conversationd_held_size_bytes Bytes of the deliveries held.\n\
             # TYPE conversationd_held_size_bytes gauge\nconversationd_held_size_bytes 1000\n",
            "# TYPE messaging_process_duration_seconds histogram\n",
            "operation_name=\"process\",le=\"0.005\"} 2\n",
            "operation_name=\"process\",le=\"0.01\"} 3\n",
            "operation_name=\"process\",le=\"10\"} 3\n",
            "operation_name=\"process\",le=\"+Inf\"} 4\n",
            "messaging_process_duration_seconds_sum{messaging_system=\"aws_sqs\",messaging_operation_name=\"process\"} 20.015\n",
            "messaging_process_duration_seconds_count{messaging_system=\"aws_sqs\",messaging_operation_name=\"process\"} 4\n",
        ] {
            assert!(page.contains(piece), "{piece}\nis not in\n{page}");
        }
        assert!(page.ends_with('\n') && !page.contains("\n\n"));
    }

    #[test]
    fn every_name_is_one_that_prometheus_takes() {
        for metric in METRICS {
            let labels = metric.attributes.iter().map(|(key, _)| key.replace('.', "_"));
            for name in labels.chain([prometheus_name(metric)]) {
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
            }
        }
    }
}
