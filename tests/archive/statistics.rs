//! What a closed conversation adds up to, and how that follows whatever arrives late.

use chrono::TimeDelta;
use conversationd::domain::{Direction, Message, RatingKind, Record};
use sqlx::Row;
use uuid::Uuid;

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
            tokens: 100,
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
        assert_eq!((asked.duration_ms, asked.tokens), (Some(90_000), 210));

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

/// Conversations as releases before 0007 left them: tokens as publishers said them, and no statistics of the oldest.
const OLDER: &str = "
    insert into conversation (id, project, thread, opened_at, closed_at, close_reason, message_count, token_count)
    select lpad(to_hex(n), 32, '0')::uuid, 'project', 'thread', now(), case when n % 50 > 0 then now() end,
           case when n % 50 > 0 then 'idle' end, 2, 7
    from generate_series(1, 250) n;
    insert into message (event_id, conversation_id, occurred_at, received_at, sequence, direction, text, tokens_used,
                         tokens, tokenizer)
    select gen_random_uuid(), c.id, now(), now(), 1, direction, '', 7, tokens, case when tokens > 0 then 'o200k_base' end
    from conversation c, (values ('incoming', 3), ('outgoing', null)) as said (direction, tokens);
    update conversation set content_hash = (select content_hash from conversation_content(id));
    insert into conversation_stats
    select c.id, s.* from conversation c, conversation_statistics(c.id) s
    where c.closed_at is not null and c.id > lpad(to_hex(20), 32, '0')::uuid;
    update conversation_stats set token_count = 7;
    delete from _sqlx_migrations where version = 7";

#[tokio::test]
async fn what_older_releases_left_is_put_right_and_verified() {
    in_a_house(async |house| {
        house.script(OLDER).await;
        let ids: Vec<Uuid> = (1..=250).map(Uuid::from_u128).collect();
        let differ = async || {
            let checks = house.archive.recheck(&ids).await.expect("recheck");
            checks.iter().filter(|check| !check.holds()).count()
        };
        assert_eq!(differ().await, 250);
        for _ in 0..2 {
            house.archive.migrate().await.expect("migrate");
            assert_eq!(differ().await, 0);
            assert_eq!(house.number("select count(*) from conversation_stats").await, 245, "of all that have closed");
            assert_eq!(house.number("select sum(token_count)::bigint from conversation").await, 250 * 3);
            house.script("delete from _sqlx_migrations where version = 7").await;
        }

        house.script("delete from conversation_stats where conversation_id = (select min(conversation_id::text)::uuid from conversation_stats)").await;
        assert_eq!(differ().await, 1, "a closed conversation without statistics is none that holds");
    })
    .await;
}
