//! Stores and queue away, as their clients see it.

use crate::{
    events::{Thread, ago},
    load::Load,
    proxy::{Proxy, Road},
    stack::Stack,
};

/// Stories of two stores that fail apart.
const DYNAMODB: (&str, &str) = ("CONVERSATIOND_HOT_STORE", "dynamodb");

#[tokio::test]
async fn while_postgresql_is_away_messages_flow_closes_wait_and_afterwards_all_is_archived_once() {
    let proxy = Proxy::to_database().await;
    let stack = Stack::with("postgres-away", &[("DATABASE_URL", &proxy.url), DYNAMODB]).await;
    let (busy, ending) = (Thread::of("tel:1"), Thread::of("tel:2"));
    stack.publish(&[busy.says("m1"), ending.says("m1")]).await;
    stack.consume().await;

    proxy.set(Road::Cut);
    stack.publish(&[busy.says("m2"), ending.says("m2"), ending.close(), ending.says("m3"), busy.says("m3")]).await;
    stack.consume().await;
    stack.publish(&[busy.says("m4")]).await;
    stack.consume().await;

    let totals = stack.app.counters.totals();
    assert_eq!(totals.settled, 2 + 4, "every message that is not behind a close is acked");
    assert_eq!(stack.left().await, 2, "only the close waits, and what stands behind it");
    assert_eq!(stack.counts().await, (0, 0));

    proxy.set(Road::Open);
    stack.publish(&[busy.close(), ending.close()]).await;
    stack.settle().await;

    let texts = async |thread| {
        let archived = stack.archived_of(thread).await;
        archived.iter().map(|conversation| conversation.texts().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(texts(&busy).await, ["m1 m2 m3 m4"]);
    assert_eq!(texts(&ending).await, ["m1 m2", "m3"]);
    assert_eq!(stack.counts().await, (3, 7));
    stack.done().await;
}

#[tokio::test]
async fn nothing_behind_what_failed_is_handled_before_it() {
    let proxy = Proxy::to_database().await;
    let stack = Stack::with("behind", &[("DATABASE_URL", &proxy.url), DYNAMODB]).await;
    let thread = Thread::of("tel:1");
    stack.publish(&[thread.said("m1", ago(60)), thread.close(), thread.says("m3")]).await;
    stack.settle().await;

    proxy.set(Road::Cut);
    // the first needs the archive, the second does not
    stack.publish(&[thread.said("m2", ago(50)), thread.says("m4")]).await;
    stack.consume().await;
    assert_eq!(stack.left().await, 2);

    proxy.set(Road::Open);
    stack.publish(&[thread.close()]).await;
    stack.settle().await;
    let archived = stack.archived().await;
    assert_eq!((archived[0].texts(), archived[1].texts()), (vec!["m1", "m2"], vec!["m3", "m4"]));
    assert_eq!(stack.counts().await, (2, 4));
    stack.done().await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    let proxy = Proxy::to_database().await;
    let stack = Stack::with("commit-lost", &[("DATABASE_URL", &proxy.url)]).await;
    let thread = Thread::of("tel:1");
    proxy.set(Road::LosesACommit);
    stack.publish(&[thread.says("m1"), thread.says("m2"), thread.close()]).await;
    stack.settle().await;
    assert!(proxy.is(Road::Open), "a commit was lost on the way");

    assert!(stack.is_closed(&thread).await);
    let archived = stack.archived().await;
    assert_eq!((archived.len(), archived[0].texts()), (1, vec!["m1", "m2"]));
    let written: Vec<_> = archived[0].messages.iter().map(|message| message.created_at).collect();
    assert_eq!(written, [archived[0].updated_at; 2], "all of it by one transaction, the one nobody heard of");
    stack.done().await;
}

/// Answers are lost too: what the services did last, nobody heard of.
#[tokio::test]
async fn a_daemon_whose_connections_break_one_after_the_other_goes_on_by_itself() {
    let roads = [Proxy::to_aws("SQS").await, Proxy::to_aws("DYNAMODB").await, Proxy::to_database().await];
    let settings = [
        ("AWS_ENDPOINT_URL_SQS", roads[0].url.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", &roads[1].url),
        ("DATABASE_URL", &roads[2].url),
        ("CONVERSATIOND_VISIBILITY_SECONDS", "2"),
        DYNAMODB,
    ];
    let stack = Stack::with("network", &settings).await;
    let load = Load::of(20);
    stack.publish(&load.events()).await;
    let daemon = stack.daemon().await;
    for road in &roads {
        let left = stack.left().await;
        stack.until("it is at work", async || stack.left().await < left).await;
        let warnings = || daemon.log().matches("\"WARN\"").count();
        let before = warnings();
        road.set(Road::Cut);
        stack.until("it notices", async || warnings() > before).await;
        road.set(Road::Open);
    }
    load.until_done(&stack).await;
    load.assert_archived(&stack.archived().await);
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}
