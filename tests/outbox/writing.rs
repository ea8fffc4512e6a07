//! Writing notices: with what makes them true, once, to those who take them, in order.

use conversationd::{
    domain::{Notice, NoticeKind},
    outbox::{Order, Registration, enqueue},
};

use crate::house::{event, in_a_house, notice, sink};

#[tokio::test]
async fn enqueue_is_idempotent() {
    in_a_house(async |house| {
        house.sinks(["a", "b"]).await;
        let told = [notice(1, 1), notice(1, 2), notice(1, 1)];
        assert_eq!(house.outbox.tell(&told).await.expect("tell"), 4);
        assert_eq!(house.outbox.tell(&told).await.expect("tell"), 0);
        assert_eq!(house.number("select count(*) from outbox_notice").await, 2);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn enqueue_rolls_back_with_the_transaction_that_makes_it_true() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let mut transaction = house.pool.begin().await.expect("begin");
        assert_eq!(enqueue(&mut transaction, &[notice(1, 1)]).await.expect("enqueue"), 1);
        transaction.rollback().await.expect("rollback");
        assert!(house.claim(sink, 10).await.is_empty());

        let mut transaction = house.pool.begin().await.expect("begin");
        enqueue(&mut transaction, &[notice(1, 2)]).await.expect("enqueue");
        transaction.commit().await.expect("commit");
        let claimed = house.claim_one(sink).await;
        assert_eq!((event(&claimed), claimed.claim.seq), (2, 1), "no gap is left behind");
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_second_teller_waits_for_the_first_and_adds_nothing() {
    in_a_house(async |house| {
        house.sinks(["a"]).await;
        let mut first = house.pool.begin().await.expect("begin");
        enqueue(&mut first, &[notice(1, 1)]).await.expect("enqueue");
        let outbox = house.outbox.clone();
        let second = tokio::spawn(async move { outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell") });
        first.commit().await.expect("commit");
        assert_eq!(second.await.expect("the second"), 1);
        assert_eq!(house.number("select max(seq) from outbox_dispatch").await, 2);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_notice_goes_to_those_who_take_its_kind_and_project() {
    in_a_house(async |house| {
        let sinks = [
            sink("all"),
            Registration { kinds: vec![NoticeKind::Closed], ..sink("closed only") },
            Registration { projects: Some(vec!["other".into()]), ..sink("another project") },
            Registration { projects: Some(vec!["other".into(), "p".into()]), ..sink("two projects") },
        ];
        let ids = house.outbox.register(&sinks).await.expect("register");
        assert_eq!(house.outbox.tell(&[notice(1, 1)]).await.expect("tell"), 2);
        for (name, expected) in [("all", 1), ("closed only", 0), ("another project", 0), ("two projects", 1)] {
            assert_eq!(house.claim(ids[name], 10).await.len(), expected, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn without_a_sink_nothing_is_written_at_all() {
    in_a_house(async |house| {
        assert_eq!(house.outbox.tell(&[notice(1, 1)]).await.expect("tell"), 0);
        assert_eq!(house.number("select count(*) from outbox_notice").await, 0);
    })
    .await;
}

#[tokio::test]
async fn an_alert_about_a_sink_is_told_to_the_others() {
    in_a_house(async |house| {
        let [ill, well] = house.sinks(["ill", "well"]).await;
        let alert = Notice::alert_of_sink("sink_paused", "ill", "refused our key", crate::house::noon());
        assert_eq!(house.outbox.tell(&[alert]).await.expect("tell"), 1);
        assert!(house.claim(ill, 10).await.is_empty());
        assert_eq!(house.claim(well, 10).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_sink_no_settings_name_gets_nothing_more_and_keeps_what_it_has() {
    in_a_house(async |house| {
        let [gone, _] = house.sinks(["gone", "stays"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        house.sinks(["stays"]).await;
        assert_eq!(house.outbox.tell(&[notice(1, 2)]).await.expect("tell"), 1);
        assert!(house.claim(gone, 10).await.is_empty());
        let [back, _] = house.sinks(["gone", "stays"]).await;
        assert_eq!(back, gone);
        assert_eq!(event(&house.claim_one(back).await), 1);
    })
    .await;
}

#[tokio::test]
async fn places_are_taken_in_the_order_of_commits() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let mut first = house.pool.begin().await.expect("begin");
        enqueue(&mut first, &[notice(1, 1)]).await.expect("enqueue");
        let outbox = house.outbox.clone();
        let second = tokio::spawn(async move { outbox.tell(&[notice(1, 2)]).await.expect("tell") });
        // the second waits for the lane: it could otherwise take the place behind, commit first, and be sent first
        while house.number("select count(*) from pg_locks where not granted").await == 0 {
            tokio::task::yield_now().await;
        }
        assert!(house.claim(sink, 10).await.is_empty());
        first.commit().await.expect("commit");
        second.await.expect("the second");
        assert_eq!(event(&house.claim_one(sink).await), 1);
    })
    .await;
}

#[tokio::test]
async fn a_sink_of_contacts_has_one_lane_for_all_conversations_of_one() {
    in_a_house(async |house| {
        let ids = house
            .outbox
            .register(&[Registration { order: Order::Contact, ..sink("crm") }, sink("hook")])
            .await
            .expect("register");
        house.outbox.tell(&[notice(1, 1), notice(2, 2), notice(3, 3)]).await.expect("tell");
        assert_eq!(event(&house.claim_one(ids["crm"]).await), 1);
        assert_eq!(house.claim(ids["hook"], 10).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn what_jsonb_would_refuse_is_kept_and_comes_back_as_it_was() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let mut odd = notice(1, 1);
        odd.content.insert("text".into(), serde_json::json!("a\u{0}b \u{1F642} \\u0000"));
        odd.content.insert("number".into(), serde_json::json!(1.0e300));
        house.outbox.tell(std::slice::from_ref(&odd)).await.expect("tell");
        assert_eq!(house.claim_one(sink).await.notice, odd);
    })
    .await;
}
