//! Numbers and times as they stand in the picture.

use chrono::{DateTime, Utc};

/// `1,234,567`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// `1 replica`, `2 replicas`.
pub(super) fn counted(n: u64, what: &str) -> String {
    format!("{} {what}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Something a second: `0`, `0.25`, `31.2`, `1,234`.
pub(super) fn a_second(rate: f64) -> String {
    match rate {
        rate if rate < 0.005 => "0".to_owned(),
        rate if rate < 10.0 => format!("{rate:.2}"),
        rate if rate < 1_000.0 => format!("{rate:.1}"),
        rate => thousands(rate.round() as u64),
    }
}

/// A length of time: `250 ms`, `5 s`, `15 min`, `6 h`, `14 d`.
pub(super) fn length(seconds: f64) -> String {
    match seconds {
        seconds if seconds < 1.0 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 120.0 => format!("{} s", round(seconds)),
        seconds if seconds < 7_200.0 => format!("{} min", round(seconds / 60.0)),
        seconds if seconds < 172_800.0 => format!("{} h", round(seconds / 3_600.0)),
        seconds => format!("{} d", round(seconds / 86_400.0)),
    }
}

fn round(n: f64) -> String {
    let shown = format!("{n:.1}");
    shown.strip_suffix(".0").map_or(shown.clone(), str::to_owned)
}

/// How long something has stood, whole units.
pub(super) fn stands(since: DateTime<Utc>, now: DateTime<Utc>) -> String {
    length((now - since).num_seconds().max(0) as f64)
}

/// The bound of a latency; one above all bounds is longer than what is measured.
pub(super) fn bound(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds.is_finite() => length(seconds),
        Some(_) => "longer".to_owned(),
    }
}

/// US dollars.
pub(super) fn dollars(cost: f64) -> String {
    match cost {
        cost if cost < 0.01 => format!("${cost:.4}"),
        cost if cost < 100.0 => format!("${cost:.2}"),
        cost => format!("${}", thousands(cost.round() as u64)),
    }
}

/// The beginning of a long name.
pub(super) fn short(name: &str, most: usize) -> String {
    match name.char_indices().nth(most) {
        None => name.to_owned(),
        Some(_) => format!("{}…", name.chars().take(most.saturating_sub(1)).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_read_at_a_glance() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.25, 31.24, 1_234.4].map(a_second), ["0", "0.25", "31.2", "1,234"]);
        let lengths = [0.005, 0.75, 2.5, 60.0, 900.0, 21_600.0, 1_209_600.0].map(length);
        assert_eq!(lengths, ["5 ms", "750 ms", "2.5 s", "60 s", "15 min", "6 h", "14 d"]);
        assert_eq!([None, Some(0.01), Some(f64::INFINITY)].map(bound), ["-", "10 ms", "longer"]);
        assert_eq!([0.00042, 1.234, 1_234.5].map(dollars), ["$0.0004", "$1.23", "$1,235"]);
        assert_eq!([short("abc", 3), short("abcd", 3)], ["abc", "ab…"]);
    }
}
