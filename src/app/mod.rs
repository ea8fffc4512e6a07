//! Composition root: builds clients, stores and loops, runs them, and drains them on a signal.

mod answers;
mod clients;
mod hot;
mod observers;
mod outlets;
mod portals;
mod process;
mod spool;

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use futures_util::future::join_all;
use tokio::{signal::unix, time::interval};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

pub use clients::{Clients, Endpoints};
pub use hot::hot;
use observers::Observers;
pub use outlets::outbox;
pub use process::{keep_to_itself, version};

use crate::{
    archive::{Guarded, Options, PostgresArchive},
    breaker::Breaker,
    clock::{Clock, SystemClock},
    config::{Config, DatabaseConfig},
    consumer::{Consumer, Limits, Stop},
    counters::Counters,
    hot::{Hot, PostgresStore},
    journal::Journal,
    pipeline::Pipeline,
    queue::{Inbox, Leases, Queue, SqsQueue},
    relay::Relay,
    requests::Requests,
    spool::Keeper,
    timer::Timer,
};

/// How often the totals are logged.
const TOTALS_EVERY: Duration = Duration::from_secs(60);

/// Everything that runs, put together.
pub struct App {
    /// The inbound loop.
    pub consumer: Consumer,
    /// The loop of the request queue, if there is one.
    pub requests: Option<Requests>,
    /// Keeps this replica in step with the others about the spool, if there is one.
    pub keeper: Option<Keeper>,
    /// The timer.
    pub timer: Timer,
    /// The outbound loop; none without a sinks file.
    pub relay: Option<Arc<Relay>>,
    /// The loops that read journals of CRMs.
    pub journals: Vec<Journal>,
    /// The archive.
    pub archive: PostgresArchive,
    /// What happened so far.
    pub counters: Arc<Counters>,
    /// The hot store whose expired rows must be swept.
    swept: Option<PostgresStore>,
    observers: Observers,
    period: Duration,
}

impl App {
    /// Builds everything; connects to nothing yet.
    ///
    /// # Errors
    /// A client cannot be built from these settings.
    pub async fn build(config: &Config) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        let endpoints = Endpoints {
            queue_region: config.queue_region.clone(),
            table_region: config.hot.table_region().map(str::to_owned),
        };
        let clients = Clients::build(&endpoints, config.limits.wait, &counters).await;
        let archive = archive(&config.database)?;
        let queue = SqsQueue::new(
            clients.sqs.clone(),
            config.queue_url.clone(),
            config.dead_letter_url.clone(),
            config.visibility,
        )
        .telling_senders(config.senders.are_bound());
        let statements = counters.clone();
        let counted = Arc::new(move || statements.hot_statements.add(1));
        let hot::Built { store, swept } = hot::build(&config.hot, &clients, config.hot_ttl, counted)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let queue = Arc::new(queue);
        let leases = || Arc::new(Leases::new(config.visibility, config.longest_lease, clock.clone()));
        let (instance, breaker) = (instance(), Arc::<Breaker>::default());
        let readers = answers::Readers::of(config)?;
        let answers = Arc::new(answers::of(config, clients.sqs.control.clone(), readers, &counters, &clock));
        let portals = Arc::new(portals::of(config.sinks.as_ref()));
        let senders = Arc::new(config.senders.clone());
        let held = leases();
        let of_spool = spool::of(config, queue.clone(), store.clone(), held.clone(), counters.clone(), instance)?;
        let (edge, keeper) = match of_spool {
            Some((edge, keeper)) => (edge as Arc<dyn Queue>, Some(keeper)),
            None => (queue.clone() as Arc<dyn Queue>, None),
        };
        let inbox = Arc::new(Inbox::over(edge, config.delete_linger));
        let pipeline = |inbox: Arc<Inbox>, leases: Arc<Leases>| Pipeline {
            hot: Hot::over(store.clone(), config.linger),
            archive: Arc::new(Guarded::by(
                breaker.clone(),
                Arc::new(archive.clone()),
                config.database.connections as usize,
            )),
            inbox,
            leases,
            policy: config.policy,
            counters: counters.clone(),
            clock: clock.clone(),
            answers: answers.clone(),
            portals: portals.clone(),
            senders: senders.clone(),
        };
        let requests = config.answers.queue_url.clone().map(|url| {
            let queue = SqsQueue::new(clients.sqs.clone(), url, config.dead_letter_url.clone(), config.visibility)
                .telling_senders(senders.are_bound());
            let inbox = Arc::new(Inbox::over(Arc::new(queue), config.delete_linger));
            let pipeline = Arc::new(pipeline(inbox, leases()));
            let Limits { wait, drain, .. } = config.limits;
            Requests::new(pipeline, wait, config.answers.at_once, drain, instance)
        });
        let journals = portals::journals(config, &queue, &counters, &clock)?;
        let relay = match &config.sinks {
            Some(sinks) => {
                let outbox = outbox(&config.database)?;
                let stores = outlets::stores(&config.database, store.clone(), queue)?;
                Some(Arc::new(outlets::relay(sinks, outbox, &stores, &clients.sqs.control, &clock, &counters)))
            }
            None => None,
        };
        Ok(Self {
            consumer: Consumer::new(Arc::new(pipeline(inbox.clone(), held)), config.limits, instance)
                .parking(config.park.clone()),
            requests,
            keeper,
            relay,
            journals,
            timer: Timer::new(store.clone(), inbox, clock.clone(), counters.clone(), instance),
            archive,
            swept,
            observers: Observers::of(config, instance, counters.clone(), breaker, store.clone(), clock),
            counters,
            period: config.timer,
        })
    }

    /// Runs until SIGTERM or SIGINT, then drains.
    ///
    /// # Errors
    /// Signals cannot be listened to, or the metrics page and the health file cannot be had.
    pub async fn run(&self) -> anyhow::Result<()> {
        let stop = Stop::default();
        let mut terminate = unix::signal(unix::SignalKind::terminate()).context("cannot listen for SIGTERM")?;
        let mut interrupt = unix::signal(unix::SignalKind::interrupt()).context("cannot listen for SIGINT")?;
        let mut signal = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let loops_ended = CancellationToken::new();
        let on_signal = async {
            // outside the macro: what is not logged is not evaluated
            let first = signal().await;
            info!(signal = first, "stopping; a second signal stops at once");
            stop.drain.cancel();
            tokio::select! {
                signal = signal() => {
                    info!(signal, "stopping at once");
                    stop.now.cancel();
                }
                () = loops_ended.cancelled() => {}
            }
        };
        let observed = self.observers.start(&stop.drain).await?;
        info!(version = version(), "started");
        tokio::join!(
            on_signal,
            async {
                self.consumer.run(stop.clone()).await;
                loops_ended.cancel();
            },
            async {
                if let Some(requests) = &self.requests {
                    requests.run(stop.drain.clone()).await;
                }
            },
            async {
                if let Some(keeper) = &self.keeper {
                    keeper.run(stop.drain.clone(), loops_ended.clone()).await;
                }
            },
            self.timer.run(self.period, stop.drain.clone()),
            self.relay(stop.drain.clone()),
            hot::expire(self.swept.as_ref(), stop.drain.clone()),
            join_all(self.journals.iter().map(|journal| journal.run(stop.drain.clone()))),
            self.log_totals(stop.drain.clone()),
        );
        self.totals("totals at the end");
        observed.end().await;
        Ok(())
    }

    async fn relay(&self, stop: CancellationToken) {
        if let Some(relay) = &self.relay {
            relay.clone().run(stop).await;
        }
    }

    async fn log_totals(&self, stop: CancellationToken) {
        let mut ticks = interval(TOTALS_EVERY);
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.totals("totals"),
            }
        }
    }

    fn totals(&self, what: &'static str) {
        let totals = serde_json::to_string(&self.counters.totals()).unwrap_or_default();
        info!(totals, "{what}");
    }
}

/// A name for this process that no other has.
#[allow(clippy::disallowed_methods)] // its room
fn instance() -> Uuid {
    Uuid::new_v4()
}

/// The replica that `database` names, to read from; the archive itself if it names none.
///
/// # Errors
/// The URL cannot be used.
pub fn replica(database: &DatabaseConfig) -> anyhow::Result<PostgresArchive> {
    let url = database.replica.as_ref().unwrap_or(&database.url);
    archive(&DatabaseConfig { url: url.clone(), ..database.clone() })
}

/// The archive that `database` names.
///
/// # Errors
/// The URL cannot be used.
pub fn archive(database: &DatabaseConfig) -> anyhow::Result<PostgresArchive> {
    let options =
        Options { max_connections: database.connections, schema: database.schema.clone(), ..Options::default() };
    PostgresArchive::new(database.url.reveal(), &options)
}
