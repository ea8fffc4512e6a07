//! What a claim costs, by what the database reads for it: not by time, which other work on the machine changes.

use serde_json::Value;

use crate::house::in_a_house;

/// A stuck key with 200,000 dispatches behind its head, 20,000 lanes that wait for their next attempt, 2,000 that are due.
const BACKLOG: &str = "
    insert into outbox_notice (id, kind, conversation_lane, contact_lane, occurred_at, content)
    values ('00000000-0000-0000-0000-000000000001', 'conversation.updated', gen_random_uuid(), gen_random_uuid(), now(), '{}');
    insert into outbox_sink (name, form, kinds, order_by) values ('a', 'test', '{conversation.updated}', 'conversation');
    alter table outbox_dispatch drop constraint outbox_dispatch_once;
    insert into outbox_lane (sink_id, lane, last_seq, pending, due_at, attempts)
    select s.id, '00000000-0000-0000-0000-0000000000ff', 200000, 200000, now() + interval '1 hour', 3 from outbox_sink s;
    insert into outbox_dispatch (sink_id, lane, seq, notice_id)
    select s.id, '00000000-0000-0000-0000-0000000000ff', n, '00000000-0000-0000-0000-000000000001'
    from outbox_sink s, generate_series(1, 200000) n;
    insert into outbox_lane (sink_id, lane, last_seq, pending, due_at, attempts)
    select s.id, gen_random_uuid(), 1, 1, now() + interval '1 hour', 1 from outbox_sink s, generate_series(1, 20000);
    insert into outbox_lane (sink_id, lane, last_seq, pending, due_at)
    select s.id, gen_random_uuid(), 1, 1, now() - interval '1 second' from outbox_sink s, generate_series(1, 2000);
    insert into outbox_dispatch (sink_id, lane, seq, notice_id)
    select l.sink_id, l.lane, 1, '00000000-0000-0000-0000-000000000001' from outbox_lane l where l.last_seq = 1;
    analyze outbox_lane, outbox_dispatch, outbox_notice, outbox_sink;";

/// The most rows any step of the plan read, and the most blocks all of them touched.
fn cost(plan: &Value, rows: &mut f64) {
    let number = |name: &str| plan[name].as_f64().unwrap_or_default();
    let read = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops").max(1.0);
    *rows = rows.max(read);
    for child in plan["Plans"].as_array().into_iter().flatten() {
        cost(child, rows);
    }
}

#[tokio::test]
async fn claim_constant_with_backlog() {
    in_a_house(async |house| {
        house.script(BACKLOG).await;
        let (take, heads) = conversationd::outbox::CLAIM_STATEMENTS;
        let mut transaction = house.pool.begin().await.expect("begin");
        let sink: i32 =
            sqlx::query_scalar("select id from outbox_sink").fetch_one(&mut *transaction).await.expect("id");
        let explain = |sql: &str| sqlx::AssertSqlSafe(format!("explain (analyze, buffers, format json) {sql}"));
        let taken: Value = sqlx::query_scalar(explain(take))
            .bind(vec![sink])
            .bind(vec![32])
            .bind(30.0_f64)
            .bind(false)
            .fetch_one(&mut *transaction)
            .await
            .expect("explain");
        let stuck = "00000000-0000-0000-0000-0000000000ff".parse::<uuid::Uuid>().expect("a lane");
        let head: Value = sqlx::query_scalar(explain(heads))
            .bind(vec![sink])
            .bind(vec![stuck])
            .fetch_one(&mut *transaction)
            .await
            .expect("explain");
        transaction.rollback().await.expect("rollback");
        for (what, plan, most) in [("taking 32 of 22,001 lanes", taken, 200.0), ("the head of 200,000", head, 10.0)] {
            let mut rows = 0.0;
            cost(&plan[0]["Plan"], &mut rows);
            let blocks = plan[0]["Plan"]["Shared Hit Blocks"].as_f64().expect("blocks");
            println!("{what}: {rows} rows read at most, {blocks} blocks, {} ms", plan[0]["Execution Time"]);
            assert!(rows <= most, "{what}: {rows} rows\n{plan:#}");
            assert!(blocks < 2_000.0, "{what}: {blocks} blocks\n{plan:#}");
        }
    })
    .await;
}
