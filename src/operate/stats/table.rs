//! Figures as a person reads them. Takes the answer to `get_stats` as well: it is the same JSON.

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;

use crate::operate::{
    moment,
    output::harmless,
    plot::{bar, columns},
    rows::{aligned, cell},
};

/// Length of bars, height of columns, and how many columns there may be.
const WIDTH: usize = 30;
const HEIGHT: usize = 6;
const MOST_COLUMNS: i64 = 62;

/// The lines of a page about `told`.
pub(in crate::operate) fn shown(told: &Value) -> Vec<String> {
    let stats = &told["stats"];
    let mut lines = vec![heading(told), String::new()];
    lines.extend(counts(stats));
    lines.push(String::new());
    lines.extend(times(stats));
    lines.push(String::new());
    lines.extend(scores(stats));
    let groups = told["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let days: Vec<(NaiveDate, u64)> = groups.iter().filter_map(day).collect();
    if !days.is_empty() {
        lines.push(String::new());
        lines.extend(by_day(&days, told));
    } else if !groups.is_empty() {
        let named = groups.iter().map(|group| (name(&group["group"]), count(&group["conversations"])));
        lines.push(String::new());
        lines.extend(bars("conversations by agent", &named.collect::<Vec<_>>()));
        return lines;
    }
    let busiest = told["busiest_agents"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !busiest.is_empty() {
        let named = busiest.iter().map(|agent| (name(&agent["agent_id"]), count(&agent["conversations"])));
        lines.push(String::new());
        lines.extend(bars("busiest agents", &named.collect::<Vec<_>>()));
    }
    lines
}

fn heading(told: &Value) -> String {
    let when = |field: &str| time(&told[field]).map_or_else(|| "?".to_owned(), moment::shown);
    let project = told["project"].as_str().map(|project| format!("{}: ", harmless(project))).unwrap_or_default();
    let as_of = time(&told["as_of"]).map(|at| format!("; the archive as of {}", moment::shown(at)));
    let (from, to) = (when("from"), when("to"));
    format!("{project}conversations closed from {from} to {to} (UTC){}", as_of.unwrap_or_default())
}

fn counts(stats: &Value) -> Vec<String> {
    let part = |of: &Value, names: &[&str]| {
        let parts = names.iter().map(|name| (name, count(&of[*name]))).filter(|(_, n)| *n > 0);
        parts.map(|(name, n)| format!("{} {}", grouped(n), name.replace('_', " "))).collect::<Vec<_>>().join(", ")
    };
    let resolutions = ["resolved", "unresolved", "in_progress", "unclassified", "chat_room", "not_said"];
    let rows = [
        ["conversations".into(), grouped(count(&stats["conversations"])), part(&stats["resolution"], &resolutions)],
        [
            "messages".into(),
            grouped(count(&stats["messages"]["all"])),
            part(&stats["messages"], &["incoming", "outgoing", "system"]),
        ],
        ["tokens".into(), grouped(count(&stats["tokens"])), String::new()],
    ];
    aligned(["", "ALL", "OF WHICH"], &rows)
}

fn times(stats: &Value) -> Vec<String> {
    let row = |name: &str, of: &Value, among: u64| {
        let cells = ["average", "median", "p95"].map(|which| of[which].as_f64().map_or("-".into(), span));
        let [average, median, p95] = cells;
        [name.to_owned(), average, median, p95, grouped(among)]
    };
    let (lasted, answered) = (&stats["duration_ms"], &stats["first_response_ms"]);
    let rows = [
        row("duration", lasted, count(&stats["conversations"])),
        row("first response", answered, count(&answered["answered"])),
    ];
    aligned(["", "AVERAGE", "MEDIAN", "95 % WITHIN", "OF"], &rows)
}

fn scores(stats: &Value) -> Vec<String> {
    let (csat, nps) = (&stats["csat"], &stats["nps"]);
    let mut lines = vec![format!("CSAT  {}  ({} rated)", cell(csat["average"].as_f64()), count(&csat["rated"]))];
    let buckets = |of: &Value, names: &[&str]| -> Vec<(String, u64)> {
        names.iter().map(|name| ((*name).to_owned(), count(&of["buckets"][*name]))).collect()
    };
    if count(&csat["rated"]) > 0 {
        lines.extend(bars("", &buckets(csat, &["5", "4", "3", "2", "1"])));
    }
    lines.push(format!("NPS   {}  ({} rated)", cell(nps["score"].as_f64()), count(&nps["rated"])));
    if count(&nps["rated"]) > 0 {
        lines.extend(bars("", &buckets(nps, &["promoters", "passives", "detractors"])));
    }
    lines
}

/// One column a day, or for so many days that they fit; days without conversations are seen as such.
fn by_day(days: &[(NaiveDate, u64)], told: &Value) -> Vec<String> {
    let ends = |field: &str| time(&told[field]).map(|at| at.date_naive());
    let least = days.iter().map(|(day, _)| *day).min().unwrap_or_default();
    let most = days.iter().map(|(day, _)| *day).max().unwrap_or_default();
    let first = ends("from").map_or(least, |from| from.min(least));
    let last = ends("to").map_or(most, |to| to.max(most));
    let length = (last - first).num_days() + 1;
    let each = (length + MOST_COLUMNS - 1) / MOST_COLUMNS;
    let mut values = vec![0; usize::try_from((length + each - 1) / each).unwrap_or_default()];
    for (day, n) in days {
        let place = usize::try_from((*day - first).num_days() / each).unwrap_or_default();
        if let Some(value) = values.get_mut(place) {
            *value += n;
        }
    }
    let what = if each == 1 { "a column a day".to_owned() } else { format!("a column for {each} days") };
    let mut lines = vec![format!("conversations from {first} to {last}, {what}")];
    lines.extend(columns(&values, HEIGHT));
    lines
}

fn bars(title: &str, named: &[(String, u64)]) -> Vec<String> {
    let most = named.iter().map(|(_, n)| *n).max().unwrap_or_default();
    let width = named.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let lines = named.iter().map(|(name, n)| format!("  {name:<width$}  {} {}", bar(*n, most, WIDTH), grouped(*n)));
    (!title.is_empty()).then(|| title.to_owned()).into_iter().chain(lines).collect()
}

fn day(group: &Value) -> Option<(NaiveDate, u64)> {
    Some((group["group"].as_str()?.parse().ok()?, count(&group["conversations"])))
}

fn name(name: &Value) -> String {
    name.as_str().map_or_else(|| "(nobody)".to_owned(), harmless)
}

fn count(value: &Value) -> u64 {
    // sums come as decimals
    value.as_u64().or_else(|| value.as_f64().map(|number| number as u64)).unwrap_or_default()
}

fn time(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str()?.parse().ok()
}

/// `12,345`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Milliseconds for people: `850 ms`, `35 s`, `12m 30s`, `3h 5m`, `2d 4h`.
fn span(millis: f64) -> String {
    let seconds = (millis / 1e3).round() as u64;
    match seconds {
        0 => format!("{millis:.0} ms"),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds @ 60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        seconds => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_says_what_there_is_and_shows_days_without_anything() {
        let told = json!({
            "project": "p\u{1b}[31m", "from": "2026-03-01T00:00:00Z", "to": "2026-03-04T12:00:00Z",
            "as_of": "2026-03-04T12:00:00Z",
            "stats": {
                "conversations": 1_234, "resolution": {"resolved": 1_200, "not_said": 34}, "tokens": 90_000.0,
                "messages": {"all": 5_000, "incoming": 3_000, "outgoing": 2_000, "system": 0},
                "duration_ms": {"average": 750_000, "median": 95_000, "p95": 11_100_000},
                "first_response_ms": {"answered": 1_000, "average": 850, "median": null, "p95": 35_400},
                "csat": {"rated": 4, "average": 4.25, "buckets": {"5": 2, "4": 1, "3": 1}},
                "nps": {"rated": 0, "score": null},
            },
            "groups": [{"group": "2026-03-01", "conversations": 1_000}, {"group": "2026-03-04", "conversations": 234}],
            "busiest_agents": [{"agent_id": "agent-1", "conversations": 600}, {"agent_id": "a\nb", "conversations": 20}],
        });
        let page = shown(&told).join("\n");
        assert_eq!(
            page,
            "\
p\\u{1b}[31m: conversations closed from 2026-03-01 00:00:00 to 2026-03-04 12:00:00 (UTC); the archive as of 2026-03-04 12:00:00

               ALL     OF WHICH
conversations  1,234   1,200 resolved, 34 not said
messages       5,000   3,000 incoming, 2,000 outgoing
tokens         90,000

                AVERAGE  MEDIAN  95 % WITHIN  OF
duration        12m 30s  1m 35s  3h 5m        1,234
first response  1 s      -       35 s         1,000

CSAT  4.25  (4 rated)
  5  ██████████████████████████████ 2
  4  ███████████████ 1
  3  ███████████████ 1
  2   0
  1   0
NPS   -  (0 rated)

conversations from 2026-03-01 to 2026-03-04, a column a day
1000 ┤█
     ┤█
     ┤█
     ┤█
     ┤█  ▄
     ┤█  █
   0 └────

busiest agents
  agent-1  ██████████████████████████████ 600
  a\\nb     █ 20"
        );
    }

    #[test]
    fn a_year_fits_and_so_does_nothing_at_all() {
        let told = json!({"from": "2025-03-01T00:00:00Z", "to": "2026-03-01T00:00:00Z", "groups":
            [{"group": "2025-03-01", "conversations": 1}, {"group": "2026-02-28", "conversations": 1}]});
        let page = shown(&told);
        assert!(page.iter().any(|line| line.contains("a column for 6 days")), "{page:?}");
        assert!(page.iter().all(|line| line.chars().count() < 100));
        assert!(!shown(&json!({})).is_empty());
    }
}
