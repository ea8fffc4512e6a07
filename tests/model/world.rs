//! The world outside the daemon, and the one way to reach it: [`Link::io`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::queue::Reply;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, sleep, timeout},
};

use super::{
    archive::ArchiveState,
    hot::HotState,
    mutant::Mutant,
    rng::Rng,
    spool::SpoolState,
    sqs::SqsState,
    witness::{About, Call, Witness},
};

/// How long a caller waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The faults of one seed; probabilities in permille.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// The request never arrives.
    pub refused: u64,
    /// It is applied, and the answer is lost.
    pub lost: u64,
    /// It lands up to 20 s late, when the caller has given up: a ghost.
    pub slow: u64,
    /// The caller sleeps before it sends, beyond its lease: a zombie.
    pub stall: u64,
    /// A write is throttled.
    pub throttled: u64,
    /// Some of a batch is done and some is not.
    pub partial: u64,
    /// Operations that stall often.
    pub hot: [&'static str; 3],
    /// How often these stall.
    pub hot_stall: u64,
    /// Longest stall, in milliseconds.
    pub longest_stall: u64,
    /// The caller sleeps when the answer has come, beyond its lease: suspended between two calls.
    pub nap: u64,
}

/// Where to kill, for crash enumeration: before the n-th call leaves, or after it was applied and before its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    Before(u64),
    After(u64),
}

/// What may be cut by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Road {
    Hot,
    Spool,
}

/// The road that an operation takes.
fn road(what: &str) -> Option<Road> {
    match what {
        "heads" | "head_open" | "head_closing" | "head_closed" | "put" | "page" | "walk" | "overtook"
        | "last_received" | "due" | "charge" | "control" | "controls" | "dead_letter_row" | "dead_letters"
        | "mark_dead_letter" | "rows" | "write_row" => Some(Road::Hot),
        _ => what.starts_with("spool_").then_some(Road::Spool),
    }
}

/// Everything outside the daemon.
pub struct State {
    pub rng: Rng,
    pub faults: Faults,
    pub mutant: Mutant,
    pub sqs: SqsState,
    pub hot: HotState,
    pub archive: ArchiveState,
    pub spool: SpoolState,
    /// What was sent to reply queues.
    pub replies: Vec<Reply>,
    /// How often a reply was tried, by its deduplication id.
    pub reply_attempts: BTreeMap<String, u32>,
    /// Remote calls so far.
    pub calls: u64,
    pub crashes: Vec<CrashPoint>,
    /// Replicas to be killed and started again.
    pub doomed: Vec<u32>,
    /// Things that happened which a good search must have seen.
    pub sometimes: BTreeMap<&'static str, u64>,
    pub trace: Trace,
    /// Operations that never arrive, for now.
    pub down: BTreeSet<&'static str>,
    /// Roads of replicas on which nothing gets through, for now.
    pub cut: BTreeSet<(u32, Road)>,
    /// Operations whose next answer is lost.
    pub lose_next: BTreeSet<&'static str>,
    /// Operations whose next call never arrives.
    pub refuse_next: BTreeSet<&'static str>,
    /// Operations that are slow, and by how much: their callers wait for them, however long.
    pub pace: BTreeMap<&'static str, Duration>,
    /// Replicas that are suspended: what they send leaves, and what comes for them arrives, when they wake.
    pub suspended: BTreeSet<u32>,
    /// Watches the consumer's laws, when somebody asks about them.
    pub witness: Option<Box<Witness>>,
}

/// The first digits of an id, for the trace.
pub fn short(id: impl std::fmt::Display) -> String {
    id.to_string()[..6].to_owned()
}

/// What happened, as a hash and, when asked for, as lines.
pub struct Trace {
    pub hash: u64,
    pub lines: Option<Vec<String>>,
}

impl State {
    /// Notes that something worth seeing happened.
    pub fn saw(&mut self, what: &'static str) {
        *self.sometimes.entry(what).or_default() += 1;
    }

    /// Says more of what just happened.
    pub fn detail(&mut self, detail: impl FnOnce() -> String) {
        if let Some(line) = self.trace.lines.as_mut().and_then(|lines| lines.last_mut()) {
            line.push_str(&detail());
        }
    }

    /// Begins a line of the trace.
    pub fn note(&mut self, at: Duration, who: u32, what: &str) {
        let mut hash = self.trace.hash;
        for byte in what.bytes().chain(at.as_millis().to_le_bytes()).chain(who.to_le_bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.trace.hash = hash.rotate_left(7);
        if let Some(lines) = &mut self.trace.lines {
            lines.push(format!("{:>10.3}s  replica {who}  {what:<14}", at.as_secs_f64()));
        }
    }
}

/// The shared world.
pub struct World {
    state: Mutex<State>,
    began: Instant,
    /// How far the world's clocks have left this machine's monotonic clock behind.
    ahead: Mutex<Duration>,
    /// Something was sent: an idle poll may look again.
    pub sent: Notify,
    /// Somebody is doomed.
    pub doom: Notify,
}

impl World {
    pub fn new(seed: u64, faults: Faults, mutant: Mutant, trace: bool) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                rng: Rng(seed ^ 0xabcd),
                faults,
                mutant,
                sqs: SqsState::default(),
                hot: HotState::default(),
                archive: ArchiveState::default(),
                spool: SpoolState::default(),
                replies: Vec::new(),
                reply_attempts: BTreeMap::new(),
                calls: 0,
                crashes: Vec::new(),
                doomed: Vec::new(),
                sometimes: BTreeMap::new(),
                trace: Trace { hash: 0xcbf2_9ce4_8422_2325, lines: trace.then(Vec::new) },
                down: BTreeSet::new(),
                cut: BTreeSet::new(),
                lose_next: BTreeSet::new(),
                refuse_next: BTreeSet::new(),
                pace: BTreeMap::new(),
                suspended: BTreeSet::new(),
                witness: None,
            }),
            began: Instant::now(),
            ahead: Mutex::default(),
            sent: Notify::new(),
            doom: Notify::new(),
        })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the model does not panic while it holds the world")
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed() + *self.ahead.lock().expect("not poisoned")
    }

    /// The machines stand still for so long: the world's time goes on, their monotonic clocks do not.
    pub fn stands_still(&self, time: Duration) {
        *self.ahead.lock().expect("not poisoned") += time;
    }

    /// The server's clock: what SQS stamps.
    pub fn server_time(&self) -> DateTime<Utc> {
        let elapsed = TimeDelta::from_std(self.elapsed()).expect("in range");
        DateTime::from_timestamp(1_795_240_800, 0).expect("in range") + elapsed
    }
}

/// A call that was not answered, or was answered with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

/// One replica's way to the world.
#[derive(Clone)]
pub struct Link {
    pub world: Arc<World>,
    pub who: u32,
    /// The how-manieth start of that replica this is: both name a process.
    pub life: u64,
    /// False once killed: nothing of a dead process leaves any more.
    pub alive: Arc<AtomicBool>,
}

impl Link {
    /// One remote call. The request travels on its own: neither the caller's death nor its impatience takes it back.
    pub async fn io<T: Send + 'static>(
        &self,
        what: &'static str,
        write: bool,
        apply: impl FnOnce(&mut State, Duration) -> T + Send + 'static,
    ) -> Result<T, Unanswered> {
        if !self.alive.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let plan = self.plan(what, write);
        if plan.crash == Some(false) {
            self.die().await;
        }
        let pace = self.world.state().pace.get(what).copied();
        if let Some(pace) = pace {
            sleep(pace).await;
        }
        if plan.stall > 0 {
            sleep(Duration::from_millis(plan.stall)).await;
        }
        self.awake().await;
        let (reply, answer) = oneshot::channel();
        let (world, who) = (self.world.clone(), self.who);
        tokio::spawn(async move {
            sleep(Duration::from_millis(plan.there)).await;
            if plan.refused {
                return;
            }
            let at = world.elapsed();
            let answer = {
                let mut state = world.state();
                state.note(at, who, what);
                let answer = apply(&mut state, at);
                if plan.lost {
                    state.detail(|| " (answer lost)".into());
                }
                answer
            };
            sleep(Duration::from_millis(plan.back)).await;
            if !plan.lost {
                let _ = reply.send(answer);
            }
        });
        if plan.crash == Some(true) {
            sleep(Duration::from_millis(plan.there + 1)).await;
            self.die().await;
        }
        let answer = timeout(PATIENCE, answer).await;
        if plan.nap > 0 {
            sleep(Duration::from_millis(plan.nap)).await;
        }
        self.awake().await;
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) | Err(_) => Err(Unanswered),
        }
    }

    /// Waits while this process is suspended; for ever once it is dead.
    async fn awake(&self) {
        while self.world.state().suspended.contains(&self.who) {
            sleep(Duration::from_millis(100)).await;
        }
        if !self.alive.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// Tells the witness, if there is one, that this process begins a call about some threads or deliveries; and, when the
    /// returned value is dropped, that it no longer waits for it.
    pub fn doing(&self, what: &'static str, about: impl FnOnce(&State) -> Vec<About>) -> Option<Doing> {
        if !self.alive.load(Ordering::Relaxed) {
            return None;
        }
        let now = self.world.elapsed();
        let number = super::witness::begins(&mut self.world.state(), || (self.who, self.life), what, about, now)?;
        Some(Doing { world: self.world.clone(), number })
    }

    async fn die(&self) {
        self.alive.store(false, Ordering::Relaxed);
        self.world.state().doomed.push(self.who);
        self.world.doom.notify_one();
        std::future::pending::<()>().await;
    }

    fn plan(&self, what: &'static str, write: bool) -> Plan {
        let mut state = self.world.state();
        let state = &mut *state;
        let call = state.calls;
        state.calls += 1;
        let cut = road(what).is_some_and(|road| state.cut.contains(&(self.who, road)));
        let down = cut || state.down.contains(what) || state.refuse_next.remove(what);
        let lose = state.lose_next.remove(what);
        let (rng, faults) = (&mut state.rng, state.faults);
        let slow = if rng.chance(faults.slow) { rng.below(20_000) } else { 0 };
        let stalls = if faults.hot.contains(&what) { faults.hot_stall } else { faults.stall };
        let stall = match rng.chance(stalls) {
            true if rng.chance(500) => 22_000 + rng.below(20_000),
            true => rng.below(faults.longest_stall),
            false => 0,
        };
        // drawn only where asked for: other worlds' seeds stay what they are
        let naps = faults.nap > 0 && what != "receive" && rng.chance(faults.nap);
        let nap = if naps { 20_000 + rng.below(60_000) } else { 0 };
        let throttled = if write { faults.throttled } else { 0 };
        let plan = Plan {
            stall,
            nap,
            there: 1 + rng.below(15) + slow,
            back: 1 + rng.below(10),
            refused: rng.chance(faults.refused + throttled) || down,
            lost: rng.chance(faults.lost) || lose,
            crash: state.crashes.iter().find_map(|point| match point {
                CrashPoint::Before(n) if *n == call => Some(false),
                CrashPoint::After(n) if *n == call => Some(true),
                _ => None,
            }),
        };
        if plan.stall > 30_000 {
            state.saw("a caller slept through its lease");
        }
        if plan.lost {
            state.saw("an answer was lost");
        }
        if slow > 5_000 {
            state.saw("a call landed after its caller gave up");
        }
        plan
    }
}

/// A call that its caller still waits for.
pub struct Doing {
    world: Arc<World>,
    number: Call,
}

impl Drop for Doing {
    fn drop(&mut self) {
        super::witness::ends(&mut self.world.state(), self.number);
    }
}

struct Plan {
    stall: u64,
    nap: u64,
    there: u64,
    back: u64,
    refused: bool,
    lost: bool,
    /// Die before the call (false) or after it was applied (true).
    crash: Option<bool>,
}
