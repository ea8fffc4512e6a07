//! A long outage of DynamoDB, with the spool on: two daemons, the real stack, a road that is cut.

use conversationd::{
    queue::{Delivery, QueueError, Receipt},
    spool::{Limits, PostgresSpool, SpoolStore, Stage, Standing, Word},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use uuid::Uuid;

use crate::{
    events::{Thread, ago},
    proxy::{Proxy, Road},
    stack::Stack,
};

const DYNAMODB: (&str, &str) = ("CONVERSATIOND_HOT_STORE", "dynamodb");

async fn waiting(stack: &Stack) -> (i64, String) {
    stack.ask("select (select count(*) from spool), (select stage from spool_stage)").await.remove(0)
}

#[tokio::test]
async fn a_long_outage_of_dynamodb_is_spooled_by_all_and_what_was_spooled_is_handled_in_order_once() {
    let proxy = Proxy::to_aws("DYNAMODB").await;
    let settings =
        [("AWS_ENDPOINT_URL_DYNAMODB", proxy.url.as_str()), ("CONVERSATIOND_SPOOL_AFTER_SECONDS", "1"), DYNAMODB];
    let stack = Stack::with("spool", &settings).await;
    let daemons = [stack.daemon().await, stack.daemon().await];
    let (one, two) = (Thread::of("tel:1"), Thread::of("tel:2"));
    stack.publish(&[one.says("m1"), two.says("m1")]).await;
    stack.until("what came before is handled", async || stack.left().await == 0).await;

    proxy.set(Road::Cut);
    stack.publish(&[one.says("m2"), two.says("m2"), one.close(), one.says("m3"), two.says("m3")]).await;
    stack.until("the queue is moved", async || waiting(&stack).await == (5, "spooling".into())).await;
    stack.until("all of it", async || stack.left().await == 0).await;
    stack.publish(&[two.says("m4"), one.says("m4"), one.close(), two.close()]).await;
    stack.until("and what comes after", async || waiting(&stack).await.0 == 9).await;
    assert_eq!(stack.counts().await, (0, 0), "nothing is handled without DynamoDB");
    for daemon in &daemons {
        daemon.until_it_says("\"spooling\"").await;
    }

    proxy.set(Road::Open);
    stack.until("the spool is worked off", async || waiting(&stack).await == (0, "direct".into())).await;
    stack.publish(&[one.says("m5"), one.close()]).await;
    stack.until("all is archived", async || stack.counts().await == (4, 9)).await;
    let texts = async |thread| {
        let archived = stack.archived_of(thread).await;
        archived.iter().map(|conversation| conversation.texts().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(texts(&one).await, ["m1 m2", "m3 m4", "m5"]);
    assert_eq!(texts(&two).await, ["m1 m2 m3 m4"]);
    assert!(stack.dead_letters().await.is_empty());
    for daemon in daemons {
        assert!(daemon.terminate().await.0.success());
    }
    let left: Vec<(i64,)> = stack.ask("select count(*) from spool_replica").await;
    assert_eq!(left[0].0, 0, "who has ended said so");
    stack.done().await;
}

/// The spool's edge, in a story's own schema.
async fn spool(stack: &Stack) -> PostgresSpool {
    let url = conversationd::config::environment("DATABASE_URL").expect("a database");
    PostgresSpool::new(&url, Some(stack.schema())).expect("a PostgreSQL URL")
}

const LIMITS: Limits = Limits { after: Duration::from_secs(1), lease: Duration::from_secs(60) };

const VISIBILITY: Duration = Duration::from_secs(30);

fn word(replica: u128, away: u64, stopped: Option<u64>) -> Word {
    let away_for = Some(Duration::from_secs(away)).filter(|away| !away.is_zero());
    Word { replica: Uuid::from_u128(replica), host: "pod".into(), away_for, stopped }
}

fn delivery(group: &str, sequence: u128) -> Delivery {
    Delivery {
        message_id: format!("{group} {sequence}"),
        receipt: Receipt("of the queue".into()),
        group_id: group.into(),
        // beyond 64 bits, as real ones are
        sequence: conversationd::domain::Sequence(18_882_245_240_547_823_616 + sequence),
        sent_at: ago(60),
        receive_count: 3,
        body: Arc::from(format!("{{\"n\": {sequence}, \"nul\": \"\\u0000\0\"}}")),
        attributes: BTreeMap::from([("traceparent".into(), format!("00-{sequence}\u{1}"))]),
    }
}

/// Says what was received: group and place of each, in order.
fn places(received: &[Delivery]) -> Vec<String> {
    received.iter().map(|delivery| delivery.message_id.clone()).collect()
}

fn receipts(received: &[Delivery]) -> Vec<Receipt> {
    received.iter().map(|delivery| delivery.receipt.clone()).collect()
}

async fn nothing(spool: &PostgresSpool) -> bool {
    spool.receive(VISIBILITY).await.expect("an answer").is_empty()
}

/// Two replicas, both stopped: what the fleet then does.
async fn spooling(spool: &PostgresSpool) -> u64 {
    let hear = async |word: Word| spool.hear(&word, &LIMITS).await.expect("heard");
    let Standing { stage, epoch, .. } = hear(word(1, 10, None)).await;
    assert_eq!(stage, Stage::Entering);
    assert_eq!(hear(word(2, 10, None)).await.stage, Stage::Entering);
    assert_eq!(hear(word(1, 10, Some(epoch))).await.stage, Stage::Entering, "the other has not stopped");
    assert_eq!(hear(word(2, 10, Some(epoch))).await.stage, Stage::Spooling);
    epoch
}

#[tokio::test]
async fn the_spool_is_a_fifo_queue_whose_groups_have_one_receiver_at_a_time() {
    let stack = Stack::with("spool-fifo", &[DYNAMODB]).await;
    let spool = spool(&stack).await;
    let held = [delivery("a", 1), delivery("b", 2), delivery("a", 3), delivery("a", 4)];
    assert_eq!(spool.hold(1, &held).await, Ok(false), "the fleet does not spool");
    let epoch = spooling(&spool).await;
    assert_eq!(spool.hold(epoch - 1, &held).await, Ok(false), "nor in another epoch");
    assert_eq!(spool.hold(epoch, &held).await, Ok(true));
    assert_eq!(spool.hold(epoch, &held[..2]).await, Ok(true), "held again, each stands once");

    let first = spool.receive(VISIBILITY).await.expect("received");
    assert_eq!(places(&first), ["a 1", "b 2", "a 3", "a 4"]);
    let as_held = |delivery: &Delivery| (delivery.body.clone(), delivery.attributes.clone(), delivery.sequence);
    assert_eq!(first.iter().map(as_held).collect::<Vec<_>>(), held.iter().map(as_held).collect::<Vec<_>>());
    assert!(first.iter().all(|delivery| delivery.receive_count == 1 && delivery.sent_at.timestamp() > 0));
    assert!(nothing(&spool).await, "somebody has both groups");
    assert_eq!(spool.hold(epoch, &[delivery("a", 5), delivery("c", 6)]).await, Ok(true));
    let others = spool.receive(VISIBILITY).await.expect("received");
    assert_eq!(places(&others), ["c 6"], "a group is had as a whole");

    let receipts = receipts(&first);
    assert_eq!(spool.delete(&receipts[..1]).await, Ok(vec![Ok(())]));
    assert_eq!(spool.delete(&receipts[..1]).await, Ok(vec![Ok(())]), "deleting again changes nothing");
    let hidden = [(receipts[2].clone(), Duration::ZERO), (receipts[3].clone(), Duration::ZERO)];
    assert_eq!(spool.hide(&hidden).await, Ok(vec![Ok(()), Ok(())]), "what is left is given back");
    let again = spool.receive(VISIBILITY).await.expect("received");
    assert_eq!(places(&again), ["a 3", "a 4", "a 5"]);
    assert_eq!(again[0].receive_count, 2);
    let late = [receipts[2].clone(), receipts[1].clone(), Receipt("spool:nonsense".into())];
    let lost = Err(QueueError::LeaseLost);
    assert_eq!(spool.delete(&late).await, Ok(vec![lost.clone(), Ok(()), lost.clone()]), "another has the group now");
    assert_eq!(spool.hide(&[(receipts[3].clone(), VISIBILITY)]).await, Ok(vec![lost]));

    let paused: Vec<(Receipt, Duration)> = again
        .iter()
        .zip([VISIBILITY, Duration::ZERO, Duration::ZERO])
        .map(|(it, time)| (it.receipt.clone(), time))
        .collect();
    spool.hide(&paused).await.expect("hidden");
    assert!(nothing(&spool).await, "the head is hidden, and holds its group");
    stack.done().await;
}

#[tokio::test]
async fn a_server_that_is_lost_in_the_middle_of_a_statement_is_awaited_for_so_long_and_no_longer() {
    let (stack, proxy) = (Stack::with("spool-lost", &[DYNAMODB]).await, Proxy::to_database().await);
    let spool = PostgresSpool::new(&proxy.url, Some(stack.schema())).expect("a PostgreSQL URL");
    let epoch = spooling(&spool).await;
    assert_eq!(spool.hold(epoch, &[delivery("a", 1)]).await, Ok(true));
    let receipts = receipts(&spool.receive(VISIBILITY).await.expect("received"));

    let mut held = stack.transaction().await;
    sqlx::query("select 1 from spool_group for update").execute(&mut *held).await.expect("a row in another's hands");
    let deleting = tokio::spawn({
        let (spool, receipts) = (spool.clone(), receipts.clone());
        async move { spool.delete(&receipts).await }
    });
    let waits = "select count(*) from pg_stat_activity join pg_locks using (pid)
                 where relation = 'spool_group'::regclass and wait_event_type = 'Lock'";
    stack.until("the statement has come", async || stack.ask::<(i64,)>(waits).await[0].0 > 0).await;
    proxy.set(Road::Swallows);
    held.rollback().await.expect("given back");
    let answer = tokio::time::timeout(Duration::from_secs(60), deleting).await.expect("an end").expect("no panic");
    assert_eq!(answer, Err(QueueError::Unavailable("the spool: no answer in time".into())));

    proxy.set(Road::Open);
    let again = async || spool.delete(&receipts).await == Ok(vec![Ok(())]);
    stack.until("on another connection it is done", again).await;
    stack.done().await;
}

#[tokio::test]
async fn the_fleet_leaves_the_spool_when_one_reaches_dynamodb_and_takes_nothing_more_into_it() {
    let stack = Stack::with("spool-fleet", &[DYNAMODB]).await;
    let spool = spool(&stack).await;
    let epoch = spooling(&spool).await;
    assert_eq!(spool.hold(epoch, &[delivery("a", 1)]).await, Ok(true));
    assert_eq!(spool.hear(&word(1, 0, None), &LIMITS).await.expect("heard").stage, Stage::Leaving);
    assert_eq!(spool.hold(epoch, &[delivery("a", 2)]).await, Ok(false));
    assert_eq!(spool.hear(&word(1, 0, None), &LIMITS).await.expect("heard").stage, Stage::Leaving, "something is left");
    let fleet = spool.fleet().await.expect("the fleet");
    assert_eq!((fleet.held, fleet.replicas.len(), fleet.standing.stage), (1, 2, Stage::Leaving));
    let received = spool.receive(VISIBILITY).await.expect("received");
    spool.delete(&receipts(&received)).await.expect("deleted");
    assert_eq!(spool.hear(&word(2, 0, None), &LIMITS).await.expect("heard").stage, Stage::Direct);
    spool.forget(Uuid::from_u128(1)).await.expect("forgotten");
    assert_eq!(spool.fleet().await.expect("the fleet").replicas.len(), 1);
    stack.done().await;
}
