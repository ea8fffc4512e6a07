//! Stories behind the laws: a slow turn, a suspended process, rolling restarts, batches that are done in part.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::sleep;

use super::stage::Story;
use crate::model::{
    replica::{Replica, VISIBILITY},
    world::Faults,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Much longer than anything takes: what a daemon leaves hidden is not excused by its lease's end.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_turn_slower_than_the_visibility_timeout_is_handled_once() {
    let mut story = Story::begin(1, VISIBILITY);
    story.says(0);
    story.says(0);
    // another daemon stands by to take over whatever becomes visible
    let _daemons = [Replica::start(&story.world, 0, 0, 0), Replica::start(&story.world, 1, 0, 0)];
    // every answer of the store comes when more than a lease has gone by, as often as the turn asks
    story.world.state().pace.insert("put", VISIBILITY * 4);
    sleep(VISIBILITY * 10).await;
    assert!(story.world.state().sqs.is_empty(), "handled within the longest lease");
    story.world.state().pace.clear();
    assert_eq!(story.world.state().hot.messages.len(), 2);
    assert_eq!((story.times("a put was repeated"), story.made("charge")), (0, 0));
    assert_eq!(story.world.state().sqs.received_most, 1, "no delivery came twice");
    story.ends(0);
    story.rests_within(HOUR).await;
    story.holds();
}

/// A process is suspended while it waits for the answer to `call`; another does its work; it wakes.
async fn suspended(call: &'static str, machine: bool) {
    let mut story = Story::begin(1, VISIBILITY);
    story.says(0);
    story.ends(0);
    let sleeper = Replica::start(&story.world, 0, 0, 0);
    while story.made(call) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
    story.world.state().suspended.insert(0);
    if machine {
        // its monotonic clock stands still meanwhile: only the wall clock tells
        story.world.stands_still(VISIBILITY * 20);
    } else {
        sleep(VISIBILITY * 2).await;
    }
    let other = Replica::start(&story.world, 1, 0, 0);
    while story.world.state().sqs.entries("group 0").iter().any(|entry| entry.holder != Some((1, 0))) {
        sleep(Duration::from_millis(1)).await;
    }
    other.kill();
    // what it sent is still on its way
    sleep(Duration::from_secs(1)).await;
    let before = committed(&story);
    story.world.state().suspended.clear();
    // nobody else is at work: whatever changes now, the sleeper did it without a lease
    sleep(VISIBILITY / 2).await;
    assert_eq!(committed(&story), before, "suspended at {call}");
    story.rests_within(HOUR).await;
    story.holds();
    drop(sleeper);
}

/// What stands in the stores: heads' versions, hot messages, archived ones, and which of the two deliveries still wait. (A timer
/// may send its command at any time: that commits nothing.)
fn committed(story: &Story) -> (Vec<u64>, usize, usize, BTreeSet<u64>) {
    let state = story.world.state();
    let waiting = state.sqs.all().map(|entry| entry.id).filter(|id| *id <= 2).collect();
    let versions = state.hot.heads.values().map(|head| head.version).collect();
    (versions, state.hot.messages.len(), state.archive.messages.len(), waiting)
}

#[tokio::test(start_paused = true)]
async fn a_suspended_process_commits_nothing_when_it_wakes() {
    for call in ["heads", "head_open", "put", "page", "lock", "insert"] {
        suspended(call, false).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_on_a_suspended_machine_commits_nothing_when_it_wakes() {
    for call in ["heads", "head_open", "put", "page", "lock", "insert"] {
        suspended(call, true).await;
    }
}

/// Frozen, starved of the processor, its extensions refused: whoever loses a lease and lives on, its delivery is not to blame.
#[tokio::test(start_paused = true)]
async fn a_delivery_whose_leases_lapse_again_and_again_is_never_given_up_for_that() {
    let mut story = Story::begin(1, VISIBILITY);
    story.says(0);
    story.world.state().pace.insert("heads", VISIBILITY / 4);
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    for nap in 1..=20 {
        while story.made("heads") < nap && !story.world.state().sqs.is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        story.world.state().suspended.insert(0);
        sleep(VISIBILITY * 2).await;
        story.world.state().suspended.clear();
    }
    story.world.state().pace.clear();
    story.ends(0);
    story.rests_within(HOUR).await;
    assert!(story.made("charge") > 10, "received so often that it was suspect");
    story.holds();
}

#[tokio::test(start_paused = true)]
async fn a_hundred_rolling_restarts_under_load_make_no_dead_letter_and_leave_nothing_hidden() {
    const CONTACTS: usize = 20;
    let mut story = Story::begin(CONTACTS, LONG);
    // turns take a while: a stop always finds some running
    story.world.state().pace.insert("put", Duration::from_secs(2));
    let mut daemons: Vec<Replica> = (0..3).map(|who| Replica::start(&story.world, who, 0, 0)).collect();
    let (mut longest_stop, mut held) = (Duration::ZERO, 0);
    for restart in 1..=100u64 {
        for contact in 0..CONTACTS {
            story.says(contact);
            if (restart as usize + contact).is_multiple_of(9) {
                story.ends(contact);
            }
        }
        sleep(Duration::from_secs(1)).await;
        let (began, who) = (story.world.elapsed(), restart as usize % daemons.len());
        let life = (restart - 1) / 3 + u64::from(restart > 3);
        let mine = |entry: &&crate::model::sqs::Entry| entry.holder.is_some_and(|(of, _)| of == who as u32);
        let hidden = |at: Duration| {
            let state = story.world.state();
            let all = state.sqs.all().filter(mine).filter(|entry| entry.hidden_until.is_some_and(|until| at < until));
            all.count()
        };
        held += hidden(began);
        daemons[who].terminate().await;
        let ended = story.world.elapsed();
        longest_stop = longest_stop.max(ended - began);
        assert_eq!(hidden(ended), 0, "restart {restart}: hidden for up to {LONG:?} more");
        daemons[who] = Replica::start(&story.world, who as u32, 1_000 + life * 2 + restart, 0);
    }
    story.world.state().pace.clear();
    story.rests_within(HOUR).await;
    println!("{held} deliveries held at 100 stops, the longest of which took {longest_stop:?}");
    assert!(held > 100, "stops that found {held} deliveries prove little");
    assert!(longest_stop < Duration::from_secs(30), "a stop took {longest_stop:?}");
    story.holds();
}

/// What a call was asked for, one by one, until no entry failed: each entry that failed, and no other, comes again.
#[tokio::test(start_paused = true)]
async fn entries_of_a_batch_that_failed_alone_are_tried_again_and_nothing_runs_twice() {
    const CONTACTS: usize = 12;
    let mut story = Story::begin(CONTACTS, LONG);
    story.world.state().faults = Faults { partial: 150, longest_stall: 1, ..Faults::default() };
    let _daemon = Replica::start(&story.world, 0, 0, 0);
    for round in 0..40 {
        for contact in 0..CONTACTS {
            story.says(contact);
            if (round + contact).is_multiple_of(7) {
                story.ends(contact);
            }
        }
        sleep(Duration::from_secs(2)).await;
    }
    story.world.state().faults.partial = 0;
    story.rests_within(HOUR).await;
    assert!(story.times("one entry of a batch failed alone") > 100);
    story.holds();
}
