//! The table of all settings.

/// One setting, as `--help` and the README show it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Environment variable.
    pub variable: &'static str,
    /// What its number counts; empty for text.
    pub unit: &'static str,
    /// Its value when unset; `required` when there is none.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

impl Setting {
    /// Whether its value is shown to nobody.
    pub fn is_secret(&self) -> bool {
        self.meaning.contains("(secret)")
    }

    /// Its row in the documentation.
    pub fn row(&self) -> String {
        format!("| `{}` | {} | {} | {} |", self.variable, self.unit, self.default, self.meaning)
    }
}

macro_rules! settings {
    ($($name:ident = $variable:literal, $unit:literal, $default:literal, $meaning:literal;)+) => {
        $(pub(super) const $name: Setting =
            Setting { variable: $variable, unit: $unit, default: $default, meaning: $meaning };)+
        /// All settings, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[$($name),+];
    };
}

settings! {
    QUEUE_URL = "SQS_CONVERSATION_QUEUE_URL", "", "required", "URL of the inbound FIFO queue";
    DEAD_LETTER_URL = "SQS_CONVERSATION_DLQ_URL", "", "required", "URL of its dead-letter queue";
    QUEUE_REGION = "SQS_CONVERSATION_REGION", "", "AWS_REGION", "region of both queues";
    HOT_STORE = "CONVERSATIOND_HOT_STORE", "", "dynamodb", "where conversations in progress are kept: dynamodb; or postgres, in the archive's database, and the two settings of DynamoDB are not needed";
    TABLE = "DYNAMODB_MESSAGE_TABLE", "", "required", "DynamoDB table of conversations in progress";
    TABLE_REGION = "DYNAMODB_REGION", "", "AWS_REGION", "region of the table";
    DATABASE_URL = "DATABASE_URL", "", "required", "PostgreSQL URL of the archive (secret)";
    DATABASE_SCHEMA = "CONVERSATIOND_DATABASE_SCHEMA", "", "public", "schema of the archive's tables";
    DATABASE_CONNECTIONS = "CONVERSATIOND_DATABASE_CONNECTIONS", "connections", "8", "pool size: closes that run at once";
    HOT_CONNECTIONS = "CONVERSATIOND_HOT_CONNECTIONS", "connections", "16", "pool size of a hot store in PostgreSQL: closes and answers take none of them";
    SPOOL_AFTER = "CONVERSATIOND_SPOOL_AFTER_SECONDS", "seconds", "off", "an outage of DynamoDB that every replica has seen for so long is spooled: deliveries go into PostgreSQL, and come from there once it is over. Off, they stay in the queue. All replicas have it, or none";
    SPOOL_LEASE = "CONVERSATIOND_SPOOL_LEASE_SECONDS", "seconds", "600", "with the spool on: how long a replica works on without PostgreSQL, and how long a replica that died is waited for before anything is spooled";
    SPOOL_BYTES = "CONVERSATIOND_SPOOL_BYTES", "bytes", "10737418240", "the spool takes no more once it is larger, indexes included; the rest stays in the queue";
    READ_CONNECTIONS = "CONVERSATIOND_READ_CONNECTIONS", "connections", "4", "pool size for answers: they take none of the connections of closes";
    READ_REPLICA = "CONVERSATIOND_READ_REPLICA_URL", "", "off", "PostgreSQL URL of a replica of the archive (secret): statistics are read there";
    RECEIPT_KEY = "CONVERSATIOND_RECEIPT_KEY", "", "none", "key that receipts of erasures are signed with (secret), 32 characters at least; `conversationd erase` alone needs it";
    OLDER_DATABASE_URL = "CONVERSATIOND_OLDER_DATABASE_URL", "", "none", "PostgreSQL URL of the older service's database (secret), which is only read; `conversationd import` alone needs it";
    SENTRY_DSN = "SENTRY_DSN", "", "off", "where errors are reported (secret); nothing personal is sent";
    LOG_FORMAT = "CONVERSATIOND_LOG_FORMAT", "", "json", "json, or pretty for people";
    LOG = "CONVERSATIOND_LOG", "", "info", "what is logged: a level, or directives such as conversationd=debug";
    GRACE = "CONVERSATIOND_GRACE_SECONDS", "seconds", "30", "silence after a session's end that closes its conversation";
    IDLE = "CONVERSATIOND_IDLE_SECONDS", "seconds", "86400", "silence that closes any conversation";
    MAX_AGE = "CONVERSATIOND_MAX_AGE_SECONDS", "seconds", "off", "age at which any conversation closes, whatever is said";
    MIDNIGHT = "CONVERSATIOND_MIDNIGHT_ZONE", "", "off", "IANA time zone at whose midnight conversations close, such as America/Sao_Paulo; a project may have its own";
    LATE_RATING = "CONVERSATIOND_LATE_RATING_SECONDS", "seconds", "604800", "a rating up to this long after a close still belongs to the closed conversation";
    CHECKPOINT = "CONVERSATIOND_CHECKPOINT_SECONDS", "seconds", "604800", "age at which an open conversation is copied into the archive, and again after as long";
    UNFINISHED = "CONVERSATIOND_UNFINISHED_SECONDS", "seconds", "300", "a close begun and not finished is taken up again after this";
    HOT_TTL = "CONVERSATIOND_HOT_TTL_SECONDS", "seconds", "2592000", "messages leave the hot store this long after they were queued (30 days)";
    TIMER = "CONVERSATIOND_TIMER_SECONDS", "seconds", "5", "how often each replica looks for what is due";
    WAIT = "CONVERSATIOND_POLL_WAIT_SECONDS", "seconds", "10", "how long a poll waits; SQS allows 20, and a stop waits as long";
    VISIBILITY = "CONVERSATIOND_VISIBILITY_SECONDS", "seconds", "60", "lease of a delivery; extended while it is worked on";
    LONGEST_LEASE = "CONVERSATIOND_LONGEST_LEASE_SECONDS", "seconds", "900", "a delivery held longer is given up to others";
    ATTEMPTS = "CONVERSATIOND_ATTEMPTS", "attempts", "8", "failed attempts after which a delivery goes to the dead-letter queue; outages do not count";
    RETRIES = "CONVERSATIOND_RETRIES", "tries", "3", "further tries of what failed before it goes back to the queue, within about a second";
    PARK = "CONVERSATIOND_PARK", "", "none", "event types, with commas between: when one of these fails too often, its group is parked, and all that follows in it becomes dead letters, until `conversationd dlq group unpark`";
    SENDERS = "CONVERSATIOND_SENDERS", "", "off", "who may send for which project: SENDER=PROJECT or SENDER=*, separated by commas; a sender is what SQS tells of it (SenderId), a role's without its session. Whoever is not listed may send for none: list daemons, operators and whatever forwards as well";
    POLLERS = "CONVERSATIOND_POLLERS", "polls", "8", "polls at once under load; one when quiet";
    IN_FLIGHT = "CONVERSATIOND_IN_FLIGHT", "deliveries", "500", "deliveries held at once";
    IN_FLIGHT_BYTES = "CONVERSATIOND_IN_FLIGHT_BYTES", "bytes", "100663296", "bytes of deliveries held at once; a poll reserves 10 MiB of it";
    LINGER = "CONVERSATIOND_LINGER_MILLISECONDS", "milliseconds", "5", "how long a store request waits for others to share its call";
    DELETE_LINGER = "CONVERSATIOND_DELETE_LINGER_MILLISECONDS", "milliseconds", "25", "the same for deletes";
    DRAIN = "CONVERSATIOND_DRAIN_SECONDS", "seconds", "15", "how long running turns may take to end after SIGTERM";
    HEALTH_FILE = "CONVERSATIOND_HEALTH_FILE", "", "off", "file that `conversationd health` reads; written every 5 seconds";
    BEAT = "CONVERSATIOND_BEAT_SECONDS", "seconds", "10", "how often each replica writes into the table how it is, for `conversationd top`; 0 for never";
    METRICS_ADDRESS = "CONVERSATIOND_METRICS_ADDRESS", "", "off", "host:port of the Prometheus page: GET /metrics, and /healthz";
    OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT", "", "off", "URL of an OpenTelemetry collector that metrics are pushed to; /v1/metrics is added. OTEL_EXPORTER_OTLP_METRICS_ENDPOINT is taken as it is, and wins, as all OTEL_EXPORTER_OTLP_METRICS_… do";
    OTLP_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL", "", "http/json", "how metrics are pushed; there is no other way";
    OTLP_HEADERS = "OTEL_EXPORTER_OTLP_HEADERS", "", "none", "headers of a push (secret): name=value,name=value";
    OTLP_TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT", "milliseconds", "10000", "how long a push may take";
    OTLP_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL", "milliseconds", "60000", "how often metrics are pushed";
    SERVICE_NAME = "OTEL_SERVICE_NAME", "", "conversationd", "who pushes, as its metrics say";
    RESOURCE = "OTEL_RESOURCE_ATTRIBUTES", "", "none", "more about who pushes: name=value,name=value";
    REPLY_QUEUES = "CONVERSATIOND_REPLY_QUEUES", "", "none", "queues that replies may be sent to, separated by commas: names beside the inbound queue, URLs, or the beginning of names and *";
    REPLY_BYTES = "CONVERSATIOND_REPLY_BYTES", "bytes", "262144", "size of a reply; what would be larger is cut to whole messages";
    REQUEST_QUEUE_URL = "SQS_CONVERSATION_REQUEST_QUEUE_URL", "", "off", "URL of a queue of requests that need no order, standard or FIFO";
    REQUEST_SECONDS = "CONVERSATIOND_REQUEST_SECONDS", "seconds", "10", "how long an answer may take; its thread waits as long";
    REQUESTS = "CONVERSATIOND_REQUESTS", "answers", "32", "answers at once";
    TOKENIZER = "CONVERSATIOND_TOKENIZER", "", "o200k_base", "counts the tokens of messages when they are saved: o200k_base or cl100k_base";
    MODELS = "CONVERSATIOND_MODELS", "", "none", "more models, or other windows: name=window or name=window:tokenizer, separated by commas";
    SUMMARY_ENDPOINT = "CONVERSATIOND_SUMMARY_ENDPOINT", "", "off", "URL of an OpenAI-compatible service that summarises (secret); /chat/completions is added. Without it sentences are picked";
    SUMMARY_KEY = "CONVERSATIOND_SUMMARY_KEY", "", "none", "its key (secret)";
    SUMMARY_MODEL = "CONVERSATIOND_SUMMARY_MODEL", "", "none", "its model";
    SUMMARY_SECONDS = "CONVERSATIOND_SUMMARY_SECONDS", "seconds", "8", "how long it may take, within the answer's time; then the summary stays the previous one";
    SINKS_FILE = "CONVERSATIOND_SINKS_FILE", "", "off", "TOML file of the outside systems that are told what happens; infra/sinks.example.toml shows all of it";
}
