//! HubSpot on loopback, as far as its published interface says: records by a unique property, associations, faults.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    sync::{Arc, Mutex},
};

use conversationd::{
    domain::{Close, CloseReason, ConversationId, Details, Notice, NoticeKind, Record, Thread, value_digest},
    sink::{Dispatch, Outcome, Sink},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    house::noon,
    listener::{Got, Listener, built, open},
};

/// What stands in the portal.
#[derive(Default)]
struct Portal {
    /// By type and unique property.
    records: BTreeMap<(String, String), (u64, Map<String, Value>)>,
    associations: BTreeSet<String>,
    /// Properties and their groups, by path and name.
    properties: BTreeSet<(String, String)>,
    /// What to answer instead; 0 means to do it and to say nothing, 1 to do it and say so.
    faults: VecDeque<(u16, Value)>,
}

impl Portal {
    fn answer(&mut self, got: &Got) -> Option<(u16, String)> {
        if got.header("authorization") != "Bearer t0k3n" {
            return Some((401, json!({ "category": "INVALID_AUTHENTICATION" }).to_string()));
        }
        let fault = self.faults.pop_front();
        if let Some((status, body)) = fault.as_ref().filter(|(status, _)| *status > 1) {
            return Some((*status, body.to_string()));
        }
        let answer = self.act(got);
        fault.is_none_or(|(status, _)| status == 1).then_some(answer)
    }

    fn act(&mut self, got: &Got) -> (u16, String) {
        if let Some((_, path)) = got.line.split_once(" /crm/properties/2026-09/") {
            let name = got.json()["name"].as_str().expect("a name").to_owned();
            let new = self.properties.insert((path.to_owned(), name));
            return if new { (201, "{}".into()) } else { (409, json!({ "category": "CONFLICT" }).to_string()) };
        }
        let (method, path) = got.line.split_once(" /crm/objects/2026-09/").expect("the path of its version");
        let parts: Vec<&str> = path.split('/').collect();
        match (method, &parts[..]) {
            ("POST", [kind, "batch", "upsert"]) => {
                let input = got.json()["inputs"][0].clone();
                let property = input["idProperty"].as_str().expect("a unique property");
                assert!(property.starts_with("conversationd_"), "never by e-mail: partial updates would fail");
                assert_eq!(input["properties"][property], input["id"]);
                assert!(input["objectWriteTraceId"].is_string());
                let key = ((*kind).to_owned(), input["id"].as_str().expect("an id").to_owned());
                let (next, new) = (512 + self.records.len() as u64, !self.records.contains_key(&key));
                let (id, properties) = self.records.entry(key).or_insert((next, Map::new()));
                properties.extend(input["properties"].as_object().expect("properties").clone());
                (200, json!({ "results": [{ "id": id.to_string(), "new": new }], "numErrors": 0 }).to_string())
            }
            ("PATCH", ["contacts", id]) => {
                let record = self.records.values_mut().find(|(known, _)| known.to_string() == *id).expect("a contact");
                record.1.extend(got.json()["properties"].as_object().expect("properties").clone());
                (200, json!({ "id": id }).to_string())
            }
            ("GET", ["contacts", wanted]) => {
                let id = wanted.strip_suffix("?properties=firstname,phone").expect("what is asked for");
                let record = self.records.values().find(|(known, _)| known.to_string() == id).expect("a contact");
                (200, json!({ "id": id, "properties": record.1 }).to_string())
            }
            ("PUT", ["notes", _, "associations", "default", "contacts", _]) => {
                self.associations.insert(path.to_owned());
                (200, "{}".into())
            }
            other => panic!("no such call: {other:?}"),
        }
    }
}

async fn portal() -> (Arc<Mutex<Portal>>, Listener, Arc<dyn Sink>) {
    let portal = Arc::new(Mutex::new(Portal::default()));
    let behind = portal.clone();
    let listener = Listener::serve(move |got| behind.lock().unwrap().answer(got)).await;
    let token = secret_file("t0k3n");
    let entry = format!(
        "kind = 'hubspot'\nbase_url = 'http://127.0.0.1:{}'\ntoken = 'file:{}'",
        listener.port,
        token.display()
    );
    let sink = built(&open(listener.port), &entry);
    (portal, listener, sink)
}

fn closed(conversation: u128) -> Notice {
    let thread = Thread {
        project: "p".into(),
        contact: Some("whatsapp:5511999990000".into()),
        channel: Some("c".into()),
        conversation: None,
    };
    let record = Record {
        id: ConversationId(Uuid::from_u128(conversation)),
        opened_at: noon(),
        opened_received_at: noon(),
        contact_name: Some("Ana".into()),
        agent_id: None,
        previous: None,
        details: Details::default(),
        recap: None,
    };
    let close =
        Close { at: noon(), reason: CloseReason::Idle, resolution: Some(0), detail: None, topic: None, subtopic: None };
    Notice::closed(&thread, &record, &close, 12)
}

async fn send(sink: &Arc<dyn Sink>, notice: &Notice) -> Outcome {
    attempt(sink, notice, 1).await
}

async fn attempt(sink: &Arc<dyn Sink>, notice: &Notice, attempt: u32) -> Outcome {
    sink.send(&Dispatch { notice, lane: notice.contact_lane, sequence: 1, attempt }).await.outcome
}

#[tokio::test]
async fn a_contact_that_was_made_and_no_more_gets_its_name_at_the_next_attempt_and_keeps_what_the_crm_says() {
    let (portal, _listener, sink) = portal().await;
    // made; its details are refused for now
    portal.lock().unwrap().faults = [(1, Value::Null), (502, Value::Null)].into();
    assert_eq!(send(&sink, &closed(1)).await, Outcome::Retry { after: None });
    assert_eq!(attempt(&sink, &closed(1), 2).await, Outcome::Delivered);
    let contact = ("contacts".to_owned(), "p|whatsapp:5511999990000".to_owned());
    assert_eq!(portal.lock().unwrap().records[&contact].1["firstname"], "Ana");
    let edited = json!("Ana Maria, as the CRM has it");
    portal.lock().unwrap().records.get_mut(&contact).expect("the contact").1.insert("firstname".into(), edited.clone());
    assert_eq!(attempt(&sink, &closed(2), 2).await, Outcome::Delivered);
    assert_eq!(portal.lock().unwrap().records[&contact].1["firstname"], edited);
}

#[tokio::test]
async fn the_properties_are_made_once() {
    let (portal, listener, _) = portal().await;
    let (token, sinks) =
        (secret_file("t0k3n"), format!("{}\n[[sink]]\nname = 'crm'\nkind = 'hubspot'\n", open(listener.port)));
    let sinks = secret_file(&format!(
        "{sinks}base_url = 'http://127.0.0.1:{}'\ntoken = 'file:{}'\n",
        listener.port,
        token.display()
    ));
    for (made, there) in [(6, 0), (0, 6)] {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_conversationd"));
        command.args(["crm", "bootstrap", "crm"]).env("CONVERSATIOND_SINKS_FILE", &sinks);
        let output = command.output().await.expect("it runs");
        let said = String::from_utf8(output.stdout).expect("UTF-8");
        let count = |end: &str| said.lines().filter(|line| line.ends_with(end)).count();
        assert_eq!((count(" made"), count(" there")), (made, there), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(portal.lock().unwrap().properties.len(), 6 + 2, "and a group for each type");
}

fn secret_file(text: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("conversationd-test-{}", Uuid::new_v4()));
    fs::write(&path, text).expect("written");
    path
}

#[tokio::test]
async fn upsert_new_then_partial() {
    let (portal, listener, sink) = portal().await;
    assert_eq!(send(&sink, &closed(1)).await, Outcome::Delivered);
    portal.lock().unwrap().records.values_mut().for_each(|(_, properties)| {
        properties.insert("firstname".into(), json!("Ana Maria, as the CRM has it"));
    });
    assert_eq!(send(&sink, &closed(2)).await, Outcome::Delivered);
    let portal = portal.lock().unwrap();
    let contact = &portal.records[&("contacts".to_owned(), "p|whatsapp:5511999990000".to_owned())].1;
    assert_eq!(contact["firstname"], "Ana Maria, as the CRM has it");
    assert_eq!(contact["phone"], "+5511999990000");
    assert_eq!(contact["conversationd_last_conversation_id"], Uuid::from_u128(2).to_string());
    assert_eq!((portal.records.len(), portal.associations.len()), (3, 2), "one contact, two notes");
    assert_eq!(listener.got().len(), 4 + 3);
}

#[tokio::test]
async fn merged_id_follows_answer() {
    let (portal, _listener, sink) = portal().await;
    assert_eq!(send(&sink, &closed(1)).await, Outcome::Delivered);
    // somebody merges the contact into another, which answers from then on
    let contact = ("contacts".to_owned(), "p|whatsapp:5511999990000".to_owned());
    portal.lock().unwrap().records.get_mut(&contact).expect("the contact").0 = 4_711;
    assert_eq!(send(&sink, &closed(2)).await, Outcome::Delivered);
    let portal = portal.lock().unwrap();
    let with_the_winner = portal.associations.iter().filter(|path| path.ends_with("/contacts/4711")).count();
    assert_eq!((with_the_winner, portal.associations.len()), (1, 2));
}

#[tokio::test]
async fn what_was_written_is_told_where_the_portal_is_known() {
    let (_portal, listener, sink) = portal().await;
    let sent = sink.send(&Dispatch { notice: &closed(1), lane: Uuid::nil(), sequence: 1, attempt: 1 }).await;
    assert_eq!(sent.wrote, None, "nobody asked");
    let token = secret_file("t0k3n");
    let entry = format!(
        "kind = 'hubspot'\nbase_url = 'http://127.0.0.1:{}'\ntoken = 'file:{}'\nportal = 1",
        listener.port,
        token.display()
    );
    let sink = built(&open(listener.port), &entry);
    let mut other = closed(2);
    other.content.insert("contact_urn".into(), json!("whatsapp:5511888880000"));
    let sent = sink.send(&Dispatch { notice: &other, lane: Uuid::nil(), sequence: 1, attempt: 1 }).await;
    let wrote = sent.wrote.expect("a record");
    let names: Vec<&str> = wrote.properties.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((wrote.account.as_str(), names), ("1", vec!["firstname", "phone"]));
    assert_eq!(wrote.properties[1].1, value_digest(&wrote.crm_id, "phone", Some("+5511888880000")));
}

#[tokio::test]
async fn what_is_said_after_the_close_goes_into_the_same_note() {
    let (portal, _listener, sink) = portal().await;
    for conversation in [1, 2] {
        assert_eq!(send(&sink, &closed(conversation)).await, Outcome::Delivered);
    }
    let mut found = Notice { kind: NoticeKind::Updated, ..closed(1) };
    for (name, value) in [("resolution", json!(1)), ("topic", json!("Invoices & more"))] {
        found.content.insert(name.into(), value);
    }
    found.occurred_at += chrono::TimeDelta::hours(1);
    for _ in 0..2 {
        assert_eq!(send(&sink, &found).await, Outcome::Delivered);
    }
    let portal = portal.lock().unwrap();
    assert_eq!((portal.records.len(), portal.associations.len()), (3, 2), "one contact, two notes");
    let of = |name: &str| {
        portal.records.values().filter_map(|(_, properties)| properties.get(name)).cloned().collect::<Vec<_>>()
    };
    let bodies = of("hs_note_body").iter().filter_map(|body| body.as_str().map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(
        bodies.iter().filter(|body| body.contains("unresolved<br>") && body.contains("Invoices &amp; more")).count(),
        1
    );
    let noon = noon().timestamp_millis().to_string();
    assert!(of("hs_timestamp").iter().all(|at| *at == noon), "it stands where the conversation ended");
    let last = of("conversationd_last_conversation_id");
    assert_eq!(last, [json!(ConversationId(Uuid::from_u128(2)))], "a word on an earlier one does not make it the last");
}

#[tokio::test]
async fn note_timeout_does_not_duplicate() {
    let (portal, _listener, sink) = portal().await;
    for conversation in 1..=4 {
        // each call once: the contact, its details when it is new, the note, the association
        for answered in 0..4 {
            let mut faults = VecDeque::from(vec![(1, Value::Null); answered]);
            faults.push_back((0, Value::Null));
            portal.lock().unwrap().faults = faults;
            send(&sink, &closed(conversation)).await; // done as far as that call, whose answer is lost
        }
        portal.lock().unwrap().faults.clear();
        assert_eq!(send(&sink, &closed(conversation)).await, Outcome::Delivered);
    }
    let portal = portal.lock().unwrap();
    assert_eq!((portal.records.len(), portal.associations.len()), (5, 4), "one contact, four notes");
}

#[tokio::test]
async fn faults_are_what_they_are_called() {
    let (portal, _listener, sink) = portal().await;
    let ten = json!({ "errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING" });
    for (status, body, outcome) in [
        (429, ten, Outcome::Throttled { after: Some(std::time::Duration::from_secs(10)) }),
        (200, json!({ "numErrors": 1 }), Outcome::Refused { tries: 1 }),
        (403, json!({ "category": "MISSING_SCOPES" }), Outcome::Misconfigured),
        (502, json!({}), Outcome::Retry { after: None }),
    ] {
        portal.lock().unwrap().faults.push_back((status, body));
        assert_eq!(send(&sink, &closed(1)).await, outcome, "{status}");
    }
    assert!(portal.lock().unwrap().records.is_empty());
}
