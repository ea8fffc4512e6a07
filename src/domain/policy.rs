//! When conversations close by themselves: the daemon's defaults, and what a project changes in them.

use std::time::Duration;

use chrono::{DateTime, Days, LocalResult, NaiveTime, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// How many ages of an open conversation others may be told of, over all sinks.
pub const TOLD_AT: usize = 4;

/// The times that decide when an open conversation comes up, and what then happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A closed session closes its conversation after this long without a word.
    pub grace: Duration,
    /// A conversation without a message for this long closes.
    pub idle: Duration,
    /// A conversation open for this long closes, whatever is said; `None`: never for that reason.
    pub max_age: Option<Duration>,
    /// The zone at whose midnight conversations close; `None`: they live through it.
    pub day_ends_in: Option<Tz>,
    /// A conversation open for this long has its messages copied into the archive, and again after as long.
    pub checkpoint: Duration,
    /// Ages at which others are told of an open conversation (zero: that it opened), for which its messages are copied early.
    pub told_at: [Option<Duration>; TOLD_AT],
    /// A conversation that was sealed and not finished comes up again after this long.
    pub unfinished: Duration,
    /// A rating that comes this long after the close still belongs to the closed conversation.
    pub late_rating: Duration,
}

/// What a project says about its conversations. What is absent is as the daemon's settings say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectSettings {
    /// Its time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<Tz>,
    /// Whether its conversations close at local midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub close_at_midnight: Option<bool>,
    /// Seconds of silence that close a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u64>,
    /// Age in seconds that closes a conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_seconds: Option<u64>,
    /// Seconds of silence after a session's end that close its conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_seconds: Option<u64>,
}

impl ProjectSettings {
    /// These settings after `later` was said: what is absent there stays.
    pub fn after(self, later: &Self) -> Self {
        Self {
            timezone: later.timezone.or(self.timezone),
            close_at_midnight: later.close_at_midnight.or(self.close_at_midnight),
            idle_seconds: later.idle_seconds.or(self.idle_seconds),
            max_age_seconds: later.max_age_seconds.or(self.max_age_seconds),
            grace_seconds: later.grace_seconds.or(self.grace_seconds),
        }
    }
}

impl Policy {
    /// What the settings say when nobody sets them.
    pub const DEFAULT: Self = Self {
        grace: Duration::from_secs(30),
        idle: Duration::from_secs(86_400),
        max_age: None,
        day_ends_in: None,
        checkpoint: Duration::from_secs(7 * 86_400),
        told_at: [None; TOLD_AT],
        unfinished: Duration::from_secs(300),
        late_rating: Duration::from_secs(7 * 86_400),
    };

    /// This policy for a project that says `settings`.
    ///
    /// A project that gives a zone and nothing else closes at its midnight only where the daemon closes at midnight at all.
    pub fn of(self, settings: &ProjectSettings) -> Self {
        let zone = settings.timezone.or(self.day_ends_in).unwrap_or(Tz::UTC);
        let at_midnight = settings.close_at_midnight.unwrap_or(self.day_ends_in.is_some());
        let seconds = |seconds: Option<u64>| seconds.map(Duration::from_secs);
        Self {
            grace: seconds(settings.grace_seconds).unwrap_or(self.grace),
            idle: seconds(settings.idle_seconds).unwrap_or(self.idle),
            max_age: seconds(settings.max_age_seconds).or(self.max_age),
            day_ends_in: at_midnight.then_some(zone),
            ..self
        }
    }

    /// When a conversation that was going on at `at` ends with its day; `None` when days do not end conversations.
    pub fn day_end(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.day_ends_in.map(|zone| next_midnight(zone, at))
    }
}

/// Seconds after which another day has surely begun: Apia's last day of 2011 but one was followed by one that never was.
const LONGEST_DAY: i64 = 50 * 3600;

/// The first instant of the local day after the one that `at` lies in.
///
/// Where clocks skip midnight the day begins with the first instant that exists; where midnight comes twice, with the first.
pub fn next_midnight(zone: Tz, at: DateTime<Utc>) -> DateTime<Utc> {
    let today = at.with_timezone(&zone).date_naive();
    let tomorrow = today.checked_add_days(Days::new(1)).unwrap_or(today);
    match zone.from_local_datetime(&tomorrow.and_time(NaiveTime::MIN)) {
        LocalResult::Single(midnight) => midnight.to_utc(),
        LocalResult::Ambiguous(first, _) => first.to_utc(),
        LocalResult::None => {
            // clocks jump over midnight once, at a whole second: "another day" is false before the jump and true after it
            let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or(at);
            let (mut before, mut after) = (at.timestamp(), at.timestamp() + LONGEST_DAY);
            while after - before > 1 {
                let middle = before.midpoint(after);
                if instant(middle).with_timezone(&zone).date_naive() > today { after = middle } else { before = middle }
            }
            instant(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_day_ends_at_local_midnight_through_every_change_of_clocks() {
        for (zone, at, midnight) in [
            // plain days
            (Tz::UTC, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            (Tz::UTC, "2026-03-01T23:59:59.999999Z", "2026-03-02T00:00:00Z"),
            (Tz::America__Sao_Paulo, "2026-03-01T02:59:59Z", "2026-03-01T03:00:00Z"),
            (Tz::America__Sao_Paulo, "2026-03-01T03:00:00Z", "2026-03-02T03:00:00Z"),
            (Tz::Asia__Kathmandu, "2026-03-01T18:14:59Z", "2026-03-01T18:15:00Z"),
            (Tz::Asia__Kathmandu, "2026-03-01T18:15:00Z", "2026-03-02T18:15:00Z"),
            // São Paulo, until 2019: clocks jumped from 00:00 to 01:00, and fell back from 24:00 to 23:00
            (Tz::America__Sao_Paulo, "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"),
            (Tz::America__Sao_Paulo, "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
            (Tz::America__Sao_Paulo, "2018-02-17T12:00:00Z", "2018-02-18T03:00:00Z"),
            (Tz::America__Sao_Paulo, "2018-02-18T02:30:00Z", "2018-02-18T03:00:00Z"), // 23:30 for the second time
            (Tz::America__Sao_Paulo, "2017-10-14T12:00:00Z", "2017-10-15T03:00:00Z"),
            (Tz::America__Sao_Paulo, "2019-02-16T12:00:00Z", "2019-02-17T03:00:00Z"),
            (Tz::America__Sao_Paulo, "2019-11-02T12:00:00Z", "2019-11-03T03:00:00Z"), // no more summer time
            // Madrid and New York change in the small hours: a day of 23 and one of 25 hours
            (Tz::Europe__Madrid, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Tz::Europe__Madrid, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
            (Tz::America__New_York, "2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"),
            (Tz::America__New_York, "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
            // Havana falls back from 01:00 to 00:00: midnight comes twice, the first one counts
            (Tz::America__Havana, "2026-10-31T12:00:00Z", "2026-11-01T04:00:00Z"),
            (Tz::America__Havana, "2026-11-01T04:30:00Z", "2026-11-02T05:00:00Z"),
            // Apia skipped a whole day at the end of 2011
            (Tz::Pacific__Apia, "2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z"),
            (Tz::Pacific__Apia, "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
            (Tz::Pacific__Apia, "2026-03-01T12:00:00Z", "2026-03-02T11:00:00Z"),
        ] {
            assert_eq!(next_midnight(zone, utc(at)), utc(midnight), "{zone} at {at}");
        }
    }

    const ZONES: [Tz; 7] = [
        Tz::America__Sao_Paulo,
        Tz::Europe__Madrid,
        Tz::America__New_York,
        Tz::Asia__Kathmandu,
        Tz::Pacific__Apia,
        Tz::America__Havana,
        Tz::UTC,
    ];

    proptest! {
        /// From 1990 to 2037: the next midnight is later, begins another day, and nothing before it does.
        #[test]
        fn midnight_is_the_first_instant_of_another_day(seconds in 631_152_000_i64..2_145_916_800, zone in 0..ZONES.len()) {
            let (zone, at) = (ZONES[zone], DateTime::from_timestamp(seconds, 0).expect("in range"));
            let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
            let midnight = next_midnight(zone, at);
            prop_assert!(midnight > at && midnight - at <= TimeDelta::hours(25));
            prop_assert!(day(midnight) > day(at));
            prop_assert_eq!(day(midnight - TimeDelta::microseconds(1)), day(at));
        }
    }

    #[test]
    fn a_project_changes_only_what_it_names() {
        let seconds = Duration::from_secs;
        let policy = Policy::DEFAULT;
        assert_eq!(policy.of(&ProjectSettings::default()), policy);
        let zone = ProjectSettings { timezone: Some(Tz::Europe__Madrid), ..ProjectSettings::default() };
        assert_eq!(policy.of(&zone), policy);
        let midnight = ProjectSettings { close_at_midnight: Some(true), ..zone.clone() };
        assert_eq!(policy.of(&midnight).day_ends_in, Some(Tz::Europe__Madrid));
        let daily = Policy { day_ends_in: Some(Tz::UTC), ..policy };
        assert_eq!(daily.of(&zone).day_ends_in, Some(Tz::Europe__Madrid));
        let never = ProjectSettings { close_at_midnight: Some(false), idle_seconds: Some(60), ..zone };
        assert_eq!(daily.of(&never), Policy { day_ends_in: None, idle: seconds(60), ..daily });
        assert_eq!(midnight.clone().after(&ProjectSettings::default()), midnight);
    }
}
