//! Stories of `explain` and `reconcile`.

use std::sync::Arc;

use chrono::TimeDelta;
use conversationd::{
    archive::Archive,
    clock::{Clock, SystemClock},
    domain::{Close, CloseReason, Conversation, EventId, Rating, RatingKind, Sequence},
    hot::{DeadLetter, Put},
};
use uuid::Uuid;

use crate::{
    conversations::{CLOSED, CONTACT, Talk},
    keeping::{close, hot, last, number, script},
    site::{Said, Site, on_a_site},
};

/// A rating of the conversation, and a message that comes after its close.
async fn rated_and_late(site: &Site, talk: &Talk) {
    let (thread, record) = (&talk.head.thread, talk.head.conversation.record());
    let now = SystemClock.now();
    let rating = Rating {
        event_id: EventId(Uuid::from_u128(5)),
        kind: RatingKind::Nps,
        key: "weni_nps".into(),
        value: "0".into(),
        score: Some(0),
        comment: Some("never again".into()),
        agent_id: None,
        answered_at: now,
        received_at: now,
        sequence: Sequence(50),
    };
    let mut late = talk.messages[0].clone();
    (late.event_id, late.text) = (EventId(Uuid::from_u128(6)), "a late word".into());
    let mut transaction = site.archive.begin().await.expect("begin");
    transaction.lock(thread, record).await.expect("lock");
    assert!(transaction.rate(thread, record, &rating).await.expect("rate"));
    transaction.insert(record, &[late], true).await.expect("insert");
    transaction.finish(record, None).await.expect("finish");
}

pub(super) fn letter(number: u32, group: &str) -> DeadLetter {
    DeadLetter {
        sent_at: SystemClock.now() - TimeDelta::seconds(number.into()),
        message_id: format!("letter-{number}"),
        group_id: group.to_owned(),
        project: Some("p".into()),
        event_type: Some("message.received".into()),
        code: "wrong_type".into(),
        field: Some("message.text".into()),
        reason: "must be a string".into(),
        attempts: 1,
        bytes: 12,
        redrives: 0,
        redrive_run: None,
        settled: None,
    }
}

fn told<'a>(said: &'a Said, what: &str) -> Vec<&'a str> {
    said.out.lines().filter(|line| line.contains(&format!("  {what}  "))).collect()
}

#[tokio::test]
async fn a_life_is_told_in_one_order_with_where_everything_stands() {
    on_a_site(async |site| {
        let talk = Talk::of(0, 5);
        close(&site, &talk, SystemClock.now()).await;
        let again = Put {
            thread: talk.head.thread.key(),
            conversation: talk.id(),
            message: Arc::new(conversationd::domain::Message { sequence: Sequence(99), ..talk.messages[1].clone() }),
        };
        hot(&site).put_messages(vec![again]).await.pop().expect("one").expect("put");
        rated_and_late(&site, &talk).await;
        for (number, group) in [(1, "p:ch:0"), (2, "p:other:whatsapp:+5500123456789"), (3, "p:ch:tel:7")] {
            hot(&site).write_dead_letter(&letter(number, group)).await.expect("row");
        }
        site.run(&["hold", "add", "--project", "p", "--reason", "case 17"]).await;

        let said = site.run(&["explain", &talk.id().to_string()]).await;
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{}", said.out);
        for (what, count, part) in [
            ("opened", 1, "hot, archive"),
            ("message", 6, "[6 characters]"),
            ("rated", 1, "nps 0 (weni_nps); comment: [11 characters]; came after the close"),
            ("closed", 1, "nothing was said for the idle time"),
            ("archived", 1, "computed again now: the same, one copy came again and changed nothing"),
            ("late", 1, "came when it was closed already"),
            ("dead letter", 1, "message.received died of wrong_type (field message.text): must be a string; waits"),
        ] {
            let lines = told(&said, what);
            assert!(lines.len() == count && lines.iter().any(|line| line.contains(part)), "{what}: {}", said.out);
        }
        assert!(said.out.contains("sent 2 times, kept once"), "{}", said.out);
        assert!(!said.out.contains("never again") && !said.out.contains("a late word") && !said.out.contains("5500"));

        let few = ["explain", CONTACT, "--project", "p", "--messages", "2", "--reveal"];
        let said = site.run(&few).await;
        assert!(said.out.contains("4 more messages") && said.out.contains("never again"), "{}{}", said.out, said.err);
        assert_eq!((told(&said, "dead letter").len(), told(&said, "held").len()), (2, 1), "{}", said.out);

        script(&site, "update message set text = 'tampered' where text = 'said 3'").await;
        let json = site.run(&["explain", &talk.id().to_string(), "--json"]).await.json();
        let archived = json.iter().find(|line| line["what"] == "archived").expect("a line");
        assert_eq!((&archived["facts"]["holds"], &archived["facts"]["repeats"]), (&false.into(), &1.into()));

        for arguments in [vec!["explain", "tel:404", "--project", "q"], vec!["explain", "tel:404"]] {
            let said = site.run(&arguments).await;
            assert!(said.code == 1 && said.err.contains("conversationd"), "{}", said.err);
        }
    })
    .await;
}

#[tokio::test]
async fn an_open_life_says_what_the_timer_will_do() {
    on_a_site(async |site| {
        let talk = Talk::of(0, 2);
        talk.keep(&site, 0).await;
        for what in [vec![talk.id().to_string()], vec![CONTACT.to_owned(), "--project".into(), "p".into()]] {
            let arguments: Vec<&str> = std::iter::once("explain").chain(what.iter().map(String::as_str)).collect();
            let said = site.run(&arguments).await;
            let lines: Vec<&str> = said.out.lines().collect();
            assert_eq!((said.code, lines.len()), (0, 6), "{}{}", said.out, said.err);
            assert!(
                lines[4].starts_with("-- now") && lines[5].contains("closes if idle or too old; messages so far: 2")
            );
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_archive_lacks_is_appended_once_and_what_is_overdue_goes_to_the_daemon() {
    on_a_site(async |site| {
        let now = SystemClock.now();
        let (whole, partly, open, mut overdue) = (Talk::of(1, 3), Talk::of(2, 5), Talk::of(3, 2), Talk::of(4, 1));
        close(&site, &whole, now).await;
        partly.archive(&site, 3, None).await; // a checkpoint, whose close was never archived
        partly.keep(&site, 0).await;
        let end = Close::new(now - TimeDelta::minutes(5), CloseReason::Idle);
        let Conversation::Open(was) = partly.head.conversation.clone() else { panic!("open") };
        let closed = partly.head.next(Conversation::Closed(was.close(end, now, &CLOSED).archived()));
        assert!(hot(&site).write_head(&partly.head.thread.key(), &closed).await.expect("head"));
        open.keep(&site, 0).await;
        if let Conversation::Open(was) = overdue.head.conversation.clone() {
            let ended = was.session_closed("s", now - TimeDelta::minutes(9), &CLOSED);
            overdue.head.conversation = Conversation::Open(ended);
        }
        overdue.keep(&site, 0).await;

        let compare = ["reconcile", "--project", "p", "--settled", "1m", "--json"];
        let said = site.run(&compare).await;
        let differences: Vec<(String, String)> = said
            .json()
            .iter()
            .filter_map(|line| Some((line["conversation"].as_str()?.to_owned(), line["what"].as_str()?.to_owned())))
            .collect();
        let mut expected = vec![
            (partly.id().to_string(), "messages_missing".to_owned()),
            (overdue.id().to_string(), "overdue".to_owned()),
        ];
        expected.sort();
        let mut found = differences.clone();
        found.sort();
        assert_eq!((said.code, found), (1, expected), "{}{}", said.out, said.err);
        assert_eq!((&last(&said)["threads"], &last(&said)["messages"]), (&4.into(), &8.into()));
        assert!(site.received(1).await.is_empty() && number(&site, "select count(*) from message").await == 6);
        let lately = site.run(&["reconcile", "--settled", "1h"]).await;
        assert!(
            lately.code == 0 && lately.out.contains("threads=4 closed=2 messages=8 differences=0"),
            "{}",
            lately.out
        );
        let tomorrow = (now + TimeDelta::days(1)).date_naive().to_string();
        let another = site.run(&["reconcile", "--settled", "1m", "--day", &tomorrow, "--json"]).await;
        assert_eq!(last(&another)["conversations"], 0, "{}", another.out);

        let repaired = site.run(&[&compare[..], &["--repair"]].concat()).await;
        assert_eq!((repaired.code, &last(&repaired)["repaired"]), (0, &2.into()), "{}", repaired.err);
        assert_eq!(number(&site, "select count(*) from message").await, 8);
        let row = site.archive.conversation(partly.id()).await.expect("read").expect("a row");
        assert_eq!((row.message_count, row.close_reason.as_deref()), (5, Some("idle")));
        let sent = site.received(1).await;
        assert!(sent.len() == 1 && sent[0].0 == "p:ch:4" && sent[0].1.contains("\"due\""), "{sent:?}");
        assert_eq!(site.run(&["verify"]).await.code, 0);

        script(&site, "update conversation set (closed_at, close_reason) = (null, null) where message_count = 5").await;
        let forgot = site.run(&[&compare[..], &["--repair"]].concat()).await;
        assert!(forgot.out.contains("not_closed_in_archive"), "{}", forgot.out);
        let row = site.archive.conversation(partly.id()).await.expect("read").expect("a row");
        assert!(row.closed_at.is_some());
    })
    .await;
}
