//! PostgreSQL as the hot store: a deployment without DynamoDB. The other stories are told on it too:
//! `CONVERSATIOND_HOT_STORE=postgres cargo test --test it`.

use serde_json::json;

use crate::{
    events::{Event, Thread, ago, names},
    load::Load,
    proxy::{Proxy, Road},
    stack::{EMPTY, Stack},
};

const POSTGRES: (&str, &str) = ("CONVERSATIOND_HOT_STORE", "postgres");

/// No table is named, and nothing answers where DynamoDB would be.
const NO_DYNAMODB: [(&str, &str); 3] =
    [POSTGRES, ("DYNAMODB_MESSAGE_TABLE", ""), ("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")];

#[tokio::test]
async fn without_dynamodb_a_day_is_kept_as_with_it() {
    let stack = Stack::with("no-dynamodb", &NO_DYNAMODB).await;
    let load = Load::of(20);
    let (ending, rated) = (Thread::of("tel:ending"), Thread::of("tel:rated"));
    let mut events = load.events();
    events.extend([ending.says("m1"), Event::raw(&ending, "{"), ending.says("m2"), ending.session_closed()]);
    let step = json!({ "state_type": "flow", "state_key": "step", "state_value": 1 });
    events.extend([rated.said("m1", ago(60)), rated.event("state.set", step), rated.close()]);
    events.extend([rated.scored("weni_csat", json!(5)), rated.said("late", ago(50))]);
    stack.publish(&events).await;
    let daemon = stack.daemon().await;
    let (conversations, messages) = load.counts();
    stack.until("all is archived", async || stack.counts().await == (conversations + 2, messages + 4)).await;
    stack.until("the queue is empty", async || stack.depth().await == EMPTY).await;
    assert!(stack.is_closed(&ending).await, "by the timer, which found it in the index");
    let archived = stack.archived().await;
    let own = |thread: &Thread| archived.iter().filter(|it| it.is_of(thread)).cloned().collect::<Vec<_>>();
    assert_eq!(own(&ending)[0].texts(), names(2));
    assert_eq!(own(&rated)[0].texts(), ["m1", "late"]);
    let others = archived.into_iter().filter(|it| !it.is_of(&ending) && !it.is_of(&rated)).collect::<Vec<_>>();
    load.assert_archived(&others);
    let ends: Vec<(Option<i32>, Option<serde_json::Value>)> =
        stack.ask("select csat::integer, variables from conversation where variables is not null").await;
    assert_eq!((ends.len(), ends[0].0), (1, Some(5)));
    assert_eq!(stack.dead_letters().await.len(), 1);
    let rows: Vec<(String,)> = stack.ask("select letter from hot_dead_letter").await;
    assert_eq!(rows.len(), 1, "the index of dead letters has it");
    let totals = daemon.last_words().await;
    assert!(totals.contains(r#"\"dynamodb_calls\":0,"#), "{totals}");
    stack.done().await;
}

#[tokio::test]
async fn while_it_is_away_nothing_is_polled_or_charged_and_afterwards_all_is_archived_once() {
    let proxy = Proxy::to_database().await;
    let settings = [POSTGRES, ("DATABASE_URL", &proxy.url), ("CONVERSATIOND_VISIBILITY_SECONDS", "2")];
    let stack = Stack::with("both-away", &settings).await;
    let load = Load::of(20);
    stack.publish(&load.events()).await;
    let daemon = stack.daemon().await;
    let all = stack.left().await;
    stack.until("it is at work", async || stack.left().await < all).await;
    proxy.set(Road::Cut);
    stack.until("it notices", async || daemon.log().contains("polling stops")).await;
    stack.until("it holds nothing", async || stack.depth().await.in_flight == 0).await;
    let left = stack.left().await;
    assert!(left > 0, "it was cut off in the middle");

    // within this time it would have polled and failed many times
    let steps = || daemon.log().matches("the timer could not read").count();
    let before = steps();
    stack.until("some seconds pass", async || steps() >= before + 3).await;
    assert_eq!(stack.left().await, left, "the queue keeps everything");
    let charged: Vec<(i64,)> = stack.ask("select count(*) from hot_attempt where attempts > 0").await;
    assert_eq!(charged, [(0,)], "an outage is nobody's attempt");

    proxy.set(Road::Open);
    load.until_done(&stack).await;
    load.assert_archived(&stack.archived().await);
    assert!(daemon.log().contains("the hot store is back"));
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}

/// The archive's connections are all in use, and somebody holds what its closes need.
#[tokio::test]
async fn closes_that_wait_for_the_archive_hold_up_no_message() {
    let settings = [POSTGRES, ("CONVERSATIOND_DATABASE_CONNECTIONS", "2")];
    let stack = Stack::with("own-pool", &settings).await;
    let closing: Vec<Thread> = (1..=10).map(|n| Thread::of(&format!("tel:{n}"))).collect();
    stack.publish(&closing.iter().flat_map(|thread| [thread.says("m1"), thread.close()]).collect::<Vec<_>>()).await;
    let lock = stack.lock_archive().await;
    let daemon = stack.daemon().await;
    stack.until("the closes wait", async || stack.left().await == closing.len()).await;
    let talking = Thread::of("tel:talking");
    stack.publish(&[talking.says("m1"), talking.says("m2")]).await;
    stack.until("they are taken in", async || stack.left().await == closing.len()).await;
    assert!(stack.is_open(&talking).await);
    lock.rollback().await.expect("the lock goes");
    stack.until("they are archived", async || stack.counts().await == (10, 10)).await;
    stack.publish(&[talking.close()]).await;
    stack.until("all is archived", async || stack.counts().await == (11, 12)).await;
    stack.until("the queue is empty", async || stack.depth().await == EMPTY).await;
    assert!(daemon.terminate().await.0.success());
    stack.done().await;
}

/// As infra/archive/roles.sql has it. Roles come and go with their transaction.
#[tokio::test]
async fn a_daemon_that_may_not_delete_lets_go_of_what_expired_and_of_nothing_else() {
    let stack = Stack::with("expiry", &[POSTGRES]).await;
    let (live, over) = (Thread::of("tel:live"), Thread::of("tel:over"));
    stack.publish(&[live.says("m1"), live.close(), over.says("m1"), over.close()]).await;
    stack.settle().await;
    let mut transaction = stack.transaction().await;
    let over = "
        update hot_message set expires_at = now() - interval '1 second' where thread like '%tel:over%';
        update hot_head set expires_at = now() - interval '1 second' where thread like '%tel:over%'";
    sqlx::raw_sql(over).execute(&mut *transaction).await.expect("over");
    let roles = include_str!("../../infra/archive/roles.sql").replace("conversationd_", "it_expiry_");
    sqlx::raw_sql(sqlx::AssertSqlSafe(roles)).execute(&mut *transaction).await.expect("granted");
    sqlx::raw_sql("set local role it_expiry_hot").execute(&mut *transaction).await.expect("a daemon");
    let gone: i64 = sqlx::query_scalar("select hot_expire(1000)").fetch_one(&mut *transaction).await.expect("swept");
    assert_eq!(gone, 2, "a message and a head");
    let left: (i64, i64) = sqlx::query_as("select (select count(*) from hot_message), (select count(*) from hot_head)")
        .fetch_one(&mut *transaction)
        .await
        .expect("counted");
    assert_eq!(left, (1, 1));
    for forbidden in ["delete from hot_message", "update hot_message set body = ''"] {
        sqlx::raw_sql("savepoint before").execute(&mut *transaction).await.expect("a savepoint");
        let refused = sqlx::raw_sql(forbidden).execute(&mut *transaction).await;
        assert!(refused.is_err(), "{forbidden}");
        sqlx::raw_sql("rollback to savepoint before").execute(&mut *transaction).await.expect("back");
    }
    transaction.rollback().await.expect("as it was");
    stack.done().await;
}
