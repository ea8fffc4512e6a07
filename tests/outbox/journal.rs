//! HubSpot's journal on loopback, as far as its published interface says: tokens, places, files behind other addresses,
//! subscriptions, snapshots; what it forgets after three days, and its faults.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex},
};

use conversationd::{
    clock::SystemClock,
    config::SinksConfig,
    counters::Counters,
    domain::{ConversationId, CrmLink, Sequence, Thread},
    http::Http,
    journal::{Interrupted, Journal, LONGEST_FILE},
    queue::SqsQueue,
};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    house::noon,
    listener::{Got, Listener, open},
    site::{Site, on_a_site},
};

/// What stands in the portal's journal.
#[derive(Default)]
struct Portal {
    port: u16,
    files: Vec<(String, Value)>,
    /// Files before this one are not kept any more.
    forgotten: usize,
    tokens: usize,
    subscriptions: Vec<Value>,
    snapshots: Vec<u64>,
    /// Answers in place of the next ones, but for those to tokens: 0 is none at all, 1 the right one.
    faults: VecDeque<u16>,
    asked: BTreeSet<String>,
}

impl Portal {
    /// Publishes a file.
    fn publishes(&mut self, events: Value) {
        let place = format!("{:08}-0000-4000-8000-000000000000", self.files.len());
        let file = json!({"offset": place, "publishedAt": "2026-11-21T06:00:01Z", "journalEvents": events});
        self.files.push((place, file));
    }

    fn answer(&mut self, got: &Got) -> Option<(u16, String)> {
        let (method, path) = got.line.split_once(' ').expect("a line");
        let path = path.strip_prefix('/').expect("a path").to_owned();
        self.asked.insert(path.clone());
        if path == "oauth/v1/token" {
            let form = String::from_utf8(got.body.clone()).expect("a form");
            assert!(form.contains("grant_type=client_credentials&client_id=app&client_secret=s3cret%2B"), "{form}");
            self.tokens += 1;
            let token = format!("token-{}", self.tokens);
            return Some((200, json!({"access_token": token, "expires_in": 1800}).to_string()));
        }
        if let Some(fault) = self.faults.pop_front().filter(|fault| *fault != 1) {
            return (fault > 0).then(|| (fault, "{}".into()));
        }
        if let Some(place) = path.strip_prefix("files/") {
            assert_eq!(got.header("authorization"), "", "the file's address hears no token");
            let (_, file) = self.files.iter().find(|(known, _)| known == place).expect("a file");
            return Some((200, file.to_string()));
        }
        if got.header("authorization") != format!("Bearer token-{}", self.tokens) {
            return Some((401, "{}".into()));
        }
        let kept = &self.files[self.forgotten.min(self.files.len())..];
        let journal = path.strip_prefix("webhooks-journal/journal-local/2026-03/");
        match (method, journal.and_then(|rest| rest.strip_suffix("?installPortalId=1")), path.as_str()) {
            ("GET", Some("earliest"), _) => Some(self.entry(kept.first())),
            ("GET", Some(offset), _) => {
                let place =
                    offset.strip_prefix("offset/").and_then(|rest| rest.strip_suffix("/next")).expect("a place");
                let at = kept.iter().position(|(known, _)| known == place);
                Some(self.entry(at.and_then(|at| kept.get(at + 1))))
            }
            ("POST", _, "webhooks-journal/subscriptions/2026-03") => {
                self.subscriptions.push(got.json());
                Some((if self.subscriptions.len() > 2 { 409 } else { 201 }, "{}".into()))
            }
            ("POST", _, "webhooks-journal/snapshots/2026-03/crm") => {
                let mut events = Vec::new();
                for wanted in got.json()["snapshotRequests"].as_array().expect("a list").clone() {
                    assert_eq!((&wanted["portalId"], &wanted["objectTypeId"]), (&json!(1), &json!("0-1")));
                    let id = wanted["objectId"].as_u64().expect("an id");
                    self.snapshots.push(id);
                    events.push(event(id, 60, "SNAPSHOT", json!({"propertyChanges": {"email": format!("{id}@now")}})));
                }
                self.publishes(Value::Array(events));
                Some((200, json!({"snapshotResponses": []}).to_string()))
            }
            other => panic!("no such call: {other:?}"),
        }
    }

    fn entry(&self, file: Option<&(String, Value)>) -> (u16, String) {
        match file {
            Some((place, _)) => {
                let url = format!("http://127.0.0.1:{}/files/{place}", self.port);
                (200, json!({"url": url, "expiresAt": "2026-11-21T07:00:00Z", "currentOffset": place}).to_string())
            }
            None => (404, "{}".into()),
        }
    }
}

fn event(id: u64, minute: u32, action: &str, more: Value) -> Value {
    let at = noon() + chrono::TimeDelta::minutes(minute.into());
    let mut event = json!({"type": "crmObject", "portalId": 1, "occurredAt": at.to_rfc3339(), "action": action,
        "objectTypeId": "0-1", "objectId": id});
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

fn stage(id: u64, minute: u32, value: &str) -> Value {
    event(id, minute, "UPDATE", json!({"propertyChanges": {"lifecyclestage": value}}))
}

struct Told {
    portal: Arc<Mutex<Portal>>,
    listener: Listener,
    site: Arc<Site>,
}

impl Told {
    async fn on(site: Arc<Site>) -> Self {
        let portal = Arc::new(Mutex::new(Portal::default()));
        let behind = portal.clone();
        let listener = Listener::serve(move |got| behind.lock().unwrap().answer(got)).await;
        portal.lock().unwrap().port = listener.port;
        Self { portal, listener, site }
    }

    fn portal(&self) -> std::sync::MutexGuard<'_, Portal> {
        self.portal.lock().unwrap()
    }

    /// A replica that reads the journal.
    fn replica(&self) -> Journal {
        let text = format!(
            "{}\n[[portal]]\nid = 1\nclient_secret = 'env:SECRET'\n[portal.journal]\nclient_id = 'app'\nbase_url = 'http://127.0.0.1:{}'\n",
            open(self.listener.port),
            self.listener.port
        );
        let path = std::env::temp_dir().join(format!("conversationd-test-{}", Uuid::new_v4()));
        let secret = path.with_extension("secret");
        std::fs::write(&secret, "s3cret+").expect("a secret");
        let text = text.replace("env:SECRET", &format!("file:{}", secret.display()));
        std::fs::write(&path, text).expect("settings");
        let get = |name: &str| (name == "CONVERSATIOND_SINKS_FILE").then(|| path.to_str().expect("a path").to_owned());
        let config = SinksConfig::read(&get).expect("no faults").expect("a file");
        let http = Arc::new(Http::new(&config.egress, Arc::new(SystemClock)).reading(LONGEST_FILE));
        let (queue, dead) = (self.site.provisioned.queue_url.clone(), self.site.provisioned.dead_letter_url.clone());
        let queue = SqsQueue::new(self.site.clients.sqs.clone(), queue, dead, std::time::Duration::from_secs(30));
        let counters = Arc::new(Counters::default());
        Journal::of(&config.portals[0], http, self.site.archive.clone(), Arc::new(queue), counters).expect("a journal")
    }

    /// What stands in the queue: record and what happened to it, in the order of each record.
    async fn queued(&self) -> Vec<(String, String)> {
        let all = self.site.received(1_000).await;
        let mut told: Vec<(String, String)> = Vec::new();
        for (group, body) in all {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let data = &body["data"];
            let record = group.strip_prefix("crm:hubspot:1:").expect("the record's group").to_owned();
            let value = data["value"].as_str().or(data["change"].as_str()).expect("what happened").to_owned();
            told.push((record, value));
        }
        told.sort_by(|one, other| one.0.cmp(&other.0)); // stable: a group keeps its order
        told
    }

    async fn sql(&self, sql: &str) {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL");
        let mut connection = PgConnection::connect(&url).await.expect("connect");
        let schema = &self.site.settings["CONVERSATIOND_DATABASE_SCHEMA"];
        let script = format!("set search_path = {schema}; {sql}");
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut connection).await.expect("done");
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(one, other)| ((*one).to_owned(), (*other).to_owned())).collect()
}

#[tokio::test]
async fn a_journal_is_read_in_order_once_and_whoever_never_read_it_subscribes() {
    on_a_site(async |site| {
        let told = Told::on(site).await;
        told.portal().publishes(json!([stage(512, 1, "lead"), stage(513, 1, "x"), stage(512, 2, "customer")]));
        told.portal().publishes(json!([event(512, 3, "DELETE", json!({})), event(9, 3, "ASSOCIATION", json!({}))]));
        let journal = told.replica();
        assert_eq!(journal.run_once().await.expect("read"), 2);
        assert_eq!(journal.run_once().await.expect("read"), 0);
        told.portal().publishes(json!([event(512, 4, "RESTORE", json!({}))]));
        assert_eq!(told.replica().run_once().await.expect("read"), 1, "another replica goes on from there");
        let all = [("512", "lead"), ("512", "customer"), ("512", "deletion"), ("512", "restore"), ("513", "x")];
        assert_eq!(told.queued().await, pairs(&all));
        let portal = told.portal();
        assert_eq!((portal.subscriptions.len(), portal.tokens), (2, 2), "a token for each replica");
        assert_eq!(portal.subscriptions[1]["actions"], json!(["GDPR_DELETE"]));
    })
    .await;
}

#[tokio::test]
async fn journal_resume_after_crash() {
    on_a_site(async |site| {
        let told = Told::on(site).await;
        told.portal().publishes(json!([stage(512, 1, "lead"), stage(513, 1, "x")]));
        told.portal().publishes(json!([stage(512, 2, "customer")]));
        let journal = told.replica();
        // two subscriptions, and for each file its place and itself; then there is nothing more
        for calls in 0..7 {
            for fault in [0, 500, 429, 403] {
                // a crash: what was put into the queue stands there, and its place is not written
                told.sql("update crm_cursor set place = null, seen_at = null").await;
                told.portal().faults = std::iter::repeat_n(1, calls).chain([fault]).collect();
                match journal.run_once().await {
                    Ok(_) => assert_eq!(calls, 6, "a fault is told"),
                    Err(interrupted) => assert!(matches!(interrupted, Interrupted::HubSpot(_)), "{interrupted}"),
                }
            }
        }
        told.portal().faults.clear();
        told.sql("update crm_cursor set place = null, seen_at = null").await;
        assert_eq!(journal.run_once().await.expect("read"), 2);
        let all = [("512", "lead"), ("512", "customer"), ("513", "x")];
        assert_eq!(told.queued().await, pairs(&all), "once each, however often it was read");
    })
    .await;
}

#[tokio::test]
async fn one_replica_reads_at_a_time_and_one_that_lost_its_lease_stops() {
    on_a_site(async |site| {
        let told = Told::on(site).await;
        told.portal().publishes(json!([stage(512, 1, "lead")]));
        let journal = told.replica();
        assert_eq!(journal.run_once().await.expect("read"), 1);
        told.portal().publishes(json!([stage(512, 2, "customer")]));
        told.sql("update crm_cursor set leased_until = now() + interval '1 hour'").await;
        assert_eq!(journal.run_once().await.expect("nothing to do"), 0, "another reads");
        told.sql("update crm_cursor set leased_until = now()").await;
        assert_eq!(journal.run_once().await.expect("read"), 1);
        assert_eq!(told.queued().await, pairs(&[("512", "lead"), ("512", "customer")]));
    })
    .await;
}

#[tokio::test]
async fn journal_gap_snapshots() {
    on_a_site(async |site| {
        let told = Told::on(site).await;
        for (number, crm_id) in [(1, "512"), (2, "513"), (3, "513"), (4, "not a number")] {
            let thread = Thread {
                project: "p".into(),
                contact: Some(format!("whatsapp:{number}")),
                channel: Some("ch".into()),
                conversation: None,
            };
            let (crm, crm_id) = ("hubspot".to_owned(), crm_id.to_owned());
            let link = CrmLink { crm, crm_id, prospect: Map::new(), sequence: Sequence(1) };
            let id = ConversationId(Uuid::from_u128(number));
            conversationd::archive::Archive::link(&told.site.archive, &thread, id, &link).await.expect("link");
        }
        told.portal().publishes(json!([stage(512, 1, "lead")]));
        let journal = told.replica();
        assert_eq!(journal.run_once().await.expect("read"), 1);

        // quiet for four days, and read all the while: nothing is missing, though the place itself is forgotten
        told.sql("update crm_cursor set placed_at = placed_at - interval '4 days' where placed_at is not null").await;
        {
            let mut portal = told.portal();
            portal.forgotten = 1;
            portal.publishes(json!([stage(512, 2, "customer")]));
        }
        assert_eq!(journal.run_once().await.expect("read"), 1);
        assert!(told.portal().snapshots.is_empty());

        // not read for four days: what was forgotten meanwhile nobody knows
        told.sql(
            "update crm_cursor set placed_at = placed_at - interval '4 days', seen_at = seen_at - interval '4 days'",
        )
        .await;
        {
            let mut portal = told.portal();
            portal.publishes(json!([stage(512, 3, "lost")]));
            portal.forgotten = 3;
            portal.publishes(json!([stage(512, 4, "kept")]));
            // the first try comes to nothing
            portal.faults = VecDeque::from([503]);
        }
        assert!(journal.run_once().await.is_err());
        assert_eq!(journal.run_once().await.expect("read"), 2, "what is kept, and the snapshots");
        assert_eq!(told.portal().snapshots, [512, 513], "linked contacts only, once each");
        let all = [("512", "lead"), ("512", "customer"), ("512", "kept"), ("512", "512@now"), ("513", "513@now")];
        assert_eq!(told.queued().await, pairs(&all));
        assert_eq!(journal.run_once().await.expect("read"), 0);
        assert_eq!(told.portal().snapshots.len(), 2);
    })
    .await;
}
