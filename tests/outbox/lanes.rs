//! Lanes: one head at a time, leases, epochs, attempts.

use std::time::Duration;

use conversationd::outbox::{Room, Settlement};

use crate::house::{event, in_a_house, notice};

#[tokio::test]
async fn a_lane_hands_out_its_head_only_and_the_next_once_that_is_settled() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(2, 3)]).await.expect("tell");
        let claimed = house.claim(sink, 10).await;
        let mut events: Vec<u64> = claimed.iter().map(event).collect();
        events.sort_unstable();
        assert_eq!(events, [1, 3]);
        assert!(house.claim(sink, 10).await.is_empty(), "both lanes are leased");
        let head = claimed.iter().find(|claimed| event(claimed) == 1).expect("the first");
        assert!(house.settle(head, Settlement::Delivered).await);
        let next = house.claim_one(sink).await;
        assert_eq!((event(&next), next.claim.seq, next.attempt), (2, 2, 1));
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_ended_lets_another_try_and_the_first_settles_nothing() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        let first = house.outbox.claim(&[Room { sink, lanes: 1 }], Duration::ZERO).await.expect("claim").remove(0);
        let second = house.claim_one(sink).await;
        assert_eq!((event(&second), second.attempt), (1, 2), "a crash counts as an attempt");
        assert!(!house.settle(&first, Settlement::Dead).await, "a stale epoch settles nothing");
        assert!(house.settle(&second, Settlement::Delivered).await);
        assert!(!house.settle(&second, Settlement::Delivered).await, "nor does the same claim a second time");
        assert_eq!(event(&house.claim_one(sink).await), 2);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_retry_counts_and_a_release_does_not() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        for (settlement, attempt) in [
            (Settlement::Release(Duration::ZERO), 1),
            (Settlement::Retry(Duration::ZERO), 1),
            (Settlement::Release(Duration::ZERO), 2),
            (Settlement::Retry(Duration::from_secs(60)), 2),
        ] {
            let claimed = house.claim_one(sink).await;
            assert_eq!(claimed.attempt, attempt);
            assert!(house.settle(&claimed, settlement).await);
        }
        assert!(house.claim(sink, 10).await.is_empty(), "it waits for a minute");
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_given_up_lets_the_lane_go_on_unless_it_is_parked() {
    in_a_house(async |house| {
        let [skips, parks] = house.sinks(["skips", "parks"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        let head = house.claim_one(skips).await;
        assert!(house.settle(&head, Settlement::Dead).await);
        let next = house.claim_one(skips).await;
        assert_eq!((event(&next), next.claim.seq), (2, 2), "the gap shows");
        let head = house.claim_one(parks).await;
        assert!(house.settle(&head, Settlement::Park).await);
        assert!(house.claim(parks, 10).await.is_empty());
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn room_is_given_to_the_longest_due_and_no_more_than_asked_for() {
    in_a_house(async |house| {
        let [one, other] = house.sinks(["one", "other"]).await;
        for conversation in 1..=5 {
            house.outbox.tell(&[notice(conversation, 1)]).await.expect("tell");
        }
        let rooms = [Room { sink: one, lanes: 2 }, Room { sink: other, lanes: 3 }];
        let claimed = house.outbox.claim(&rooms, Duration::from_secs(60)).await.expect("claim");
        let of = |sink| claimed.iter().filter(|claimed| claimed.claim.sink == sink).count();
        assert_eq!((of(one), of(other)), (2, 3));
        assert!(claimed.iter().all(|claimed| claimed.notice.conversation <= notice(3, 1).conversation));
    })
    .await;
}

#[tokio::test]
async fn a_lane_that_was_swept_begins_again_and_one_with_a_past_is_kept() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(2, 1)]).await.expect("tell");
        for claimed in house.claim(sink, 10).await {
            house.settle(&claimed, Settlement::Delivered).await;
        }
        house.script("update outbox_lane set due_at = now() - interval '8 days'").await;
        let old = "update outbox_dispatch set done_at = now() - interval '8 days' where seq = 1 and lane = (select min(lane::text)::uuid from outbox_lane)";
        house.script(old).await;
        let swept = house.outbox.sweep(100).await.expect("sweep");
        assert_eq!((swept.dispatches, swept.lanes), (1, 1));
        house.outbox.tell(&[notice(1, 2), notice(2, 2)]).await.expect("tell");
        let places: Vec<i64> = house.claim(sink, 10).await.iter().map(|claimed| claimed.claim.seq).collect();
        assert_eq!(places.iter().sum::<i64>(), 3, "one begins at 1, one goes on at 2: {places:?}");
        house.is_sound().await;
    })
    .await;
}
