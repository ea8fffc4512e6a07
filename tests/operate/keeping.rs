//! Stories of keeping the archive: `verify`, `archive purge`, `hold`, `export`, `erase`.

use std::{io::Read, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    archive::Archive,
    clock::{Clock, SystemClock},
    domain::{Close, CloseReason, Conversation, EventId},
    hot::WholeStore,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    conversations::{CLOSED, CONTACT, Talk},
    site::{Said, Site, on_a_site},
};

pub(super) const KEY: [(&str, &str); 1] = [("CONVERSATIOND_RECEIPT_KEY", "0123456789abcdef0123456789abcdef")];

pub(super) async fn connection(site: &Site) -> PgConnection {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
    let mut connection = PgConnection::connect(&url).await.expect("connect");
    let sql = format!("set search_path to {}", site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("search_path");
    connection
}

pub(super) async fn number(site: &Site, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut connection(site).await).await.expect("number")
}

pub(super) async fn script(site: &Site, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connection(site).await).await.expect("script");
}

pub(super) fn hot(site: &Site) -> Arc<dyn WholeStore> {
    site.hot.clone()
}

/// As the daemon leaves it: messages in both stores, the head closed at `at`.
pub(super) async fn close(site: &Site, talk: &Talk, at: DateTime<Utc>) {
    let close = Close::new(at, CloseReason::Idle);
    talk.keep(site, 0).await;
    talk.archive(site, talk.messages.len(), Some(&close)).await;
    let Conversation::Open(open) = talk.head.conversation.clone() else { panic!("open") };
    let closed = talk.head.next(Conversation::Closed(open.close(close, at, &CLOSED).archived()));
    assert!(hot(site).write_head(&talk.head.thread.key(), &closed).await.expect("head"));
}

pub(super) async fn archived(site: &Site, number: usize, messages: usize, days: i64) -> Talk {
    let talk = Talk::of(number, messages);
    let close = Close::new(SystemClock.now() - TimeDelta::days(days), CloseReason::Idle);
    talk.archive(site, messages, Some(&close)).await;
    talk
}

pub(super) fn last(said: &Said) -> serde_json::Value {
    said.json().pop().expect("a line")
}

#[tokio::test]
async fn verify_notices_what_changed_behind_the_daemons_back() {
    on_a_site(async |site| {
        let talks = [archived(&site, 0, 3, 0).await, archived(&site, 1, 2, 0).await, archived(&site, 2, 4, 0).await];
        let said = site.run(&["verify", "--json"]).await;
        assert_eq!(
            (said.code, &last(&said)["checked"], &last(&said)["messages"]),
            (0, &3.into(), &9.into()),
            "{}",
            said.err
        );

        script(&site, "update message set text = 'tampered' where text = 'said 3'").await;
        for arguments in
            [vec!["verify"], vec!["verify", "--sample", "10"], vec!["verify", "--project", "p", "--since", "1h"]]
        {
            let said = site.run(&arguments).await;
            assert_eq!(said.code, 1, "{arguments:?}: {}", said.err);
            assert!(said.out.contains(&talks[2].id().to_string()) && said.out.contains("content"), "{}", said.out);
            assert!(said.out.contains("checked=3 messages=9 differences=1"), "{}", said.out);
        }
        assert_eq!(site.run(&["verify", "--project", "another"]).await.code, 0);
        assert_eq!(last(&site.run(&["verify", "--sample", "2", "--json"]).await)["checked"], 2);

        script(&site, "delete from message where text = 'said 1'").await;
        let said = site.run(&["verify", "--json"]).await;
        assert_eq!((said.code, &last(&said)["differences"]), (1, &3.into()));
        assert!(!said.out.contains(CONTACT));
    })
    .await;
}

#[tokio::test]
async fn purging_takes_what_is_old_and_not_held_and_leaves_numbers() {
    on_a_site(async |site| {
        for (number, messages, days) in [(0, 3, 100), (1, 2, 100), (2, 4, 100), (3, 5, 1)] {
            archived(&site, number, messages, days).await;
        }
        assert_eq!(site.run(&["archive", "purge", "--older-than", "59", "--yes"]).await.code, 2);
        let dry = site.run(&["archive", "purge", "--older-than", "90", "--json"]).await;
        assert_eq!((&dry.json()[0]["done"], &dry.json()[0]["projects"][0]["messages"]), (&false.into(), &9.into()));
        assert_eq!(number(&site, "select count(*) from conversation").await, 4);

        let hold = ["hold", "add", "--project", "p", "--contact", CONTACT, "--reason", "case 17"];
        assert_eq!(site.run(&hold).await.code, 0);
        let listed = site.run(&["hold", "list"]).await.out;
        assert!(listed.contains("case 17") && listed.contains("whatsapp:…6789"), "{listed}");

        let arguments = ["archive", "purge", "--older-than", "90", "--batch", "1", "--yes"];
        let said = site.run(&arguments).await;
        assert!(said.code == 0 && said.out.contains("conversations=2 messages=6"), "{}{}", said.out, said.err);
        assert_eq!(number(&site, "select count(*) from message").await, 8);
        let kept = "select conversation_count * 100 + incoming_count * 10 + outgoing_count from purged_day";
        assert_eq!(number(&site, kept).await, 233);
        assert_eq!(number(&site, "select count(*) from conversation_stats").await, 2);

        assert_eq!(site.run(&["hold", "remove", "--project", "p", "--contact", CONTACT]).await.code, 0);
        assert_eq!(site.run(&["hold", "remove", "--project", "p", "--contact", CONTACT]).await.code, 1);
        assert!(site.run(&arguments).await.out.contains("conversations=1 messages=3"));
        assert_eq!(number(&site, "select sum(conversation_count)::bigint from purged_day").await, 3);
    })
    .await;
}

#[tokio::test]
async fn an_export_is_whole_or_not_there_and_masked_unless_asked() {
    on_a_site(async |site| {
        archived(&site, 0, 1_203, 0).await;
        archived(&site, 1, 2, 3).await;
        let folder = std::env::temp_dir().join(format!("conversationd-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).expect("a folder");
        let path = folder.join("all.jsonl.gz");
        let out = path.to_str().expect("a path");

        let said = site.run(&["export", "--gzip", "--out", out]).await;
        assert!(said.code == 0 && said.out.contains("conversations=2 messages=1205"), "{}{}", said.out, said.err);
        let mut text = String::new();
        let file = std::fs::File::open(&path).expect("the file");
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
        assert_eq!(text.lines().filter(|line| line.starts_with("{\"message\"")).count(), 1_205);
        assert!(text.lines().count() == 1_207 && !text.contains(CONTACT) && !text.contains("said 7"));
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);

        let again = site.run(&["export", "--out", out]).await;
        assert!(again.code == 1 && again.err.contains("exists already"), "{}", again.err);

        let csv = site.run(&["export", "--format", "csv", "--out", "-", "--reveal", "--contact", CONTACT]).await;
        assert_eq!((csv.code, csv.out.lines().count()), (0, 1_204), "{}", csv.err);
        assert!(csv.out.lines().nth(3).is_some_and(|line| line.contains(CONTACT) && line.ends_with(",said 2")));
        let recent = site.run(&["export", "--out", "-", "--since", "1d"]).await;
        assert_eq!(recent.out.lines().filter(|line| line.starts_with("{\"conversation\"")).count(), 1);
        std::fs::remove_dir_all(folder).expect("gone");
    })
    .await;
}

#[tokio::test]
async fn an_erased_person_is_nowhere_and_the_numbers_stay() {
    on_a_site(async |site| {
        let (person, other) = (Talk::of(0, 5), Talk::of(1, 2));
        close(&site, &person, SystemClock.now()).await;
        close(&site, &other, SystemClock.now()).await;
        let erase = ["erase", "--project", "p", "--contact", CONTACT, "--json"];
        let yes = [&erase[..], &["--yes"]].concat();

        let dry = site.run(&erase).await;
        assert_eq!(
            (dry.code, &last(&dry)["outcome"], &last(&dry)["items"]),
            (0, &"would_erase".into(), &6.into()),
            "{}",
            dry.err
        );
        assert_eq!(site.run(&yes).await.code, 64); // no key
        assert_eq!(number(&site, "select count(*) from erasure").await, 0);

        site.run(&["hold", "add", "--project", "p", "--reason", "case 17"]).await;
        let held = site.run_with(&yes, &KEY, "").await;
        assert_eq!((held.code, &last(&held)["outcome"]), (1, &"held".into()), "{}", held.err);
        site.run(&["hold", "remove", "--project", "p"]).await;

        let said = site.run_with(&yes, &KEY, "").await;
        let done = last(&said);
        assert_eq!((said.code, &done["outcome"], &done["items"]), (0, &"erased".into(), &6.into()), "{}", said.err);
        assert_eq!((&done["archive"]["messages"], &done["receipt"]["hot_store"]["threads"]), (&5.into(), &1.into()));
        assert_eq!(done["signature"].as_str().map(str::len), Some(64));
        assert!(!said.out.contains(CONTACT));

        let left = "select count(*) from conversation c join message m on m.conversation_id = c.id
                    where c.contact like 'whatsapp%' or c.thread like '%5500123456789%'
                       or (c.erased_at is not null and (m.text <> '' or m.contact_name is not null))";
        assert_eq!(number(&site, left).await, 0);
        assert_eq!(
            number(&site, "select count(*) from erasure where contact is null and done_at is not null").await,
            1
        );
        assert_eq!(
            number(&site, "select incoming_count + outgoing_count from conversation_stats order by 1 desc").await,
            5
        );
        assert_eq!(site.run(&["verify"]).await.code, 0);
        let key = person.head.thread.key();
        assert!(hot(&site).keys_of(&key).await.expect("keys").is_empty());
        assert_eq!(hot(&site).keys_of(&other.head.thread.key()).await.expect("keys").len(), 3);

        // The same again finds nobody.
        let again = site.run_with(&yes, &KEY, "").await;
        assert_eq!((again.code, &last(&again)["items"]), (0, &0.into()), "{}", again.err);
    })
    .await;
}

#[tokio::test]
async fn what_comes_after_an_erasure_from_before_it_is_erased_again_and_what_is_new_stays() {
    on_a_site(async |site| {
        let mut person = Talk::of(0, 3);
        close(&site, &person, SystemClock.now()).await;
        let event = EventId(Uuid::from_u128(1));
        site.archive.request_erasure("p", CONTACT, event, SystemClock.now()).await.expect("request");
        let pending = ["erase", "--pending", "--json", "--yes"];
        let said = site.run_with(&pending, &KEY, "").await;
        assert_eq!((said.code, &said.json()[0]["outcome"]), (0, &"erased".into()), "{}", said.err);

        // A copy of what stood: the archive has it, and keeps what it has.
        person.archive(&site, 3, Some(&Close::new(SystemClock.now(), CloseReason::Idle))).await;
        assert_eq!(number(&site, "select count(*) from message where text <> ''").await, 0);

        // Letters from before, redriven, open a conversation of their own; and the person writes again.
        for message in &mut person.messages {
            message.event_id = EventId(Uuid::from_u128(message.event_id.0.as_u128() + 1));
        }
        let newest = person.messages.last_mut().expect("a message");
        newest.occurred_at = SystemClock.now() + TimeDelta::minutes(1);
        let Conversation::Open(open) = &mut person.head.conversation else { panic!("open") };
        open.record.id.0 = Uuid::from_u128(7);
        close(&site, &person, SystemClock.now() + TimeDelta::minutes(2)).await;
        assert_eq!(number(&site, "select count(*) from message where text <> ''").await, 3);

        let dry = site.run_with(&pending[..3], &KEY, "").await;
        assert_eq!(last(&dry)["persons"], 1, "{}", dry.err);
        let said = site.run_with(&pending, &KEY, "").await;
        assert_eq!((&last(&said)["messages"], &last(&said)["conversations"]), (&2.into(), &0.into()), "{}", said.err);
        assert_eq!(number(&site, "select count(*) from message where text <> ''").await, 1);
        assert_eq!(number(&site, "select count(*) from conversation where contact is not null").await, 1);
        assert_eq!(site.run(&["verify"]).await.code, 0);
        let said = site.run_with(&pending, &KEY, "").await;
        assert_eq!(last(&said)["messages"], 0, "{}", said.out);
    })
    .await;
}

#[tokio::test]
async fn a_person_whose_conversation_nobody_closes_waits() {
    on_a_site(async |site| {
        let open = Talk::of(0, 2);
        open.keep(&site, 0).await;
        let erase = ["erase", "--project", "p", "--contact", CONTACT, "--json", "--yes", "--wait", "1s"];
        let said = site.run_with(&erase, &KEY, "").await;
        assert_eq!((said.code, &last(&said)["outcome"]), (1, &"still_open".into()), "{}", said.err);
        let sent = site.received(1).await;
        assert!(sent[0].1.contains("conversation.close"), "{}", sent[0].1);
        assert_eq!(number(&site, "select count(*) from erasure where done_at is null").await, 1);
        assert_eq!(hot(&site).keys_of(&open.head.thread.key()).await.expect("keys").len(), 3);
    })
    .await;
}
