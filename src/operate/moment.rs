//! Times and spans as operators write and read them.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

use crate::clock::{Clock, SystemClock};

/// Now, by this machine's clock.
pub(super) fn now() -> DateTime<Utc> {
    SystemClock.now()
}

/// A time: RFC 3339, a date (UTC), or how long ago (`90m`, `2h`, `7d`).
pub(super) fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    moment_before(text, now())
}

fn moment_before(text: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Ok(date.and_time(NaiveTime::MIN).and_utc());
    }
    let ago = span(text).ok().and_then(|span| TimeDelta::from_std(span).ok());
    ago.and_then(|ago| now.checked_sub_signed(ago)).ok_or_else(|| {
        "must be a time (2026-03-01T12:00:00Z), a date (2026-03-01) or how long ago (90m, 2h, 7d)".into()
    })
}

/// A span: a whole number of seconds, minutes, hours or days (`30s`, `90m`, `2h`, `7d`).
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let unit = match text.chars().last() {
        Some('s') => Some(1),
        Some('m') => Some(60),
        Some('h') => Some(3_600),
        Some('d') => Some(86_400),
        _ => None,
    };
    let seconds = unit.and_then(|unit| text[..text.len() - 1].parse::<u64>().ok()?.checked_mul(unit));
    // beyond a thousand years nothing is stored, and calendars end
    seconds
        .filter(|seconds| *seconds <= 1_000 * 366 * 86_400)
        .map(Duration::from_secs)
        .ok_or_else(|| "must be a whole number with its unit: 30s, 90m, 2h or 7d".into())
}

/// A time for people: `2026-03-01 12:00:00`, UTC.
pub(super) fn shown(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A time for machines: RFC 3339.
pub(super) fn written(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// How far `at` is from `now`: `in 12m`, `3h ago`.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let span = at - now;
    if span < TimeDelta::zero() { format!("{} ago", length(span)) } else { format!("in {}", length(span)) }
}

/// How long something took, whichever way: `8s`, `12m`, `3h`, `2d`.
pub(super) fn length(span: TimeDelta) -> String {
    match span.num_seconds().unsigned_abs() {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}m", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago() {
        let now = at("2026-03-08T12:00:00Z");
        for (text, expected) in [
            ("2026-03-01T09:00:00-03:00", "2026-03-01T12:00:00Z"),
            ("2026-03-01", "2026-03-01T00:00:00Z"),
            ("90m", "2026-03-08T10:30:00Z"),
            ("7d", "2026-03-01T12:00:00Z"),
        ] {
            assert_eq!(moment_before(text, now), Ok(at(expected)), "{text}");
        }
        for text in ["", "7", "d", "-1d", "1.5h", "7é", "yesterday", "99999999999999999999d", "99999999999d"] {
            assert!(moment_before(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn a_distance_is_shown_in_the_unit_that_fits() {
        let now = at("2026-03-08T12:00:00Z");
        for (there, shown) in [
            ("2026-03-08T12:01:05Z", "in 65s"),
            ("2026-03-08T12:30:00Z", "in 30m"),
            ("2026-03-08T08:00:00Z", "4h ago"),
            ("2026-02-08T12:00:00Z", "28d ago"),
        ] {
            assert_eq!(relative(at(there), now), shown);
        }
    }
}
