//! docs/metrics.md lists exactly what is exported.

use std::{collections::BTreeSet, fs, path::Path};

use conversationd::{
    counters::{METRICS, Read},
    telemetry::prometheus_name,
};

#[test]
fn the_documentation_lists_exactly_what_is_exported() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let text = fs::read_to_string(path).expect("docs/metrics.md");
    let listed: BTreeSet<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let exported: BTreeSet<String> = METRICS
        .iter()
        .map(|metric| {
            let kind = match metric.read {
                Read::Total(_) => "counter",
                Read::Level(_) => "gauge",
                Read::Spread(_) => "histogram",
            };
            let page = prometheus_name(metric);
            format!("| `{}` | `{page}` | {kind} | `{}` | {} |", metric.name, metric.unit, metric.meaning)
        })
        .collect();
    let missing: Vec<&String> = exported.iter().filter(|row| !listed.contains(row.as_str())).collect();
    let unknown: Vec<&&str> = listed.iter().filter(|row| !exported.contains(**row)).collect();
    assert!(missing.is_empty(), "rows that docs/metrics.md lacks:\n{missing:#?}");
    assert!(unknown.is_empty(), "rows of docs/metrics.md that are not so:\n{unknown:#?}");
}
