//! One running daemon: its own consumer and timer, on model edges.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    archive::Guarded,
    clock::Clock,
    consumer::{Consumer, Limits, Stop},
    counters::Counters,
    domain::Policy,
    hot::{Hot, HotStore},
    pipeline::Pipeline,
    queue::{Inbox, Leases, Queue},
    spool::{Keeper, Limits as SpoolLimits, Rules, SpoolStore, SpooledQueue},
    timer::Timer,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    answers::answers,
    archive::ModelArchive,
    hot::ModelHot,
    mutant::Mutant,
    spool::{self, ModelSpool},
    sqs::ModelQueue,
    witness::Process,
    world::{Link, World},
};

/// Who uses the archive at once, as many as the daemon has connections by default.
const CONNECTIONS: usize = 8;

/// When conversations close in the model: soon, so that a run sees many.
pub const POLICY: Policy = Policy {
    grace: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    checkpoint: Duration::from_secs(150),
    told_at: [Some(Duration::ZERO), Some(Duration::from_secs(100)), None, None],
    unfinished: Duration::from_secs(20),
    ..Policy::DEFAULT
};

/// The lease the model's daemons ask for.
pub const VISIBILITY: Duration = Duration::from_secs(30);

/// What a daemon takes on, unless a test says otherwise.
pub const LIMITS: Limits = Limits {
    wait: Duration::from_secs(10),
    pollers: 2,
    deliveries: 100,
    bytes: 96 * 1_048_576,
    drain: Duration::from_secs(15),
    attempts: super::witness::ATTEMPTS,
    retries: 3,
};

/// A clock that is off by some seconds.
pub struct SkewedClock {
    pub world: Arc<World>,
    pub ahead: TimeDelta,
}

impl Clock for SkewedClock {
    fn now(&self) -> DateTime<Utc> {
        self.world.server_time() + self.ahead
    }
}

/// A daemon.
pub struct Replica {
    alive: Arc<AtomicBool>,
    stop: Stop,
    loops: Vec<JoinHandle<()>>,
}

impl Replica {
    /// Starts daemon `who` for the `life`-th time, its clock `ahead` seconds ahead of the servers'.
    ///
    /// In half of its lives a failed turn is tried again within its receipt.
    pub fn start(world: &Arc<World>, who: u32, life: u64, ahead: i64) -> Self {
        let limits = Limits { retries: if life.is_multiple_of(2) { LIMITS.retries } else { 0 }, ..LIMITS };
        Self::start_with(world, (who, life), ahead, limits)
    }

    /// The same with limits of its own. Its leases are as long as the queue's visibility timeout.
    pub fn start_with(world: &Arc<World>, (who, life): Process, ahead: i64, limits: Limits) -> Self {
        let alive = Arc::new(AtomicBool::new(true));
        let link = Link { world: world.clone(), who, life, alive: alive.clone() };
        let (mutant, visibility) = {
            let state = world.state();
            (state.mutant, state.sqs.visibility)
        };
        let hours = Duration::from_secs(36_000);
        let lease = if mutant == Mutant::LongLeases { hours } else { visibility };
        let store: Arc<dyn HotStore> = match mutant {
            Mutant::Shipped => Arc::new(ModelHot(link.clone())),
            _ => Arc::new(super::mutant::Broken { hot: ModelHot(link.clone()), last: Default::default() }),
        };
        let counters = Arc::new(Counters::default());
        let clock: Arc<dyn Clock> = Arc::new(SkewedClock { world: world.clone(), ahead: TimeDelta::seconds(ahead) });
        let leases = Arc::new(Leases::new(lease, Duration::from_secs(300), clock.clone()));
        let instance = Uuid::from_u64_pair(u64::from(who), life);
        let queue: Arc<dyn Queue> = Arc::new(ModelQueue(link.clone()));
        let spooled = world.state().spool.on.then(|| {
            let spool: Arc<dyn SpoolStore> = Arc::new(ModelSpool(link.clone()));
            let edge = Arc::new(SpooledQueue::new(queue.clone(), spool.clone(), leases.clone()));
            let lease = if mutant == Mutant::SpoolLease { hours } else { spool::LIMITS.lease };
            let spool_limits = SpoolLimits { lease, ..spool::LIMITS };
            let rules = Rules { limits: spool_limits, bytes: u64::MAX };
            let whose = (instance, format!("replica {who}"));
            let (store, counters) = (store.clone(), counters.clone());
            (edge.clone(), Keeper::new((edge, spool), store, leases.clone(), counters, (rules, limits.wait), whose))
        });
        let edge = spooled.as_ref().map_or_else(|| queue.clone(), |(edge, _)| edge.clone() as Arc<dyn Queue>);
        let inbox = Arc::new(Inbox::over(edge, Duration::from_millis(10)));
        let pipeline = Arc::new(Pipeline {
            hot: Hot::over(store.clone(), Duration::from_millis(3)),
            archive: Arc::new(Guarded::by(Arc::default(), Arc::new(ModelArchive(link.clone())), CONNECTIONS)),
            inbox: inbox.clone(),
            leases,
            policy: POLICY,
            counters: counters.clone(),
            clock: clock.clone(),
            answers: answers(&link, &counters, &clock),
            portals: Arc::default(),
            senders: Arc::new(world.state().sqs.senders.clone()),
        });
        let consumer = Consumer::new(pipeline, limits, instance).parking(world.state().hot.parks.clone());
        let timer = Timer::new(store, inbox, clock, counters, instance);
        let stop = Stop::default();
        let (stop_consumer, stop_timer, ended) = (stop.clone(), stop.drain.clone(), CancellationToken::new());
        let consumer_ended = ended.clone();
        let mut loops = vec![
            tokio::spawn(async move {
                consumer.run(stop_consumer).await;
                consumer_ended.cancel();
            }),
            tokio::spawn(async move { timer.run(Duration::from_secs(15), stop_timer).await }),
        ];
        if let Some((_, keeper)) = spooled {
            let stop = stop.drain.clone();
            loops.push(tokio::spawn(async move { keeper.run(stop, ended).await }));
        }
        Self { alive, stop, loops }
    }

    /// kill -9: nothing of it leaves any more; what has left is on its way.
    pub fn kill(&self) {
        self.alive.store(false, Ordering::Relaxed);
        self.loops.iter().for_each(JoinHandle::abort);
    }

    /// SIGTERM.
    pub async fn terminate(&mut self) {
        self.stop.drain.cancel();
        for ended in std::mem::take(&mut self.loops) {
            let _ = ended.await;
        }
    }
}
