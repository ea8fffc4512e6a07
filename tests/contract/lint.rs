//! Stories of `conversationd lint`.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::tools;

fn lint(arguments: &[&str], input: &str) -> Output {
    tools::run(
        Command::new(env!("CARGO_BIN_EXE_conversationd")).arg("lint").args(arguments).arg("-").env_clear(),
        input,
    )
}

fn linted(input: &str) -> Vec<Value> {
    let output = lint(&["--json"], input);
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A sound message, changed.
fn event(change: impl FnOnce(&mut Value)) -> String {
    let message = json!({"id": "m1", "text": "a secret", "source": "incoming", "created_at": "2026-03-01T12:00:00Z"});
    let data = json!({"project_uuid": "p", "channel_uuid": "ch", "contact_urn": "whatsapp:+5511999990000", "message": message});
    let mut event = json!({"event_type": "message.received", "correlation_id": "c1", "data": data});
    change(&mut event);
    event.to_string()
}

#[test]
fn each_event_is_told_with_its_verdict_and_what_to_do() {
    let lines = [
        event(|_| ()),
        event(|event| event["data"]["message"]["text"] = json!("another secret")),
        event(|event| event["data"]["contact_urn"] = json!(null)),
        event(|event| {
            event["correlation_id"] = json!("c2");
            event["data"]["message"]["created_at"] = json!("2026-03-01T12:00:00");
            event["data"]["message"]["mood"] = json!("x");
        }),
        "not json".to_owned(),
        event(|_| ()),
    ];
    let said = linted(&lines.join("\n"));
    let verdicts: Vec<(u64, &str, Vec<&str>)> = said
        .iter()
        .map(|event| {
            let codes = event["findings"].as_array().expect("findings").iter().map(|finding| finding["code"].as_str());
            let codes = codes.map(|code| code.expect("a code")).collect();
            (event["line"].as_u64().expect("a line"), event["verdict"].as_str().expect("a verdict"), codes)
        })
        .collect();
    assert_eq!(
        verdicts,
        [
            (1, "accepted", vec![]),
            (2, "odd", vec!["same_id"]),
            (3, "rejected", vec!["missing_field"]),
            (4, "odd", vec!["no_offset", "unknown_field"]),
            (5, "rejected", vec!["invalid_json"]),
            (6, "odd", vec!["repeated"]),
        ]
    );
    assert_eq!(said[2]["findings"][0]["field"], "contact_urn");
    assert_eq!(
        (&said[3]["findings"][1]["field"], &said[5]["findings"][0]["first_line"]),
        (&json!("message.mood"), &json!(1))
    );
    let next = |finding: &Value| finding["next"].as_str().is_some_and(|next| !next.is_empty());
    assert!(said.iter().flat_map(|event| event["findings"].as_array().expect("findings")).all(next));
    assert_eq!(said[0]["message_deduplication_id"], said[1]["message_deduplication_id"]);
}

#[test]
fn no_value_is_shown_and_the_group_only_when_asked_for() {
    let odd = event(|event| {
        event["data"]["5511999990000"] = json!(1);
        event["data"]["message"]["created_at"] = json!("secret");
        event["event_type"] = json!("5511999990000");
    });
    let wrong = event(|event| event["data"]["message"]["tokens_used"] = json!("secret"));
    let input = [event(|_| ()), odd.replace("\"5511999990000\",", "\"message.received\","), odd, wrong].join("\n");
    for arguments in [&["--json"][..], &[]] {
        let output = lint(arguments, &input);
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("secret") && !said.contains("551199999"), "{said}");
        assert!(said.contains("p:ch:whatsapp:…0000"), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
    let revealed = String::from_utf8(lint(&["--reveal"], &event(|_| ())).stdout).expect("UTF-8");
    assert!(revealed.contains("p:ch:whatsapp:+5511999990000  "), "{revealed}");
}

#[test]
fn an_input_that_is_all_accepted_or_odd_ends_well_and_a_file_that_is_not_there_does_not() {
    let array = format!("[{}, \n {}]", event(|_| ()), event(|event| event["correlation_id"] = json!(null)));
    let output = lint(&[], &array);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(said.ends_with("\naccepted=1 odd=1 rejected=0\n") && output.status.success(), "{said}");
    assert!(said.contains("next: set correlation_id"), "{said}");

    let missing =
        Command::new(env!("CARGO_BIN_EXE_conversationd")).args(["lint", "no-such-file"]).output().expect("output");
    let error = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(missing.status.code() == Some(1) && error.contains("no-such-file cannot be read"), "{error}");
}
