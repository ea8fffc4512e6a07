//! What a row says.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::counters::{Counters, Spread, Totals};

/// What a replica is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It works.
    Running,
    /// It was told to stop, and ends what runs.
    Draining,
    /// It has ended as it should.
    Stopped,
}

/// One replica at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beat {
    /// Its name, that no other process has.
    pub name: String,
    /// The machine or pod it runs on.
    #[serde(default)]
    pub host: String,
    /// The release it is of, and the commit where it knows it.
    pub version: String,
    /// What it is about.
    pub state: State,
    /// Since when it runs.
    pub started_at: DateTime<Utc>,
    /// When it said this.
    pub at: DateTime<Utc>,
    /// How often it says so, in seconds.
    #[serde(default = "usual")]
    pub every: u64,
    /// Counts since it runs; what is 0 is left out.
    #[serde(default, serialize_with = "without_zeros")]
    pub totals: Totals,
    /// Its levels now.
    #[serde(default)]
    pub levels: Levels,
    /// The last minute.
    #[serde(default)]
    pub recent: Recent,
}

/// How often a replica says how it is, unless it says otherwise, in seconds.
fn usual() -> u64 {
    10
}

impl Beat {
    /// Whether it has said nothing at `now` for so long that it is likely dead: two of its words are missing, and then some.
    pub fn is_silent(&self, now: DateTime<Utc>) -> bool {
        self.state != State::Stopped && (now - self.at).num_seconds().unsigned_abs() > self.every * 2 + 5
    }
}

/// Levels at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Levels {
    /// Deliveries held.
    pub deliveries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Groups with a turn running.
    pub groups: u64,
    /// Long polls open.
    pub pollers: u64,
    /// Seconds since the queue took the oldest of what came last.
    pub age_received: u64,
    /// DynamoDB is away, and nothing is polled but to try it.
    pub hot_away: bool,
    /// PostgreSQL is away, and closes wait.
    pub archive_away: bool,
    /// An operator has paused consuming.
    pub paused: bool,
}

impl Levels {
    pub(super) fn of(counters: &Counters) -> Self {
        Self {
            deliveries: counters.deliveries_held.get(),
            bytes: counters.bytes_held.get(),
            groups: counters.groups_running.get(),
            pollers: counters.pollers.get(),
            age_received: counters.age_received.get(),
            hot_away: counters.hot_away.get() > 0,
            archive_away: counters.archive_away.get() > 0,
            paused: counters.paused.get() > 0,
        }
    }
}

/// What happened lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recent {
    /// In so many seconds.
    pub seconds: f64,
    /// Counts; what is 0 is left out.
    #[serde(serialize_with = "without_zeros")]
    pub totals: Totals,
    /// How long turns took.
    pub turns: Buckets,
    /// How old deliveries were when they were settled.
    pub ages: Buckets,
    /// The busiest projects, with the messages that were stored of each.
    pub projects: Vec<(String, u64)>,
}

/// How many durations fell under which bound, in seconds, and above the one before; `None` is above all bounds. Empty buckets
/// are left out.
pub type Buckets = Vec<(Option<f64>, u64)>;

/// What was counted after `earlier`.
pub(super) fn buckets(now: &Spread, earlier: Option<&Spread>) -> Buckets {
    let before = |place: usize| earlier.and_then(|spread| spread.counts.get(place)).copied().unwrap_or_default();
    let counted = now.counts.iter().enumerate().map(|(place, count)| (place, count.saturating_sub(before(place))));
    counted.filter(|(_, count)| *count > 0).map(|(place, count)| (now.bounds.get(place).copied(), count)).collect()
}

/// The bound under which the part `q` (0 to 1) of all durations fell: `None` without any, infinity above all bounds.
pub fn quantile<'a>(buckets: impl IntoIterator<Item = &'a (Option<f64>, u64)>, q: f64) -> Option<f64> {
    let mut all: Vec<(f64, u64)> = buckets.into_iter().map(|(bound, n)| (bound.unwrap_or(f64::INFINITY), *n)).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let count: u64 = all.iter().map(|(_, n)| n).sum();
    let wanted = (count as f64 * q).ceil().max(1.0) as u64;
    let mut seen = 0;
    all.into_iter().find_map(|(bound, n)| {
        seen += n;
        (seen >= wanted).then_some(bound)
    })
}

fn without_zeros<S: Serializer>(totals: &Totals, serializer: S) -> Result<S::Ok, S::Error> {
    let mut value = serde_json::to_value(totals).map_err(serde::ser::Error::custom)?;
    if let Some(counts) = value.as_object_mut() {
        counts.retain(|_, count| count.as_u64() != Some(0));
    }
    value.serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket_over_all_replicas() {
        let (one, other) = (vec![(Some(0.005), 90), (None, 1)], vec![(Some(0.1), 9)]);
        for (q, bound) in [(0.5, Some(0.005)), (0.9, Some(0.005)), (0.99, Some(0.1)), (1.0, Some(f64::INFINITY))] {
            assert_eq!(quantile(one.iter().chain(&other), q), bound, "{q}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn what_is_recent_is_the_difference() {
        let spread = |counts: &[u64]| Spread { bounds: vec![0.005, 0.01], counts: counts.to_vec(), sum: 0.0 };
        assert_eq!(buckets(&spread(&[3, 0, 2]), Some(&spread(&[1, 0, 0]))), [(Some(0.005), 2), (None, 2)]);
        assert_eq!(buckets(&spread(&[3, 0, 0]), None), [(Some(0.005), 3)]);
    }

    #[test]
    fn a_beat_reads_back_and_one_of_another_release_reads_as_far_as_it_is_known() {
        let beat = Beat {
            name: "r".into(),
            host: "pod".into(),
            version: "1".into(),
            state: State::Draining,
            started_at: DateTime::UNIX_EPOCH,
            at: DateTime::UNIX_EPOCH,
            every: 60,
            totals: Totals { messages: 7, ..Totals::default() },
            levels: Levels { deliveries: 2, ..Levels::default() },
            recent: Recent { seconds: 60.0, projects: vec![("p".into(), 3)], ..Recent::default() },
        };
        let written = serde_json::to_string(&beat).expect("JSON");
        assert!(!written.contains("late_messages"), "{written}");
        assert_eq!(serde_json::from_str::<Beat>(&written).expect("a beat"), beat);
        let other = r#"{"name":"r","version":"9","state":"running","started_at":"2026-01-01T00:00:00Z",
                        "at":"2026-01-01T00:00:00Z","totals":{"messages":1,"new":2},"unknown":{}}"#;
        let beat: Beat = serde_json::from_str(other).expect("a beat");
        assert_eq!((beat.totals.messages, beat.every), (1, 10));
        let later = |seconds| beat.is_silent(beat.at + chrono::TimeDelta::seconds(seconds));
        assert_eq!([later(0), later(25), later(26)], [false, false, true]);
    }
}
