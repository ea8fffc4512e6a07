//! A story's own corner of the stack: queues, table, schema, and the daemon's parts built on them.

use std::{
    collections::BTreeMap,
    io::Write,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use conversationd::{
    app::{App, Clients, Endpoints},
    clock::{Clock, SystemClock},
    config::{Config, DatabaseConfig, HotConfig, environment},
    domain::{self, Head},
    hot::WholeStore,
    operate::provision::{Provisioned, provision},
};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use uuid::Uuid;

use crate::{
    archive::{self, Conversation},
    daemon::Daemon,
    events::{Event, Thread},
    queues::{self, DeadLetter, Depth},
};

/// How long anything may take before a story gives up on it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks at something that takes time.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What every story is told unless it says otherwise: no grace, quick loops.
const SETTINGS: [(&str, &str); 7] = [
    ("CONVERSATIOND_GRACE_SECONDS", "0"),
    ("CONVERSATIOND_TIMER_SECONDS", "1"),
    ("CONVERSATIOND_POLL_WAIT_SECONDS", "1"),
    ("CONVERSATIOND_VISIBILITY_SECONDS", "30"),
    ("CONVERSATIOND_DRAIN_SECONDS", "5"),
    ("CONVERSATIOND_DATABASE_CONNECTIONS", "4"),
    ("CONVERSATIOND_HOT_CONNECTIONS", "8"),
];

/// Every story is told on either hot store: on the one that the environment names, unless it is about one of them.
const HOT_STORE: &str = "CONVERSATIOND_HOT_STORE";

/// A story's corner of the stack.
pub struct Stack {
    /// The daemon's parts, in this process, to be stepped.
    pub app: App,
    settings: BTreeMap<String, String>,
    clients: Clients,
    provisioned: Provisioned,
    schema: String,
    pool: PgPool,
    hot: Arc<dyn WholeStore>,
}

impl Stack {
    /// Makes queues, table and schema. `name` is for whoever finds them after a failure.
    pub async fn new(name: &str) -> Self {
        Self::with(name, &[]).await
    }

    /// The same with settings of the story's own.
    pub async fn with(name: &str, settings: &[(&str, &str)]) -> Self {
        let database = database_url();
        let unique = Uuid::now_v7().simple().to_string();
        let prefix = format!("it-{name}-{}", &unique[..20]);
        let schema = prefix.replace('-', "_");
        let clients = Clients::build(&Endpoints::default(), Duration::from_secs(1), &Arc::default()).await;
        let provisioned = or_stop(provision(&clients, &prefix).await);
        let mut all: BTreeMap<String, String> =
            SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (name, value) in [
            ("SQS_CONVERSATION_QUEUE_URL", &provisioned.queue_url),
            ("SQS_CONVERSATION_DLQ_URL", &provisioned.dead_letter_url),
            ("DYNAMODB_MESSAGE_TABLE", &provisioned.table),
            ("DATABASE_URL", &database),
            ("CONVERSATIOND_DATABASE_SCHEMA", &schema),
        ] {
            all.insert(name.to_owned(), value.clone());
        }
        let named = settings.iter().find(|(name, _)| *name == HOT_STORE).map(|(_, value)| (*value).to_owned());
        all.extend(named.or_else(|| environment(HOT_STORE)).map(|store| (HOT_STORE.to_owned(), store)));
        // by straight roads, whatever the story puts in the daemon's way
        let hot = HotConfig::read(&|name| all.get(name).cloned()).expect("settings of the hot store");
        let hot = conversationd::app::hot(&hot, &clients, Duration::from_secs(30 * 24 * 3600)).expect("a hot store");
        let direct = DatabaseConfig::read(&|name| all.get(name).cloned()).expect("settings of the database");
        let archive = conversationd::app::archive(&direct).expect("a PostgreSQL URL");
        or_stop(archive.migrate().await);
        STANDS.store(true, Ordering::Relaxed);
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let app = build(&all).await;
        let options = PgConnectOptions::from_str(&database).expect("a PostgreSQL URL");
        let options = options.options([("search_path", &schema)]);
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(options);
        Self { app, settings: all, clients, provisioned, schema, pool, hot }
    }

    /// The schema of its tables.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Another replica in this process.
    pub async fn replica(&self) -> App {
        build(&self.settings).await
    }

    /// Starts the program itself, as a process of its own.
    pub async fn daemon(&self) -> Daemon {
        Daemon::start(&self.schema, &self.settings).await
    }

    /// Sends events in order.
    pub async fn publish(&self, events: &[Event]) {
        queues::send(&self.clients.sqs.control, &self.provisioned.queue_url, events).await;
    }

    /// Receives and handles until nothing more comes. What failed stays behind, hidden.
    pub async fn consume(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.app.consumer.poll_once().await.expect("a poll") > 0 {
            assert!(Instant::now() < deadline, "the queue never runs dry: {:?}", self.depth().await);
        }
    }

    /// Steps the loops until the queue is empty and nothing is due.
    pub async fn settle(&self) {
        self.step_until("everything is handled", async || self.depth().await == EMPTY).await;
        self.consume().await;
    }

    /// Steps the loops until something is so.
    pub async fn step_until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let received = self.app.consumer.poll_once().await.expect("a poll");
            let sent = self.app.timer.run_once().await.expect("what is due");
            if received == 0 && sent == 0 {
                if is_so().await {
                    return;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            self.not_after(deadline, what).await;
        }
    }

    /// Waits until something is so, while daemons work.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so().await {
            self.not_after(deadline, what).await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn not_after(&self, deadline: Instant, what: &str) {
        if Instant::now() > deadline {
            let (closed, messages) = self.counts().await;
            let depth = self.depth().await;
            panic!("not within {PATIENCE:?}: {what}; {depth:?}, {closed} closed conversations, {messages} messages");
        }
    }

    /// What the archive holds.
    pub async fn archived(&self) -> Vec<Conversation> {
        archive::read(&self.pool).await.expect("the archive is read")
    }

    /// What the archive holds of one thread.
    pub async fn archived_of(&self, thread: &Thread) -> Vec<Conversation> {
        self.archived().await.into_iter().filter(|conversation| conversation.is_of(thread)).collect()
    }

    /// Closed conversations and messages in the archive.
    pub async fn counts(&self) -> (usize, usize) {
        archive::counts(&self.pool).await.expect("the archive is read")
    }

    /// What the archive answers to a question of the story's own.
    pub async fn ask<T>(&self, sql: &'static str) -> Vec<T>
    where
        T: for<'r> sqlx::FromRow<'r, PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql).fetch_all(&self.pool).await.expect("the archive is read")
    }

    /// Changes the archive behind the daemon's back.
    pub async fn change_archive(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.expect("the archive is changed");
    }

    /// A transaction on the database, to be rolled back.
    pub async fn transaction(&self) -> sqlx::Transaction<'_, sqlx::Postgres> {
        self.pool.begin().await.expect("a transaction")
    }

    /// Makes everyone who would write a conversation wait, until it is dropped.
    pub async fn lock_archive(&self) -> sqlx::Transaction<'_, sqlx::Postgres> {
        let mut lock = self.pool.begin().await.expect("a transaction");
        let exclusive = sqlx::query("lock table conversation in access exclusive mode");
        exclusive.execute(&mut *lock).await.expect("a lock");
        lock
    }

    /// The client of its queues.
    pub fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.clients.sqs.control
    }

    /// The hot store.
    pub fn hot(&self) -> Arc<dyn WholeStore> {
        self.hot.clone()
    }

    /// The head of a thread.
    pub async fn head(&self, thread: &Thread) -> Option<Head> {
        self.hot().heads(vec![thread.key()]).await.pop().expect("one head was asked for").expect("the head is read")
    }

    /// Whether a thread's conversation is closed.
    pub async fn is_closed(&self, thread: &Thread) -> bool {
        let head = self.head(thread).await;
        matches!(head, Some(Head { conversation: domain::Conversation::Closed(_), .. }))
    }

    /// Whether a thread's conversation takes messages.
    pub async fn is_open(&self, thread: &Thread) -> bool {
        let head = self.head(thread).await;
        matches!(head, Some(Head { conversation: domain::Conversation::Open(_), .. }))
    }

    /// What is in the inbound queue.
    pub async fn depth(&self) -> Depth {
        queues::depth(&self.clients.sqs.control, &self.provisioned.queue_url).await
    }

    /// Deliveries not settled yet.
    pub async fn left(&self) -> usize {
        let depth = self.depth().await;
        depth.visible + depth.in_flight
    }

    /// Takes what is in the dead-letter queue.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        queues::drain(&self.clients.sqs.control, &self.provisioned.dead_letter_url).await
    }

    /// The end of every story: nothing is left in a queue, every row adds up. Then nothing of it remains.
    pub async fn done(self) {
        assert_eq!(self.depth().await, EMPTY, "something is left in the queue");
        let dead = queues::depth(&self.clients.sqs.control, &self.provisioned.dead_letter_url).await;
        assert_eq!(dead, EMPTY, "there are dead letters: {:?}", self.dead_letters().await);
        let unsound = archive::unsound(&self.pool).await.expect("the archive is read");
        assert!(unsound.is_empty(), "conversations that do not add up: {unsound:?}");
        self.app.archive.close().await;
        let drop = format!("drop schema {} cascade", self.schema);
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&self.pool).await.expect("the schema goes");
        self.pool.close().await;
        for url in [&self.provisioned.queue_url, &self.provisioned.dead_letter_url] {
            self.clients.sqs.control.delete_queue().queue_url(url).send().await.expect("a queue goes");
        }
        let table = self.clients.dynamodb.delete_table().table_name(&self.provisioned.table);
        table.send().await.expect("the table goes");
    }
}

/// A queue with nothing in it.
pub const EMPTY: Depth = Depth { visible: 0, in_flight: 0 };

/// Waits for the clock: for what happens only once a time has passed.
pub async fn until_after(time: chrono::DateTime<chrono::Utc>) {
    while SystemClock.now() <= time {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

async fn build(settings: &BTreeMap<String, String>) -> App {
    let config = Config::read(&|name| settings.get(name).cloned()).expect("settings");
    App::build(&config).await.expect("an app")
}

/// Whether any story found the stack standing: from then on a failure is that story's own.
static STANDS: AtomicBool = AtomicBool::new(false);

/// The database, once the environment says everything a story needs.
fn database_url() -> String {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let endpoint = |service: &str| set(&format!("AWS_ENDPOINT_URL_{service}")).or_else(|| set("AWS_ENDPOINT_URL"));
    let needed = [
        ("AWS_ENDPOINT_URL", endpoint("SQS").and(endpoint("DYNAMODB"))),
        ("AWS_REGION", set("AWS_REGION")),
        ("AWS_ACCESS_KEY_ID", set("AWS_ACCESS_KEY_ID")),
        ("DATABASE_URL", set("DATABASE_URL")),
    ];
    let missing: Vec<&str> = needed.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        stop(&format!("not set: {}", missing.join(", ")));
    }
    set("DATABASE_URL").unwrap_or_default()
}

fn or_stop<T>(made: anyhow::Result<T>) -> T {
    match made {
        Ok(made) => made,
        Err(failure) if STANDS.load(Ordering::Relaxed) => panic!("{failure:#}"),
        Err(failure) => stop(&format!("it does not answer: {failure:#}")),
    }
}

/// Ends the whole run with one message, instead of one panic for every story.
fn stop(why: &str) -> ! {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock();
    // written past the harness, which would keep it with the story's own output
    let _ = writeln!(
        std::io::stderr(),
        "\nThe stories need the local stack; {why}.\n\
         Next: `make test` starts it and runs them; or `make up`, then eval \"$(infra/local/stack.sh env)\".\n"
    );
    std::process::exit(1)
}
