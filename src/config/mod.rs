//! Every setting: variable, unit, default, meaning. The only place that reads the environment.
//!
//! All faults are reported at once, each with the variable it is about; no value is repeated, it may be a secret.

mod answers;
mod database;
mod hot;
mod metrics;
mod older;
mod reader;
mod receipt;
mod senders;
mod settings;
mod sinks;
mod spool;

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use crate::{
    consumer::Limits,
    domain::{Policy, TOLD_AT},
    event::Kind,
    queue::Senders,
    spool::Rules,
};

pub use answers::{AnswerConfig, AskConfig, EndpointConfig};
pub use database::DatabaseConfig;
pub use hot::{HotConfig, TableConfig};
pub use metrics::{HealthConfig, MetricsConfig, PushConfig};
pub use older::OlderConfig;
use reader::Reader;
pub use reader::{Fault, Faults, Secret};
pub use receipt::ReceiptConfig;
use settings::*;
pub use settings::{SETTINGS, Setting};
pub use sinks::{
    AlertRules, ClassifierTarget, DatalakeNames, EgressConfig, JournalConfig, PortalConfig, Protocol, QueueShape,
    RateConfig, SecretRef, SinkConfig, SinksConfig, Target,
};
pub use spool::rules_of_spool;

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// What is logged and reported, and how. Usable before everything else is known to be right.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// How the log looks.
    pub format: LogFormat,
    /// What is logged.
    pub filter: String,
    /// Where errors are reported.
    pub sentry_dsn: Option<Secret>,
}

/// A queue, for commands that need no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its URL.
    pub url: String,
    /// Its region, unless AWS_REGION.
    pub region: Option<String>,
}

/// Everything the daemon is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Inbound queue.
    pub queue_url: String,
    /// Dead-letter queue.
    pub dead_letter_url: String,
    /// Region of both.
    pub queue_region: Option<String>,
    /// Hot store.
    pub hot: HotConfig,
    /// Archive.
    pub database: DatabaseConfig,
    /// When an outage of the hot store is spooled; `None` for never.
    pub spool: Option<Rules>,
    /// When conversations close.
    pub policy: Policy,
    /// Life of a message in the hot store.
    pub hot_ttl: Duration,
    /// The timer's period.
    pub timer: Duration,
    /// Lease of a delivery.
    pub visibility: Duration,
    /// Longest time a delivery is held.
    pub longest_lease: Duration,
    /// What is taken on at once.
    pub limits: Limits,
    /// Event types whose exhaustion parks their group.
    pub park: BTreeSet<String>,
    /// Who may send for which project.
    pub senders: Senders,
    /// Linger of store requests.
    pub linger: Duration,
    /// Linger of deletes.
    pub delete_linger: Duration,
    /// Where metrics go.
    pub metrics: MetricsConfig,
    /// Where the daemon writes how it is.
    pub health_file: Option<PathBuf>,
    /// How often a replica writes how it is; `None` for never.
    pub beat: Option<Duration>,
    /// How requests are answered.
    pub answers: AnswerConfig,
    /// Outside systems that are told what happens; none without a file.
    pub sinks: Option<SinksConfig>,
}

/// SQS keeps a message for at most this long, in the queue and in the dead-letter queue each.
const QUEUE_RETENTION: Duration = Duration::from_secs(14 * DAY);
const DAY: u64 = 24 * 3600;

/// What the settings of our own begin with.
const PREFIX: &str = "CONVERSATIOND_";

/// The process's environment.
#[allow(clippy::disallowed_methods)] // its room
pub fn environment(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

/// The process's variables that bear our name and are no setting: misspelled, or of another release.
#[allow(clippy::disallowed_methods)] // its room
pub fn unknown_settings() -> Vec<String> {
    unknown(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))
}

fn unknown(names: impl Iterator<Item = String>) -> Vec<String> {
    let is_setting = |name: &str| SETTINGS.iter().any(|setting| setting.variable == name);
    let mut unknown: Vec<_> = names.filter(|name| name.starts_with(PREFIX) && !is_setting(name)).collect();
    unknown.sort_unstable();
    unknown
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Json, filter: LOG.default.to_owned(), sentry_dsn: None }
    }
}

impl LogConfig {
    /// Reads the settings of logs and reports.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let format = match reader.optional(LOG_FORMAT).as_deref() {
            None | Some("json") => LogFormat::Json,
            Some("pretty") => LogFormat::Pretty,
            Some(_) => {
                reader.fault(LOG_FORMAT, "must be json or pretty".into());
                LogFormat::Json
            }
        };
        let filter = reader.optional(LOG).unwrap_or_else(|| LOG.default.to_owned());
        if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
            reader.fault(
                LOG,
                "must be a level (error, warn, info, debug, trace) or directives such as conversationd=debug".into(),
            );
        }
        let sentry_dsn = reader.optional(SENTRY_DSN);
        if sentry_dsn.as_deref().is_some_and(|dsn| dsn.parse::<sentry::types::Dsn>().is_err()) {
            reader.fault(SENTRY_DSN, "must be a Sentry DSN: https://key@host/project".into());
        }
        reader.end(Self { format, filter, sentry_dsn: sentry_dsn.map(Secret) })
    }
}

impl QueueConfig {
    /// Reads where the inbound queue is.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::read_as(QUEUE_URL, get)
    }

    /// Reads where the dead-letter queue is.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read_dead_letter(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        Self::read_as(DEAD_LETTER_URL, get)
    }

    fn read_as(setting: Setting, get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let queue = Self { url: reader.queue_url(setting), region: reader.optional(QUEUE_REGION) };
        reader.end(queue)
    }

    /// The queue's name: the last part of its URL.
    pub fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

impl Config {
    /// Reads everything.
    ///
    /// # Errors
    /// All faults at once, those between settings included.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let (queue_url, dead_letter_url) = (reader.queue_url(QUEUE_URL), reader.queue_url(DEAD_LETTER_URL));
        let database = DatabaseConfig::read_with(&mut reader);
        let mut config = Self {
            queue_url,
            dead_letter_url,
            queue_region: reader.optional(QUEUE_REGION),
            hot: HotConfig::read_with(&mut reader, &database),
            spool: spool::read(&mut reader),
            database,
            policy: Policy {
                grace: reader.seconds(GRACE, 0, DAY),
                idle: reader.seconds(IDLE, 1, 365 * DAY),
                max_age: reader.optional_seconds(MAX_AGE, 60, 365 * DAY),
                day_ends_in: reader.zone(MIDNIGHT),
                checkpoint: reader.seconds(CHECKPOINT, 1, 365 * DAY),
                told_at: [None; TOLD_AT],
                unfinished: reader.seconds(UNFINISHED, 1, DAY),
                late_rating: reader.seconds(LATE_RATING, 0, 28 * DAY),
            },
            hot_ttl: reader.seconds(HOT_TTL, 1, 3650 * DAY),
            timer: reader.seconds(TIMER, 1, 3600),
            visibility: reader.seconds(VISIBILITY, 2, 43_200),
            longest_lease: reader.seconds(LONGEST_LEASE, 2, 43_200),
            limits: Limits {
                wait: reader.seconds(WAIT, 0, 20),
                pollers: reader.number(POLLERS, 1, 64),
                deliveries: reader.number(IN_FLIGHT, 10, 100_000),
                bytes: reader.number(IN_FLIGHT_BYTES, 10 * 1_048_576, usize::MAX / 2),
                drain: reader.seconds(DRAIN, 1, 600),
                attempts: reader.number(ATTEMPTS, 1, 1000),
                retries: reader.number(RETRIES, 0, 3),
            },
            park: parking(&mut reader),
            senders: senders::read(&mut reader),
            linger: Duration::from_millis(reader.number(LINGER, 0, 1000)),
            delete_linger: Duration::from_millis(reader.number(DELETE_LINGER, 0, 1000)),
            metrics: MetricsConfig::read_with(&mut reader),
            health_file: reader.optional(HEALTH_FILE).map(PathBuf::from),
            beat: Some(reader.seconds(BEAT, 0, 60)).filter(|every| !every.is_zero()),
            answers: AnswerConfig::read(&mut reader),
            sinks: SinksConfig::read_with(&mut reader),
        };
        if let Some(sinks) = &config.sinks {
            config.policy.told_at = sinks.told_at();
        }
        config.cross_check(&mut reader);
        reader.end(config)
    }

    fn cross_check(&self, reader: &mut Reader<'_>) {
        if self.spool.is_some() && matches!(self.hot, HotConfig::Postgres { .. }) {
            let reason = format!("is for DynamoDB's outages; with {}=postgres there is no spool", HOT_STORE.variable);
            reader.fault(SPOOL_AFTER, reason);
        }
        if !self.queue_url.is_empty() && self.queue_url == self.dead_letter_url {
            reader.fault(DEAD_LETTER_URL, format!("must be another queue than {}", QUEUE_URL.variable));
        }
        // a message may be 14 days old when it is stored, and must be copied, or its close be noticed and mended, before it expires
        let least = QUEUE_RETENTION + self.policy.checkpoint.min(self.policy.idle) + Duration::from_secs(DAY);
        if self.hot_ttl < least.max(2 * QUEUE_RETENTION) {
            let (copied, least) = (CHECKPOINT.variable, least.max(2 * QUEUE_RETENTION).as_secs());
            let reason = format!(
                "must be at least {least}: 14 days in the queue and 14 in the dead-letter queue, and {copied} after the \
                 first 14 with a day to spare; else messages could expire before they are archived"
            );
            reader.fault(HOT_TTL, reason);
        }
        if self.policy.checkpoint + QUEUE_RETENTION + Duration::from_secs(DAY) > self.hot_ttl {
            let reason = format!("must be at least 15 days shorter than {}", HOT_TTL.variable);
            reader.fault(CHECKPOINT, reason);
        }
        if self.visibility < self.limits.wait / 2 + Duration::from_secs(1) {
            reader.fault(VISIBILITY, format!("must be longer than half of {}", WAIT.variable));
        }
        if self.longest_lease < self.visibility {
            reader.fault(LONGEST_LEASE, format!("must not be shorter than {}", VISIBILITY.variable));
        }
    }
}

fn parking(reader: &mut Reader<'_>) -> BTreeSet<String> {
    let listed = reader.optional(PARK).filter(|listed| listed != PARK.default).unwrap_or_default();
    let types = listed.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
    let types: BTreeSet<String> = types.collect();
    if types.iter().any(|name| !Kind::NAMES.contains(&name.as_str())) {
        reader.fault(PARK, format!("must be none, or some of {}", Kind::NAMES.join(", ")));
    }
    types
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn complete() -> BTreeMap<&'static str, &'static str> {
        BTreeMap::from([
            ("SQS_CONVERSATION_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/1/c.fifo"),
            ("SQS_CONVERSATION_DLQ_URL", "https://sqs.us-east-1.amazonaws.com/1/c-dlq.fifo"),
            ("DYNAMODB_MESSAGE_TABLE", "conversationd"),
            ("DATABASE_URL", "postgres://u:hunter2@db/conversationd"),
        ])
    }

    fn read(variables: &BTreeMap<&'static str, &'static str>) -> Result<Config, Faults> {
        Config::read(&|name| variables.get(name).map(|value| (*value).to_owned()))
    }

    #[test]
    fn the_required_settings_are_enough_and_the_rest_are_as_documented() {
        let config = read(&complete()).expect("valid");
        assert_eq!(config.policy, Policy::DEFAULT);
        assert_eq!(config.limits.pollers, 8);
        assert_eq!(config.hot_ttl, Duration::from_secs(30 * DAY));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let mut variables = complete();
        variables.remove("SQS_CONVERSATION_QUEUE_URL");
        variables.insert("CONVERSATIOND_POLLERS", "many");
        variables.insert("CONVERSATIOND_HOT_TTL_SECONDS", "864000");
        variables.insert("DATABASE_URL", "mysql://u:hunter2@db/x");
        let faults = read(&variables).expect_err("faulty");
        let named: Vec<_> = faults.0.iter().map(|fault| fault.variable).collect();
        assert_eq!(
            named,
            [
                "SQS_CONVERSATION_QUEUE_URL",
                "DATABASE_URL",
                "CONVERSATIOND_POLLERS",
                "CONVERSATIOND_HOT_TTL_SECONDS",
                "CONVERSATIOND_CHECKPOINT_SECONDS",
            ]
        );
    }

    #[test]
    fn a_fault_never_repeats_a_value() {
        let mut variables = complete();
        variables.insert("DATABASE_URL", "hunter2");
        variables.insert("SENTRY_DSN", "hunter2");
        let shown = read(&variables).expect_err("faulty").to_string();
        assert!(shown.contains("DATABASE_URL") && !shown.contains("hunter2"), "{shown}");
        let logs = LogConfig::read(&|name| variables.get(name).map(|value| (*value).to_owned()));
        assert!(!logs.expect_err("faulty").to_string().contains("hunter2"));
    }

    #[test]
    fn only_events_that_exist_can_be_parked() {
        let mut variables = complete();
        assert!(read(&variables).expect("valid").park.is_empty());
        for (value, parked) in [("none", 0), ("due", 1), (" message.received, due,", 2)] {
            variables.insert("CONVERSATIOND_PARK", value);
            assert_eq!(read(&variables).expect("valid").park.len(), parked, "{value}");
        }
        variables.insert("CONVERSATIOND_PARK", "due,messages");
        assert_eq!(read(&variables).expect_err("faulty").0[0].variable, "CONVERSATIOND_PARK");
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        assert!(!format!("{:?}", read(&complete())).contains("hunter2"));
    }

    #[test]
    fn a_misspelled_setting_is_told() {
        let names = ["CONVERSATIOND_MAX_ATTEMPTS", "CONVERSATIOND_ATTEMPTS", "PATH", "AWS_REGION"];
        assert_eq!(unknown(names.into_iter().map(str::to_owned)), ["CONVERSATIOND_MAX_ATTEMPTS"]);
    }
}
