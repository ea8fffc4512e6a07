//! What the archive tells others: in the transaction that makes it true, once, however often it is done again.

use conversationd::archive::Archive;
use conversationd::domain::{Changes, Close, CloseReason, NoticeKind, RatingKind, Sequence};
use conversationd::outbox::{Claimed, Order, Outbox, Registration, Room, SinkId};
use serde_json::{Value, json};
use std::time::Duration;

use crate::house::{House, close, in_a_house, messages, noon, rating, record, thread};

const WAITING: &str = "select count(*) from outbox_dispatch where state = 'pending'";

/// A sink of everything but openings, whose lanes are contacts: all notices of these stories come one after the other.
async fn listening(house: &House) -> (Outbox, SinkId) {
    let kinds = NoticeKind::ALL.iter().copied().filter(|kind| *kind != NoticeKind::Opened).collect();
    listening_to(house, kinds).await
}

async fn listening_to(house: &House, kinds: Vec<NoticeKind>) -> (Outbox, SinkId) {
    let outbox = Outbox::over(house.archive.pool_beside(2));
    let sink = Registration { name: "all".into(), form: "test", kinds, projects: None, order: Order::Contact };
    let ids = outbox.register(&[sink]).await.expect("register");
    (outbox, ids["all"])
}

/// Everything told so far, in order.
async fn told(outbox: &Outbox, sink: SinkId) -> Vec<Claimed> {
    let mut all = Vec::new();
    loop {
        let room = Room { sink, lanes: 10 };
        let claimed = outbox.claim(&[room], Duration::from_secs(60)).await.expect("claim");
        if claimed.is_empty() {
            return all;
        }
        for claimed in claimed {
            let delivered = conversationd::outbox::Settlement::Delivered;
            assert!(outbox.settle(&claimed.claim, delivered, &Default::default()).await.expect("settle"));
            all.push(claimed);
        }
    }
}

fn names(told: &[Claimed]) -> Vec<&'static str> {
    told.iter().map(|claimed| claimed.notice.kind.as_str()).collect()
}

#[tokio::test]
async fn a_close_is_told_with_it_and_never_again() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let mut record = record(1);
        record.agent_id = Some("agent-7".into());
        record.details.tags = vec!["vip".into()];
        for _ in 0..3 {
            house.write(&record, &messages(0..5), false, Some(&close())).await.expect("close");
        }
        let told = told(&outbox, sink).await;
        assert_eq!(names(&told), ["conversation.closed"]);
        let content = Value::Object(told[0].notice.content.clone());
        assert_eq!(
            content,
            json!({
                "project_uuid": "project",
                "conversation_id": record.id,
                "contact_urn": "whatsapp:+5511999990000",
                "channel_uuid": "channel",
                "started_at": "2025-03-01T12:00:00.000Z",
                "ended_at": "2025-03-02T12:00:00.000Z",
                "close_reason": "idle",
                "resolution": 0,
                "topic": null,
                "subtopic": null,
                "agent_id": "agent-7",
                "contact_name": null,
                "tags": ["vip"],
                "has_chats_room": false,
                "message_count": 5,
            })
        );
        assert_eq!(told[0].notice.occurred_at, close().at);
    })
    .await;
}

#[tokio::test]
async fn a_transaction_that_ends_before_its_commit_tells_nobody_and_the_next_one_tells_all() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let record = record(1);
        for steps in 0..4 {
            let mut transaction = house.archive.begin().await.expect("begin");
            if steps > 0 {
                transaction.lock(&thread(), &record).await.expect("lock");
            }
            if steps > 1 {
                transaction.insert(&record, &messages(0..3), false).await.expect("insert");
            }
            if steps > 2 {
                transaction.rate(&thread(), &record, &rating(1, RatingKind::Nps, 0)).await.expect("rate");
            }
            drop(transaction);
        }
        assert_eq!(house.number(WAITING).await, 0);

        // the last step of all is refused after everything else was written
        house.script("alter table outbox_dispatch add constraint nobody check (seq < 0)").await;
        house.write(&record, &messages(0..3), false, Some(&close())).await.expect_err("refused");
        assert_eq!(house.number("select count(*) from conversation").await, 0, "no close without its notice");
        house.script("alter table outbox_dispatch drop constraint nobody").await;

        house.write(&record, &messages(0..3), false, Some(&close())).await.expect("close");
        assert_eq!(names(&told(&outbox, sink).await), ["conversation.closed"]);
    })
    .await;
}

#[tokio::test]
async fn checkpoints_and_late_arrivals_are_told_once_each() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let record = record(1);
        for (count, late, end) in [(2, false, None), (5, false, Some(close())), (7, true, Some(close()))] {
            for _ in 0..2 {
                house.write(&record, &messages(0..count), late, end.as_ref()).await.expect("write");
            }
        }
        let told = told(&outbox, sink).await;
        assert_eq!(names(&told), ["conversation.archived", "conversation.closed", "conversation.archived"]);
        let of = |claimed: &Claimed, name: &str| claimed.notice.content[name].clone();
        assert_eq!((of(&told[0], "messages_added"), of(&told[0], "arrived_after_close")), (json!(2), json!(false)));
        assert_eq!(of(&told[1], "message_count"), 5);
        assert_eq!((of(&told[2], "messages_added"), of(&told[2], "message_count")), (json!(2), json!(7)));
        assert_eq!(of(&told[2], "arrived_after_close"), true);
    })
    .await;
}

#[tokio::test]
async fn an_opening_is_told_once_before_anything_else_by_whatever_is_written_first() {
    in_a_house(async |house| {
        let (outbox, sink) = listening_to(&house, NoticeKind::ALL.to_vec()).await;
        for (conversation, first) in [(1, "a checkpoint"), (2, "a close"), (3, "a rating")] {
            let record = record(conversation);
            let said = messages(10 * conversation as u32..10 * conversation as u32 + 2);
            if first == "a rating" {
                house.rate(&record, &rating(conversation as u32, RatingKind::Nps, 0)).await.expect("rate");
            } else {
                let end = (first == "a close").then(close);
                house.write(&record, &said, false, end.as_ref()).await.expect("write");
            }
            let told_first = told(&outbox, sink).await;
            assert_eq!(names(&told_first)[0], "conversation.opened", "{first}");
            assert_eq!(told_first[0].notice.occurred_at, record.opened_at);
            assert_eq!(told_first[0].notice.content["started_at"], "2025-03-01T12:00:00.000Z");
            for end in [None, Some(close())] {
                house.write(&record, &said, false, end.as_ref()).await.expect("write");
            }
            let later = told(&outbox, sink).await;
            assert!(!names(&later).contains(&"conversation.opened"), "{first}");
        }
    })
    .await;
}

#[tokio::test]
async fn how_long_a_conversation_is_open_is_told_once_of_each_age_though_nothing_was_said() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let (record, hours) = (record(1), |hours: u64| Duration::from_secs(3600 * hours));
        house.write(&record, &messages(0..2), false, None).await.expect("checkpoint");
        for reached in [&[hours(4)][..], &[hours(4)], &[hours(4), hours(8)]] {
            let mut transaction = house.archive.begin().await.expect("begin");
            transaction.lock(&thread(), &record).await.expect("lock");
            transaction.insert(&record, &messages(0..2), false).await.expect("insert");
            transaction.still_open(reached).await.expect("told");
            transaction.finish(&record, None).await.expect("finish");
        }
        let told = told(&outbox, sink).await;
        let for_long = "conversation.open_for_long";
        assert_eq!(names(&told), ["conversation.archived", for_long, for_long]);
        assert_eq!(told[1].notice.open_for(), Some(hours(4)));
        assert_eq!(told[2].notice.occurred_at, record.opened_received_at + hours(8));
    })
    .await;
}

#[tokio::test]
async fn ratings_are_told_once_of_an_open_conversation_a_closed_one_and_none() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let record = record(1);
        let alone = rating(3, RatingKind::Custom, 9);
        for _ in 0..2 {
            house.rate(&record, &rating(1, RatingKind::Nps, 0)).await.expect("rate");
        }
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");
        for _ in 0..2 {
            house.rate(&record, &rating(2, RatingKind::Csat, 4)).await.expect("rate");
            house.archive.rate_alone(&thread(), &alone).await.expect("rate");
        }
        let told = told(&outbox, sink).await;
        assert_eq!(
            names(&told),
            ["conversation.rated", "conversation.closed", "conversation.rated", "conversation.event"]
        );
        let text = |place: usize, name: &str| told[place].notice.content[name].clone();
        assert_eq!((text(0, "score"), text(0, "ended_at")), (json!(0), Value::Null));
        assert_eq!((text(2, "score"), text(2, "ended_at")), (json!(4), json!("2025-03-02T12:00:00.000Z")));
        assert_eq!((text(3, "value"), text(3, "conversation_id")), (json!("9"), Value::Null));
    })
    .await;
}

#[tokio::test]
async fn what_is_said_of_a_closed_conversation_is_told_once_and_an_older_word_not_at_all() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let record = record(1);
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");
        let says = |sequence: u128, title: &str| Changes {
            title: Some(title.into()),
            resolution: Some(1),
            metadata: json!({"long": "x".repeat(10_000)}).as_object().cloned().expect("an object"),
            sequence: Sequence(sequence),
            ..Changes::default()
        };
        for changes in [says(7, "b"), says(7, "b"), says(6, "a"), says(8, "c")] {
            house.amend(&record, &changes).await.expect("amend");
        }
        let told = told(&outbox, sink).await;
        assert_eq!(names(&told), ["conversation.closed", "conversation.updated", "conversation.updated"]);
        let of = |place: usize, name: &str| told[place].notice.content[name].clone();
        assert_eq!((of(1, "title"), of(2, "title"), of(2, "resolution")), (json!("b"), json!("c"), json!(1)));
        assert_eq!(of(2, "metadata"), Value::Null, "too long to be told");
    })
    .await;
}

#[tokio::test]
async fn a_conversation_without_anything_is_not_told_of() {
    in_a_house(async |house| {
        listening(&house).await;
        house.write(&record(1), &[], false, Some(&close())).await.expect("close");
        assert_eq!(house.number("select count(*) from outbox_notice").await, 0);
    })
    .await;
}

#[tokio::test]
async fn closers_of_one_conversation_at_once_tell_of_it_once() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let closer = |house: std::sync::Arc<House>| async move {
            house.write(&record(1), &messages(0..50), false, Some(&close())).await.expect("close");
        };
        let closers: Vec<_> = (0..4).map(|_| tokio::spawn(closer(house.clone()))).collect();
        for closer in closers {
            closer.await.expect("a closer");
        }
        assert_eq!(names(&told(&outbox, sink).await), ["conversation.closed"]);
    })
    .await;
}

#[tokio::test]
async fn erasing_a_person_and_purging_a_conversation_take_back_what_was_told_of_them() {
    in_a_house(async |house| {
        let (outbox, sink) = listening(&house).await;
        let mut told_of_others = thread();
        told_of_others.contact = Some("whatsapp:+5511888880000".into());
        house.write(&record(1), &messages(0..2), false, Some(&close())).await.expect("close");
        house.archive.rate_alone(&thread(), &rating(1, RatingKind::Csat, 1)).await.expect("rate");
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&told_of_others, &record(2)).await.expect("lock");
        transaction.insert(&record(2), &messages(2..4), false).await.expect("insert");
        transaction.finish(&record(2), Some(&Close::new(noon(), CloseReason::Idle))).await.expect("finish");

        let contact = thread().contact.expect("a contact");
        assert_eq!(house.archive.traces("project", &contact).await.expect("traces").notices, 2);
        assert_eq!(house.archive.erase("project", &contact, |_| ()).await.expect("erase").notices, 2);
        assert_eq!(house.archive.erase("project", &contact, |_| ()).await.expect("again").notices, 0);
        assert_eq!(house.number("select count(*) from outbox_notice where content::text <> '{}'").await, 1);
        assert_eq!(house.number(WAITING).await, 1);
        assert_eq!(names(&told(&outbox, sink).await), ["conversation.closed"], "the other person's");

        house.archive.purge_batch(noon() + Duration::from_secs(1), None, 10).await.expect("purge");
        assert_eq!(house.number("select count(*) from outbox_notice where content::text <> '{}'").await, 0);
        assert_eq!(outbox.unsound_lanes().await.expect("lanes"), 0);
    })
    .await;
}
