//! The breaker of a sink, as all replicas share it.

use std::time::Duration;

use conversationd::{
    domain::Notice,
    outbox::{Failed, Rate, Settlement},
};

use crate::house::{LEASE, in_a_house, noon, notice};

fn alert() -> Notice {
    Notice::alert_of_sink("sink_disabled", "a", "failed for too long", noon())
}

#[tokio::test]
async fn five_failures_in_a_row_open_it_and_nothing_is_claimed_then() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        for _ in 0..4 {
            assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Counted);
        }
        house.outbox.succeeded(sink).await.expect("succeeded");
        for _ in 0..4 {
            assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Counted);
        }
        assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Opened);
        assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Counted, "a straggler");
        assert!(house.claim(sink, 10).await.is_empty());
        assert!(house.outbox.probe(&[sink], LEASE).await.expect("probe").is_empty(), "its time is not over");
    })
    .await;
}

#[tokio::test]
async fn breaker_single_probe() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(2, 1)]).await.expect("tell");
        for _ in 0..5 {
            house.outbox.failed(sink, &alert()).await.expect("failed");
        }
        house.script("update outbox_sink set open_until = now() - interval '1 second'").await;
        let racers: Vec<_> = (0..12)
            .map(|_| {
                let outbox = house.outbox.clone();
                tokio::spawn(async move { outbox.probe(&[sink], LEASE).await.expect("probe").len() })
            })
            .collect();
        let mut winners = 0;
        for racer in racers {
            winners += racer.await.expect("a racer");
        }
        assert_eq!(winners, 1);
        assert!(house.claim(sink, 10).await.is_empty(), "the others claim nothing");
        let probe = house.outbox.claim_probe(sink, LEASE).await.expect("claim");
        assert_eq!(probe.len(), 1, "the winner claims one");
        house.settle(&probe[0], Settlement::Delivered).await;
        house.outbox.succeeded(sink).await.expect("succeeded");
        assert_eq!(house.claim(sink, 10).await.len(), 1, "closed again");
    })
    .await;
}

#[tokio::test]
async fn each_failed_probe_opens_it_for_longer_and_120_hours_of_failure_disable_the_sink() {
    in_a_house(async |house| {
        let [sink, other] = house.sinks(["a", "b"]).await;
        let mut pauses = Vec::new();
        for _ in 0..5 {
            house.outbox.failed(sink, &alert()).await.expect("failed");
        }
        for _ in 0..12 {
            pauses.push(house.number("select extract(epoch from open_until - now())::bigint from outbox_sink where name = 'a'").await);
            house.script("update outbox_sink set open_until = now() - interval '1 second' where name = 'a'").await;
            assert_eq!(house.outbox.probe(&[sink], LEASE).await.expect("probe"), [sink]);
            assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Opened);
        }
        for (trips, pause) in pauses.iter().enumerate() {
            let base = (30_i64 << trips.min(16)).min(3_600);
            assert!((base * 79 / 100 - 2..=base * 121 / 100).contains(pause), "{trips} trips: {pause} s, not about {base}");
        }
        house.script("update outbox_sink set failing_since = now() - interval '120 hours', open_until = now() where name = 'a'").await;
        assert_eq!(house.outbox.failed(sink, &alert()).await.expect("failed"), Failed::Disabled);
        assert_eq!(house.outbox.tell(&[notice(1, 1)]).await.expect("tell"), 1, "nothing is added for it");
        let told = house.claim(other, 10).await;
        assert_eq!(told.len(), 2, "and the other is told of it");
    })
    .await;
}

#[tokio::test]
async fn a_sink_that_asked_for_silence_has_it_from_every_replica() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        house.outbox.block(sink, Duration::from_secs(60)).await.expect("block");
        house.outbox.block(sink, Duration::from_secs(1)).await.expect("block");
        assert!(house.claim(sink, 10).await.is_empty());
        assert!(house.number("select extract(epoch from blocked_until - now())::bigint from outbox_sink").await > 50);
        house.script("update outbox_sink set blocked_until = now() - interval '1 second'").await;
        assert_eq!(house.claim(sink, 10).await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_paused_sink_keeps_queueing_and_a_disabled_one_recovers_what_it_missed() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        assert!(house.outbox.pause(sink, "refused our key", Some(&alert())).await.expect("pause"));
        assert!(!house.outbox.pause(sink, "refused our key", Some(&alert())).await.expect("pause"), "once");
        assert_eq!(house.outbox.tell(&[notice(1, 2)]).await.expect("tell"), 1);
        assert!(house.claim(sink, 10).await.is_empty());
        assert!(house.outbox.disable(sink, "gone", None).await.expect("disable"));
        assert_eq!(house.outbox.tell(&[notice(1, 3), notice(1, 4)]).await.expect("tell"), 0);
        house.outbox.resume("a").await.expect("resume");
        let since = chrono::Utc::now() - Duration::from_secs(3600);
        assert_eq!(house.outbox.recover("a", since).await.expect("recover"), 2);
        assert_eq!(house.outbox.recover("a", since).await.expect("recover"), 0);
        for event in 1..=4 {
            let claimed = house.claim_one(sink).await;
            assert_eq!(crate::house::event(&claimed), event);
            house.settle(&claimed, Settlement::Delivered).await;
        }
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn bucket_window_bound() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let rate = Rate { per_window: 20, per_day: 1_000 };
        // a second at a time, five replicas that want more than there is
        let mut granted = Vec::new();
        for _ in 0..40 {
            let mut now = 0;
            for _ in 0..5 {
                now += house.outbox.take_leave(sink, 8, rate).await.expect("leave");
            }
            granted.push(now);
            house.script("update outbox_sink set tokens_at = tokens_at - interval '1 second'").await;
        }
        let busiest = granted.windows(10).map(|window| window.iter().sum::<u32>()).max();
        // the database's own time goes on a little while the story is told
        assert!(busiest.is_some_and(|busiest| (15..=21).contains(&busiest)), "{granted:?}");
        assert!(granted[20..].iter().sum::<u32>() >= 18, "it goes on at half the window's rate: {granted:?}");
    })
    .await;
}

#[tokio::test]
async fn replicas_that_ask_at_once_get_no_more_than_there_is_and_what_is_given_back_is_there_again() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let rate = Rate { per_window: 20, per_day: 100 };
        let ask = |wanted| {
            let outbox = house.outbox.clone();
            tokio::spawn(async move { outbox.take_leave(sink, wanted, rate).await.expect("leave") })
        };
        let mut granted = 0;
        for asked in [ask(4), ask(4), ask(4), ask(4)] {
            granted += asked.await.expect("asked");
        }
        assert!((10..=11).contains(&granted), "{granted}");
        house.outbox.give_back(sink, 3).await.expect("given back");
        assert!(house.outbox.take_leave(sink, 9, rate).await.expect("leave") >= 3);
    })
    .await;
}

#[tokio::test]
async fn nine_tenths_of_a_day_are_used_and_the_next_day_begins_anew() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let rate = Rate { per_window: 1_000, per_day: 50 };
        assert!(!house.outbox.day_is_used(sink, rate).await.expect("used"));
        assert_eq!(house.outbox.take_leave(sink, 100, rate).await.expect("leave"), 45);
        assert!(house.outbox.day_is_used(sink, rate).await.expect("used"));
        assert_eq!(house.outbox.take_leave(sink, 100, rate).await.expect("leave"), 0);
        house.script("update outbox_sink set day = day - 1").await;
        assert!(!house.outbox.day_is_used(sink, rate).await.expect("used"));
        assert_eq!(house.outbox.take_leave(sink, 10, rate).await.expect("leave"), 10);
    })
    .await;
}
