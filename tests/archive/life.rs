//! What a conversation has besides messages: ratings, details, variables. Each once, the latest by the right clock.

use chrono::TimeDelta;
use conversationd::archive::{Archive, ArchiveError, OlderLink};
use conversationd::domain::{Changes, Close, CloseReason, CrmLink, EventId, RatingKind, Sequence, Variable, Window};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::house::{close, in_a_house, message, messages, noon, rating, record, thread};

fn keys(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

fn says(sequence: u128, metadata: Value) -> Changes {
    Changes { metadata: keys(metadata), sequence: Sequence(sequence), ..Changes::default() }
}

#[tokio::test]
async fn a_rating_stands_once_and_the_row_shows_what_was_answered_last() {
    in_a_house(async |house| {
        let record = record(1);
        house.write(&record, &messages(0..2), false, Some(&close())).await.expect("close");
        // answered at minute 1, 3 and 2, which is the order they arrive in; a zero counts as any other
        let ratings = [
            (rating(1, RatingKind::Csat, 5), (Some(5), None)),
            (rating(3, RatingKind::Csat, 2), (Some(2), None)),
            (rating(2, RatingKind::Csat, 4), (Some(2), None)),
            (rating(4, RatingKind::Nps, 10), (Some(2), Some(10))),
            (rating(5, RatingKind::Nps, 0), (Some(2), Some(0))),
            (rating(6, RatingKind::Custom, 9), (Some(2), Some(0))),
        ];
        for (rating, scores) in &ratings {
            assert!(house.rate(&record, rating).await.expect("rate"));
            let row = house.row(&record).await;
            assert_eq!((row.csat, row.nps), *scores, "after {:?}", rating.event_id);
        }

        let before = house.row(&record).await;
        for (rating, _) in &ratings {
            assert!(!house.rate(&record, rating).await.expect("again"));
        }
        assert_eq!(house.row(&record).await, before);
        assert_eq!(house.number("select count(*) from rating where arrived_after_close").await, 6);
        assert_eq!(house.number("select rating_count from conversation_stats").await, 6);
        assert_eq!(house.number("select nps::int8 from conversation_stats").await, 0);
        assert_eq!(
            house.number("select count(*) from rating where comment = 'obrigada' and agent_id = 'agent-7'").await,
            6
        );
    })
    .await;
}

#[tokio::test]
async fn answers_of_one_instant_are_told_apart_by_their_place_in_the_queue() {
    in_a_house(async |house| {
        let record = record(1);
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");
        let (mut first, mut second) = (rating(1, RatingKind::Csat, 1), rating(2, RatingKind::Csat, 5));
        second.answered_at = first.answered_at;
        (first.sequence, second.sequence) = (Sequence(u64::MAX.into()), Sequence(u128::from(u64::MAX) + 1));
        house.rate(&record, &second).await.expect("rate");
        house.rate(&record, &first).await.expect("rate");
        assert_eq!(house.row(&record).await.csat, Some(5));
    })
    .await;
}

#[tokio::test]
async fn a_rating_on_an_open_conversation_makes_its_row_and_the_close_finds_it() {
    in_a_house(async |house| {
        let record = record(1);
        assert!(house.rate(&record, &rating(1, RatingKind::Csat, 4)).await.expect("rate"));
        let open = house.row(&record).await;
        assert_eq!((open.closed_at, open.csat, open.message_count), (None, Some(4), 0));
        assert_eq!(house.number("select count(*) from conversation_stats").await, 0);
        assert_eq!(house.number("select count(*) from rating where arrived_after_close").await, 0);

        let summary = house.write(&record, &messages(0..3), false, Some(&close())).await.expect("close");
        assert_eq!((summary.message_count, summary.closed_at), (3, Some(close().at)));
        let closed = house.row(&record).await;
        assert_eq!((closed.csat, closed.close_reason.as_deref()), (Some(4), Some("idle")));
        assert_eq!(house.number("select csat::int8 * 10 + rating_count from conversation_stats").await, 41);
    })
    .await;
}

#[tokio::test]
async fn a_conversation_with_a_rating_and_no_message_is_kept() {
    in_a_house(async |house| {
        let record = record(1);
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&thread(), &record).await.expect("lock");
        assert!(transaction.rate(&thread(), &record, &rating(1, RatingKind::Nps, 0)).await.expect("rate"));
        let summary = transaction.finish(&record, Some(&close())).await.expect("finish");
        assert_eq!((summary.message_count, summary.content_hash, summary.closed_at), (0, None, Some(close().at)));
        assert_eq!(house.row(&record).await.nps, Some(0));
        assert_eq!(
            house.number("select count(*) from conversation_stats where duration_ms is null and nps = 0").await,
            1
        );
    })
    .await;
}

#[tokio::test]
async fn a_rating_that_belongs_to_no_conversation_stands_alone_and_once() {
    in_a_house(async |house| {
        let alone = rating(1, RatingKind::Csat, 3);
        for _ in 0..2 {
            house.archive.rate_alone(&thread(), &alone).await.expect("rate");
        }
        let stands = "select count(*) from rating where conversation_id is null and project = 'project' and score = 3
                      and contact = 'whatsapp:+5511999990000'";
        assert_eq!(house.number(stands).await, 1);

        // The same event with a conversation: it stands already, and a conversation without anything is not kept.
        assert!(!house.rate(&record(1), &alone).await.expect("again"));
        assert_eq!(house.number("select count(*) from conversation").await, 0);
        assert_eq!(house.number(stands).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_score_that_cannot_be_is_refused_and_not_quoted() {
    in_a_house(async |house| {
        let record = record(1);
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");
        for (kind, score) in [(RatingKind::Csat, 0), (RatingKind::Csat, 6), (RatingKind::Nps, 11)] {
            let error = house.rate(&record, &rating(1, kind, score)).await.expect_err("no such score");
            assert_eq!(error.to_string(), "the archive refused the write: SQLSTATE 23514 (Error) on rating_score_fits");
        }
        assert_eq!(house.row(&record).await.csat, None);
    })
    .await;
}

#[tokio::test]
async fn the_first_close_writes_what_the_head_knew() {
    in_a_house(async |house| {
        let mut record = record(1);
        house.write(&record, &messages(0..1), false, None).await.expect("checkpoint");
        assert_eq!(house.row(&record).await.title, None);

        let window = Window { external_id: Some("w".into()), start: Some(noon()), end: None };
        record.details.title = Some("Fatura".into());
        record.details.tags = vec!["vip".into(), "fatura".into()];
        record.details.participants = vec![json!({"id": 1})];
        record.details.metadata = keys(json!({"a": {"b": [1, null]}}));
        record.details.customer_info = keys(json!({"name": "María"}));
        record.details.window = Some(window);
        record.details.ticket = Some("t-1".into());
        record.details.has_chats_room = true;
        record.details.changed_by = Some(Sequence(u128::from(u64::MAX) * 9));
        let how = Close { topic: Some("billing".into()), subtopic: Some("invoice".into()), ..close() };
        for _ in 0..2 {
            house.write(&record, &messages(0..1), false, Some(&how)).await.expect("close");
        }
        let row = house.row(&record).await;
        assert_eq!(
            (row.title.as_deref(), row.ticket.as_deref(), row.has_chats_room),
            (Some("Fatura"), Some("t-1"), true)
        );
        assert_eq!(row.tags, Some(vec!["vip".into(), "fatura".into()]));
        assert_eq!((row.participants, row.metadata), (Some(json!([{"id": 1}])), Some(json!({"a": {"b": [1, null]}}))));
        assert_eq!(row.customer_info, Some(json!({"name": "María"})));
        assert_eq!(
            (row.window_external_id.as_deref(), row.window_start, row.window_end),
            (Some("w"), Some(noon()), None)
        );
        assert_eq!((row.topic.as_deref(), row.subtopic.as_deref()), (Some("billing"), Some("invoice")));
        assert_eq!(house.number("select count(*) from conversation where tags @> array['vip']").await, 1);

        // A closer that knows more, or less, comes too late.
        record.details = Default::default();
        let other = Close { topic: Some("another".into()), ..Close::new(noon(), CloseReason::Operator) };
        house.write(&record, &messages(0..1), false, Some(&other)).await.expect("close again");
        let after = house.row(&record).await;
        assert_eq!((after.title.as_deref(), after.topic.as_deref()), (Some("Fatura"), Some("billing")));
    })
    .await;
}

#[tokio::test]
async fn what_is_said_after_the_close_merges_and_an_older_word_changes_nothing() {
    in_a_house(async |house| {
        let mut record = record(1);
        record.agent_id = Some("agent-1".into());
        record.details.metadata = keys(json!({"a": 1, "b": 2}));
        record.details.changed_by = Some(Sequence(10));
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");

        let newer = Changes {
            title: Some("Fatura".into()),
            tags: Some(vec!["vip".into()]),
            resolution: Some(3),
            agent_id: Some("agent-2".into()),
            contact_name: Some("María".into()),
            ..says(12, json!({"a": null, "c": 3}))
        };
        let older = Changes { title: Some("old".into()), resolution: Some(1), ..says(11, json!({"a": 9})) };
        let before_the_close = Changes { agent_id: Some("agent-0".into()), ..says(9, json!({})) };
        for changes in [&newer, &newer, &older, &before_the_close] {
            house.amend(&record, changes).await.expect("amend");
        }
        let row = house.row(&record).await;
        assert_eq!((row.title.as_deref(), row.resolution), (Some("Fatura"), Some(3)));
        assert_eq!((row.agent_id.as_deref(), row.contact_name.as_deref()), (Some("agent-2"), Some("María")));
        assert_eq!((row.metadata, row.tags), (Some(json!({"b": 2, "c": 3})), Some(vec!["vip".into()])));

        // What is absent stays; an emptied list is as absent as one that never was.
        house.amend(&record, &Changes { tags: Some(vec![]), ..says(13, json!({})) }).await.expect("amend");
        let row = house.row(&record).await;
        assert_eq!((row.tags, row.title.as_deref(), row.resolution), (None, Some("Fatura"), Some(3)));
        assert_eq!((row.message_count, row.close_reason.as_deref()), (1, Some("idle")));
    })
    .await;
}

#[tokio::test]
async fn details_that_outgrow_their_limit_are_refused_and_the_row_stays() {
    in_a_house(async |house| {
        let record = record(1);
        house.write(&record, &messages(0..1), false, Some(&close())).await.expect("close");
        house.amend(&record, &says(1, json!({"a": "secret"}))).await.expect("amend");
        let error = house.amend(&record, &says(2, json!({"b": "secret".repeat(20_000)}))).await.expect_err("too much");
        assert!(matches!(&error, ArchiveError::Refused(why) if why.starts_with("metadata")), "{error}");
        assert!(!error.to_string().contains("secret"));
        assert_eq!(house.row(&record).await.metadata, Some(json!({"a": "secret"})));
    })
    .await;
}

#[tokio::test]
async fn an_amendment_of_nothing_leaves_nothing() {
    in_a_house(async |house| {
        house.amend(&record(1), &says(1, json!({"a": 1}))).await.expect("amend");
        assert_eq!(house.number("select count(*) from conversation").await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_variables_a_conversation_ended_with_stay() {
    in_a_house(async |house| {
        let record = record(1);
        let variable = |value: Value| Variable {
            state_type: "flow".into(),
            key: "step".into(),
            value: Some(value),
            expires_at: None,
            conversation: Some(record.id),
            after: None,
            carry_over: false,
            set_at: noon(),
            sequence: Sequence(1),
        };
        let keep = async |variables: &[Variable], close: Option<&Close>| {
            let mut transaction = house.archive.begin().await.expect("begin");
            transaction.lock(&thread(), &record).await.expect("lock");
            transaction.insert(&record, &[message(0)], false).await.expect("insert");
            transaction.keep_variables(&record, variables).await.expect("keep");
            transaction.finish(&record, close).await.expect("finish");
        };
        for (variables, close, stands) in [
            (vec![variable(json!(1)), variable(json!(2))], None, Some(json!([1, 2]))),
            (vec![], None, None),
            (vec![variable(json!(0))], Some(&close()), Some(json!([0]))),
            (vec![variable(json!(7))], Some(&close()), Some(json!([0]))),
        ] {
            keep(&variables, close).await;
            let stored = house.row(&record).await.variables;
            let values =
                |stored: Value| stored.as_array().map(|all| all.iter().map(|it| it["value"].clone()).collect());
            assert_eq!(stored.and_then(values), stands);
        }
    })
    .await;
}

#[tokio::test]
async fn an_erasure_is_asked_for_once() {
    in_a_house(async |house| {
        let event = EventId(Uuid::from_u128(1));
        for minutes in 0..2 {
            let at = noon() + TimeDelta::minutes(minutes);
            house.archive.request_erasure("project", "whatsapp:+5511999990000", event, at).await.expect("request");
        }
        let pending = "select count(*) from erasure where done_at is null and requested_at = '2025-03-01T12:00:00Z'";
        assert_eq!(house.number(pending).await, 1);
        assert_eq!(house.number("select count(*) from erasure").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_link_follows_the_latest_event_and_keeps_what_was_said_of_the_person() {
    in_a_house(async |house| {
        let record = record(1);
        let link = |sequence: u128, crm_id: &str, prospect: Value| CrmLink {
            crm: "hubspot".into(),
            crm_id: crm_id.into(),
            prospect: keys(prospect),
            sequence: Sequence(sequence),
        };
        for link in [link(5, "512", json!({"rol": "CEO"})), link(4, "1", json!({})), link(6, "513", json!({}))] {
            for _ in 0..2 {
                house.archive.link(&thread(), record.id, &link).await.expect("link");
            }
        }
        let stands = "select count(*) from crm_link where crm_id = '513' and prospect = '{\"rol\": \"CEO\"}'";
        assert_eq!(house.number(stands).await, 1);
        assert_eq!(house.number("select count(*) from conversation_mappings where hubspot_id = '513'").await, 1);
        let contact = thread().contact.expect("a contact");
        assert_eq!(house.archive.erase("project", &contact, |_| ()).await.expect("erase").crm_links, 1);
    })
    .await;
}

#[tokio::test]
async fn older_links_are_imported_once_and_never_over_what_events_said() {
    in_a_house(async |house| {
        let mut addressed = thread();
        addressed.conversation = Some("conversation-1".into());
        let mut transaction = house.archive.begin().await.expect("begin");
        transaction.lock(&addressed, &record(1)).await.expect("lock");
        transaction.insert(&record(1), &messages(0..1), false).await.expect("insert");
        transaction.finish(&record(1), Some(&close())).await.expect("finish");
        let linked = record(2).id;
        let newer = CrmLink { crm: "x".into(), crm_id: "1".into(), prospect: Map::new(), sequence: Sequence(1) };
        house.archive.link(&thread(), linked, &newer).await.expect("link");

        let older = |external_id: &str, crm_id: &str| OlderLink {
            external_id: external_id.into(),
            crm: "hubspot".into(),
            crm_id: crm_id.into(),
            prospect: keys(json!({"nombres": "Juan"})),
            created_at: Some(noon()),
            updated_at: None,
        };
        let links = [older("conversation-1", "512"), older("conversation-2", "513"), older(&linked.to_string(), "514")];
        assert_eq!(house.archive.import_links("project", &links).await.expect("import"), 2);
        assert_eq!(house.archive.import_links("project", &links).await.expect("again"), 0);
        let known = "select count(*) from crm_link l join conversation c on c.id = l.conversation_id
                     where l.crm_id = '512' and l.contact = 'whatsapp:+5511999990000'";
        assert_eq!(house.number(known).await, 1, "linked as the conversation it is");
        let seen = "select count(*) from conversation_mappings
                    where (conversation_id, hubspot_id) in (('conversation-1', '512'), ('conversation-2', '513'))
                      and prospect_data ->> 'nombres' = 'Juan' and created_at = '2025-03-01 12:00+00' and updated_at = created_at";
        assert_eq!(house.number(seen).await, 2);
        assert_eq!(house.number("select count(*) from crm_link where crm_id = '1'").await, 1, "as the event said");
    })
    .await;
}
