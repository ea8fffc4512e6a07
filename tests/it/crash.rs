//! Several daemons, and what happens to them: killed, terminated, frozen. Nothing is lost, nothing doubled.

use std::time::Duration;

use crate::{
    events::{Thread, ago},
    load::Load,
    queues::Depth,
    stack::{EMPTY, Stack, until_after},
};

#[tokio::test]
async fn two_daemons_keep_the_order_of_every_thread() {
    let stack = Stack::new("two-daemons").await;
    let load = Load::of(20);
    let events = load.events();
    // both wait at the queue before there is anything to take
    let daemons = [stack.daemon().await, stack.daemon().await];
    stack.publish(&events).await;

    load.until_done(&stack).await;
    load.assert_archived(&stack.archived().await);
    for daemon in daemons {
        let totals = daemon.last_words().await;
        assert!(!totals.contains(r#"\"deliveries\":0,"#), "one did it all: {totals}");
    }
    stack.done().await;
}

#[tokio::test]
async fn a_daemon_killed_again_and_again_under_load_loses_nothing_and_doubles_nothing() {
    let stack = Stack::with("killed", &[("CONVERSATIOND_VISIBILITY_SECONDS", "2")]).await;
    let load = Load::of(30);
    stack.publish(&load.events()).await;
    for settled in [1, 20, 7, 33] {
        let left = stack.left().await;
        let daemon = stack.daemon().await;
        stack.until("it is in the middle of it", async || stack.left().await + settled <= left).await;
        daemon.kill();
        assert_ne!(stack.left().await, 0, "it was killed before its end");
    }
    let daemon = stack.daemon().await;
    load.until_done(&stack).await;
    load.assert_archived(&stack.archived().await);
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}

#[tokio::test]
async fn a_daemon_that_is_terminated_under_load_gives_back_at_once_what_it_did_not_handle() {
    // longer than the story may take: what is not given back makes it fail
    let stack = Stack::with("terminated", &[("CONVERSATIOND_VISIBILITY_SECONDS", "900")]).await;
    let load = Load::of(20);
    stack.publish(&load.events()).await;
    for settled in [1, 20, 7] {
        let left = stack.left().await;
        let daemon = stack.daemon().await;
        stack.until("it is in the middle of it", async || stack.left().await + settled <= left).await;
        let (status, took) = daemon.terminate().await;
        assert_eq!(status.code(), Some(0));
        assert!(took < Duration::from_secs(5), "it took {took:?} to end");
        let depth = stack.depth().await;
        assert_eq!(depth.in_flight, 0, "everything it held is visible again");
        assert!(depth.visible > 0, "it was terminated before its end");
    }
    let daemon = stack.daemon().await;
    load.until_done(&stack).await;
    load.assert_archived(&stack.archived().await);
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}

#[tokio::test]
async fn a_daemon_terminated_while_its_database_makes_it_wait_gives_up_in_time_and_gives_back() {
    let settings = [("CONVERSATIOND_VISIBILITY_SECONDS", "900"), ("CONVERSATIOND_DRAIN_SECONDS", "1")];
    let stack = Stack::with("drain", &settings).await;
    let thread = Thread::of("tel:1");
    let lock = stack.lock_archive().await;
    stack.publish(&[thread.says("m1"), thread.close(), thread.says("m2")]).await;
    let daemon = stack.daemon().await;
    stack.until("m1 is handled and the close waits", async || stack.left().await == 2).await;
    stack.until("it is sealed", async || !stack.is_open(&thread).await).await;

    let (status, took) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(1 + 5 + 2), "it took {took:?} to end");
    assert_eq!(stack.depth().await, Depth { visible: 2, in_flight: 0 });
    lock.rollback().await.expect("the lock goes");

    let daemon = stack.daemon().await;
    stack.until("it is archived", async || stack.counts().await == (1, 1)).await;
    stack.until("the queue is empty", async || stack.depth().await == EMPTY).await;
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}

#[tokio::test]
async fn whoever_asks_twice_need_not_wait() {
    let settings = [("CONVERSATIOND_VISIBILITY_SECONDS", "900"), ("CONVERSATIOND_DRAIN_SECONDS", "600")];
    let stack = Stack::with("asked-twice", &settings).await;
    let thread = Thread::of("tel:1");
    let lock = stack.lock_archive().await;
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    let daemon = stack.daemon().await;
    stack.until("it is sealed", async || stack.head(&thread).await.is_some() && !stack.is_open(&thread).await).await;

    daemon.ask_to_stop();
    daemon.until_it_says("no new polls").await;
    assert_eq!(stack.depth().await.in_flight, 1, "it still tries");
    let (status, took) = daemon.terminate().await;
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(5), "it took {took:?} to end");
    assert_eq!(stack.depth().await, Depth { visible: 1, in_flight: 0 });

    lock.rollback().await.expect("the lock goes");
    stack.settle().await;
    assert_eq!(stack.counts().await, (1, 1));
    stack.done().await;
}

#[tokio::test]
async fn what_takes_longer_than_a_lease_is_kept_by_extending_it() {
    // who holds anything does not poll: a lease that lapsed could go to the other daemon alone
    let settings = [("CONVERSATIOND_VISIBILITY_SECONDS", "2"), ("CONVERSATIOND_IN_FLIGHT", "10")];
    let stack = Stack::with("long-turn", &settings).await;
    let thread = Thread::of("tel:1");
    let lock = stack.lock_archive().await;
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    let daemon = stack.daemon().await;
    stack.until("it is sealed", async || stack.head(&thread).await.is_some() && !stack.is_open(&thread).await).await;
    let other = stack.daemon().await;

    until_after(ago(-4)).await;
    lock.rollback().await.expect("the lock goes");
    stack.until("it is archived", async || stack.is_closed(&thread).await).await;
    stack.until("the queue is empty", async || stack.depth().await == EMPTY).await;
    assert!(daemon.terminate().await.0.success());
    let totals = other.last_words().await;
    assert!(totals.contains(r#"\"deliveries\":0,"#), "the other was given it: {totals}");
    stack.done().await;
}

#[tokio::test]
async fn a_daemon_frozen_past_its_leases_and_thawed_changes_nothing_that_another_did() {
    let stack = Stack::with("frozen", &[("CONVERSATIOND_VISIBILITY_SECONDS", "2")]).await;
    let load = Load::of(20);
    stack.publish(&load.events()).await;
    let frozen = stack.daemon().await;
    loop {
        stack.until("it is at work", async || stack.depth().await.in_flight > 0).await;
        frozen.freeze();
        if stack.depth().await.in_flight > 0 {
            break; // with something in its hands
        }
        frozen.thaw();
    }

    let other = stack.daemon().await;
    load.until_done(&stack).await;
    let archived = stack.archived().await;
    load.assert_archived(&archived);
    assert!(other.terminate().await.0.success());

    frozen.thaw();
    // it is awake when it has handled something new
    let thread = Thread::of("tel:new");
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    stack.until("it works again", async || stack.counts().await.0 == archived.len() + 1).await;
    stack.until("the queue is empty", async || stack.depth().await == EMPTY).await;
    assert!(frozen.terminate().await.0.success());
    let now = stack.archived().await;
    assert_eq!(now[..archived.len()], archived);
    stack.done().await;
}

#[tokio::test]
async fn the_shortest_lease_that_may_be_set_is_long_enough_to_work_with() {
    let stack = Stack::with("short-lease", &[("CONVERSATIOND_VISIBILITY_SECONDS", "2")]).await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.says("m1"), thread.close()]).await;
    stack.consume().await;
    assert_eq!(stack.app.counters.totals().leases_lost, 0);
    assert_eq!(stack.archived().await[0].texts(), ["m1"]);
    stack.done().await;
}
