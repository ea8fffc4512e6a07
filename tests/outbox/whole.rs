//! The whole way, on the local stack: events into the queue, the daemon itself, a signed webhook at the other end; and the
//! daemon killed while it tells.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use conversationd::sink::Keys;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::{process::Child, task::JoinHandle, time::sleep};

use crate::{
    listener::{Got, Listener, open},
    site::{Site, on_a_site},
};

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const PATIENCE: Duration = Duration::from_secs(120);

/// The daemon, begun again whenever it is killed, until the story ends.
struct Kept {
    running: Arc<Mutex<Option<u32>>>,
    ended: Arc<AtomicBool>,
    keeper: JoinHandle<()>,
}

impl Kept {
    fn running(site: &Arc<Site>, sinks: &str, running: Arc<Mutex<Option<u32>>>) -> Self {
        let settings = [
            ("CONVERSATIOND_SINKS_FILE", sinks.to_owned()),
            ("CONVERSATIOND_POLL_WAIT_SECONDS", "1".to_owned()),
            ("CONVERSATIOND_VISIBILITY_SECONDS", "4".to_owned()),
            ("CONVERSATIOND_TIMER_SECONDS", "1".to_owned()),
        ];
        let ended = Arc::new(AtomicBool::new(false));
        let (site, over, process) = (site.clone(), ended.clone(), running.clone());
        let keeper = tokio::spawn(async move {
            while !over.load(Ordering::Acquire) {
                let mut command = site.command(&["run"]);
                command.envs(settings.iter().map(|(name, value)| (*name, value.as_str())));
                command.stdout(std::process::Stdio::inherit()).stderr(std::process::Stdio::inherit());
                let mut child: Child = command.spawn().expect("the daemon");
                *process.lock().unwrap() = child.id();
                child.wait().await.expect("its end");
                // whoever was killed holds its lanes until its leases end: here, at once
                script(&site, "update outbox_lane set due_at = least(due_at, now()), leased_until = null").await;
            }
        });
        Self { running, ended, keeper }
    }

    async fn end(self) {
        self.ended.store(true, Ordering::Release);
        kill(&self.running);
        self.keeper.await.expect("the keeper");
    }
}

/// Kills the daemon, which gets to do nothing about it.
fn kill(running: &Mutex<Option<u32>>) {
    if let Some(id) = running.lock().unwrap().take() {
        let status = std::process::Command::new("kill").args(["-9", &id.to_string()]).status();
        assert!(status.expect("kill").success());
    }
}

async fn connection(site: &Site) -> PgConnection {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
    let mut connection = PgConnection::connect(&url).await.expect("connect");
    let sql = format!("set search_path to {}", site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
    sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("search_path");
    connection
}

async fn number(site: &Site, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&mut connection(site).await).await.expect("number")
}

async fn script(site: &Site, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connection(site).await).await.expect("script");
}

async fn until(site: &Site, what: &str, sql: &'static str, wanted: i64) {
    let deadline = Instant::now() + PATIENCE;
    while number(site, sql).await != wanted {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

fn event(kind: &str, contact: usize, correlation: &str, more: Value) -> String {
    let mut data = json!({"project_uuid": "p", "channel_uuid": "ch", "contact_urn": format!("tel:+55119{contact:04}")});
    data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({"event_type": kind, "correlation_id": correlation, "data": data}).to_string() + "\n"
}

/// Three messages, a score of zero, and an end.
fn talk(contact: usize) -> String {
    let message = |number: usize| {
        let said = json!({"id": format!("m{number}"), "text": format!("said {number}"), "source": "incoming"});
        event("message.received", contact, &format!("m{number}"), json!({ "message": said }))
    };
    let score = event("survey.nps", contact, "score", json!({"value": 0}));
    let end = event("conversation.close", contact, "end", json!({"resolution": 0}));
    (0..3).map(message).chain([score, end]).collect()
}

fn file(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("conversationd-test-{}", uuid::Uuid::new_v4()));
    fs::write(&path, text).expect("a file");
    path
}

fn is_signed(got: &Got) -> bool {
    let (id, at) = (got.header("webhook-id"), got.header("webhook-timestamp").parse().expect("seconds"));
    let at = chrono::DateTime::from_timestamp(at, 0).expect("a time");
    Keys::parse(KEY).expect("a key").signatures(id, at, &got.body) == got.header("webhook-signature")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_arrives_signed_in_order_and_once_though_the_daemon_is_killed_while_it_tells() {
    on_a_site(async |site| {
        const CONTACTS: usize = 6;
        let running: Arc<Mutex<Option<u32>>> = Arc::default();
        let (requests, to_kill) = (AtomicUsize::new(0), running.clone());
        let listener = Listener::serve(move |_| match requests.fetch_add(1, Ordering::Relaxed) {
            // it arrived, and whoever sent it never hears so
            0 | 4 => {
                kill(&to_kill);
                None
            }
            _ => Some((204, String::new())),
        })
        .await;
        let secret = file(KEY);
        let sinks = file(&format!(
            "{}\n[[sink]]\nname = 'hook'\nkind = 'webhook'\nurl = 'http://127.0.0.1:{}/hook'\nsecret = 'file:{}'\n",
            open(listener.port),
            listener.port,
            secret.display()
        ));
        let kept = Kept::running(&site, sinks.to_str().expect("a path"), running);
        until(&site, "the sink is known", "select count(*) from outbox_sink", 1).await;

        let events: String = (0..CONTACTS).map(talk).collect();
        assert_eq!(site.run_with(&["publish", "-"], &[], &events).await.code, 0);
        const DELIVERED: &str = "select count(*) from outbox_dispatch where state = 'delivered'";
        until(&site, "all of it is told", DELIVERED, 2 * CONTACTS as i64).await;
        until(&site, "nothing waits", "select sum(pending) from outbox_lane", 0).await;
        kept.end().await;
        for path in [secret, sinks] {
            let _ = fs::remove_file(path);
        }

        let got = listener.got();
        assert!(got.iter().all(is_signed));
        let mut lanes: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        let mut ids: BTreeSet<String> = BTreeSet::new();
        for got in &got {
            let body = got.json();
            assert_eq!(got.header("webhook-id"), body["id"]);
            if ids.insert(body["id"].to_string()) {
                let lane = lanes.entry(body["data"]["conversation_id"].to_string()).or_default();
                lane.push((body["sequence"].as_i64().expect("a place"), body["type"].to_string()));
            }
            match body["type"].as_str().expect("a type") {
                "conversation.closed" => assert_eq!(
                    (&body["data"]["message_count"], &body["data"]["close_reason"], &body["data"]["resolution"]),
                    (&json!(3), &json!("requested"), &json!(0))
                ),
                "conversation.rated" => assert_eq!(body["data"]["score"], 0),
                other => panic!("{other}"),
            }
        }
        assert!(got.len() > ids.len(), "what was being sent when it was killed is sent again, under the same id");
        assert_eq!(lanes.len(), CONTACTS);
        for (conversation, told) in lanes {
            let expected = [(1, "\"conversation.rated\"".to_owned()), (2, "\"conversation.closed\"".to_owned())];
            assert_eq!(told, expected, "{conversation}");
        }
    })
    .await;
}
