//! What happens to records of CRMs, and what becomes of links, of what others are told, and of persons who want to be forgotten.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::archive::{Archive, Heard, Reach};
use conversationd::domain::{CrmLink, EventId, Notice, NoticeKind, RecordChange, Sequence, Thread, What, value_digest};
use conversationd::outbox::{Order, Outbox, Registration, Wrote};
use serde_json::Map;
use uuid::Uuid;

use crate::house::{House, close, in_a_house, messages, noon, record, thread};

fn change(crm_id: &str, minutes: i64, what: What) -> RecordChange {
    let occurred_at = noon() + TimeDelta::minutes(minutes);
    RecordChange { crm: "hubspot".into(), account: "1".into(), crm_id: crm_id.into(), what, occurred_at }
}

fn stage(value: &str) -> What {
    What::Property { name: "lifecyclestage".into(), value: Some(value.into()) }
}

fn reach(projects: Option<&[String]>) -> Reach<'_> {
    Reach { projects, event: EventId(Uuid::from_u128(7)), received_at: noon() }
}

async fn heard(house: &House, change: &RecordChange) -> Heard {
    house.archive.record_changed(change, reach(None)).await.expect("heard")
}

/// Conversation `number` is linked to `crm_id`; it is of `contact`.
async fn linked(house: &House, number: u128, crm_id: &str, contact: &str) -> Thread {
    let thread = Thread { contact: Some(contact.into()), ..thread() };
    let (crm, crm_id, prospect) = ("hubspot".to_owned(), crm_id.to_owned(), Map::new());
    let link = CrmLink { crm, crm_id, prospect, sequence: Sequence(number) };
    house.archive.link(&thread, record(number).id, &link).await.expect("link");
    thread
}

async fn listening(house: &House) -> Outbox {
    let outbox = Outbox::over(house.archive.pool_beside(2));
    let kinds = vec![NoticeKind::ContactChanged];
    let sink = Registration { name: "all".into(), form: "test", kinds, projects: None, order: Order::Contact };
    outbox.register(&[sink]).await.expect("register");
    outbox
}

const TOLD: &str = "select count(*) from outbox_dispatch";

#[tokio::test]
async fn the_latest_word_on_a_property_stands_and_is_told_once_to_each_contact_of_the_record() {
    in_a_house(async |house| {
        listening(&house).await;
        let one = linked(&house, 1, "512", "whatsapp:1").await;
        let other = linked(&house, 2, "512", "whatsapp:2").await;
        linked(&house, 3, "513", "whatsapp:3").await;
        let first = change("512", 1, stage("lead"));
        for _ in 0..2 {
            let Heard::Stands(mut threads) = heard(&house, &first).await else { panic!("not heard") };
            threads.sort_by(|one, other| one.contact.cmp(&other.contact));
            assert_eq!(threads, [one.clone(), other.clone()], "and again for whoever did not come to its end");
            assert_eq!(house.number(TOLD).await, 2);
        }
        for (minutes, value, expected) in
            [(5, "customer", true), (3, "lead", false), (6, "customer", false), (7, "lead", true)]
        {
            let heard = heard(&house, &change("512", minutes, stage(value))).await;
            assert_eq!(matches!(heard, Heard::Stands(_)), expected, "{value} at {minutes}");
        }
        assert_eq!(house.number(TOLD).await, 6);
        let nobody = heard(&house, &change("999", 1, stage("lead"))).await;
        assert_eq!(nobody, Heard::Stands(Vec::new()));
        let foreign = ["another".to_owned()];
        let of_another = change("512", 9, stage("x"));
        let of_another = house.archive.record_changed(&of_another, reach(Some(&foreign))).await.expect("heard");
        assert_eq!(of_another, Heard::Stands(Vec::new()), "a portal touches the links of its own projects only");
    })
    .await;
}

#[tokio::test]
async fn a_record_of_a_contact_is_of_all_threads_in_which_the_archive_knows_them() {
    in_a_house(async |house| {
        let contact = thread().contact.expect("a contact");
        let linked = linked(&house, 1, "512", &contact).await;
        let elsewhere = Thread { channel: Some("another channel".into()), ..linked.clone() };
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&elsewhere, &record(2)).await.expect("lock");
        transaction.insert(&record(2), &messages(0..1), false).await.expect("insert");
        transaction.finish(&record(2), Some(&close())).await.expect("finish");
        let Heard::Stands(threads) = heard(&house, &change("512", 1, stage("lead"))).await else { panic!("not heard") };
        assert_eq!(threads.len(), 2);
        assert!(threads.contains(&linked) && threads.contains(&elsewhere));
    })
    .await;
}

#[tokio::test]
async fn echo_suppressed() {
    in_a_house(async |house| {
        let outbox = listening(&house).await;
        let thread = linked(&house, 1, "512", "whatsapp:1").await;
        let pushed = |value: &str| Wrote {
            account: "1".into(),
            crm_id: "512".into(),
            properties: vec![("lifecyclestage".into(), value_digest("512", "lifecyclestage", Some(value)))],
        };
        let of = |number: u128| {
            let id = Some(record(number).id);
            Notice::of(NoticeKind::Closed, &thread, id, "", noon(), Map::new())
        };
        outbox.remember(&of(1), &pushed("lead")).await.expect("remembered");
        for (minutes, value, expected) in [
            (1, "lead", Heard::Echo),
            (1, "lead", Heard::Echo),
            (2, "customer", Heard::Stands(vec![thread.clone()])),
            // somebody else set it since: now it is their word
            (3, "lead", Heard::Stands(vec![thread.clone()])),
        ] {
            assert_eq!(heard(&house, &change("512", minutes, stage(value))).await, expected, "{value} at {minutes}");
        }
        assert_eq!(house.number(TOLD).await, 2);
        outbox.remember(&of(2), &pushed("lead")).await.expect("remembered");
        let links = "select count(*) from crm_link where crm_id = '512' and contact = 'whatsapp:1'";
        assert_eq!(house.number(links).await, 2, "whose record it is, is known from then on");
    })
    .await;
}

#[tokio::test]
async fn merge_rewrites_links() {
    in_a_house(async |house| {
        let one = linked(&house, 1, "77", "whatsapp:1").await;
        let other = linked(&house, 2, "512", "whatsapp:2").await;
        heard(&house, &change("77", 1, stage("lead"))).await;
        let merged = change("900", 2, What::Merged { from: vec!["77".into(), "512".into()] });
        for _ in 0..2 {
            heard(&house, &merged).await;
            assert_eq!(
                house.number("select count(*) from crm_link where crm_id = '900' and state = 'active'").await,
                2
            );
        }
        let Heard::Stands(mut threads) = heard(&house, &change("900", 3, stage("lead"))).await else {
            panic!("not heard")
        };
        threads.sort_by(|one, other| one.contact.cmp(&other.contact));
        assert_eq!(threads, [one, other]);
    })
    .await;
}

#[tokio::test]
async fn a_deleted_record_hears_nothing_until_it_is_back_whatever_comes_first() {
    in_a_house(async |house| {
        let thread = linked(&house, 1, "512", "whatsapp:1").await;
        let hears = async |minutes| heard(&house, &change("512", minutes, stage(&minutes.to_string()))).await;
        assert_eq!(hears(1).await, Heard::Stands(vec![thread.clone()]));
        heard(&house, &change("512", 5, What::Deleted)).await;
        assert_eq!(hears(6).await, Heard::Stands(Vec::new()));
        heard(&house, &change("512", 4, What::Restored)).await;
        assert_eq!(hears(7).await, Heard::Stands(Vec::new()), "an older word brings nothing back");
        heard(&house, &change("512", 8, What::Restored)).await;
        assert_eq!(hears(9).await, Heard::Stands(vec![thread.clone()]));
        heard(&house, &change("512", 10, What::Deleted)).await;
        linked(&house, 1, "512", "whatsapp:1").await;
        let (crm, crm_id) = ("hubspot".to_owned(), "512".to_owned());
        let again = CrmLink { crm, crm_id, prospect: Map::new(), sequence: Sequence(99) };
        house.archive.link(&thread, record(1).id, &again).await.expect("link");
        assert_eq!(hears(11).await, Heard::Stands(vec![thread]), "linked anew");
    })
    .await;
}

#[tokio::test]
async fn gdpr_erases() {
    in_a_house(async |house| {
        linked(&house, 1, "512", "whatsapp:1").await;
        linked(&house, 2, "512", "whatsapp:2").await;
        linked(&house, 3, "513", "whatsapp:3").await;
        heard(&house, &change("512", 9, stage("lead"))).await;
        heard(&house, &change("512", 10, What::Deleted)).await;
        for _ in 0..2 {
            // however old the word is
            heard(&house, &change("512", 1, What::Erased)).await;
            assert_eq!(house.number("select count(*) from crm_link where state = 'active'").await, 1);
            assert_eq!(house.number("select count(*) from conversation_mappings").await, 1);
            assert_eq!(
                house
                    .number("select count(*) from crm_property where crm_id = '512' and num_nonnulls(said, pushed) > 0")
                    .await,
                0
            );
            let wanted =
                "select count(*) from erasure where done_at is null and contact in ('whatsapp:1', 'whatsapp:2')";
            assert_eq!(house.number(wanted).await, 2);
            assert_eq!(house.number("select count(*) from erasure").await, 2);
        }
        let pending = house.archive.erasures_pending().await.expect("pending");
        assert!(pending.iter().all(|request| request.project == "project" && request.requested_at == noon()));

        heard(&house, &change("513", 1, stage("lead"))).await;
        assert_eq!(house.archive.erase("project", "whatsapp:3", |_| ()).await.expect("erased").crm_links, 1);
        assert_eq!(house.number("select count(*) from crm_property where crm_id = '513'").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_cursor_is_held_by_one_and_whoever_lost_it_writes_nothing() {
    use conversationd::archive::Stream;
    in_a_house(async |house| {
        let of = Stream { crm: "hubspot", account: "1", stream: "journal" };
        let lease = Duration::from_secs(60);
        let take = async || house.archive.take_cursor(of, lease).await.expect("taken");
        let mut first = take().await.expect("the first");
        assert_eq!(take().await, None, "while the lease lasts");
        house.script("update crm_cursor set leased_until = now()").await;
        let mut second = take().await.expect("the lease is over");
        first.place = Some("of the first".into());
        second.place = Some("of the second".into());
        assert!(!house.archive.move_cursor(of, &first, true, lease).await.expect("written"));
        assert!(house.archive.move_cursor(of, &second, true, Duration::ZERO).await.expect("written"));
        let third = take().await.expect("it was given back");
        assert_eq!(third.place.as_deref(), Some("of the second"));
        assert!(third.seen_at.is_some_and(|seen_at: DateTime<Utc>| third.now >= seen_at));
    })
    .await;
}
