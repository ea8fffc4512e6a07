//! A stage for two daemons: polls one by one, and holds and refusals at named calls of the hot store.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use conversationd::{
    clock::Clock,
    consumer::{Consumer, Limits},
    counters::Counters,
    domain::{Conversation, ConversationId, EventId, Head, Message, Thread, ThreadKey},
    hot::{
        Control, Controls, Cursor, DeadLetter, DeadLetters, DueHead, Hot, HotError, HotStore, Page, Put, Row, Settled,
        Walk, Walked,
    },
    pipeline::Pipeline,
    queue::{Inbox, Leases, QueueError},
};
use serde_json::json;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::model::{
    answers::answers,
    archive::ModelArchive,
    checker::{Published, Violation, check},
    hot::ModelHot,
    mutant::{Broken, Mutant},
    replica::{POLICY, SkewedClock, VISIBILITY},
    sqs::ModelQueue,
    world::{CrashPoint, Faults, Link, World},
};

const LIMITS: Limits = Limits {
    wait: Duration::ZERO,
    pollers: 1,
    deliveries: 10,
    bytes: 1 << 20,
    drain: Duration::from_secs(1),
    attempts: 8,
    retries: 0,
};

/// A story takes less than this, unless a daemon is not held where it should be.
const PATIENCE: Duration = Duration::from_secs(10_000);

type Polling = JoinHandle<Result<usize, QueueError>>;

/// Plays a scene to its end, closes what is open, and checks.
pub fn play(mutant: Mutant, scene: impl AsyncFn(&mut Stage)) -> Vec<Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(async {
        let mut stage = Stage::new(mutant);
        scene(&mut stage).await;
        stage.ends().await
    })
}

/// The world, the publisher, and what it published.
pub struct Stage {
    world: Arc<World>,
    published: Published,
    sends: u64,
    daemons: u32,
}

impl Stage {
    fn new(mutant: Mutant) -> Self {
        let faults = Faults { longest_stall: 1, ..Faults::default() };
        let world = World::new(1, faults, mutant, true);
        {
            let mut state = world.state();
            state.sqs.visibility = VISIBILITY;
            state.sqs.locked = true;
            state.sqs.max_receive_count = 2;
        }
        let published = Published { threads: vec![Vec::new()], ..Published::default() };
        Self { world, published, sends: 0, daemons: 0 }
    }

    /// Two daemons, newly started.
    pub fn daemons(&mut self) -> [Daemon; 2] {
        [self.daemon(VISIBILITY), self.daemon(VISIBILITY)]
    }

    /// Two daemons whose clock does not tell them that a lease has ended: as if they always slept just after they looked.
    pub fn sleepwalkers(&mut self) -> [Daemon; 2] {
        [self.daemon(PATIENCE), self.daemon(PATIENCE)]
    }

    fn daemon(&mut self, leases: Duration) -> Daemon {
        self.daemons += 1;
        let alive = Arc::new(AtomicBool::new(true));
        let link = Link { world: self.world.clone(), who: self.daemons, life: 0, alive: alive.clone() };
        let hot = ModelHot(link.clone());
        let gates = Arc::new(Gates::default());
        let mutant = self.world.state().mutant;
        let store: Arc<dyn HotStore> = match mutant {
            Mutant::Shipped => Arc::new(hot),
            _ => Arc::new(Broken { hot, last: Mutex::default() }),
        };
        let inbox = Arc::new(Inbox::over(Arc::new(ModelQueue(link.clone())), Duration::from_millis(10)));
        let counters = Arc::new(Counters::default());
        let clock: Arc<dyn Clock> = Arc::new(SkewedClock { world: self.world.clone(), ahead: TimeDelta::zero() });
        let pipeline = Arc::new(Pipeline {
            hot: Hot::over(Arc::new(Gated { store, gates: gates.clone() }), Duration::from_millis(3)),
            answers: answers(&link, &counters, &clock),
            portals: Arc::default(),
            senders: Arc::default(),
            archive: Arc::new(ModelArchive(link)),
            inbox,
            leases: Arc::new(Leases::new(leases, Duration::from_secs(300), clock.clone())),
            policy: POLICY,
            counters,
            clock,
        });
        let instance = Uuid::from_u128(u128::from(self.daemons));
        Daemon { consumer: Arc::new(Consumer::new(pipeline, LIMITS, instance)), gates, alive }
    }

    /// Publishes a message for the first time.
    pub fn message(&mut self, n: u64) {
        self.published.threads[0].push(event(n));
        self.publish_message(n);
    }

    /// Publishes a message again, as if said now.
    pub fn again(&mut self, n: u64) {
        self.published.again.insert(event(n));
        self.publish_message(n);
    }

    fn publish_message(&mut self, n: u64) {
        let at = self.world.server_time();
        let message = json!({ "id": format!("{n} at {at}"), "text": "olá", "created_at": at });
        self.send("message.received", n, json!({ "message": message }));
    }

    /// Publishes a close.
    pub fn close(&mut self) {
        self.send("conversation.close", self.sends, json!({}));
    }

    /// A person takes over, with a ticket.
    pub fn taken_over(&mut self) {
        let at = self.world.server_time();
        self.send("conversation.window", self.sends, json!({ "ticket_uuid": "ticket", "created_on": at }));
    }

    /// The tickets of archived conversations.
    pub fn tickets(&self) -> Vec<String> {
        self.world.state().archive.details.values().filter_map(|details| details.ticket.clone()).collect()
    }

    fn send(&mut self, kind: &str, n: u64, said: serde_json::Value) {
        let thread = thread();
        let mut data = json!({
            "project_uuid": thread.project, "contact_urn": thread.contact, "channel_uuid": thread.channel,
        });
        if let (Some(data), serde_json::Value::Object(said)) = (data.as_object_mut(), said) {
            data.extend(said);
        }
        let body = json!({ "event_type": kind, "correlation_id": n.to_string(), "data": data }).to_string();
        self.sends += 1;
        let (at, now) = (self.world.server_time(), self.world.elapsed());
        self.world.state().sqs.send("group", &self.sends.to_string(), body.into(), at, now);
    }

    /// Lets a daemon poll until nothing comes.
    pub async fn drain(&self, daemon: &Daemon) {
        sleep(Duration::from_secs(1)).await;
        while daemon.poll().await > 0 {}
        sleep(Duration::from_secs(1)).await;
    }

    /// Lets a daemon poll until it is about to make a call, and holds it there.
    pub async fn held(&self, daemon: &Daemon, call: &'static str) -> (Hold, Polling) {
        let hold = daemon.hold(call);
        let consumer = daemon.consumer.clone();
        let polling = tokio::spawn(async move { consumer.poll_once().await });
        hold.reached().await;
        (hold, polling)
    }

    /// Every lease ends.
    pub async fn lapse(&self) {
        sleep(VISIBILITY + Duration::from_secs(1)).await;
    }

    /// What was given back comes round again.
    pub async fn pause(&self) {
        sleep(Duration::from_secs(20)).await;
    }

    /// Whoever makes the `n`-th remote call from now on dies when it was applied.
    pub fn dies_after(&self, n: u64) {
        let mut state = self.world.state();
        let call = state.calls + n - 1;
        state.crashes.push(CrashPoint::After(call));
    }

    /// What is dead-lettered comes back, what is open closes; then what must hold is checked.
    async fn ends(mut self) -> Vec<Violation> {
        self.lapse().await;
        let last = self.daemon(VISIBILITY);
        for _ in 0..2 {
            self.drain(&last).await;
            self.pause().await;
            let dead = std::mem::take(&mut self.world.state().sqs.dead);
            for letter in dead {
                self.sends += 1;
                let (at, now) = (self.world.server_time(), self.world.elapsed());
                self.world.state().sqs.send(&letter.group, &self.sends.to_string(), letter.body, at, now);
            }
            self.drain(&last).await;
            self.close();
        }
        self.drain(&last).await;
        let state = self.world.state();
        let violations = check(&state, &self.published, state.sqs.is_empty() && state.sqs.dead.is_empty());
        println!("{:?}: {violations:?}", state.mutant);
        state.trace.lines.iter().flatten().for_each(|line| println!("{line}"));
        violations
    }
}

fn thread() -> Thread {
    let named = |name: &str| Some(name.to_owned());
    Thread { project: "project".into(), contact: named("contact"), channel: named("channel"), conversation: None }
}

fn event(n: u64) -> EventId {
    EventId::derive(&thread().key(), "message.received", &n.to_string())
}

/// A daemon that does nothing by itself.
pub struct Daemon {
    consumer: Arc<Consumer>,
    gates: Arc<Gates>,
    alive: Arc<AtomicBool>,
}

impl Daemon {
    /// Receives once and handles what came. Returns how many deliveries that were.
    pub async fn poll(&self) -> usize {
        timeout(PATIENCE, self.consumer.poll_once()).await.expect("in time").expect("the queue answers")
    }

    /// The next such call waits.
    fn hold(&self, call: &'static str) -> Hold {
        let hold = Hold { reached: Arc::default(), open: Arc::default() };
        self.gates.add(call, Gate::Hold(hold.reached.clone(), hold.open.clone()));
        hold
    }

    /// The next such call fails.
    pub fn refuse(&self, call: &'static str) {
        self.gates.add(call, Gate::Refuse);
    }

    /// The next batch of puts leaves one message undone.
    pub fn refuse_put_of(&self, n: u64) {
        self.gates.add("put entry", Gate::RefuseEntry(event(n)));
    }

    /// kill -9.
    pub fn kill(&self, polling: Polling) {
        self.alive.store(false, Ordering::Relaxed);
        polling.abort();
    }
}

/// A daemon held at a call.
pub struct Hold {
    reached: Arc<Notify>,
    open: Arc<Notify>,
}

impl Hold {
    async fn reached(&self) {
        timeout(PATIENCE, self.reached.notified()).await.expect("the call is made");
    }

    /// Lets it go on, to the end of its poll.
    pub async fn go(self, polling: Polling) {
        self.open.notify_one();
        let polled = timeout(PATIENCE, polling).await.expect("in time");
        polled.expect("no panic").expect("the queue answers");
    }

    /// Lets it go on to its death.
    pub async fn go_and_die(self, daemon: &Daemon, polling: Polling) {
        self.open.notify_one();
        sleep(Duration::from_secs(1)).await;
        assert!(!daemon.alive.load(Ordering::Relaxed), "it was to die");
        polling.abort();
    }
}

/// What happens to the next call of a name.
enum Gate {
    Hold(Arc<Notify>, Arc<Notify>),
    Refuse,
    RefuseEntry(EventId),
}

#[derive(Default)]
struct Gates(Mutex<Vec<(&'static str, Gate)>>);

impl Gates {
    fn add(&self, call: &'static str, gate: Gate) {
        self.0.lock().expect("not poisoned").push((call, gate));
    }

    fn take(&self, call: &str) -> Option<Gate> {
        let mut gates = self.0.lock().expect("not poisoned");
        let place = gates.iter().position(|(name, _)| *name == call)?;
        Some(gates.remove(place).1)
    }
}

/// A hot store behind gates.
struct Gated {
    store: Arc<dyn HotStore>,
    gates: Arc<Gates>,
}

impl Gated {
    async fn pass(&self, call: &str) -> Result<(), HotError> {
        match self.gates.take(call) {
            Some(Gate::Hold(reached, open)) => {
                reached.notify_one();
                open.notified().await;
                Ok(())
            }
            Some(_) => Err(refused()),
            None => Ok(()),
        }
    }
}

fn refused() -> HotError {
    HotError::Unavailable("refused by the scene".into())
}

#[async_trait]
impl HotStore for Gated {
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
        match self.pass("heads").await {
            Ok(()) => self.store.heads(threads).await,
            Err(failure) => vec![Err(failure); threads.len()],
        }
    }

    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        let call = match head.conversation {
            Conversation::Open(_) => "head_open",
            Conversation::Closing(_) => "head_closing",
            Conversation::Closed(_) => "head_closed",
        };
        self.pass(call).await?;
        self.store.write_head(thread, head).await
    }

    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>> {
        if let Err(failure) = self.pass("put").await {
            return vec![Err(failure); puts.len()];
        }
        let undone = match self.gates.take("put entry") {
            Some(Gate::RefuseEntry(event)) => puts.iter().position(|put| put.message.event_id == event),
            _ => None,
        };
        let mut done = puts;
        undone.map(|place| done.remove(place));
        let mut results = self.store.put_messages(done).await;
        if let Some(place) = undone {
            results.insert(place, Err(refused()));
        }
        results
    }

    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        self.pass("page").await?;
        self.store.page(thread, conversation, after).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError> {
        self.pass("walk").await?;
        self.store.walk(walk).await
    }

    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        self.store.last_received(thread, conversation).await
    }

    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        self.pass("overtook").await?;
        self.store.overtook(thread, conversation, message).await
    }

    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError> {
        self.store.due(shard, until, limit).await
    }

    async fn charge(&self, message_id: &str, attempts: i32, until: DateTime<Utc>) -> Result<u32, HotError> {
        self.store.charge(message_id, attempts, until).await
    }

    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        self.store.write_dead_letter(letter).await
    }

    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError> {
        self.store.dead_letters(day, after).await
    }

    async fn mark_dead_letter(&self, at: DateTime<Utc>, id: &str, settled: Settled) -> Result<bool, HotError> {
        self.store.mark_dead_letter(at, id, settled).await
    }

    async fn write_row(&self, row: &Row) -> Result<bool, HotError> {
        self.store.write_row(row).await
    }

    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        self.store.rows(partition, prefix).await
    }

    async fn controls(&self) -> Result<Controls, HotError> {
        self.store.controls().await
    }

    async fn control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        self.store.control(control, at).await
    }
}
