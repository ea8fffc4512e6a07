//! Replies of the daemon on the local stack, to every request there is: they are what the published schemas say.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::{
    site::{Site, on_a_site},
    tools,
};

const THREAD: [&str; 6] = ["--project", "p", "--contact", "tel:1", "--channel", "ch"];

const SETTINGS: [(&str, &str); 4] = [
    ("CONVERSATIOND_REPLY_QUEUES", "conversationd-ask-*"),
    ("CONVERSATIOND_POLL_WAIT_SECONDS", "1"),
    ("CONVERSATIOND_TIMER_SECONDS", "1"),
    ("CONVERSATIOND_SUMMARY_SECONDS", "1"),
];

/// Everything that a conversation can have.
fn life() -> String {
    let message = |id: &str, source: &str, more: Value| {
        let mut message = json!({"id": id, "text": format!("said {id}"), "source": source, "contact_name": "Ana",
            "content_type": "text/plain", "created_at": "2026-03-01T12:00:00Z"});
        for (field, value) in more.as_object().expect("fields") {
            message[field] = value.clone();
        }
        json!({"message": message})
    };
    let agents = json!({"sender_type": "AGENT", "sender_id": "s", "agent_id": "a", "model_used": "m", "tokens_used": 3,
        "sentiment": "glad", "intent": "ask", "entities": [{"k": 1}], "attachments": [{"url": "u"}], "metadata": {"k": "v"}});
    let events = [
        ("message.received", message("1", "incoming", json!({}))),
        ("message.sent", message("2", "outgoing", agents)),
        ("state.set", json!({"state_type": "flow", "state_key": "step", "state_value": {"n": 1}, "ttl": 3600})),
        ("conversation.update", json!({"title": "T", "tags": ["vip"], "agent_id": "a"})),
        ("crm.linked", json!({"crm": "hubspot", "crm_id": "c-1", "prospect_data": {"stage": "lead"}})),
        ("survey.csat", json!({"value": 5})),
        ("survey.nps", json!({"value": 0})),
    ];
    let lines = events.into_iter().enumerate().map(|(n, (name, mut data))| {
        data["project_uuid"] = json!("p");
        data["contact_urn"] = json!("tel:1");
        data["channel_uuid"] = json!("ch");
        json!({"event_type": name, "correlation_id": n.to_string(), "data": data}).to_string() + "\n"
    });
    lines.collect()
}

async fn publish(site: &Site, lines: &str) {
    let said = site.run_with(&["publish", "-"], &SETTINGS, lines).await;
    assert_eq!(said.code, 0, "{}", said.err);
}

/// The reply, as it is shown to a program.
async fn asked(site: &Site, question: &[&str]) -> Value {
    let said = site.run_with(&[&["ask", "--json", "--reveal"], question].concat(), &SETTINGS, "").await;
    said.json().remove(0)
}

#[tokio::test]
async fn every_reply_is_what_its_schema_says() {
    on_a_site(async |site| {
        let mut command = site.command(&["run"]);
        let command = command.envs(SETTINGS).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = command.spawn().expect("a daemon");
        publish(&site, &life()).await;
        let of_thread = |name: &'static str, more: &[&'static str]| [&[name][..], &THREAD, more].concat();
        let context = asked(&site, &of_thread("get_context", &["--include-state"])).await;
        let id = context["data"]["conversation_id"].as_str().expect("an id").to_owned();
        let summary = ["--strategy", "summary_buffer", "--max-tokens", "5"];
        let by_id = [&["get_conversation", "--id", &id][..], &THREAD, &["--limit", "1"]].concat();
        let mut replies = vec![context];
        for question in [
            of_thread("get_context", &summary),
            of_thread("get_context", &["--max-tokens", "0"]),
            of_thread("get_context", &["--window", "huge"]),
            of_thread("get_state", &[]),
            by_id.clone(),
            vec!["list_conversations", "--project", "p"],
        ] {
            replies.push(asked(&site, &question).await);
        }
        let close = json!({"project_uuid": "p", "contact_urn": "tel:1", "channel_uuid": "ch", "resolution": 0});
        publish(
            &site,
            &json!({"event_type": "conversation.close", "correlation_id": "end", "data": close}).to_string(),
        )
        .await;
        for question in [
            by_id,
            vec!["get_context", "--project", "p", "--conversation-id", &id, "--include-state"],
            vec!["get_conversation", "--project", "another", "--id", &id],
            vec!["list_conversations", "--project", "p", "--status", "closed"],
            vec!["list_conversations", "--project", "p", "--cursor", "00"],
            vec!["get_stats", "--project", "p", "--group-by", "day"],
            vec!["get_stats", "--project", "p", "--group-by", "agent"],
            vec!["get_stats", "--project", "of nobody"],
            vec!["get_crm_link", "--project", "p", "--id", &id],
            vec!["list_crm_links", "--project", "p"],
        ] {
            replies.push(asked(&site, &question).await);
        }
        let statuses: Vec<&str> = replies.iter().filter_map(|reply| reply["status"].as_str()).collect();
        let answered = statuses.iter().filter(|status| **status == "ok").count();
        assert_eq!((statuses.len(), answered), (17, 14), "{statuses:?}");
        let replies: Vec<String> = replies.iter().map(Value::to_string).collect();
        tokio::task::spawn_blocking(move || tools::assert_replies(&replies)).await.expect("replies");
        daemon.kill().await.expect("killed");
    })
    .await;
}

#[test]
fn a_reply_that_is_not_what_its_schema_says_is_noticed() {
    let answered = |data: Value| json!({"event_type": "get_state.reply", "status": "ok", "data": data});
    let state = json!({"state_type": "t", "state_key": "k", "state_value": null, "set_at": "2026-03-01T12:00:00Z",
        "expires_at": null});
    let id = "6f0c63a4-5d53-4c5e-9d0a-0d5b6a1e7c11";
    tools::assert_replies(&[answered(json!({"conversation_id": id, "state": [state]})).to_string()]);
    for wrong in [
        answered(json!(null)),
        answered(json!({"conversation_id": id})),
        answered(json!({"conversation_id": "x", "state": []})),
        answered(json!({"conversation_id": id, "state": [{}]})),
        answered(json!({"conversation_id": id, "state": [], "new": 1})),
        json!({"event_type": "get_state.reply", "status": "empty", "data": null}),
        json!({"event_type": "get_state.reply", "status": "error", "data": null}),
    ] {
        let judged = std::panic::catch_unwind(|| tools::assert_replies(&[wrong.to_string()]));
        assert!(judged.is_err(), "{wrong}");
    }
}
