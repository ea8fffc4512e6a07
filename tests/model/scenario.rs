//! One run: publishers, replicas and a nemesis in a first phase; then no new faults, a redrive, and the system must come to rest.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use conversationd::domain::{EventId, Thread};
use serde_json::json;
use tokio::{task::JoinHandle, time::sleep};

use super::{
    checker::{Published, Violation, archived, at_rest, check, lost},
    life,
    mutant::Mutant,
    questions,
    replica::{Replica, VISIBILITY},
    rng::Rng,
    spool,
    sqs::Dead,
    witness::{Breach, Witness},
    world::{CrashPoint, Faults, World, short},
};

/// What a run is asked to do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub seed: u64,
    pub mutant: Mutant,
    /// Keep the trace as lines.
    pub trace: bool,
    /// No faults but these crashes.
    pub crashes: Option<Vec<CrashPoint>>,
    /// Watch the consumer's laws, with the queue's own redrive policy at so many receipts; some messages are refused by the
    /// store, and processes nap between their calls.
    pub watched: Option<u32>,
}

/// How it went.
#[derive(Debug)]
pub struct Outcome {
    pub violations: Vec<Violation>,
    pub breaches: Vec<Breach>,
    /// Calls that were watched, by name.
    pub watched: BTreeMap<&'static str, u64>,
    pub hash: u64,
    pub calls: u64,
    pub sometimes: BTreeMap<&'static str, u64>,
    pub trace: Vec<String>,
    pub messages: usize,
    /// Where each message stands in the archive: the place of its conversation in the thread, and the message.
    pub archived: Vec<(Option<usize>, EventId)>,
    /// Published, and nowhere in the archive.
    pub lost: Vec<EventId>,
}

/// Operations that a seed may make prone to stalls.
const OPERATIONS: [&str; 13] = [
    "heads",
    "head_open",
    "head_closing",
    "head_closed",
    "put",
    "page",
    "lock",
    "insert",
    "commit",
    "delete",
    "receive",
    "overtook",
    "rows",
];

/// How long a system without new faults may take to come to rest, in steps of half a minute: two hours.
const PATIENCE: u32 = 240;

/// What one seed decides beyond the network's faults.
struct Shape {
    replicas: u32,
    contacts: u64,
    messages: u64,
    kills: u64,
    stops: bool,
    resend: bool,
    redrive: bool,
    poison: bool,
    early_close: u64,
    max_receive_count: u32,
    skewed: bool,
    two_groups: bool,
    /// How often something else than a message happens.
    life: u64,
    /// How often somebody asks.
    asks: u64,
}

/// Runs a plan on a runtime of its own, in simulated time.
pub fn run(plan: &Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(scenario(plan.clone()))
}

fn shape(rng: &mut Rng, calm: bool) -> (Faults, Shape) {
    let operation = |rng: &mut Rng, permille| match rng.strength(permille, OPERATIONS.len() as u64) {
        0 => "",
        n => OPERATIONS[n as usize - 1],
    };
    let faults = Faults {
        refused: rng.strength(500, 60),
        lost: rng.strength(500, 60),
        slow: rng.strength(400, 60),
        stall: rng.strength(400, 30),
        throttled: rng.strength(300, 150),
        partial: rng.strength(400, 100),
        hot: [operation(rng, 700), operation(rng, 500), operation(rng, 300)],
        hot_stall: 50 + rng.strength(1000, 450),
        longest_stall: [40_000, 120_000, 400_000][rng.strength(700, 2) as usize],
        nap: 0,
    };
    let shape = Shape {
        early_close: rng.strength(500, 500),
        kills: rng.strength(600, 40),
        stops: rng.chance(300),
        resend: rng.chance(400),
        redrive: rng.chance(700),
        poison: rng.chance(300),
        replicas: 2 + rng.below(2) as u32,
        contacts: 1 + rng.below(3),
        messages: 2 + rng.below(6),
        max_receive_count: 2 + rng.below(4) as u32,
        skewed: rng.chance(300),
        two_groups: rng.chance(100),
        life: 0,
        asks: 0,
    };
    let quiet = Shape {
        replicas: 2,
        contacts: 1,
        messages: 4,
        kills: 0,
        stops: false,
        resend: false,
        redrive: false,
        poison: false,
        early_close: 0,
        max_receive_count: 100,
        skewed: false,
        two_groups: false,
        life: 0,
        asks: 0,
    };
    if calm { (Faults { longest_stall: 1, ..Faults::default() }, quiet) } else { (faults, shape) }
}

async fn scenario(plan: Plan) -> Outcome {
    let mut rng = Rng(plan.seed);
    let calm = plan.crashes.is_some();
    let (mut faults, mut shape) = shape(&mut rng, calm);
    if let Some(most) = plan.watched {
        faults.nap = rng.strength(500, 40);
        (shape.max_receive_count, shape.two_groups, shape.poison) = (most, false, rng.chance(500));
    } else if !calm {
        shape.life = rng.strength(500, 500);
        shape.asks = rng.strength(500, 500);
    }
    let world = World::new(plan.seed, faults, plan.mutant, plan.trace);
    {
        let mut state = world.state();
        state.sqs.visibility = VISIBILITY;
        state.sqs.locked = plan.mutant != Mutant::NoGroupLock;
        state.sqs.max_receive_count = shape.max_receive_count;
        state.crashes = plan.crashes.clone().unwrap_or_default();
        if plan.watched.is_some() {
            state.witness = Some(Witness::of(shape.contacts));
            let refused = rng.strength(300, shape.messages);
            state.hot.refused.extend((refused > 0).then(|| message_id(&thread(0), refused)));
        }
    }
    // drawn apart: other seeds' runs stay what they are
    let mut apart = Rng(plan.seed ^ 0x5900);
    let spools = !calm && plan.watched.is_none() && apart.chance(400);
    world.state().spool.on = spools;
    let outages = spools.then(|| tokio::spawn(spool::outages(world.clone(), apart, shape.replicas)));
    let nemesis = tokio::spawn(nemesis(world.clone(), shape.replicas, shape.kills, shape.stops, shape.skewed));
    let mut published = publish(&world, &mut rng, &shape, calm).await;
    sleep(Duration::from_secs(if calm { 10 } else { 120 })).await;
    {
        let mut state = world.state();
        state.faults = Faults { longest_stall: 1, ..Faults::default() };
        state.hot.refused.clear();
        outages.iter().for_each(JoinHandle::abort);
        state.cut.clear();
    }
    let mut drained = false;
    for _ in 0..PATIENCE {
        redrive(&world, &mut published);
        sleep(Duration::from_secs(30)).await;
        if at_rest(&world.state()) {
            drained = true;
            break;
        }
    }
    nemesis.abort();
    let now = world.elapsed();
    let mut state = world.state();
    super::witness::archived(&mut state, now);
    let witness = state.witness.take();
    Outcome {
        violations: check(&state, &published, drained),
        watched: witness.as_ref().map(|witness| witness.seen.clone()).unwrap_or_default(),
        breaches: witness.map(|witness| witness.breaches).unwrap_or_default(),
        hash: state.trace.hash,
        calls: state.calls,
        sometimes: state.sometimes.clone(),
        messages: state.archive.messages.len(),
        archived: archived(&state),
        lost: lost(&state, &published),
        trace: state.trace.lines.take().unwrap_or_default(),
    }
}

pub fn thread(contact: u64) -> Thread {
    let contact = Some(format!("contact {contact}"));
    Thread { project: "project".into(), contact, channel: Some("channel".into()), conversation: None }
}

/// Whether a body is one that nobody can decode.
pub fn is_poison(body: &str) -> bool {
    body.starts_with("poison")
}

/// Bursts with pauses between them, so that conversations close and others open.
async fn publish(world: &Arc<World>, rng: &mut Rng, shape: &Shape, calm: bool) -> Published {
    let mut published = Published { threads: vec![Vec::new(); shape.contacts as usize], ..Published::default() };
    let mut sends = 0;
    for n in 1..=shape.messages {
        for contact in 0..shape.contacts {
            let gap = if rng.chance(300) { 60_000 + rng.below(120_000) } else { rng.below(4_000) };
            sleep(Duration::from_millis(if calm { 500 } else { gap })).await;
            let thread = thread(contact);
            let group = |rng: &mut Rng| match shape.two_groups && rng.chance(300) {
                true => format!("other {contact}"),
                false => format!("group {contact}"),
            };
            let event = message_id(&thread, n);
            published.threads[contact as usize].push(event);
            if shape.two_groups {
                published.again.insert(event);
            }
            send(world, &group(rng), &mut sends, message(world, &thread, n));
            if shape.life > 0 && rng.chance(shape.life) {
                let at = group(rng);
                life::publish(world, &at, rng, &mut sends, &thread, n, &mut published);
            }
            if shape.asks > 0 && rng.chance(shape.asks) {
                let at = group(rng);
                questions::ask(world, &at, rng, &mut sends, contact as usize, &mut published);
            }
            if rng.chance(shape.early_close) || (calm && n == shape.messages) {
                let kind = if rng.chance(500) || calm { "session.closed" } else { "conversation.close" };
                send(world, &group(rng), &mut sends, ending(&thread, kind, n));
            }
            if shape.resend && rng.chance(150) {
                let again = 1 + rng.below(n);
                published.again.insert(message_id(&thread, again));
                send(world, &group(rng), &mut sends, message(world, &thread, again));
                world.state().saw("a publisher sent a message again");
            }
            if shape.poison && rng.chance(50) {
                published.poison += 1;
                send(world, &group(rng), &mut sends, "poison {".into());
            }
        }
        if shape.redrive && rng.chance(200) {
            redrive(world, &mut published);
        }
    }
    published
}

/// A message, said now: sent again it has a new id and a new time, as real publishers do.
pub fn message(world: &World, thread: &Thread, n: u64) -> String {
    json!({
        "event_type": "message.received",
        "correlation_id": n.to_string(),
        "data": {
            "project_uuid": thread.project,
            "contact_urn": thread.contact,
            "channel_uuid": thread.channel,
            "message": { "id": format!("{n} at {:?}", world.elapsed()), "text": "olá", "created_at": world.server_time() },
        },
    })
    .to_string()
}

/// The id of a thread's `n`-th message.
pub fn message_id(thread: &Thread, n: u64) -> EventId {
    EventId::derive(&thread.key(), "message.received", &n.to_string())
}

pub fn ending(thread: &Thread, kind: &str, n: u64) -> String {
    json!({
        "event_type": kind,
        "correlation_id": format!("end {n}"),
        "data": {
            "project_uuid": thread.project,
            "contact_urn": thread.contact,
            "channel_uuid": thread.channel,
            "session_id": format!("session {n}"),
        },
    })
    .to_string()
}

/// Returns its number in the queue.
pub fn send(world: &World, group: &str, sends: &mut u64, body: String) -> Option<u64> {
    *sends += 1;
    let (at, now) = (world.server_time(), world.elapsed());
    let mut state = world.state();
    let number = state.sqs.send(group, &format!("publisher {sends}"), body.as_str().into(), at, now);
    state.note(now, 9, "publish");
    state.detail(|| format!(" {number:?} {}", redriven(&body).map(short).unwrap_or_default()));
    drop(state);
    world.sent.notify_waiters();
    number
}

/// An operator's redrive: everything that can be handled goes back, as new messages.
fn redrive(world: &World, published: &mut Published) {
    let (at, now) = (world.server_time(), world.elapsed());
    let mut state = world.state();
    let dead: Vec<Dead> = std::mem::take(&mut state.sqs.dead);
    let (poison, healthy): (Vec<Dead>, Vec<Dead>) = dead.into_iter().partition(|dead| is_poison(&dead.body));
    state.sqs.dead = poison;
    for letter in healthy {
        state.hot.settle_row(&letter.message_id, at);
        state.saw("a dead letter was redriven");
        if let Some(event) = redriven(&letter.body) {
            published.again.insert(event);
        }
        let fresh = format!("redrive {} {}", now.as_micros(), state.calls);
        let said = redriven(&letter.body).map(short).unwrap_or_default();
        let body = letter.body.clone();
        let number = state.sqs.send(&letter.group, &format!("{fresh} {}", letter.body.len()), letter.body, at, now);
        published.life.sent(&body, number);
        state.note(now, 9, "redrive");
        state.detail(|| format!(" {number:?} {said}"));
        state.calls += 1;
    }
    drop(state);
    world.sent.notify_waiters();
}

fn redriven(body: &str) -> Option<EventId> {
    let body: serde_json::Value = serde_json::from_str(body).ok()?;
    let contact = body["data"]["contact_urn"].as_str()?.strip_prefix("contact ")?.parse().ok()?;
    Some(EventId::derive(&thread(contact).key(), body["event_type"].as_str()?, body["correlation_id"].as_str()?))
}

/// Starts the replicas; kills them, stops them, and starts those that died at a crash point again.
async fn nemesis(world: Arc<World>, replicas: u32, kills: u64, stops: bool, skewed: bool) {
    let skew = |world: &World| match skewed {
        true => world.state().rng.below(60) as i64 - 30,
        false => 0,
    };
    let mut life = 0;
    let mut running: Vec<Replica> = (0..replicas).map(|who| Replica::start(&world, who, 0, skew(&world))).collect();
    let mut restarts: Vec<JoinHandle<u32>> = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = world.doom.notified() => {
                for who in std::mem::take(&mut world.state().doomed) {
                    running[who as usize].kill();
                    restarts.push(tokio::spawn(async move { sleep(Duration::from_secs(3)).await; who }));
                }
            }
            who = async { restarts.last_mut().expect("some").await }, if !restarts.is_empty() => {
                restarts.pop();
                life += 1;
                if let Ok(who) = who {
                    running[who as usize] = Replica::start(&world, who, life, skew(&world));
                }
            }
            () = sleep(Duration::from_millis(200)) => {
                let (kill, stop, who) = {
                    let mut state = world.state();
                    let calm = state.faults.hot_stall == 0;
                    let rng = &mut state.rng;
                    let (kill, stop) = (!calm && rng.chance(kills / 2), !calm && stops && rng.chance(5));
                    (kill, stop, rng.below(u64::from(replicas)) as u32)
                };
                if kill || stop {
                    life += 1;
                    if stop {
                        world.state().saw("a replica was stopped gracefully");
                        running[who as usize].terminate().await;
                    } else {
                        world.state().saw("a replica was killed");
                        running[who as usize].kill();
                    }
                    running[who as usize] = Replica::start(&world, who, life, skew(&world));
                }
            }
        }
    }
}
