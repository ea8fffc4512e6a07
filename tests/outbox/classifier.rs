//! The classifier on the local stack: an endpoint on loopback that answers, is slow, talks nonsense, or fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use conversationd::{
    archive::Archive,
    classifier::{Classifier, Stores},
    clock::SystemClock,
    config::{SinksConfig, Target},
    domain::{
        Close, CloseReason, ConversationId, Details, Direction, EventId, Message, Notice, Record, Sequence, Thread,
    },
    event::{self, Kind, Raw},
    http::Http,
    queue::SqsQueue,
    sink::{Dispatch, Outcome, Sink, Verdict},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    house::noon,
    listener::{Got, Hostile, Listener, closed as closed_to, open},
    site::{Site, on_a_site},
};

const PLAIN: &str = "protocol = 'plain'";
const OPENAI: &str = "protocol = 'openai'\nmodel = 'm'";

fn thread() -> Thread {
    Thread {
        project: "p".into(),
        contact: Some("whatsapp:+5511999990000".into()),
        channel: Some("ch".into()),
        conversation: None,
    }
}

fn record() -> Record {
    Record {
        id: ConversationId(Uuid::from_u128(0xC1)),
        opened_at: noon(),
        opened_received_at: noon(),
        contact_name: Some("María José".into()),
        agent_id: None,
        previous: None,
        details: Details::default(),
        recap: None,
    }
}

fn message(number: u128, text: &str) -> Message {
    Message {
        event_id: EventId(Uuid::from_u128(number)),
        occurred_at: noon(),
        received_at: noon(),
        sequence: Sequence(number),
        direction: Direction::Incoming,
        text: text.to_owned(),
        external_id: None,
        contact_name: Some("María José".into()),
        content_type: None,
        sender_type: None,
        sender_id: Some("5511999990000".into()),
        agent_id: None,
        model_used: None,
        tokens_used: None,
        tokens: None,
        sentiment: None,
        intent: None,
        entities: vec![],
        attachments: vec![],
        metadata: Map::new(),
    }
}

/// A classifier as this entry of a sinks file describes it, on this site.
fn classifier(site: &Site, egress: &str, url: &str, entry: &str) -> Arc<dyn Sink> {
    let text = format!("{egress}\n[[sink]]\nname = 'a'\nkind = 'classifier'\nurl = '{url}'\n{entry}");
    let (config, faults) = SinksConfig::parse(&text, &|_| Some("set".into()));
    assert!(faults.is_empty(), "{faults:?}");
    let Target::Classifier(target) = &config.sinks[0].target else { panic!("no classifier") };
    let stores = Stores {
        archive: Arc::new(site.archive.clone()),
        hot: site.hot.clone(),
        queue: Arc::new(SqsQueue::new(
            site.clients.sqs.clone(),
            site.provisioned.queue_url.clone(),
            site.provisioned.dead_letter_url.clone(),
            Duration::from_secs(30),
        )),
    };
    Arc::new(Classifier::new(target, stores, Arc::new(Http::new(&config.egress, Arc::new(SystemClock)))))
}

/// A conversation closed without a word of how it ended, and its notice.
async fn closed(site: &Site) -> Notice {
    let close = Close::new(noon(), CloseReason::Idle);
    let mut transaction = site.archive.begin().await.expect("begin");
    transaction.lock(&thread(), &record()).await.expect("lock");
    let said: Vec<Message> = (1..=3).map(|number| message(number, &format!("said {number}"))).collect();
    transaction.insert(&record(), &said, false).await.expect("insert");
    transaction.finish(&record(), Some(&close)).await.expect("finish");
    Notice::closed(&thread(), &record(), &close, 3).awaiting_resolution()
}

async fn send(sink: &Arc<dyn Sink>, notice: &Notice) -> Verdict {
    sink.send(&Dispatch { notice, lane: notice.conversation_lane, sequence: 1, attempt: 1 }).await
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/classify")
}

fn chat(content: &str) -> String {
    json!({"choices": [{"message": {"role": "assistant", "content": content}}]}).to_string()
}

#[tokio::test]
async fn an_answer_becomes_one_event_in_the_threads_group_and_the_second_question_is_not_asked() {
    for (protocol, answer) in [
        (PLAIN, json!({"resolution": 0, "topic": "Fatura", "subtopic": "2ª via"}).to_string()),
        (OPENAI, chat("```json\n{\"resolution\": \"resolved\", \"topic\": \"Fatura\", \"subtopic\": \"2ª via\"}\n```")),
    ] {
        on_a_site(async move |site| {
            let notice = closed(&site).await;
            let listener = Listener::serve(move |_| Some((200, answer.clone()))).await;
            let sink = classifier(
                &site,
                &open(listener.port),
                &url(listener.port),
                &format!("{protocol}\ntoken = 'env:PATH'"),
            );
            for _ in 0..2 {
                assert_eq!(send(&sink, &notice).await.outcome, Outcome::Delivered);
            }
            let got = listener.got();
            assert!(
                got[0].header("authorization").starts_with("Bearer ") && !got[0].header("idempotency-key").is_empty()
            );
            let body = String::from_utf8(got[0].body.clone()).expect("UTF-8");
            assert!(body.contains("said 1") && body.contains("said 3"), "{body}");
            assert!(
                !body.contains("99999") && !body.contains("María"),
                "it is told what was said, and not by whom: {body}"
            );

            let received = site.received(2).await;
            assert_eq!(received.len(), 1, "sent twice, it is one");
            let (group, body) = &received[0];
            assert_eq!(*group, conversationd::queue::fifo_id(&thread().group_name()));
            let event = event::decode(&Raw {
                body,
                attributes: &Default::default(),
                sent_at: noon(),
                sequence: Sequence(9),
                group_id: group,
            });
            let event = event.expect("an event");
            let Kind::ConversationClassified(said) = event.kind else { panic!("{:?}", event.kind) };
            assert_eq!((said.conversation, said.resolution), (record().id, 0));
            assert_eq!((said.topic.as_deref(), said.subtopic.as_deref()), (Some("Fatura"), Some("2ª via")));

            let mut transaction = site.archive.begin().await.expect("begin");
            transaction.lock(&thread(), &record()).await.expect("lock");
            assert!(transaction.classify(&event.thread, &said).await.expect("classify"));
            transaction.finish(&record(), None).await.expect("finish");
            let again = send(&sink, &notice).await;
            assert_eq!((again.outcome, listener.got().len()), (Outcome::Delivered, 2), "{again:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn nobody_is_asked_of_what_is_known_taken_over_erased_or_gone() {
    on_a_site(async |site| {
        let notice = closed(&site).await;
        let listener = Listener::serve(|_| Some((200, json!({"resolution": 0}).to_string()))).await;
        let sink = classifier(&site, &open(listener.port), &url(listener.port), PLAIN);
        let given = Close { resolution: Some(0), ..Close::new(noon(), CloseReason::Requested) };
        let takeover = Close { resolution: Some(4), ..Close::new(noon(), CloseReason::HumanTakeover) };
        for close in [given, takeover] {
            let notice = Notice::closed(&thread(), &record(), &close, 3);
            assert_eq!(send(&sink, &notice).await.outcome, Outcome::Delivered);
        }
        let emptied = Notice { project: None, content: Map::new(), ..notice.clone() };
        assert_eq!(send(&sink, &emptied).await.outcome, Outcome::Delivered);
        for sql in [
            "update conversation set has_chats_room = true",
            "update conversation set has_chats_room = false, resolution = 4",
            "update conversation set resolution = 3, erased_at = now()",
            "delete from message; delete from conversation_stats; delete from conversation",
        ] {
            script(&site, sql).await;
            let verdict = send(&sink, &notice).await;
            assert!(verdict.outcome == Outcome::Delivered && verdict.reason.is_some(), "{sql}: {verdict:?}");
        }
        assert!(listener.got().is_empty());
        assert_eq!(site.depth().await, 0);
    })
    .await;
}

#[tokio::test]
async fn nonsense_faults_and_silence_are_what_they_are_called_and_send_nothing() {
    on_a_site(async |site| {
        let notice = closed(&site).await;
        let again = Outcome::Retry { after: None };
        for (protocol, status, body, outcome) in [
            (PLAIN, 200, "hunter2", Outcome::Refused { tries: 3 }),
            (PLAIN, 200, "{\"resolution\": 4}", Outcome::Refused { tries: 3 }),
            (PLAIN, 200, "{\"resolution\": 0, \"topic\": [\"hunter2\"]}", Outcome::Refused { tries: 3 }),
            (OPENAI, 200, "{\"resolution\": 0}", Outcome::Refused { tries: 3 }),
            (PLAIN, 500, "hunter2", again),
            (OPENAI, 503, "hunter2", again),
            (PLAIN, 302, "", again),
            (PLAIN, 429, "", Outcome::Throttled { after: None }),
            (PLAIN, 401, "hunter2", Outcome::Misconfigured),
            (PLAIN, 400, "hunter2", Outcome::Refused { tries: 3 }),
        ] {
            let listener = Listener::serve(move |_: &Got| Some((status, body.to_owned()))).await;
            let sink = classifier(&site, &open(listener.port), &url(listener.port), protocol);
            let verdict = send(&sink, &notice).await;
            assert_eq!(verdict.outcome, outcome, "{status} {body}");
            assert!(!format!("{verdict:?}").contains("hunter2"));
        }
        let long =
            Listener::serve(|_| Some((200, json!({"resolution": 0, "x": "x".repeat(100_000)}).to_string()))).await;
        let sink = classifier(&site, &open(long.port), &url(long.port), PLAIN);
        assert_eq!(send(&sink, &notice).await.outcome, Outcome::Refused { tries: 3 }, "not all of it is read");
        let sink = classifier(&site, &closed_to(long.port), &url(long.port), PLAIN);
        assert_eq!(send(&sink, &notice).await.outcome, Outcome::Misconfigured, "egress holds for it too");
        assert_eq!(site.depth().await, 0);
    })
    .await;
}

async fn script(site: &Site, sql: &'static str) {
    let mut connection = connection(site).await;
    sqlx::raw_sql(sql).execute(&mut connection).await.expect("script");
}

async fn connection(site: &Site) -> sqlx::PgConnection {
    use sqlx::Connection as _;
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("connect");
    let sql = format!("set search_path to {}", site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
    sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("search_path");
    connection
}

/// Waits until a number of the database is as it should be.
async fn until(site: &Site, what: &str, sql: &'static str, wanted: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let number: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection(site).await).await.expect("number");
        if number == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "not within a minute: {what}, {number}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn event(kind: &str, project: &str, contact: usize, more: Value) -> String {
    let mut data =
        json!({"project_uuid": project, "channel_uuid": "ch", "contact_urn": format!("tel:+55119{contact:04}")});
    data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"event_type": kind, "correlation_id": format!("{kind}{contact}"), "data": data}).to_string() + "\n"
}

/// A message, and an end.
fn talk(project: &str, contact: usize, end: Value) -> String {
    let said = json!({"id": "m", "text": format!("said by {contact}"), "source": "incoming"});
    event("message.received", project, contact, json!({ "message": said }))
        + &event("conversation.close", project, contact, end)
}

/// The daemon, with these sinks, until the story is told.
async fn with_the_daemon(site: &Arc<Site>, sinks: String, story: impl AsyncFnOnce()) {
    let path = std::env::temp_dir().join(format!("conversationd-test-{}", Uuid::new_v4()));
    std::fs::write(&path, sinks).expect("written");
    let mut command = site.command(&["run"]);
    command.env("CONVERSATIOND_SINKS_FILE", &path).env("CONVERSATIOND_POLL_WAIT_SECONDS", "1");
    command.stdout(std::process::Stdio::inherit()).stderr(std::process::Stdio::inherit());
    let mut daemon = command.spawn().expect("the daemon");
    story().await;
    daemon.kill().await.expect("its end");
    let _ = std::fs::remove_file(path);
}

const CLOSED: &str = "select count(*) from conversation where closed_at is not null";
const SETTLED: &str = "select count(*) from outbox_dispatch where state <> 'pending'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_way_from_the_close_to_the_amendment_that_others_hear_of() {
    on_a_site(async |site| {
        let endpoint = Listener::serve(|got| {
            let body = got.json();
            Some((
                200,
                json!({"resolution": usize::from(body["messages"][0]["text"] == "said by 2"), "topic": "Fatura"})
                    .to_string(),
            ))
        })
        .await;
        let hook = Listener::serve(|_| Some((204, String::new()))).await;
        let egress =
            format!("[egress]\nnetworks = ['127.0.0.0/8']\nports = [{}, {}]\nhttp = true\n", endpoint.port, hook.port);
        let entry = |name: &str, kind: &str, port, more: &str| {
            format!("[[sink]]\nname = '{name}'\nkind = '{kind}'\nurl = '{}'\n{more}\n", url(port))
        };
        let sinks = egress
            + &entry("classifier", "classifier", endpoint.port, "projects = ['p']")
            + &entry(
                "hook",
                "crm",
                hook.port,
                "events = ['conversation.closed', 'conversation.updated']\norder = 'conversation'",
            );
        with_the_daemon(&site, sinks, async || {
            until(&site, "the sinks are known", "select count(*) from outbox_sink", 2).await;
            let events = talk("p", 1, json!({})) + &talk("p", 2, json!({})) + &talk("p", 3, json!({"resolution": 2}));
            let events = events + &talk("q", 4, json!({}));
            assert_eq!(site.run_with(&["publish", "-"], &[], &events).await.code, 0);
            until(&site, "all are closed", CLOSED, 4).await;
            until(&site, "two are classified", "select count(*) from conversation where topic = 'Fatura'", 2).await;
            // three closes for the classifier, four closes and two amendments for the hook
            until(&site, "all of it is told", SETTLED, 9).await;
        })
        .await;
        assert_eq!(endpoint.got().len(), 2, "only what nobody said, and only of its project");
        let of = |contact: usize| -> Vec<Value> {
            let urn = format!("tel:+55119{contact:04}");
            let bodies = hook.got().into_iter().map(|got| got.json()["event"].clone());
            bodies.filter(|body| body["data"]["contact_urn"] == urn).collect()
        };
        for (contact, resolution) in [(1, 0), (2, 1)] {
            let told = of(contact);
            assert_eq!(
                (told.len(), &told[0]["type"], &told[1]["type"]),
                (2, &json!("conversation.closed"), &json!("conversation.updated"))
            );
            assert_eq!(
                (&told[0]["data"]["resolution"], &told[0]["data"]["resolution_awaited"]),
                (&json!(3), &json!(true))
            );
            assert_eq!(
                (&told[1]["data"]["resolution"], &told[1]["data"]["topic"]),
                (&json!(resolution), &json!("Fatura"))
            );
            assert_eq!(told[1]["data"]["classified"], true);
        }
        assert_eq!((of(3).len(), &of(3)[0]["data"]["resolution"]), (1, &json!(2)));
        assert_eq!((of(4).len(), &of(4)[0]["data"]["resolution"]), (1, &Value::Null));

        let id = of(1)[0]["data"]["conversation_id"].as_str().expect("an id").to_owned();
        let said = site.run(&["explain", &id]).await;
        assert_eq!(said.code, 0, "{}", said.err);
        for part in
            ["conversation.closed for classifier: delivered", "conversation.updated for hook: delivered", "attempt"]
        {
            assert!(said.out.contains(part), "no {part:?} in {}", said.out);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_close_never_waits_for_a_classifier_that_says_nothing_or_fails() {
    on_a_site(async |site| {
        let silent = Hostile::serve(String::new(), None).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let failing = Listener::serve(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            Some((500, String::new()))
        })
        .await;
        let egress =
            format!("[egress]\nnetworks = ['127.0.0.0/8']\nports = [{}, {}]\nhttp = true\n", silent.port, failing.port);
        let entry = |name: &str, project: &str, port| {
            format!("[[sink]]\nname = '{name}'\nkind = 'classifier'\nurl = '{}'\nprojects = ['{project}']\ntimeout_seconds = 30\n", url(port))
        };
        let sinks = egress + &entry("silent", "p", silent.port) + &entry("failing", "q", failing.port);
        with_the_daemon(&site, sinks, async || {
            until(&site, "the sinks are known", "select count(*) from outbox_sink", 2).await;
            let events: String = (0..20).map(|contact| talk(if contact < 10 { "p" } else { "q" }, contact, json!({}))).collect();
            assert_eq!(site.run_with(&["publish", "-"], &[], &events).await.code, 0);
            until(&site, "both were asked", "select count(distinct sink_id) from outbox_lane where attempts > 0", 2).await;
            until(&site, "all are closed", CLOSED, 20).await;
            until(&site, "and nobody answered", SETTLED, 0).await;
            const UNCLASSIFIED: &str = "select count(*) from conversation where resolution = 3";
            until(&site, "so they are unclassified", UNCLASSIFIED, 20).await;
            // claimed it was long before; that its request arrived is another thing
            const FAILED: &str = "select count(distinct status) from outbox_attempt where status = 500";
            until(&site, "the one that fails has failed", FAILED, 1).await;
        })
        .await;
        assert!(asked.load(Ordering::Relaxed) > 0);
    })
    .await;
}
