//! Stories of `dlq` on the local stack.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use aws_sdk_sqs::types::MessageAttributeValue;
use conversationd::{
    app::App,
    config::{Config, environment},
};
use serde_json::json;

use crate::{
    site::{Said, Site, on_a_site},
    unsteady,
};

const CONTACT: &str = "whatsapp:+5511999990000";

/// A folder of a story's own.
fn folder(site: &Site) -> PathBuf {
    let folder = std::env::temp_dir().join(&site.provisioned.table);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The daemon's parts in this process.
async fn app(site: &Site) -> App {
    let own = |name: &str| match name {
        "CONVERSATIOND_POLL_WAIT_SECONDS" | "CONVERSATIOND_GRACE_SECONDS" => Some("0".to_owned()),
        _ => site.settings.get(name).cloned().or_else(|| environment(name)),
    };
    App::build(&Config::read(&own).expect("settings")).await.expect("an app")
}

async fn consume(app: &App, site: &Site) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while app.consumer.poll_once().await.expect("a poll") > 0 || site.depth().await > 0 {
        let _ = app.timer.run_once().await;
        assert!(Instant::now() < deadline, "the queue never runs dry");
    }
}

async fn send(site: &Site, url: &str, group: &str, dedup: &str, body: &str, note: Option<String>) {
    let call = site.clients.sqs.control.send_message().queue_url(url).message_body(body);
    let mut call = call.message_group_id(group).message_deduplication_id(dedup);
    if let Some(note) = note {
        let value = MessageAttributeValue::builder().data_type("String").string_value(note).build();
        call = call.message_attributes("x-dlq", value.expect("an attribute"));
    }
    call.send().await.expect("sent");
}

/// What a publisher sends, with a text that is not one.
fn event(id: &str, text: serde_json::Value) -> String {
    let message = json!({ "id": id, "text": text, "created_at": "2026-11-20T12:00:00Z" });
    json!({ "event_type": "message.received", "correlation_id": id, "data":
        { "project_uuid": "p-1", "contact_urn": CONTACT, "channel_uuid": "ch", "message": message } })
    .to_string()
}

fn ok(said: Said) -> Said {
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    said
}

#[tokio::test]
async fn poison_is_listed_shown_exported_mended_and_archived() {
    on_a_site(async |site| {
        let (app, folder, group) = (app(&site).await, folder(&site), format!("p-1:ch:{CONTACT}"));
        let queue = &site.provisioned.queue_url;
        send(&site, queue, &group, "1", &event("m1", "olá".into()), None).await;
        send(&site, queue, &group, "2", &event("m2", json!(["not", "a text"])), None).await;
        send(&site, queue, &group, "3", "not JSON", None).await;
        consume(&app, &site).await;

        let listed = ok(site.run(&["dlq", "list", "--json"]).await).json();
        assert_eq!(
            listed.iter().map(|row| row["code"].as_str().unwrap()).collect::<Vec<_>>(),
            ["wrong_type", "invalid_json"]
        );
        let [id, broken] = [0, 1].map(|n: usize| listed[n]["message_id"].as_str().unwrap().to_owned());
        assert_eq!(
            (listed[0]["project"].as_str(), listed[0]["event_type"].as_str()),
            (Some("p-1"), Some("message.received"))
        );
        for masked in [&["dlq", "list"][..], &["dlq", "list", "--json"], &["dlq", "show", &id], &["dlq", "stats"]] {
            let said = ok(site.run(masked).await);
            assert!(!said.out.contains("5511999990000") && !said.out.contains("a text"), "{}", said.out);
        }
        let stats = ok(site.run(&["dlq", "stats", "--json"]).await).json().remove(0);
        assert_eq!(
            (&stats["queue_waiting"], &stats["index_waiting"], &stats["advice"]),
            (&json!(2), &json!(2), &json!(null))
        );
        let shown = ok(site.run(&["dlq", "show", &id, "--reveal", "--json"]).await).json().remove(0);
        assert!(shown["body"].as_str().unwrap().contains("a text") && shown["group_id"] == group.as_str());

        let out = folder.join("letters.jsonl");
        let out = out.to_str().unwrap();
        assert!(ok(site.run(&["dlq", "export", "--out", out]).await).out.contains("exported=2"));
        assert_eq!(fs::read_to_string(out).expect("a file").lines().count(), 2);
        assert_eq!(site.run(&["dlq", "export", "--out", out]).await.code, 1, "a file is never written over");

        let replay = site.run(&["dlq", "replay", &id]).await;
        assert_eq!((replay.code, replay.out.contains("wrong_type")), (1, true), "{}{}", replay.out, replay.err);
        let patch = folder.join("patch.json");
        let patch = patch.to_str().unwrap();
        fs::write(patch, r#"{"data":{"message":{"text":7}}}"#).expect("a patch");
        assert_eq!(site.run(&["dlq", "edit", &id, "--patch", patch, "--yes"]).await.code, 65);
        fs::write(patch, r#"{"data":{"message":{"text":"mended"}}}"#).expect("a patch");
        let dry = ok(site.run(&["dlq", "edit", &id, "--patch", patch]).await);
        assert!(dry.out.contains("- /data/message/text") && dry.out.contains("--yes"), "{}", dry.out);
        ok(site.run(&["dlq", "edit", &id, "--patch", patch, "--yes"]).await);

        let copy = folder.join("discarded.jsonl");
        let discard = ["dlq", "discard", &broken, "--reason", "a test", "--out", copy.to_str().unwrap()];
        assert!(ok(site.run(&discard).await).out.contains("--yes") && !copy.exists());
        ok(site.run(&[&discard[..], &["--yes"]].concat()).await);
        assert!(fs::read_to_string(&copy).expect("a file").contains("a test"));

        send(
            &site,
            queue,
            &group,
            "4",
            &json!({ "event_type": "conversation.close", "correlation_id": "c", "data":
            { "project_uuid": "p-1", "contact_urn": CONTACT, "channel_uuid": "ch" } })
            .to_string(),
            None,
        )
        .await;
        consume(&app, &site).await;
        let closed = ok(site.run(&["conversations", "list", "--status", "closed", "--json"]).await).json();
        assert_eq!((closed.len(), &closed[0]["messages"]), (1, &json!(2)));
        let settled = ok(site.run(&["dlq", "list", "--settled", "--json"]).await).json();
        let how: Vec<&str> = settled.iter().map(|row| row["settled"]["how"].as_str().unwrap()).collect();
        assert_eq!(how, ["edited", "discarded"]);
        let _ = fs::remove_dir_all(folder);
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_comes_back_stops_the_redrive() {
    on_a_site(async |site| {
        let (app, folder) = (app(&site).await, folder(&site));
        for n in 0..6 {
            send(&site, &site.provisioned.queue_url, &format!("g{n}"), "1", "still not JSON", None).await;
        }
        consume(&app, &site).await;
        let journal = folder.join("journal");
        let redrive = ["dlq", "redrive", "--all", "--canary", "2", "--journal", journal.to_str().unwrap(), "--json"];
        let dry = ok(site.run(&redrive).await);
        assert!(dry.out.contains("6 letters") && site.depth().await == 0, "{}", dry.out);
        let redrive = [&redrive[..], &["--yes"]].concat();
        let working = async {
            loop {
                let _ = app.consumer.poll_once().await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let said = tokio::select! {
            said = site.run(&redrive) => said,
            () = working => unreachable!("it works for ever"),
        };
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        let total = said.json().remove(0);
        assert_eq!(total["moved"], 2, "{total}");
        assert!(total["came_back"].as_u64().unwrap() >= 1 && said.err.contains("came back"), "{total} {}", said.err);
        let again = ok(site.run(&["dlq", "list", "--json"]).await).json();
        assert!(again.iter().any(|row| row["redrives"] == 1), "{again:?}");
        let native = site.run(&["dlq", "redrive", "--all", "--native", "--yes"]).await;
        assert!(native.code == 1 && native.err.contains("--native"), "{}", native.err);
        let _ = fs::remove_dir_all(folder);
    })
    .await;
}

#[tokio::test]
async fn two_hundred_letters_arrive_once_and_in_order_though_sends_fail_and_the_run_is_killed() {
    on_a_site(async |site| {
        let (folder, dead) = (folder(&site), site.provisioned.dead_letter_url.clone());
        for n in 0..200 {
            let note = json!({ "code": "attempts_exhausted", "reason": "for a test", "source_queue": "q", "attempts": 8,
                "original_message_id": format!("m{n}"), "original_sequence": n.to_string(),
                "original_sent_at": "2026-11-21T00:00:00Z" });
            send(&site, &dead, &format!("g{}", n % 20), &n.to_string(), &n.to_string(), Some(note.to_string())).await;
        }
        let stack =
            std::env::var("AWS_ENDPOINT_URL_SQS").or_else(|_| std::env::var("AWS_ENDPOINT_URL")).expect("a stack");
        let (url, done) = unsteady::serve(stack.trim_start_matches("http://").trim_end_matches('/').to_owned()).await;
        let journal = folder.join("journal");
        let redrive = [
            "dlq",
            "redrive",
            "--all",
            "--rate",
            "200",
            "--lease",
            "10s",
            "--yes",
            "--json",
            "--journal",
            journal.to_str().unwrap(),
        ];

        let mut child = site.command(&redrive).env("AWS_ENDPOINT_URL_SQS", &url).spawn().expect("spawn");
        while done.sends.load(Ordering::Relaxed) < 60 {
            assert!(child.try_wait().expect("a child").is_none(), "it ended too early");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        child.kill().await.expect("killed");
        let said = ok(site.run_with(&redrive, &[("AWS_ENDPOINT_URL_SQS", &url)], "").await);
        let total = said.json().remove(0);

        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (group, body) in site.received(400).await {
            groups.entry(group).or_default().push(body.parse().expect("a number"));
        }
        assert!(groups.values().all(|numbers| numbers.len() == 10 && numbers.is_sorted()), "{groups:?}");
        assert_eq!(groups.len(), 20);
        assert!(done.failed.load(Ordering::Relaxed) > 20);
        assert!(!journal.exists(), "all is moved: {total}");
        let stats = ok(site.run(&["dlq", "stats", "--json"]).await).json().remove(0);
        assert_eq!((&stats["queue_waiting"], &stats["queue_in_flight"]), (&json!(0), &json!(0)));
        let _ = fs::remove_dir_all(folder);
    })
    .await;
}
