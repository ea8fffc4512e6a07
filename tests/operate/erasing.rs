//! Stories of `erase`: dead letters, receipts, and what comes again.

use chrono::TimeDelta;
use conversationd::{
    archive::Archive,
    clock::{Clock, SystemClock},
    domain::{Close, CloseReason, Conversation, EventId, Place, Rating, RatingKind, Sequence, Variable},
    hot::Hot,
};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

use crate::{
    comparing::letter,
    conversations::{CONTACT, Talk},
    keeping::{KEY, close, connection, hot, last, number, script},
    site::{Site, on_a_site},
};

const ERASE: [&str; 6] = ["erase", "--project", "p", "--contact", CONTACT, "--json"];
const PENDING: [&str; 4] = ["erase", "--pending", "--json", "--yes"];

async fn erase(site: &Site) -> Value {
    let said = site.run_with(&[&ERASE[..], &["--yes"]].concat(), &KEY, "").await;
    assert_eq!((said.code, &last(&said)["outcome"]), (0, &"erased".into()), "{}{}", said.out, said.err);
    last(&said)
}

fn event(project: &str, contact: &str, text: Value) -> String {
    json!({
        "event_type": "message.received",
        "correlation_id": Uuid::new_v4(),
        "data": {
            "project_uuid": project,
            "contact_urn": contact,
            "channel_uuid": "ch",
            "message": { "id": "m", "text": text, "source": "incoming", "created_at": "2026-03-01T12:00:00Z" }
        }
    })
    .to_string()
}

async fn dead_letters(site: &Site) -> usize {
    let call = site.clients.sqs.control.receive_message().queue_url(&site.provisioned.dead_letter_url);
    let got = call.max_number_of_messages(10).visibility_timeout(0).send().await.expect("receive");
    got.messages.unwrap_or_default().len()
}

/// Everything in the hot store's tables, of which any may name a person.
const ALL: &str = "
    select coalesce(string_agg(kept, ' '), '') from (
        select hot_head::text as kept from hot_head
        union all select hot_message::text from hot_message
        union all select hot_row::text from hot_row
        union all select hot_dead_letter::text from hot_dead_letter
    ) as all_of_it";

/// Whether the person's name, address or words stand anywhere in the hot store.
async fn stands_in_table(site: &Site) -> bool {
    let all = if site.is_on_postgres() {
        sqlx::query_scalar(ALL).fetch_one(&mut connection(site).await).await.expect("everything")
    } else {
        let scan = site.clients.dynamodb.scan().table_name(&site.provisioned.table).send().await.expect("scan");
        format!("{:?}", scan.items())
    };
    ["5500123456789", "Maria", "said ", "secret"].iter().any(|trace| all.contains(trace))
}

#[tokio::test]
async fn a_persons_dead_letters_go_with_their_rows_and_nobody_elses_do() {
    on_a_site(async |site| {
        let (person, own) = (Talk::of(0, 2), format!("p:ch:{CONTACT}"));
        close(&site, &person, SystemClock.now()).await;
        for number in 0..12 {
            site.bury(&own, &event("p", CONTACT, json!(format!("secret {number}")))).await;
        }
        site.bury(&own, "{not even JSON").await;
        site.bury("shared", &event("p", CONTACT, json!(17))).await;
        site.bury("shared", &event("p", "tel:5", json!("of another person"))).await;
        site.bury("shared", &event("q", CONTACT, json!("of another project"))).await;
        for (number, group) in [(1, own.as_str()), (2, "shared"), (3, "p:ch:tel:5")] {
            hot(&site).write_dead_letter(&letter(number, group)).await.expect("row");
        }
        assert_eq!(last(&site.run(&ERASE).await)["dead_letters_waiting"], 1);

        let done = erase(&site).await;
        let removed = &done["receipt"]["hot_store"];
        assert_eq!((&removed["dead_letters"], &removed["dead_letter_rows"]), (&14.into(), &1.into()), "{done}");
        assert_eq!(dead_letters(&site).await, 2);
        let rows = hot(&site).dead_letters(SystemClock.now().date_naive(), None).await.expect("rows").letters;
        assert!(rows.iter().all(|row| row.group_id != own), "{rows:?}");
        assert!(!stands_in_table(&site).await);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_is_verified_by_its_text_by_its_id_and_for_a_person() {
    on_a_site(async |site| {
        close(&site, &Talk::of(0, 2), SystemClock.now()).await;
        let done = erase(&site).await;
        let id = done["receipt"]["erasure"].as_str().expect("an id");
        let mut changed = done.clone();
        changed["receipt"]["archive"]["messages"] = 3.into();
        let (good, bad) = (done.to_string(), changed.to_string());
        let other = [("CONVERSATIOND_RECEIPT_KEY", "another key of thirty-two letters")];
        for (arguments, key, input, code) in [
            (vec!["-"], KEY, &good, 0),
            (vec![id], KEY, &good, 0),
            (vec!["-", "--project", "p", "--contact", CONTACT], KEY, &good, 0),
            (vec!["-", "--project", "p", "--contact", "tel:1"], KEY, &good, 1),
            (vec!["-"], KEY, &bad, 1),
            (vec!["-"], other, &good, 1),
            (vec!["00000000-0000-0000-0000-000000000000"], KEY, &good, 1),
        ] {
            let said = site.run_with(&[vec!["erase", "--verify"], arguments.clone()].concat(), &key, input).await;
            assert_eq!(said.code, code, "{arguments:?}: {}{}", said.out, said.err);
            assert!(!said.out.contains("5500"), "{}", said.out);
        }
        assert_eq!(site.run(&["erase", "--verify", id]).await.code, 64); // no key
    })
    .await;
}

/// What one who was erased leaves when everything of before comes again, and one event that nobody had handled.
async fn all_over_again(site: &Site, person: &Talk) {
    let mut again = Talk { head: person.head.clone(), messages: person.messages.clone() };
    let mut unheard = again.messages[1].clone();
    (unheard.event_id, unheard.text) = (EventId(Uuid::from_u128(9)), String::new());
    unheard.attachments = vec![json!("secret.jpg")];
    again.messages.push(unheard);
    // the first message opens the thread again, at its first version: the same conversation as before
    close(site, &again, SystemClock.now()).await;

    let (thread, at) = (&person.head.thread, person.messages[0].received_at);
    let place = Place { thread: thread.clone(), group_id: person.head.group_id.clone() };
    let hot = Hot::over(site.hot.clone(), Duration::ZERO);
    hot.name_session("s", &place, Sequence(1), at).await.expect("session");
    let variable = Variable {
        state_type: "bot".into(),
        key: "name".into(),
        value: Some("Maria".into()),
        expires_at: None,
        conversation: None,
        after: None,
        carry_over: true,
        set_at: SystemClock.now(),
        sequence: Sequence(2),
    };
    hot.set_variable(&thread.key(), &variable).await.expect("variable");
    let rating = Rating {
        event_id: EventId(Uuid::from_u128(8)),
        kind: RatingKind::Custom,
        key: "why".into(),
        value: "secret".into(),
        score: None,
        comment: Some("Maria".into()),
        agent_id: None,
        answered_at: at,
        received_at: SystemClock.now(),
        sequence: Sequence(3),
    };
    site.archive.rate_alone(thread, &rating).await.expect("rate");
    script(
        site,
        "insert into crm_link (conversation_id, project, thread, contact, crm, crm_id, changed_by)
         values (gen_random_uuid(), 'p', 't', 'whatsapp:+5500123456789', 'hubspot', '17', 1)",
    )
    .await;
}

const NAMED: &str = "
    select (select count(*) from conversation where contact like 'whatsapp%' or thread like '%5500%')
         + (select count(*) from message where text <> '' or contact_name is not null or attachments is not null)
         + (select count(*) from rating where contact is not null or comment is not null or value = 'secret')
         + (select count(*) from crm_link)";

#[tokio::test]
async fn everything_of_before_that_comes_again_is_erased_again() {
    on_a_site(async |site| {
        let person = Talk::of(0, 3);
        close(&site, &person, SystemClock.now()).await;
        erase(&site).await;
        assert_eq!(number(&site, NAMED).await, 0);

        all_over_again(&site, &person).await;
        assert!(number(&site, NAMED).await > 0 && stands_in_table(&site).await);
        let count = "select count(*) from message";
        assert_eq!(number(&site, count).await, 4);

        let said = site.run_with(&PENDING, &KEY, "").await;
        let again = last(&said);
        assert_eq!((said.code, &again["persons"], &again["ratings"]), (0, &1.into(), &1.into()), "{}", said.err);
        assert_eq!(number(&site, NAMED).await, 0, "{again}");
        assert!(!stands_in_table(&site).await, "{again}");
        assert_eq!((number(&site, count).await, site.run(&["verify"]).await.code), (4, 0));
        assert_eq!(last(&site.run_with(&PENDING, &KEY, "").await)["persons"], 0);
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_keeps_what_they_say_now() {
    on_a_site(async |site| {
        let person = Talk::of(0, 3);
        close(&site, &person, SystemClock.now()).await;
        erase(&site).await;

        let mut back = Talk::of(0, 2);
        for (number, message) in back.messages.iter_mut().enumerate() {
            message.event_id = EventId(Uuid::from_u128(70 + number as u128));
            message.occurred_at = SystemClock.now() + TimeDelta::seconds(60);
        }
        let Conversation::Open(open) = &mut back.head.conversation else { panic!("open") };
        (open.record.id.0, open.record.opened_at) = (Uuid::from_u128(7), back.messages[0].occurred_at);
        let end = Close::new(SystemClock.now() + TimeDelta::seconds(90), CloseReason::Idle);
        back.keep(&site, 0).await;
        back.archive(&site, 2, Some(&end)).await;

        let said = site.run_with(&PENDING, &KEY, "").await;
        let again = last(&said);
        assert_eq!((&again["persons"], &again["open"], &again["items"]), (&1.into(), &1.into(), &0.into()), "{again}");
        assert_eq!(number(&site, "select count(*) from message where text <> ''").await, 2);
        assert_eq!(hot(&site).keys_of(&back.head.thread.key()).await.expect("keys").len(), 3);

        // asked once more, all of it goes
        script(&site, "delete from erasure where done_at is not null").await;
        site.archive
            .request_erasure("p", CONTACT, EventId(Uuid::from_u128(1)), SystemClock.now())
            .await
            .expect("request");
        let waits = site.run_with(&[&PENDING[..], &["--wait", "1s"]].concat(), &KEY, "").await;
        assert_eq!((waits.code, &waits.json()[0]["outcome"]), (1, &"still_open".into()), "{}", waits.err);
    })
    .await;
}
