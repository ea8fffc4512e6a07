//! What happened and what is, in numbers: counted where it happens, read for the log, for the metrics page and for pushes.
//!
//! Everything here is an atomic or two: counting costs nanoseconds, allocates nothing and waits for nobody. What it is called
//! outside stands beside it; how it is written for a reader is `telemetry`'s.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::tally::Tally;

/// A number as it is known outside: OpenTelemetry's name and unit for it, where they have one.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Its name, with dots.
    pub name: &'static str,
    /// Its unit as UCUM has it: `s`, `By`, or what is counted in braces.
    pub unit: &'static str,
    /// What it says.
    pub meaning: &'static str,
    /// Attributes, the same for all time.
    pub attributes: &'static [(&'static str, &'static str)],
    /// Where it is read.
    pub read: Read,
}

/// The three kinds of numbers.
#[derive(Clone, Copy)]
pub enum Read {
    /// Grows while the process lives.
    Total(fn(&Counters) -> u64),
    /// Goes up and down.
    Level(fn(&Counters) -> u64),
    /// How many fell into which bucket.
    Spread(fn(&Counters) -> &Histogram),
}

macro_rules! metrics {
    (@attributes) => { &[] };
    (@attributes $attributes:ident) => { $attributes };
    (
        counters { $($(#[doc = $doc:literal])+ $name:ident = $metric:literal, $unit:literal $(, $attributes:ident)?;)+ }
        gauges { $($(#[doc = $level_doc:literal])+ $level:ident = $level_metric:literal, $level_unit:literal;)+ }
        histograms {
            $($(#[doc = $spread_doc:literal])+
            $spread:ident = $spread_metric:literal, $spread_unit:literal, $bounds:ident $(, $spread_attributes:ident)?;)+
        }
    ) => {
        /// Totals since the start of the process, levels now, and spreads.
        #[derive(Debug)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Counter,)+
            $($(#[doc = $level_doc])+ pub $level: Gauge,)+
            $($(#[doc = $spread_doc])+ pub $spread: Histogram,)+
            /// Chat messages stored, by project: for whoever takes them, and no metric, for projects are many.
            pub projects: Tally,
        }

        impl Default for Counters {
            fn default() -> Self {
                Self {
                    $($name: Counter::default(),)+
                    $($level: Gauge::default(),)+
                    $($spread: Histogram::of($bounds),)+
                    projects: Tally::default(),
                }
            }
        }

        /// The totals at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default)]
        pub struct Totals { $($(#[doc = $doc])+ pub $name: u64,)+ }

        impl Totals {
            /// What was counted after `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                Self { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }

            /// These and those.
            pub fn and(&self, other: &Self) -> Self {
                Self { $($name: self.$name.saturating_add(other.$name),)+ }
            }
        }

        impl Counters {
            /// The totals now.
            pub fn totals(&self) -> Totals {
                Totals { $($name: self.$name.get(),)+ }
            }
        }

        /// Every number, in the order of the documentation.
        pub const METRICS: &[Metric] = &[
            $(Metric {
                name: $metric,
                unit: $unit,
                meaning: concat!($($doc),+).trim_ascii(),
                attributes: metrics!(@attributes $($attributes)?),
                read: Read::Total(|counters| counters.$name.get()),
            },)+
            $(Metric {
                name: $level_metric,
                unit: $level_unit,
                meaning: concat!($($level_doc),+).trim_ascii(),
                attributes: &[],
                read: Read::Level(|counters| counters.$level.get()),
            },)+
            $(Metric {
                name: $spread_metric,
                unit: $spread_unit,
                meaning: concat!($($spread_doc),+).trim_ascii(),
                attributes: metrics!(@attributes $($spread_attributes)?),
                read: Read::Spread(|counters| &counters.$spread),
            },)+
        ];
    };
}

metrics! {
    counters {
        /// Calls to SQS, retries and empty receives included.
        sqs_calls = "conversationd.sqs.calls", "{call}";
        /// Calls to DynamoDB, retries included.
        dynamodb_calls = "conversationd.dynamodb.calls", "{call}";
        /// Statements sent to PostgreSQL as the hot store.
        hot_statements = "conversationd.hot.statements", "{statement}";
        /// Receives that brought something.
        receives = "conversationd.receives", "{receive}";
        /// Deliveries received.
        deliveries = "messaging.client.consumed.messages", "{message}", RECEIVE;
        /// Deliveries settled: acked or dead-lettered.
        settled = "conversationd.deliveries.settled", "{delivery}";
        /// Chat messages stored in the hot store, repeats included.
        messages = "conversationd.messages.stored", "{message}";
        /// Chat messages appended to an archived conversation.
        late_messages = "conversationd.messages.late", "{message}";
        /// Ratings stored.
        ratings = "conversationd.ratings", "{rating}";
        /// Changes of records that CRMs told of and that stand.
        crm_changes = "conversationd.crm.changes", "{change}";
        /// Changes of records that were our own doing.
        crm_echoes = "conversationd.crm.echoes", "{change}";
        /// Changes of records that were older than what is known, or that nobody here knows.
        crm_ignored = "conversationd.crm.ignored", "{change}";
        /// Files of CRMs' journals whose events are in the queue.
        journal_files = "conversationd.crm.journal_files", "{file}";
        /// Deliveries dead-lettered.
        dead_lettered = "conversationd.deliveries.dead_lettered", "{delivery}";
        /// Dead letters that could not be decoded.
        dead_rejected = "conversationd.dead_letters.rejected", "{delivery}";
        /// Dead letters that failed too often.
        dead_exhausted = "conversationd.dead_letters.exhausted", "{delivery}";
        /// Dead letters whose group is parked.
        dead_parked = "conversationd.dead_letters.parked", "{delivery}";
        /// Dead letters that an operator gave up.
        dead_skipped = "conversationd.dead_letters.skipped", "{delivery}";
        /// Groups parked by this process.
        parkings = "conversationd.groups.parkings", "{group}";
        /// Groups not parked because too many are: they went on without the message that failed.
        parkings_refused = "conversationd.groups.parkings_refused", "{group}";
        /// Deliveries given back for another try.
        released = "conversationd.deliveries.released", "{delivery}";
        /// Deliveries whose lease was lost before they were settled.
        leases_lost = "conversationd.deliveries.lost", "{delivery}";
        /// Deliveries moved into the spool during an outage of DynamoDB.
        spooled = "conversationd.deliveries.spooled", "{delivery}";
        /// Conversations opened.
        opened = "conversationd.conversations.opened", "{conversation}";
        /// Conversations sealed.
        sealed = "conversationd.conversations.sealed", "{conversation}";
        /// Conversations archived by this process.
        archived = "conversationd.conversations.archived", "{conversation}";
        /// Closes finished on behalf of somebody who began them.
        helped = "conversationd.closes.helped", "{close}";
        /// Head writes refused because another came first.
        head_conflicts = "conversationd.head.conflicts", "{write}";
        /// Messages whose conversation closed while they were being put.
        displaced = "conversationd.messages.displaced", "{message}";
        /// Conversations copied into the archive while they went on.
        checkpoints = "conversationd.conversations.checkpointed", "{conversation}";
        /// Commands the timer sent.
        timer_commands = "conversationd.timer.commands", "{command}";
        /// Rounds of the inbound loop: one a second at least, or it is stuck.
        rounds = "conversationd.consumer.rounds", "{round}";
        /// Requests taken for an answer.
        requests = "conversationd.requests", "{request}";
        /// Requests whose deadline had passed.
        requests_expired = "conversationd.requests.expired", "{request}";
        /// Requests that could not be answered: a store away, too slow, a fault.
        requests_failed = "conversationd.requests.failed", "{request}";
        /// Replies sent.
        replies = "conversationd.replies.sent", "{reply}";
        /// Replies that could not be sent; each is tried once.
        replies_lost = "conversationd.replies.lost", "{reply}";
        /// Steps of the timer: looks at what is due, and batches of commands.
        timer_steps = "conversationd.timer.steps", "{step}";
        /// Notices that outside systems took.
        notices_sent = "conversationd.notices.sent", "{notice}";
        /// Attempts to tell an outside system that failed.
        attempts_failed = "conversationd.notices.failed_attempts", "{attempt}";
        /// Notices that were given up for one outside system.
        notices_given_up = "conversationd.notices.given_up", "{notice}";
        /// Attempts whose lane another replica had taken when they ended.
        dispatch_leases_lost = "conversationd.notices.leases_lost", "{attempt}";
    }
    gauges {
        /// Deliveries held: running, or waiting for their group.
        deliveries_held = "conversationd.held.deliveries", "{delivery}";
        /// Bytes of the deliveries held.
        bytes_held = "conversationd.held.size", "By";
        /// Groups with a turn running.
        groups_running = "conversationd.groups.running", "{group}";
        /// Age of the oldest delivery that the latest receive brought: since the queue took it; 0 when it brought nothing.
        age_received = "conversationd.queue.age_received", "s";
        /// Long polls open.
        pollers = "conversationd.pollers", "{poll}";
        /// Leases held: deliveries not settled, given back or lost.
        leases_held = "conversationd.leases.held", "{lease}";
        /// Whether the hot store is away, 1, and nothing is polled but to try it.
        hot_away = "conversationd.hot.away", "1";
        /// Whether consuming is paused, 1, by an operator.
        paused = "conversationd.paused", "1";
        /// Groups parked now, by whichever replica.
        parked_groups = "conversationd.groups.parked", "{group}";
        /// Whether the archive is away, 1, and closes wait.
        archive_away = "conversationd.archive.away", "1";
        /// Whether deliveries come from the spool, or from nowhere while the fleet changes over, 1, and not from the queue.
        spooling = "conversationd.spool.on", "1";
        /// What the spool takes up, with its indexes, and with what is deleted and not yet reused.
        spool_bytes = "conversationd.spool.size", "By";
    }
    histograms {
        /// Time of a turn, each try by itself, whatever its end; a turn is one delivery, or a run of chat messages.
        turn_duration = "messaging.process.duration", "s", TURN_BOUNDS, PROCESS;
        /// Age of a delivery when it was settled: since the queue took it, tries and waits included.
        queue_age = "conversationd.queue.age", "s", AGE_BOUNDS;
    }
}

/// Attributes that OpenTelemetry's messaging conventions require.
const RECEIVE: &[(&str, &str)] = &[("messaging.system", "aws_sqs"), ("messaging.operation.name", "receive")];
const PROCESS: &[(&str, &str)] = &[("messaging.system", "aws_sqs"), ("messaging.operation.name", "process")];

/// Upper bounds in milliseconds: those that OpenTelemetry advises for `messaging.process.duration`.
const TURN_BOUNDS: &[u64] = &[5, 10, 25, 50, 75, 100, 250, 500, 750, 1_000, 2_500, 5_000, 7_500, 10_000];

/// Upper bounds in milliseconds, from what a person does not notice to the fourteen days of a queue.
const AGE_BOUNDS: &[u64] = &[
    50,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    30_000,
    60_000,
    300_000,
    900_000,
    3_600_000,
    21_600_000,
    86_400_000,
    1_209_600_000,
];

/// One total.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    /// The total now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One level: whoever knows it sets it.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// It is `n` now.
    pub fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    /// What it was last set to.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Most buckets of a histogram, the one without an upper bound included.
const BUCKETS: usize = 17;

/// Durations, counted in fixed buckets.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    buckets: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Upper bounds in seconds, inclusive.
    pub bounds: Vec<f64>,
    /// Durations within each bound and above the one before; then those above all.
    pub counts: Vec<u64>,
    /// All durations together, in seconds.
    pub sum: f64,
}

impl Spread {
    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Histogram {
    /// An empty one with these upper bounds in milliseconds, ascending.
    const fn of(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < BUCKETS, "a histogram has room for its bounds and for what is above them");
        Self { bounds, buckets: [const { AtomicU64::new(0) }; BUCKETS], micros: AtomicU64::new(0) }
    }

    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let place = self.bounds.iter().position(|bound| micros <= bound * 1_000).unwrap_or(self.bounds.len());
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// What it holds now.
    pub fn get(&self) -> Spread {
        let buckets = self.buckets.iter().take(self.bounds.len() + 1);
        Spread {
            bounds: self.bounds.iter().map(|bound| *bound as f64 / 1e3).collect(),
            counts: buckets.map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            sum: self.micros.load(Ordering::Relaxed) as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_is_not_below_it() {
        let histogram = Histogram::of(TURN_BOUNDS);
        for (micros, place) in [(0, 0), (5_000, 0), (5_001, 1), (10_000_000, 13), (10_000_001, 14), (u64::MAX, 14)] {
            let before = histogram.get().counts[place];
            histogram.record(Duration::from_micros(micros));
            assert_eq!(histogram.get().counts[place], before + 1, "{micros} µs");
        }
        assert_eq!(histogram.get().count(), 6);
    }

    #[test]
    fn the_sum_is_in_seconds() {
        let histogram = Histogram::of(AGE_BOUNDS);
        histogram.record(Duration::from_millis(1_500));
        histogram.record(Duration::from_millis(250));
        assert_eq!(histogram.get().sum, 1.75);
    }

    #[test]
    fn no_two_numbers_share_a_name() {
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }
}
