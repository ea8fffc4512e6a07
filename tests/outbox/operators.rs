//! What operators do to dispatches: nothing is lost, nothing changes its place.

use std::time::Duration;

use conversationd::outbox::{DispatchRow, Filter, Mended, Settlement, erase};

use crate::house::{House, event, in_a_house, notice};

async fn rows(house: &House, states: &[&'static str]) -> Vec<DispatchRow> {
    let filter = Filter { states: Some(states.to_vec()), limit: 100, ..Filter::default() };
    house.outbox.list(&filter).await.expect("list")
}

#[tokio::test]
async fn replay_keeps_place() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(1, 3)]).await.expect("tell");
        let first = house.claim_one(sink).await;
        house.settle(&first, Settlement::Dead).await;
        let dead = rows(&house, &["dead"]).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(house.outbox.replay(&dead[0]).await.expect("replay"), Mended::Done);
        assert_eq!(house.outbox.replay(&dead[0]).await.expect("replay"), Mended::Changed, "once");
        for expected in 1..=3 {
            let claimed = house.claim_one(sink).await;
            assert_eq!((event(&claimed), claimed.attempt), (expected, 1));
            house.settle(&claimed, Settlement::Delivered).await;
        }
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_retry_does_not_wait_and_frees_what_was_parked() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        for settlement in [Settlement::Retry(Duration::from_secs(3600)), Settlement::Park] {
            let claimed = house.claim_one(sink).await;
            house.settle(&claimed, settlement).await;
            assert!(house.claim(sink, 10).await.is_empty());
            let pending = rows(&house, &["pending"]).await;
            assert_eq!(pending[0].parked, settlement == Settlement::Park);
            assert_eq!(house.outbox.retry(&pending[0]).await.expect("retry"), Mended::Done);
        }
        assert_eq!(house.claim_one(sink).await.attempt, 1);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn nothing_overtakes_what_is_on_its_way_when_it_is_skipped() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        let under_way = house.claim_one(sink).await;
        let pending = rows(&house, &["pending"]).await;
        assert_eq!(house.outbox.skip(&pending[0], "wrong").await.expect("skip"), Mended::Done);
        assert_eq!(house.outbox.skip(&pending[0], "wrong").await.expect("skip"), Mended::Changed);
        assert!(house.claim(sink, 10).await.is_empty(), "the lease goes on");
        assert!(!house.settle(&under_way, Settlement::Delivered).await);
        house.script("update outbox_lane set due_at = now() - interval '1 second'").await;
        assert_eq!(event(&house.claim_one(sink).await), 2);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn an_erased_contact_is_told_of_no_more() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["a"]).await;
        let told = [notice(1, 1), notice(1, 2), notice(2, 3)];
        house.outbox.tell(&told).await.expect("tell");
        let first = house.claim_one_of(sink, 1).await;
        house.settle(&first, Settlement::Delivered).await;
        let mut transaction = house.pool.begin().await.expect("begin");
        assert_eq!(erase(&mut transaction, &[], Some(told[0].contact_lane), "erased").await.expect("erase"), 3);
        transaction.commit().await.expect("commit");
        house.script("update outbox_lane set due_at = now() - interval '1 second', leased_until = null").await;
        assert!(house.claim(sink, 10).await.is_empty());
        assert_eq!(house.number("select count(*) from outbox_notice where content::text <> '{}'").await, 0);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_says_how_it_fares() {
    in_a_house(async |house| {
        let [sink, _] = house.sinks(["a", "b"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(2, 3)]).await.expect("tell");
        let claimed = house.claim(sink, 10).await;
        house.settle(&claimed[0], Settlement::Dead).await;
        house.settle(&claimed[1], Settlement::Park).await;
        let sinks = house.outbox.sinks().await.expect("sinks");
        let of = |name: &str| sinks.iter().find(|row| row.name == name).expect("the sink");
        assert_eq!((of("a").pending, of("a").dead, of("a").parked), (2, 1, 1));
        assert_eq!((of("b").pending, of("b").dead, of("b").parked), (3, 0, 0));
        let attempts = house.outbox.attempts(claimed[0].notice.id.0).await.expect("attempts");
        assert_eq!(attempts.iter().map(|attempt| attempt.outcome.as_str()).collect::<Vec<_>>(), ["dead"]);
    })
    .await;
}

impl House {
    /// Claims, and returns the one with this number; the others stay leased.
    async fn claim_one_of(&self, sink: conversationd::outbox::SinkId, wanted: u64) -> conversationd::outbox::Claimed {
        let claimed = self.claim(sink, 10).await;
        claimed.into_iter().find(|claimed| event(claimed) == wanted).expect("it is due")
    }
}
