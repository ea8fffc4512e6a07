//! Those who look at the daemon while it runs: the metrics page, the push, the health file. Tasks of their own, which end last.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::info;
use uuid::Uuid;

use super::version;
use crate::{
    breaker::Breaker,
    clock::Clock,
    config::Config,
    counters::Counters,
    fleet::{Announcer, Speaker},
    hot::HotStore,
    telemetry::{Health, HealthFile, Page, Push},
};

/// How long the last push and the health file may take at the end.
const AT_THE_END: Duration = Duration::from_secs(4);

/// How often a breaker is asked.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Built, and not yet looking.
pub(super) struct Observers {
    address: Option<String>,
    push: Option<Arc<Push>>,
    file: Option<PathBuf>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    archive: Arc<Breaker>,
    announcer: Option<Arc<Announcer>>,
}

impl Observers {
    /// As `config` wants them; `instance` names this process among the replicas, which tell `top` through `hot` how they are.
    ///
    /// Of the archive nobody but its breaker knows whether it is away.
    pub(super) fn of(
        config: &Config,
        instance: Uuid,
        counters: Arc<Counters>,
        archive: Arc<Breaker>,
        hot: Arc<dyn HotStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let announcer = |every| {
            let speaker = Speaker { name: instance.to_string(), host: host(), version: version() };
            Arc::new(Announcer::new(hot, counters.clone(), clock.clone(), speaker, every))
        };
        let announcer = config.beat.map(announcer);
        let push = config.metrics.push.as_ref();
        let push = push.map(|push| Arc::new(Push::new(push, &instance.to_string(), counters.clone(), clock.clone())));
        Self {
            address: config.metrics.address.clone(),
            push,
            file: config.health_file.clone(),
            health: Arc::new(Health::new(counters.clone(), clock, config.timer)),
            counters,
            archive,
            announcer,
        }
    }

    /// Takes the port and the file, and looks on; `stop` means that the daemon drains.
    ///
    /// # Errors
    /// The port or the file cannot be had.
    pub(super) async fn start(&self, stop: &CancellationToken) -> anyhow::Result<Observed> {
        let (mut tasks, ended) = (JoinSet::new(), CancellationToken::new());
        let file = self.file.as_deref().map(HealthFile::at);
        if let Some(file) = &file {
            file.write(&self.health.status()).await?;
        }
        if let Some(address) = &self.address {
            let page = Page::bind(address).await?;
            info!(address = %page.address()?, "metrics page");
            let page = page.serve(self.counters.clone(), self.health.clone());
            tasks.spawn(ended.clone().run_until_cancelled_owned(page).map(|_| ()));
        }
        let sample = sample(self.counters.clone(), self.archive.clone());
        tasks.spawn(ended.clone().run_until_cancelled_owned(sample).map(|_| ()));
        if let Some(push) = self.push.clone() {
            let ended = ended.clone();
            tasks.spawn(async move { push.run(ended).await });
        }
        if let Some(announcer) = self.announcer.clone() {
            let (stop, ended) = (stop.clone(), ended.clone());
            tasks.spawn(async move { announcer.run(stop, ended).await });
        }
        let (health, stop, all_ended) = (self.health.clone(), stop.clone(), ended.clone());
        tasks.spawn(async move { health.watch(file, stop, all_ended).await });
        Ok(Observed { tasks, ended })
    }
}

/// What this machine, or pod, is called.
pub(super) fn host() -> String {
    let told = crate::config::environment("HOSTNAME").filter(|name| !name.trim().is_empty());
    let name = told.or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok()).unwrap_or_default();
    name.trim().chars().take(63).collect()
}

/// Sets what only a breaker knows.
async fn sample(counters: Arc<Counters>, archive: Arc<Breaker>) {
    let mut ticks = interval(SAMPLE_EVERY);
    loop {
        ticks.tick().await;
        counters.archive_away.set(archive.is_open().into());
    }
}

/// Looking on.
pub(super) struct Observed {
    tasks: JoinSet<()>,
    ended: CancellationToken,
}

impl Observed {
    /// Everything else has ended: a last push, and the health file goes.
    pub(super) async fn end(mut self) {
        self.ended.cancel();
        // what takes longer is dropped with the set
        let _ = timeout(AT_THE_END, async { while self.tasks.join_next().await.is_some() {} }).await;
    }
}
