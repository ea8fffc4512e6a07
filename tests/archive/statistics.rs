//! What a closed conversation adds up to, and how that follows whatever arrives late.

use chrono::TimeDelta;
use conversationd::domain::{Direction, Message, RatingKind, Record};
use sqlx::Row;

use crate::house::{House, close, in_a_house, message, noon, rating, record};

/// A message so many seconds after noon.
fn said(number: u32, seconds: i64, direction: Direction) -> Message {
    Message { occurred_at: noon() + TimeDelta::seconds(seconds), direction, ..message(number) }
}

#[derive(Debug, PartialEq, Default)]
struct Adds {
    counts: [i64; 4],
    tokens: i64,
    duration_ms: Option<i64>,
    first_response_ms: Option<i64>,
    ratings: i64,
}

async fn adds(house: &House, record: &Record) -> Option<Adds> {
    let row = sqlx::query("select * from conversation_stats where conversation_id = $1")
        .bind(record.id.0)
        .fetch_optional(&mut house.connection().await)
        .await
        .expect("read")?;
    Some(Adds {
        counts: ["incoming_count", "outgoing_count", "system_count", "late_count"].map(|name| row.get(name)),
        tokens: row.get("token_count"),
        duration_ms: row.get("duration_ms"),
        first_response_ms: row.get("first_response_ms"),
        ratings: row.get("rating_count"),
    })
}

#[tokio::test]
async fn statistics_are_written_with_the_close_and_follow_what_comes_later() {
    in_a_house(async |house| {
        use Direction::{Incoming, Outgoing, System};
        let record = record(1);
        let first = [said(1, 0, Outgoing), said(2, 10, Incoming), said(3, 20, System), said(4, 70, Outgoing)];
        house.write(&record, &first, false, None).await.expect("checkpoint");
        assert_eq!(adds(&house, &record).await, None);

        house.write(&record, &first, false, Some(&close())).await.expect("close");
        let at_close = Adds {
            counts: [1, 2, 1, 0],
            tokens: 10,
            duration_ms: Some(70_000),
            first_response_ms: Some(60_000),
            ratings: 0,
        };
        assert_eq!(adds(&house, &record).await, Some(at_close));

        // An answer that came late was the first; a question that came late was earlier still.
        house.write(&record, &[said(5, 15, Outgoing)], true, None).await.expect("late");
        let answered = adds(&house, &record).await.expect("stats");
        assert_eq!((answered.counts, answered.first_response_ms), ([1, 3, 1, 1], Some(5_000)));
        house.write(&record, &[said(6, -20, Incoming)], true, None).await.expect("late");
        let asked = adds(&house, &record).await.expect("stats");
        assert_eq!((asked.counts, asked.first_response_ms), ([2, 3, 1, 2], Some(20_000)));
        assert_eq!((asked.duration_ms, asked.tokens), (Some(90_000), 21));

        house.rate(&record, &rating(1, RatingKind::Csat, 5)).await.expect("rate");
        assert_eq!(adds(&house, &record).await, Some(Adds { ratings: 1, ..asked }));
    })
    .await;
}

#[tokio::test]
async fn the_same_again_does_not_touch_them() {
    in_a_house(async |house| {
        let (record, messages) = (record(1), [said(1, 0, Direction::Incoming)]);
        house.write(&record, &messages, false, Some(&close())).await.expect("close");
        let touched = "select count(*) from conversation_stats where updated_at > created_at";
        for late in [false, true] {
            house.write(&record, &messages, late, Some(&close())).await.expect("again");
            assert_eq!(house.number(touched).await, 0);
        }
        house.write(&record, &[said(2, 1, Direction::Incoming)], true, None).await.expect("late");
        assert_eq!(house.number(touched).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_conversation_nobody_answered_has_no_first_response() {
    in_a_house(async |house| {
        use Direction::{Incoming, Outgoing};
        for (number, messages, first_response_ms) in [
            (1, vec![said(1, 0, Outgoing), said(2, 5, Incoming)], None),
            (2, vec![said(3, 0, Outgoing)], None),
            (3, vec![said(4, 0, Incoming)], None),
            // of one instant: the place in the queue tells question from answer
            (4, vec![said(5, 0, Incoming), said(6, 0, Outgoing)], Some(0)),
            (5, vec![said(7, 0, Outgoing), said(8, 0, Incoming)], None),
        ] {
            house.write(&record(number), &messages, false, Some(&close())).await.expect("close");
            let adds = adds(&house, &record(number)).await.expect("stats");
            assert_eq!(adds.first_response_ms, first_response_ms, "conversation {number}");
        }
    })
    .await;
}
