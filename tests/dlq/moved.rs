//! The mover itself on the model queue, with a faulty network, killed and begun again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use conversationd::{
    clock::Clock,
    hot::DeadLetter,
    operate::dlq::{
        journal::Journal,
        mover::{Moved, Mover},
        wanted::Wanted,
    },
    queue::{DeadLetterReason, Delivery, Leases, Note, Receipt},
};
use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::model::{
    hot::ModelHot,
    mutant::Mutant,
    sqs::ModelQueue,
    world::{Faults, Link, World},
};

const VISIBILITY: Duration = Duration::from_secs(60);

struct ModelClock(Arc<World>);

impl Clock for ModelClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.server_time()
    }
}

/// Two queues: the dead letters, and where they came from.
struct Queues {
    dead: Arc<World>,
    inbound: Arc<World>,
    journal: PathBuf,
}

fn world(seed: u64, faults: Faults) -> Arc<World> {
    let world = World::new(seed, Faults { longest_stall: 1, ..faults }, Mutant::Shipped, false);
    let mut state = world.state();
    (state.sqs.visibility, state.sqs.max_receive_count, state.sqs.locked) = (VISIBILITY, u32::MAX, true);
    drop(state);
    world
}

fn depth(world: Arc<World>) -> Box<dyn Fn() -> BoxFuture<'static, u64> + Send + Sync> {
    Box::new(move || {
        let depth = world.state().sqs.groups().map(|(_, letters)| letters as u64).sum();
        Box::pin(std::future::ready(depth))
    })
}

/// The `n`th letter as the daemon leaves it, with its code.
fn letter(n: usize, group: &str, code: &str, at: DateTime<Utc>) -> (Note, Arc<str>) {
    let body: Arc<str> = format!("letter {n}").into();
    let delivery = Delivery {
        message_id: format!("m{n}"),
        receipt: Receipt("r".into()),
        group_id: group.into(),
        sequence: conversationd::domain::Sequence(n as u128),
        sent_at: at,
        receive_count: 1,
        body: body.clone(),
        attributes: BTreeMap::new(),
    };
    let reason = DeadLetterReason { code: code.into(), field: None, reason: "for a test".into() };
    (Note::of(&delivery, &reason, "q.fifo"), body)
}

impl Queues {
    /// `letters` letters in `groups` groups; every third of a code of its own.
    fn filled(name: &str, letters: usize, groups: usize, dead: Faults, inbound: Faults) -> Self {
        let journal = std::env::temp_dir().join(format!("conversationd-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&journal);
        let queues = Self { dead: world(1, dead), inbound: world(2, inbound), journal };
        let at = queues.dead.server_time();
        for n in 0..letters {
            let group = format!("group {}", n % groups);
            let code = if n % 3 == 0 { "third" } else { "other" };
            let (note, body) = letter(n, &group, code, at);
            let row = DeadLetter {
                sent_at: at,
                message_id: format!("m{n}"),
                group_id: group.clone(),
                project: None,
                event_type: None,
                code: code.into(),
                field: None,
                reason: String::new(),
                attempts: 1,
                bytes: body.len(),
                redrives: 0,
                redrive_run: None,
                settled: None,
            };
            queues.inbound.state().hot.dead_letters.insert((at, format!("m{n}")), row);
            let attributes = note.attributes(&BTreeMap::new(), body.len());
            let sent =
                queues.dead.state().sqs.send_with(&group, &format!("m{n}"), body, attributes, at, Duration::ZERO);
            assert!(sent.is_some());
        }
        queues
    }

    fn link(&self, world: &Arc<World>, alive: &Arc<AtomicBool>) -> Link {
        Link { world: world.clone(), who: 0, life: 0, alive: alive.clone() }
    }

    fn mover(&self, wanted: Wanted, alive: &Arc<AtomicBool>, journal: &Path) -> Mover {
        let journal = Journal::open(journal, "dlq.fifo", format!("run {:?}", self.dead.elapsed())).expect("a journal");
        let clock = Arc::new(ModelClock(self.dead.clone()));
        Mover {
            from: Arc::new(ModelQueue(self.link(&self.dead, alive))),
            to: Arc::new(ModelQueue(self.link(&self.inbound, alive))),
            index: Arc::new(ModelHot(self.link(&self.inbound, alive))),
            leases: Leases::new(VISIBILITY, Duration::from_secs(36_000), clock.clone()),
            clock,
            wanted,
            rate: 100,
            idle: Duration::from_secs(5),
            depth: journal.was_interrupted().then(|| depth(self.dead.clone())),
            journal: Mutex::new(journal),
            stop: CancellationToken::new(),
            progress: Box::new(|_| {}),
        }
    }

    async fn run(&self, wanted: Wanted) -> Moved {
        self.mover(wanted, &Arc::new(AtomicBool::new(true)), &self.journal).run(u64::MAX).await
    }

    /// Runs for a while, then dies: nothing of it leaves any more.
    async fn killed_after(&self, time: Duration) {
        let alive = Arc::new(AtomicBool::new(true));
        let mover = self.mover(Wanted::default(), &alive, &self.journal);
        assert!(tokio::time::timeout(time, mover.run(u64::MAX)).await.is_err(), "it was to be interrupted");
        alive.store(false, Ordering::Relaxed);
    }

    fn arrived(&self) -> BTreeMap<String, Vec<usize>> {
        let number = |body: &Arc<str>| body.trim_start_matches("letter ").parse().expect("a number");
        let groups = self.inbound.state().sqs.bodies();
        groups.into_iter().map(|(group, bodies)| (group, bodies.iter().map(number).collect())).collect()
    }

    fn done(self) {
        let _ = fs::remove_file(&self.journal);
    }
}

/// Every letter once, each group in its order.
fn all_in_order(arrived: &BTreeMap<String, Vec<usize>>, letters: usize) {
    assert!(arrived.values().all(|numbers| numbers.is_sorted()), "an order was lost");
    let numbers: Vec<usize> = arrived.values().flatten().copied().collect();
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert_eq!((numbers.len(), distinct.len()), (letters, letters));
}

/// Two sends in a hundred fail, half of them after they arrived; so do deletes.
const UNSTEADY: Faults = Faults {
    refused: 10,
    lost: 10,
    slow: 0,
    stall: 0,
    throttled: 0,
    partial: 20,
    hot: ["", "", ""],
    hot_stall: 0,
    longest_stall: 1,
    nap: 0,
};

#[tokio::test(start_paused = true)]
async fn ten_thousand_letters_arrive_once_and_in_order_though_sends_fail_and_runs_are_killed() {
    let queues = Queues::filled("ten-thousand", 10_000, 300, UNSTEADY, UNSTEADY);
    for seconds in [40, 30, 5] {
        queues.killed_after(Duration::from_secs(seconds)).await;
        let journal = Journal::open(&queues.journal, "dlq.fifo", "another".into()).expect("a journal");
        assert!(journal.was_interrupted() && journal.run() != "another", "the next run goes on with this one");
        tokio::time::sleep(VISIBILITY).await;
    }
    let first = queues.arrived().values().map(Vec::len).sum::<usize>();
    assert!(first > 1_000 && first < 9_000, "{first} before the last run");
    let moved = queues.run(Wanted::default()).await;
    assert_eq!(moved.failure, None);
    assert!(moved.sent_before > 0, "no letter was sent and not yet deleted when a run was killed");
    all_in_order(&queues.arrived(), 10_000);
    assert!(queues.dead.state().sqs.is_empty());
    let unmarked = queues.inbound.state().hot.dead_letters.values().filter(|row| row.settled.is_none()).count();
    assert!(unmarked < 400, "{unmarked} rows are not marked: only those whose mark failed");
    println!("{first} before the last run, then {moved:?}, {unmarked} rows unmarked");
    queues.done();
}

/// Taken up again when the inbound queue has forgotten what it was sent, the journal alone keeps letters from being sent twice:
/// all but those that were on their way when the run was killed, sent and not yet noted.
#[tokio::test(start_paused = true)]
async fn a_run_taken_up_much_later_sends_again_only_what_was_on_its_way() {
    let queues = Queues::filled("much-later", 2_000, 60, UNSTEADY, UNSTEADY);
    let kills = 3;
    for _ in 0..kills {
        queues.killed_after(Duration::from_secs(4)).await;
        tokio::time::sleep(Duration::from_secs(600)).await;
    }
    let moved = queues.run(Wanted::default()).await;
    assert_eq!(moved.failure, None);
    let arrived = queues.arrived();
    assert!(arrived.values().all(|numbers| numbers.is_sorted()), "an order was lost");
    let numbers: Vec<usize> = arrived.values().flatten().copied().collect();
    let distinct: BTreeSet<usize> = numbers.iter().copied().collect();
    assert_eq!(distinct.len(), 2_000, "a letter was lost");
    let twice = numbers.len() - distinct.len();
    println!("{twice} letters were sent twice, {} were sent before and only deleted", moved.sent_before);
    assert!(twice <= kills * conversationd::queue::BATCH, "{twice} letters were sent twice");
    queues.done();
}

#[tokio::test(start_paused = true)]
async fn letters_that_are_not_asked_for_stay_where_they_are() {
    let queues = Queues::filled("filtered", 60, 5, Faults::default(), Faults::default());
    // how deep into a group one receive reaches is chance: said again, it goes on
    let mut moved = 0;
    while moved < 20 {
        moved += queues.run(Wanted { code: Some("third".into()), ..Wanted::default() }).await.moved;
    }
    assert_eq!(moved, 20);
    assert!(queues.arrived().values().flatten().all(|n| n % 3 == 0));
    let left = queues.dead.state().sqs.bodies();
    assert_eq!(left.values().map(Vec::len).sum::<usize>(), 40);
    // given back at the end: the next run finds them at once
    let moved = queues.run(Wanted::default()).await;
    assert_eq!(moved.moved, 40);
    queues.done();
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_dies_again_is_not_sent_round_and_round() {
    let queues = Queues::filled("again", 3, 1, Faults::default(), Faults::default());
    let alive = Arc::new(AtomicBool::new(true));
    let mover = queues.mover(Wanted::default(), &alive, &queues.journal);
    assert_eq!(mover.run(1).await.moved, 1);
    // the daemon rejects it again: its copy comes behind the others of its group
    let (note, body) = letter(0, "group 0", "third", queues.dead.server_time());
    let run = mover.journal.lock().expect("lock").run().to_owned();
    let note = Note { original_message_id: "m9".into(), redrive_count: 1, redrive_run: Some(run), ..note };
    let attributes = note.attributes(&BTreeMap::new(), body.len());
    let (at, now) = (queues.dead.server_time(), queues.dead.elapsed());
    queues.dead.state().sqs.send_with("group 0", "m9", body, attributes, at, now);
    let moved = mover.run(u64::MAX).await;
    assert_eq!((moved.moved, moved.came_back), (2, 1));
    all_in_order(&queues.arrived(), 3);
    drop(mover);
    queues.done();
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_asked_to_stop_gives_everything_back_at_once() {
    let queues = Queues::filled("stopped", 200, 5, Faults::default(), Faults::default());
    let alive = Arc::new(AtomicBool::new(true));
    let mover = queues.mover(Wanted::default(), &alive, &queues.journal);
    let stop = mover.stop.clone();
    let (moved, ()) = tokio::join!(mover.run(u64::MAX), async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        stop.cancel();
    });
    drop(mover);
    assert!(moved.moved > 20 && moved.moved < 150, "{moved:?}");
    let before = tokio::time::Instant::now();
    let rest = queues.run(Wanted::default()).await;
    assert_eq!(moved.moved + rest.moved, 200);
    assert!(before.elapsed() < VISIBILITY, "nothing was hidden");
    all_in_order(&queues.arrived(), 200);
    queues.done();
}
