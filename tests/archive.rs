//! Stories of the archive against a real PostgreSQL, given by `DATABASE_URL`; each in a schema of its own.
#![allow(clippy::disallowed_methods, clippy::expect_used)] // a test may read the environment, and panic

#[path = "archive/classified.rs"]
mod classified;
#[path = "archive/content.rs"]
mod content;
#[path = "archive/crm_record.rs"]
mod crm_record;
#[path = "archive/faults.rs"]
mod faults;
#[path = "archive/house.rs"]
mod house;
#[path = "archive/life.rs"]
mod life;
#[path = "archive/partition.rs"]
mod partition;
#[path = "archive/schema.rs"]
mod schema;
#[path = "archive/statistics.rs"]
mod statistics;
#[path = "archive/telling.rs"]
mod telling;

use conversationd::archive::{Archive, Filter};
use conversationd::domain::{Close, CloseReason, Stretch};
use house::{close, hash, in_a_house, message, messages, noon, record, thread};

#[tokio::test]
async fn closing_again_changes_nothing_and_says_the_same() {
    in_a_house(async |house| {
        let (record, messages) = (record(1), messages(0..5));
        let first = house.write(&record, &messages, false, Some(&close())).await.expect("close");
        let row = house.archive.conversation(record.id).await.expect("read").expect("row");

        let other = Close::new(noon(), CloseReason::Operator);
        let again = house.write(&record, &messages, false, Some(&other)).await.expect("close again");

        assert_eq!(again, first);
        assert_eq!(house.archive.conversation(record.id).await.expect("read"), Some(row.clone()));
        assert_eq!(house.number("select count(*) from conversation").await, 1);
        assert_eq!(first.message_count, 5);
        assert_eq!(first.closed_at, Some(close().at));
        assert_eq!(first.content_hash, hash(&messages));
        assert_eq!((row.message_count, row.token_count), (5, 100));
        assert_eq!(row.close_reason.as_deref(), Some("idle"));
        assert_eq!(row.close_detail.as_deref(), Some("nobody spoke"));
        assert_eq!(row.resolution, Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_closers_at_once_make_one_conversation() {
    in_a_house(async |house| {
        for number in 0..20 {
            let record = record(number);
            let messages = messages(number as u32 * 40..number as u32 * 40 + 40);
            let close = close();
            let (one, other) = tokio::join!(
                house.write(&record, &messages, false, Some(&close)),
                house.write(&record, &messages, false, Some(&close)),
            );
            assert_eq!(one.expect("one"), other.expect("other"));
        }
        assert_eq!(house.number("select count(*) from conversation where message_count = 40").await, 20);
        assert_eq!(house.archive.count_messages(Some("project")).await.expect("count"), 800);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_messages_that_come_at_once_are_all_counted() {
    in_a_house(async |house| {
        let (record, close) = (record(1), close());
        house.write(&record, &messages(0..1), false, Some(&close)).await.expect("close");
        for number in (1..40).step_by(2) {
            let (one, other) = ([message(number)], [message(number + 1)]);
            let (one, other) =
                tokio::join!(house.write(&record, &one, true, None), house.write(&record, &other, true, None));
            let counts = [one.expect("one").message_count, other.expect("other").message_count];
            assert_eq!(counts.into_iter().max(), Some(u64::from(number) + 2));
            let row = house.archive.conversation(record.id).await.expect("read").expect("row");
            assert_eq!(row.message_count, i64::from(number) + 2);
        }
        let again = house.write(&record, &messages(0..41), false, Some(&close)).await.expect("close again");
        assert_eq!((again.message_count, again.content_hash), (41, hash(&messages(0..41))));
    })
    .await;
}

#[tokio::test]
async fn whatever_step_a_crash_follows_the_next_one_ends_the_same() {
    in_a_house(async |house| {
        let (messages, close) = (messages(0..6), close());
        for steps in 0..4 {
            let record = record(steps);
            let mut transaction = house.archive.begin().await.expect("begin");
            if steps >= 1 {
                transaction.lock(&thread(), &record).await.expect("lock");
            }
            for page in messages.chunks(3).take(steps.saturating_sub(1) as usize) {
                assert_eq!(transaction.insert(&record, page, false).await.expect("insert").len(), 3);
            }
            drop(transaction);
            assert_eq!(house.archive.count_messages(None).await.expect("count"), 0);

            let summary = house.write(&record, &messages, false, Some(&close)).await.expect("redo");
            assert_eq!((summary.message_count, summary.content_hash), (6, hash(&messages)));
            house.script("truncate conversation cascade").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_crash_while_committing_is_made_good_whichever_way_it_went() {
    in_a_house(async |house| {
        let close = close();
        for number in 0..12 {
            let record = record(number.into());
            let messages = messages(number * 10..number * 10 + 10);
            let mut transaction = house.archive.begin().await.expect("begin");
            transaction.lock(&thread(), &record).await.expect("lock");
            transaction.insert(&record, &messages, false).await.expect("insert");
            let given_up = std::time::Duration::from_micros(u64::from(number) * 300);
            let _ = tokio::time::timeout(given_up, transaction.finish(&record, Some(&close))).await;

            let summary = house.write(&record, &messages, false, Some(&close)).await.expect("redo");
            assert_eq!((summary.message_count, summary.content_hash), (10, hash(&messages)));
            assert_eq!(summary.closed_at, Some(close.at));
        }
        assert_eq!(house.archive.count_messages(None).await.expect("count"), 120);
    })
    .await;
}

#[tokio::test]
async fn an_event_stands_once_whoever_claims_it() {
    in_a_house(async |house| {
        let close = close();
        house.write(&record(1), &messages(0..3), false, Some(&close)).await.expect("first");

        // The second conversation claims one of them, and one message twice in a page.
        let claimed = [message(2), message(3), message(3), message(4)];
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&thread(), &record(2)).await.expect("lock");
        let inserted = transaction.insert(&record(2), &claimed, false).await.expect("insert");
        assert_eq!(inserted, [message(3).event_id, message(4).event_id]);
        let second = transaction.finish(&record(2), Some(&close)).await.expect("finish");
        assert_eq!((second.message_count, second.content_hash), (2, hash(&messages(3..5))));

        // The third has nothing that is not archived already: it is not kept.
        let third = house.write(&record(3), &messages(0..5), false, Some(&close)).await.expect("third");
        assert_eq!((third.message_count, third.content_hash, third.closed_at), (0, None, None));
        assert_eq!(house.number("select count(*) from conversation").await, 2);
        assert_eq!(house.archive.count_messages(None).await.expect("count"), 5);
    })
    .await;
}

#[tokio::test]
async fn a_late_message_is_appended_and_the_sums_follow() {
    in_a_house(async |house| {
        // Late for a conversation that is only checkpointed: it stays open.
        let record = record(1);
        house.write(&record, &messages(0..2), false, None).await.expect("checkpoint");
        let open = house.write(&record, &[message(5)], true, None).await.expect("late before");
        assert_eq!((open.message_count, open.closed_at), (3, None));

        let close = close();
        house.write(&record, &messages(0..2), false, Some(&close)).await.expect("close");
        let before = house.archive.conversation(record.id).await.expect("read").expect("row");

        // Late for a closed one: it lies between the others in time, and the close stays as it was.
        let late = house.write(&record, &[message(3)], true, None).await.expect("late after");
        let after = house.archive.conversation(record.id).await.expect("read").expect("row");
        let all = [message(0), message(1), message(3), message(5)];
        assert_eq!((late.message_count, late.content_hash), (4, hash(&all)));
        assert_eq!(late.closed_at, Some(close.at));
        assert_eq!((after.message_count, after.token_count), (4, 90));
        assert_eq!((&after.closed_at, &after.close_reason), (&before.closed_at, &before.close_reason));
        assert!(after.updated_at > before.updated_at);

        // Once more: nothing moves.
        assert_eq!(house.write(&record, &[message(3)], true, None).await.expect("again"), late);
        assert_eq!(house.archive.conversation(record.id).await.expect("read"), Some(after));
        let transcript = house.transcript(&record, 2).await;
        assert_eq!(
            transcript.iter().map(|row| row.arrived_after_close).collect::<Vec<_>>(),
            [false, false, true, true]
        );
    })
    .await;
}

#[tokio::test]
async fn a_conversation_without_a_message_leaves_nothing() {
    in_a_house(async |house| {
        for close in [None, Some(&close())] {
            let summary = house.write(&record(1), &[], false, close).await.expect("empty");
            assert_eq!((summary.message_count, summary.content_hash, summary.closed_at), (0, None, None));
        }
        assert_eq!(house.number("select count(*) from conversation").await, 0);
        assert_eq!(house.archive.conversation(record(1).id).await.expect("read"), None);
    })
    .await;
}

#[tokio::test]
async fn a_checkpointed_conversation_is_closed_with_all_its_messages() {
    in_a_house(async |house| {
        let mut record = record(1);
        let checkpoint = house.write(&record, &messages(0..4), false, None).await.expect("checkpoint");
        assert_eq!((checkpoint.message_count, checkpoint.closed_at), (4, None));
        assert_eq!(house.number("select count(*) from conversation_messages").await, 0);

        record.agent_id = Some("agent-7".into());
        let summary = house.write(&record, &messages(0..7), false, Some(&close())).await.expect("close");
        assert_eq!((summary.message_count, summary.content_hash), (7, hash(&messages(0..7))));
        assert_eq!(summary.closed_at, Some(close().at));
        let row = house.archive.conversation(record.id).await.expect("read").expect("row");
        assert_eq!(row.agent_id.as_deref(), Some("agent-7"));
    })
    .await;
}

#[tokio::test]
async fn conversations_are_listed_newest_close_first() {
    in_a_house(async |house| {
        let day = |days| Close { at: noon() + chrono::TimeDelta::days(days), ..close() };
        for number in 0..4 {
            let mut record = record(number.into());
            let earlier = house::record(9).id;
            record.previous = Some(Stretch {
                id: earlier,
                opened_at: noon(),
                closed_at: noon(),
                reason: CloseReason::Idle,
                resolution: None,
                opened_received_at: noon(),
            });
            house.write(&record, &[message(number)], false, Some(&day(number.into()))).await.expect("close");
        }
        house.write(&record(4), &[message(4)], false, None).await.expect("checkpoint");

        let list = async |filter: Filter| {
            let rows = house.archive.list(&Filter { limit: 10, ..filter }).await.expect("list");
            rows.iter().map(|row| row.id.as_u128() - 0xC000).collect::<Vec<_>>()
        };
        let all = Filter { project: Some("project".into()), contact: thread().contact, ..Filter::default() };
        assert_eq!(list(all.clone()).await, [4, 3, 2, 1, 0]);
        let between = Filter { since: Some(day(1).at), until: Some(day(3).at), ..all.clone() };
        assert_eq!(list(between).await, [2, 1]);
        assert!(list(Filter { contact: Some("another".into()), ..all }).await.is_empty());
        assert!(list(Filter { project: Some("another".into()), ..Filter::default() }).await.is_empty());
        assert_eq!(house.archive.list(&Filter { limit: 2, ..Filter::default() }).await.expect("list").len(), 2);
        assert_eq!(house.archive.count_messages(Some("another")).await.expect("count"), 0);
        let json = serde_json::to_value(house.archive.conversation(record(1).id).await.expect("read")).expect("json");
        assert_eq!(json["previous_id"], record(9).id.to_string());
    })
    .await;
}
