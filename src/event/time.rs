//! Event times as publishers write them → UTC, to the microsecond.
//!
//! Says only whether a time can be read; what stands in for one that cannot is the event's matter.

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use serde_json::Value;

/// Years in which an event can have happened; anything else is a mistake of the publisher's clock or unit.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;

/// Numbers from here on count milliseconds, below it seconds: as seconds it is the year 5138.
const FIRST_MILLIS: f64 = 1e11;

/// Reads a time: ISO-8601 text, or a number of seconds or milliseconds since 1970.
///
/// In text, `T` may be a space, seconds and offset may be left out (then UTC), and a fraction may have any length: it is
/// cut to microseconds. `None` when it cannot be read or lies outside the years 2000 to 2100.
pub(super) fn read(value: &Value) -> Option<DateTime<Utc>> {
    let time = match value {
        Value::String(text) => iso_8601(text.trim()),
        Value::Number(number) => epoch(number),
        _ => None,
    }?;
    YEARS.contains(&time.year()).then_some(time)
}

fn epoch(number: &serde_json::Number) -> Option<DateTime<Utc>> {
    // A float holds microseconds of these years exactly enough to round back to the one that was written.
    let number = number.as_f64()?;
    let micros = if number < FIRST_MILLIS { number * 1e6 } else { number * 1e3 }.round();
    // Beyond the limits `as` saturates, and the year is then out of range.
    DateTime::from_timestamp_micros(micros as i64)
}

fn iso_8601(text: &str) -> Option<DateTime<Utc>> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.digits(4)?;
    rest.one_of(b"-")?;
    let month = rest.digits(2)?;
    rest.one_of(b"-")?;
    let day = rest.digits(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.digits(2)?;
    rest.one_of(b":")?;
    let minute = rest.digits(2)?;
    let (mut second, mut micros) = (0, 0);
    if rest.one_of(b":").is_some() {
        second = rest.digits(2)?;
        if rest.one_of(b".,").is_some() {
            micros = rest.fraction()?;
        }
    }
    let offset = rest.offset()?;
    let local = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_micro_opt(hour, minute, second, micros)?;
    Some(local.checked_sub_signed(offset)?.and_utc())
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        set.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    fn digit(&mut self) -> Option<u32> {
        self.one_of(b"0123456789").map(|digit| u32::from(digit - b'0'))
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        (0..count).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    /// Microseconds of a fraction: at least one digit, those after the sixth dropped.
    fn fraction(&mut self) -> Option<u32> {
        let mut micros = self.digit()? * 100_000;
        let mut unit = 10_000;
        while let Some(digit) = self.digit() {
            micros += digit * unit;
            unit /= 10;
        }
        Some(micros)
    }

    /// `Z`, `±hh`, `±hhmm`, `±hh:mm`, perhaps after a space, or nothing: UTC. Nothing may follow.
    fn offset(mut self) -> Option<TimeDelta> {
        if self.0.is_empty() {
            return Some(TimeDelta::zero());
        }
        self.one_of(b" ");
        let seconds = match self.one_of(b"Zz+-")? {
            sign @ (b'+' | b'-') => {
                let hours = self.digits(2)?;
                let colon = self.one_of(b":").is_some();
                let minutes = if colon || !self.0.is_empty() { self.digits(2)? } else { 0 };
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let seconds = i64::from(hours * 3_600 + minutes * 60);
                if sign == b'-' { -seconds } else { seconds }
            }
            _ => 0,
        };
        self.0.is_empty().then(|| TimeDelta::seconds(seconds))
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read_as_text(value: Value) -> Option<String> {
        read(&value).map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }

    #[test]
    fn a_time_is_converted_to_utc() {
        for (written, utc) in [
            (json!("2026-03-01T12:30:45Z"), "2026-03-01T12:30:45Z"),
            (json!("2026-03-01t12:30:45z"), "2026-03-01T12:30:45Z"),
            (json!("2026-03-01T12:30:45-03:00"), "2026-03-01T15:30:45Z"),
            (json!("2026-03-01T00:30:45+05:30"), "2026-02-28T19:00:45Z"),
            (json!("2026-03-01T12:30:45+0200"), "2026-03-01T10:30:45Z"),
            (json!("2026-03-01T12:30:45+02"), "2026-03-01T10:30:45Z"),
            (json!("2026-03-01T12:30:45"), "2026-03-01T12:30:45Z"),
            (json!("2026-03-01 12:30:45 +0000"), "2026-03-01T12:30:45Z"),
            (json!(" 2026-03-01 12:30 "), "2026-03-01T12:30:00Z"),
            (json!("2026-03-01T12:30:45.1Z"), "2026-03-01T12:30:45.100Z"),
            (json!("2026-03-01T12:30:45,123456"), "2026-03-01T12:30:45.123456Z"),
            (json!("2026-03-01T12:30:45.123456999999999999999+00:00"), "2026-03-01T12:30:45.123456Z"),
            (json!("2000-01-01T00:00:00Z"), "2000-01-01T00:00:00Z"),
            (json!("1999-12-31T23:00:00-01:00"), "2000-01-01T00:00:00Z"),
            (json!(1_772_368_245), "2026-03-01T12:30:45Z"),
            (json!(1_772_368_245_678_i64), "2026-03-01T12:30:45.678Z"),
            (json!(1_772_368_245.123_456), "2026-03-01T12:30:45.123456Z"),
        ] {
            assert_eq!(read_as_text(written.clone()).as_deref(), Some(utc), "{written}");
        }
    }

    #[test]
    fn what_is_not_a_time_of_this_century_is_not_read() {
        for written in [
            json!(""),
            json!("yesterday"),
            json!("2026-03-01"),
            json!("2026-03-01T12"),
            json!("2026-3-1T12:30:45Z"),
            json!("2026-02-29T12:30:45Z"),
            json!("2026-03-01T24:00:00Z"),
            json!("2026-03-01T12:30:45."),
            json!("2026-03-01T12:30:45Zulu"),
            json!("2026-03-01T12:30:45+24:00"),
            json!("2026-03-01T12:30:45+02:"),
            json!("2026-03-01T12:30:45+2"),
            json!("２026-03-01T12:30:45"),
            json!("1999-12-31T23:59:59Z"),
            json!("2101-01-01T00:00:00Z"),
            json!("0001-01-01T00:00:00Z"),
            json!(0),
            json!(-1),
            json!(5_000_000_000_i64),
            json!(1_772_368_245_678_901_i64),
            json!(1e300),
            json!(u64::MAX),
            json!(true),
            json!({}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(read_as_text(written.clone()), None, "{written}");
        }
    }

    proptest! {
        #[test]
        fn any_time_written_in_any_offset_is_read_back(
            micros in 946_771_200_000_000_i64..4_102_358_400_000_000, minutes in -1_439_i32..1_440,
        ) {
            let time = DateTime::from_timestamp_micros(micros).expect("in range");
            let offset = chrono::FixedOffset::east_opt(minutes * 60).expect("an offset");
            prop_assert_eq!(read(&json!(time.with_timezone(&offset).to_rfc3339())), Some(time));
        }

        #[test]
        fn no_text_is_too_odd_to_be_looked_at(text in ".*", number: f64) {
            read(&json!(text));
            read(&json!(number));
        }
    }
}
