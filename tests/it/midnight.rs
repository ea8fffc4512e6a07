//! How long a midnight takes: so many open conversations of one project that end with one day, and what others wait meanwhile.
//!
//! A measurement, not a test: `CONVERSATIONS=100000 MINUTES=10 cargo test --test it a_midnight -- --ignored --nocapture`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use conversationd::{
    config::environment,
    domain::{self, Head, Message, Policy},
    event::{self, Kind, Raw},
    hot::Put,
};
use futures_util::{StreamExt, stream};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    events::{Thread, noon_somewhere},
    stack::Stack,
};

/// Somebody else speaks this often.
const PROBE: Duration = Duration::from_millis(500);

/// Between two looks at whether what was said is stored.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Messages spoken while nothing is due.
const QUIET_PROBES: usize = 40;

/// Items written in one call.
const BATCH: usize = 25;

/// Batches written at once.
const WRITERS: usize = 8;

fn number(variable: &str, otherwise: u64) -> u64 {
    environment(variable).map_or(otherwise, |n| n.parse().expect("a number"))
}

/// A conversation that one message opened an hour before `midnight`, at which it ends.
fn open(thread: &Thread, midnight: DateTime<Utc>, zone: Tz) -> (Head, Message) {
    let event = thread.said("m1", midnight - TimeDelta::hours(1));
    let none = Default::default();
    let raw = Raw {
        body: &event.body,
        attributes: &none,
        sent_at: midnight - TimeDelta::minutes(59),
        sequence: domain::Sequence(1),
        group_id: &event.group,
    };
    let decoded = event::decode(&raw).expect("a message");
    let Kind::Message(message) = decoded.kind else { panic!("not a message") };
    let policy = Policy { day_ends_in: Some(zone), ..Policy::DEFAULT };
    (Head::opened_by(&decoded.thread, &event.group, None, &message, &policy), Message::clone(&message))
}

/// Writes them into the hot store, as daemons of yesterday left them.
async fn seed(stack: &Stack, heads: Vec<(Head, Message)>) {
    let hot = &stack.hot();
    let chunks: Vec<&[(Head, Message)]> = heads.chunks(BATCH).collect();
    stream::iter(chunks)
        .for_each_concurrent(WRITERS, async |chunk| {
            let put = |(head, message): &(Head, Message)| Put {
                thread: head.thread.key(),
                conversation: head.conversation.record().id,
                message: Arc::new(message.clone()),
            };
            for put in hot.put_messages(chunk.iter().map(put).collect()).await {
                put.expect("a message is written");
            }
            for (head, _) in chunk {
                assert!(hot.write_head(&head.thread.key(), head).await.expect("a head is written"));
            }
        })
        .await;
}

/// Somebody who was never heard of speaks; how long until what was said is stored.
async fn probe(stack: &Stack) -> Duration {
    let thread = Thread::of("tel:1");
    let event = thread.says("m1");
    let began = Instant::now();
    stack.publish(&[event]).await;
    let hot = stack.hot();
    loop {
        if let Some(head) = stack.head(&thread).await {
            let page = hot.page(&thread.key(), head.conversation.record().id, None).await.expect("a page");
            if !page.messages.is_empty() {
                return began.elapsed();
            }
        }
        sleep(LOOK_AGAIN).await;
    }
}

fn said(what: &str, mut waits: Vec<Duration>) {
    waits.sort();
    let at = |share: usize| waits[(waits.len() * share / 100).min(waits.len() - 1)].as_millis();
    println!("{what}: {} messages stored after p50 {} ms, p95 {} ms, most {} ms", waits.len(), at(50), at(95), at(100));
}

#[tokio::test]
#[ignore = "a measurement of many minutes"]
async fn a_midnight_of_one_project() {
    let (conversations, minutes) = (number("CONVERSATIONS", 100_000), number("MINUTES", 10));
    let (zone, midnight) = noon_somewhere();
    let stack = Stack::with("midnight-measured", &[("CONVERSATIOND_TIMER_SECONDS", "5")]).await;
    let daemon = stack.daemon().await;
    let mut quiet = Vec::new();
    for _ in 0..QUIET_PROBES {
        quiet.push(probe(&stack).await);
    }
    said("before midnight", quiet);
    daemon.terminate().await;

    let project = Thread::of("").project;
    let of = |n| Thread { project: project.clone(), ..Thread::of(&format!("tel:{n}")) };
    let zone: Tz = zone.parse().expect("a zone");
    let (began, mut seeded) = (Instant::now(), 0);
    while seeded < conversations {
        let some = seeded..conversations.min(seeded + 5_000);
        seeded = some.end;
        seed(&stack, some.map(|n| open(&of(n), midnight, zone)).collect()).await;
    }
    println!("{conversations} conversations made in {:.0} s", began.elapsed().as_secs_f64());

    let daemon = stack.daemon().await;
    let (began, limit) = (Instant::now(), Duration::from_secs(minutes * 60));
    let mut ticks = interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waits, mut closed, mut told) = (Vec::new(), 0, Instant::now());
    while closed < conversations && began.elapsed() < limit {
        ticks.tick().await;
        waits.push(probe(&stack).await);
        let count: Vec<(i64,)> = stack.ask("select count(*) from conversation where close_reason = 'day_ended'").await;
        closed = u64::try_from(count[0].0).expect("a count");
        if told.elapsed() > Duration::from_secs(30) {
            told = Instant::now();
            println!("{closed} closed after {:.0} s, {:?}", began.elapsed().as_secs_f64(), stack.depth().await);
        }
    }
    let took = began.elapsed().as_secs_f64();
    println!("{closed} conversations closed in {took:.0} s, {:.1} a second", closed as f64 / took);
    said("meanwhile", waits);
    daemon.terminate().await;
    if closed == conversations {
        stack.done().await;
    }
}
