//! Twenty workers on one database, who crash before and after they send, oversleep their leases, fail and give up, while
//! producers roll back and commit slowly: nothing is lost, nothing overtakes, nothing counts wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use conversationd::outbox::{Attempt, Filter, Outbox, Room, Settlement, SinkId, enqueue};
use tokio::time::{Instant, sleep};

use crate::house::{House, event, in_a_house, notice};

const SINKS: [&str; 3] = ["a", "b", "c"];
const KEYS: u128 = 100;
const PRODUCERS: u32 = 4;
const WORKERS: u64 = 20;
const LEASE: Duration = Duration::from_millis(400);
/// What a request may take: a worker that has less than this and a margin left of its lease does not begin one.
const REQUEST: Duration = Duration::from_millis(60);
const MARGIN: Duration = Duration::from_millis(40);

/// A generator of its own: a seed decides what a worker does.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Whether something of so many in a hundred happens.
    fn of(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }
}

/// What the receivers saw, in the order in which they saw it.
#[derive(Default)]
struct Seen {
    arrivals: Mutex<Vec<(SinkId, uuid::Uuid, i64)>>,
    sends: AtomicUsize,
}

async fn produce(house: Arc<House>, producer: u32, stop: Arc<AtomicBool>, told: Arc<Mutex<BTreeSet<u32>>>) {
    let mut chance = Chance(0x9e37_79b9 + u64::from(producer));
    let mut number = producer * 1_000_000;
    while !stop.load(Ordering::Relaxed) {
        let count = 1 + chance.next() % 3;
        let batch: Vec<u32> = (0..count)
            .map(|_| {
                number += 1;
                number
            })
            .collect();
        let notices: Vec<_> = batch.iter().map(|number| notice(u128::from(chance.next()) % KEYS, *number)).collect();
        let mut transaction = house.pool.begin().await.expect("begin");
        // a transaction is about one conversation; where there are more, everybody takes them in one order
        enqueue(&mut transaction, &notices).await.expect("enqueue");
        if chance.of(10) {
            sleep(Duration::from_millis(chance.next() % 20)).await; // a slow commit
        }
        if chance.of(10) {
            transaction.rollback().await.expect("rollback");
        } else {
            transaction.commit().await.expect("commit");
            told.lock().unwrap().extend(batch);
        }
        sleep(Duration::from_millis(chance.next() % 10)).await;
    }
}

async fn work(outbox: Outbox, sinks: [SinkId; 3], worker: u64, seen: Arc<Seen>, stop: Arc<AtomicBool>) {
    let mut chance = Chance(0xdead_beef + 7 * worker);
    while !stop.load(Ordering::Relaxed) {
        let rooms = sinks.map(|sink| Room { sink, lanes: 2 });
        let lease_ends = Instant::now() + LEASE;
        let claimed = outbox.claim(&rooms, LEASE).await.expect("claim");
        if claimed.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        for claimed in claimed {
            if chance.of(2) {
                continue; // a crash before the send
            }
            if chance.of(1) {
                sleep(LEASE + Duration::from_millis(100)).await; // it slept through its lease
            }
            if Instant::now() + REQUEST + MARGIN > lease_ends {
                let late = Settlement::Release(Duration::ZERO);
                outbox.settle(&claimed.claim, late, &Attempt::default()).await.expect("settle");
                continue;
            }
            sleep(Duration::from_millis(chance.next() % 5)).await;
            seen.sends.fetch_add(1, Ordering::Relaxed);
            let failed = chance.of(20);
            if !failed {
                let claim = claimed.claim;
                seen.arrivals.lock().unwrap().push((claim.sink, claim.lane, claim.seq));
            }
            if chance.of(1) {
                continue; // a crash after the send
            }
            let settlement = match failed {
                false => Settlement::Delivered,
                true if claimed.attempt >= 4 => Settlement::Dead,
                true => Settlement::Retry(Duration::from_millis(chance.next() % 20)),
            };
            assert!(event(&claimed) > 0);
            outbox.settle(&claimed.claim, settlement, &Attempt::default()).await.expect("settle");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outbox_sim() {
    let seconds = env::var("OUTBOX_SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    in_a_house(move |house: Arc<House>| async move {
        let sinks = house.sinks(SINKS).await;
        let (produced, worked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (told, seen) = (Arc::new(Mutex::new(BTreeSet::new())), Arc::new(Seen::default()));
        let producers: Vec<_> = (1..=PRODUCERS)
            .map(|producer| tokio::spawn(produce(house.clone(), producer, produced.clone(), told.clone())))
            .collect();
        let workers: Vec<_> = (1..=WORKERS)
            .map(|worker| tokio::spawn(work(house.outbox.clone(), sinks, worker, seen.clone(), worked.clone())))
            .collect();
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            replay_some(&house).await;
            sleep(Duration::from_millis(200)).await;
        }
        produced.store(true, Ordering::Relaxed);
        for producer in producers {
            producer.await.expect("a producer");
        }
        let patience = Instant::now() + Duration::from_secs(60);
        while house.number("select sum(pending)::bigint from outbox_lane").await > 0 {
            assert!(Instant::now() < patience, "it does not come to rest");
            sleep(Duration::from_millis(50)).await;
        }
        worked.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.await.expect("a worker");
        }
        house.is_sound().await;

        let told = told.lock().unwrap().len() * SINKS.len();
        let dispatches = house.number("select count(*) from outbox_dispatch").await;
        assert_eq!(dispatches, i64::try_from(told).expect("a count"), "every notice that was committed, for every sink");
        let arrivals = seen.arrivals.lock().unwrap().clone();
        let arrived: BTreeSet<_> = arrivals.iter().collect();
        let delivered = house.number("select count(*) from outbox_dispatch where state = 'delivered'").await;
        let dead = house.number("select count(*) from outbox_dispatch where state = 'dead'").await;
        assert_eq!(delivered + dead, dispatches);
        assert!(arrived.len() >= usize::try_from(delivered).expect("a count"), "delivered, and never arrived");

        // nothing that stands before another in its lane arrives for the first time after it, unless it was replayed
        let replayed: BTreeSet<(i32, uuid::Uuid, i64)> = replayed(&house).await;
        let (mut last, mut overtaken, mut repeats) = (BTreeMap::new(), 0, 0);
        let mut first = BTreeSet::new();
        for (sink, lane, seq) in &arrivals {
            if !first.insert((sink, lane, seq)) {
                repeats += 1;
                // a repeat may only be of what arrived last: behind it nothing may have been sent yet
                let newest = last.get(&(sink, lane)).copied().unwrap_or_default();
                overtaken += usize::from(*seq < newest && !replayed.contains(&(sink.0, *lane, *seq)));
                continue;
            }
            let newest = last.entry((sink, lane)).or_insert(0_i64);
            overtaken += usize::from(*seq < *newest && !replayed.contains(&(sink.0, *lane, *seq)));
            *newest = (*newest).max(*seq);
        }
        println!(
            "told {told}, sends {}, arrived {}, repeats {repeats}, dead {dead}, replayed {}, lost 0, overtaken {overtaken}",
            seen.sends.load(Ordering::Relaxed),
            arrived.len(),
            replayed.len()
        );
        assert_eq!(overtaken, 0);
        assert!(told > 100 && repeats > 0, "it was too quiet to say anything");
    })
    .await;
}

/// An operator sends some of what was given up once more.
async fn replay_some(house: &House) {
    let filter = Filter { states: Some(vec!["dead"]), limit: 3, ..Filter::default() };
    for row in house.outbox.list(&filter).await.expect("list") {
        house.outbox.replay(&row).await.expect("replay");
        let keep = sqlx::query(
            "insert into outbox_attempt (notice_id, sink_id, took_ms, outcome) values ($1, $2, 0, 'replayed')",
        );
        keep.bind(row.notice_id).bind(row.sink_id).execute(&house.pool).await.expect("keep");
    }
}

async fn replayed(house: &House) -> BTreeSet<(i32, uuid::Uuid, i64)> {
    let rows: Vec<(i32, uuid::Uuid, i64)> = sqlx::query_as(
        "select d.sink_id, d.lane, d.seq from outbox_attempt a join outbox_dispatch d using (notice_id, sink_id) \
         where a.outcome = 'replayed'",
    )
    .fetch_all(&house.pool)
    .await
    .expect("replayed");
    rows.into_iter().collect()
}
