//! The plan for a divided archive (infra/archive/partition.sql), run step by step on an archive with conversations in it.

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::archive::Recheck;
use sqlx::{AssertSqlSafe, PgConnection, Row};
use uuid::Uuid;

use crate::house::{House, close, in_a_house, message, messages, record};

const PLAN: &str = include_str!("../../infra/archive/partition.sql");

/// One step of the plan.
fn step(name: &str) -> &'static str {
    let mark = format!("-- step: {name}\n");
    let (_, from) = PLAN.split_once(mark.as_str()).expect("the step");
    from.split("-- step: ").next().expect("its text")
}

async fn take(house: &House, name: &str) {
    let taken = sqlx::raw_sql(step(name)).execute(&mut house.connection().await).await;
    taken.unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

async fn differences(house: &House) -> usize {
    sqlx::raw_sql(step("compare")).fetch_all(&mut house.connection().await).await.expect("compare").len()
}

/// Fills the page that the step `insert` takes from, and takes it.
async fn insert(connection: &mut PgConnection, filled: &str) -> Vec<Uuid> {
    let make = "create temporary table if not exists message_page (like message); truncate message_page;";
    sqlx::raw_sql(AssertSqlSafe(format!("{make} {filled}"))).execute(&mut *connection).await.expect("a page");
    let rows = sqlx::raw_sql(step("insert")).fetch_all(connection).await.expect("insert");
    rows.iter().map(|row| row.get("event_id")).collect()
}

async fn holds(house: &House) -> bool {
    let ids: Vec<Uuid> = (0..4).map(|number| record(number).id.0).collect();
    let checks = house.archive.recheck(&ids).await.expect("recheck");
    checks.len() == 4 && checks.iter().all(Recheck::holds)
}

/// Until a session waits for another's event.
async fn until_one_waits(house: &House) {
    const WAITING: &str =
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%message_identity%'";
    while house.number(WAITING).await == 0 {
        tokio::task::yield_now().await;
    }
}

/// Conversations of four months, four messages each.
async fn four_months(house: &House) {
    for number in 0..4u32 {
        let mut said = messages(number * 10..number * 10 + 4);
        for message in &mut said {
            message.occurred_at += TimeDelta::days(i64::from(number) * 31);
        }
        house.write(&record(number.into()), &said, false, Some(&close())).await.expect("close");
    }
}

#[tokio::test]
async fn the_archive_is_divided_by_month_and_reads_the_same() {
    in_a_house(async |house| {
        four_months(&house).await;
        take(&house, "expand").await;
        take(&house, "expand").await;
        assert!(differences(&house).await > 0, "nothing is copied yet");
        // written while both stand: inserted, changed, removed
        house.write(&record(1), &[message(17), message(18)], true, None).await.expect("late");
        house.script("update message set text = 'changed' where text in (select text from message limit 3)").await;
        take(&house, "copy").await;
        house.script("update message set text = 'again' where text = 'changed'").await;
        house.script("delete from message where arrived_after_close and event_id = (select max(event_id::text)::uuid from message where arrived_after_close)").await;
        take(&house, "copy").await;
        assert_eq!(differences(&house).await, 0);
        assert_eq!(house.number("select count(*) from message_of_no_month").await, 0);
        house.script("update conversation set (message_count, token_count, content_hash) = (select * from conversation_content(id))").await;
        let before = house.transcript(&record(1), 2).await;

        take(&house, "switch").await;
        take(&house, "switch").await;
        assert_eq!(house.transcript(&record(1), 2).await, before);
        assert_eq!(house.number("select count(*) from message").await, 17);
        assert_eq!(house.number("select count(*) from pg_inherits where inhparent = 'message'::regclass").await, 5);
        assert_eq!(house.number("select jsonb_array_length(messages)::bigint from conversation_messages limit 1").await, 4);

        take(&house, "contract").await;
        house.script("update conversation set (message_count, token_count, content_hash) = (select * from conversation_content(id))").await;
        house.script(
            "update conversation_stats s set (incoming_count, outgoing_count, system_count, late_count, token_count,
                first_message_at, last_message_at, duration_ms, first_response_ms, rating_count, csat, nps)
             = (select * from conversation_statistics(s.conversation_id))",
        )
        .await;
        assert!(holds(&house).await);

        // a month goes whole
        let month: DateTime<Utc> = messages(0..1)[0].occurred_at;
        let detach = format!("alter table message detach partition message_{}", month.format("%Y_%m"));
        sqlx::query(AssertSqlSafe(detach)).execute(&mut house.connection().await).await.expect("detach");
        assert!(house.number("select count(*) from message").await < 17);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stands_once_over_all_months_whoever_writes_it() {
    in_a_house(async |house| {
        four_months(&house).await;
        for name in ["expand", "copy", "switch"] {
            take(&house, name).await;
        }
        let mut one = house.connection().await;
        // sent again by a publisher that draws a new time: another month, and no row
        let again = "insert into message_page select * from message; update message_page set occurred_at = occurred_at + interval '40 days'";
        assert!(insert(&mut one, again).await.is_empty());
        assert_eq!(house.number("select count(*) from message").await, 16);

        let new = "insert into message_page select * from message limit 2; update message_page set event_id = md5(event_id::text)::uuid";
        let (mut first, mut second) = (house.connection().await, house.connection().await);
        sqlx::raw_sql("begin").execute(&mut first).await.expect("begin");
        assert_eq!(insert(&mut first, new).await.len(), 2);
        // the page of the second is filled from what the first has not committed yet: the same two rows
        let waits = tokio::spawn(async move { insert(&mut second, new).await });
        until_one_waits(&house).await;
        sqlx::raw_sql("commit").execute(&mut first).await.expect("commit");
        assert!(waits.await.expect("the second").is_empty());
        assert_eq!(house.number("select count(*) from message").await, 18);
    })
    .await;
}
