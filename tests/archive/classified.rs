//! How a conversation ended, said after its close: what it reads as until then, who is asked, and what is never replaced.

use conversationd::archive::Archive;
use conversationd::domain::{
    Changes, Classification, Close, CloseReason, ConversationId, NoticeKind, Record, Sequence, Thread,
};
use conversationd::outbox::{Claimed, Order, Outbox, Registration, Room, Settlement, SinkId};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::house::{House, close, in_a_house, messages, noon, record, thread};

/// A classifier of `project`, or of all, that takes nothing from its lanes by itself; and a sink of everything.
async fn asked(house: &House, project: Option<&str>) -> (Outbox, SinkId) {
    let outbox = Outbox::over(house.archive.pool_beside(2));
    let sink = |name: &str, form, kinds| Registration {
        name: name.into(),
        form,
        kinds,
        projects: None,
        order: Order::Contact,
    };
    let classifier = Registration {
        projects: project.map(|project| vec![project.to_owned()]),
        ..sink("classifier", "classifier", vec![NoticeKind::Closed])
    };
    let ids = outbox.register(&[sink("all", "test", NoticeKind::ALL.to_vec()), classifier]).await.expect("register");
    (outbox, ids["all"])
}

/// Everything told so far, in order.
async fn told(outbox: &Outbox, sink: SinkId) -> Vec<Claimed> {
    let mut all = Vec::new();
    loop {
        let claimed = outbox.claim(&[Room { sink, lanes: 10 }], Duration::from_secs(60)).await.expect("claim");
        if claimed.is_empty() {
            return all;
        }
        for claimed in claimed {
            assert!(outbox.settle(&claimed.claim, Settlement::Delivered, &Default::default()).await.expect("settle"));
            all.push(claimed);
        }
    }
}

fn of(claimed: &Claimed, name: &str) -> Value {
    claimed.notice.content.get(name).cloned().unwrap_or_default()
}

fn open_end() -> Close {
    Close::new(noon(), CloseReason::Idle)
}

fn heard(record: &Record, resolution: u8, topic: Option<&str>) -> Classification {
    let subtopic = topic.map(|topic| format!("{topic}, more closely"));
    Classification { conversation: record.id, resolution, topic: topic.map(str::to_owned), subtopic }
}

async fn classify(house: &House, thread: &Thread, said: &Classification) -> bool {
    let record = Record { id: said.conversation, ..record(99) };
    let mut transaction = house.archive.begin().await.expect("begin");
    transaction.lock(thread, &record).await.expect("lock");
    let changed = transaction.classify(thread, said).await.expect("classify");
    transaction.finish(&record, None).await.expect("finish");
    changed
}

async fn closed(house: &House, number: u128, how: &Close) -> Record {
    let record = record(number);
    let first = 2 * u32::try_from(number).expect("few");
    house.write(&record, &messages(first..first + 2), false, Some(how)).await.expect("close");
    record
}

#[tokio::test]
async fn what_nobody_said_the_end_of_reads_as_unclassified_only_where_a_classifier_is_asked() {
    for (project, removed, resolution) in
        [(None, false, Some(3)), (Some("project"), false, Some(3)), (Some("another"), false, None), (None, true, None)]
    {
        in_a_house(async move |house| {
            let (outbox, sink) = asked(&house, project).await;
            if removed {
                house.script("update outbox_sink set state = 'removed' where name = 'classifier'").await;
            }
            let open = closed(&house, 1, &open_end()).await;
            let given = closed(&house, 2, &Close { resolution: Some(1), ..open_end() }).await;
            let taken_over = closed(&house, 3, &Close { resolution: Some(4), ..open_end() }).await;
            let said_to_be = closed(&house, 4, &Close { resolution: Some(3), ..open_end() }).await;
            assert_eq!(house.row(&open).await.resolution, resolution);
            assert_eq!(house.row(&given).await.resolution, Some(1));
            assert_eq!(house.row(&taken_over).await.resolution, Some(4));
            assert_eq!(house.row(&said_to_be).await.resolution, Some(3));
            let mut told = told(&outbox, sink).await;
            told.retain(|claimed| claimed.notice.kind == NoticeKind::Closed);
            let awaited: Vec<_> = told.iter().map(|claimed| claimed.notice.awaits_resolution()).collect();
            assert_eq!(awaited, [resolution.is_some(), false, false, false], "asked only where nobody said");
            assert_eq!(of(&told[0], "resolution"), json!(resolution));
        })
        .await;
    }
}

#[tokio::test]
async fn a_classification_fills_in_what_is_missing_once_and_is_told_once() {
    in_a_house(async |house| {
        let (outbox, sink) = asked(&house, None).await;
        let open = closed(&house, 1, &open_end()).await;
        told(&outbox, sink).await;
        assert!(classify(&house, &thread(), &heard(&open, 0, Some("Fatura"))).await);
        for again in [heard(&open, 0, Some("Fatura")), heard(&open, 1, Some("Another")), heard(&open, 3, None)] {
            assert!(!classify(&house, &thread(), &again).await, "the first word stands");
        }
        let row = house.row(&open).await;
        assert_eq!((row.resolution, row.topic.as_deref()), (Some(0), Some("Fatura")));
        assert_eq!(row.subtopic.as_deref(), Some("Fatura, more closely"));
        let told = told(&outbox, sink).await;
        assert_eq!(told.len(), 1);
        assert!(told[0].notice.is_of_classification());
        assert_eq!((told[0].notice.kind, of(&told[0], "resolution")), (NoticeKind::Updated, json!(0)));
        assert_eq!(
            (of(&told[0], "topic"), of(&told[0], "ended_at")),
            (json!("Fatura"), json!("2025-03-01T12:00:00.000Z"))
        );
    })
    .await;
}

#[tokio::test]
async fn what_was_said_before_or_by_a_takeover_since_is_not_replaced() {
    in_a_house(async |house| {
        asked(&house, None).await;
        let given = closed(&house, 1, &close()).await;
        assert!(!classify(&house, &thread(), &heard(&given, 1, Some("Fatura"))).await);

        let topic = Close { topic: Some("billing".into()), subtopic: None, ..open_end() };
        let half = closed(&house, 2, &topic).await;
        assert!(classify(&house, &thread(), &heard(&half, 1, Some("Fatura"))).await);
        let row = house.row(&half).await;
        assert_eq!((row.resolution, row.topic.as_deref(), row.subtopic), (Some(1), Some("billing"), None));

        let over = closed(&house, 3, &open_end()).await;
        let takeover =
            Changes { resolution: Some(4), has_chats_room: true, sequence: Sequence(9), ..Changes::default() };
        house.amend(&over, &takeover).await.expect("amend");
        assert!(!classify(&house, &thread(), &heard(&over, 0, None)).await);
        assert_eq!(house.row(&over).await.resolution, Some(4));
    })
    .await;
}

#[tokio::test]
async fn only_a_closed_conversation_of_the_thread_is_classified() {
    in_a_house(async |house| {
        asked(&house, None).await;
        let open = record(1);
        house.write(&open, &messages(0..2), false, None).await.expect("checkpoint");
        assert!(!classify(&house, &thread(), &heard(&open, 0, None)).await, "it is open");
        let done = closed(&house, 2, &open_end()).await;
        let other = Thread { contact: Some("another".into()), ..thread() };
        assert!(!classify(&house, &other, &heard(&done, 0, None)).await, "it is another's");
        let unknown = Record { id: ConversationId(Uuid::from_u128(7)), ..record(3) };
        assert!(!classify(&house, &thread(), &heard(&unknown, 0, None)).await);
        assert_eq!(house.number("select count(*) from conversation").await, 2, "nothing is made of what is not there");

        house.archive.erase("project", &thread().contact.expect("a contact"), |_| {}).await.expect("erase");
        assert!(!classify(&house, &thread(), &heard(&done, 0, Some("Fatura"))).await, "its person was erased");
        let row = house.row(&done).await;
        assert_eq!((row.resolution, row.topic, row.contact), (Some(3), None, None));
    })
    .await;
}
