//! Stories of `publish`.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    site::{Said, on_a_site},
    unsteady,
};

/// A message of a thread; its correlation id is its number.
fn event(contact: &str, number: usize) -> String {
    let message = json!({"id": format!("m{number}"), "text": format!("said {number}"), "source": "incoming"});
    let data = json!({"project_uuid": "p", "channel_uuid": "ch", "contact_urn": contact, "message": message});
    json!({"event_type": "message.received", "correlation_id": number.to_string(), "data": data}).to_string()
}

/// So many messages of few threads, some threads busier than others.
fn mixed(count: usize) -> Vec<String> {
    (0..count).map(|number| event(&format!("tel:{}", (number * number / 3) % 11), number)).collect()
}

fn lines(events: &[String]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// The numbers of the messages in `bodies`, by contact.
fn numbers<'a>(bodies: impl IntoIterator<Item = &'a str>) -> BTreeMap<String, Vec<usize>> {
    let mut numbers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for body in bodies {
        let event: Value = serde_json::from_str(body).expect("json");
        let number = event["correlation_id"].as_str().and_then(|number| number.parse().ok()).expect("a number");
        numbers.entry(event["data"]["contact_urn"].to_string()).or_default().push(number);
    }
    numbers
}

#[tokio::test]
async fn order_is_kept_in_each_thread_over_mixed_groups() {
    on_a_site(async |site| {
        let events = mixed(300);
        let said = site.run_with(&["publish", "-"], &[], &lines(&events)).await;
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "published=300 rejected=0\n", ""));

        let received = site.received(300).await;

        let bodies = received.iter().map(|(_, body)| body.as_str());
        assert_eq!(numbers(bodies), numbers(events.iter().map(String::as_str)));
        assert!(received.iter().all(|(group, _)| group.starts_with("p:ch:tel:")));
    })
    .await;
}

#[tokio::test]
async fn order_is_kept_when_entries_fail_and_answers_are_lost() {
    let (url, taken) = unsteady::serve().await;
    let events = mixed(80);
    let file = std::env::temp_dir().join(format!("publish-{}.jsonl", uuid::Uuid::new_v4()));
    std::fs::write(&file, lines(&events)).expect("a file");
    let output = Command::new(env!("CARGO_BIN_EXE_conversationd"))
        .args(["publish", "--max-depth", "0", "--json"])
        .arg(&file)
        .env("SQS_CONVERSATION_QUEUE_URL", format!("{url}/1/unsteady.fifo"))
        .env_remove("AWS_ENDPOINT_URL_SQS")
        .env("AWS_ENDPOINT_URL", &url)
        .envs([("AWS_REGION", "us-east-1"), ("AWS_ACCESS_KEY_ID", "t"), ("AWS_SECRET_ACCESS_KEY", "t")])
        .output()
        .await;
    std::fs::remove_file(&file).expect("remove the file");
    let said = Said::from(output.expect("output"));

    assert_eq!((said.code, &said.json()[0]["published"]), (0, &json!(80)), "{}", said.err);
    let taken = taken.lock().expect("lock");
    assert!(taken.entries_failed > 10 && taken.answers_lost > 3, "the queue was too steady to tell");
    let bodies = taken.bodies.values().flatten().map(String::as_str);
    assert_eq!(numbers(bodies), numbers(events.iter().map(String::as_str)));
}

#[tokio::test]
async fn a_contact_of_three_hundred_characters_with_blanks_gets_a_legal_group() {
    on_a_site(async |site| {
        let contact = format!("ext:{}", "José da Silva ".repeat(22)).chars().take(300).collect::<String>();
        let said = site.run_with(&["publish", "-"], &[], &event(&contact, 1)).await;
        assert_eq!(said.code, 0, "{}", said.err);

        let received = site.received(1).await;

        let (group, body) = &received[0];
        assert!(group.len() <= 128 && group.bytes().all(|byte| byte.is_ascii_graphic()), "{group}");
        assert_eq!(*body, event(&contact, 1));
    })
    .await;
}

#[tokio::test]
async fn lines_that_do_not_decode_are_told_and_not_sent() {
    on_a_site(async |site| {
        let input = lines(&[
            event("tel:1", 1),
            r#"{"event_type":"message.received","data":{"project_uuid":"p","channel_uuid":"secret"}}"#.into(),
            String::new(),
            "secret".into(),
            event("tel:1", 2),
        ]);

        let said = site.run_with(&["publish", "-"], &[], &input).await;

        assert_eq!((said.code, said.out.as_str()), (65, "published=2 rejected=2\n"));
        let told: Vec<&str> = said.err.lines().collect();
        assert_eq!(told[0], "line 2: missing_field contact_urn: is required");
        assert!(told[1].starts_with("line 4: invalid_json: ") && told.len() == 2, "{}", said.err);
        assert!(!said.err.contains("secret"), "{}", said.err);
        assert_eq!(site.received(3).await.len(), 2);

        let said = site.run_with(&["publish", "--as-is", "--json", "-"], &[], "secret\n").await;

        assert_eq!((said.code, &said.json()[0]["published"]), (0, &json!(1)), "{}", said.err);
        let received = site.received(1).await;
        assert_eq!(received[0].1, "secret");
        assert!(received[0].0.len() == 64 && !received[0].0.contains("secret"), "{}", received[0].0);
    })
    .await;
}

#[tokio::test]
async fn a_stop_says_how_far_it_came() {
    on_a_site(async |site| {
        let mut child = site.command(&["publish", "-"]).spawn().expect("spawn");
        let mut stdin = child.stdin.take().expect("stdin");
        stdin.write_all(lines(&mixed(3)).as_bytes()).await.expect("write");
        assert_eq!(site.received(3).await.len(), 3); // so they are sent, and it waits for more

        let pid = child.id().expect("running").to_string();
        let status = Command::new("kill").args(["-INT", &pid]).stdout(Stdio::null()).status().await;
        assert!(status.expect("kill").success());
        let said = Said::from(child.wait_with_output().await.expect("output"));

        assert_eq!((said.code, said.out.as_str()), (130, "published=3 rejected=0\n"), "{}", said.err);
        assert!(said.err.contains("every line before line 4 is settled"), "{}", said.err);
        drop(stdin);
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_is_waited_for() {
    on_a_site(async |site| {
        let events = mixed(60);
        let input = lines(&events);
        let (said, received) =
            tokio::join!(site.run_with(&["publish", "--max-depth", "20", "-"], &[], &input), async {
                let mut received = Vec::new();
                while received.len() < events.len() {
                    assert!(site.depth().await <= 20);
                    received.extend(site.received(5).await);
                }
                received
            });
        assert_eq!((said.code, received.len()), (0, 60), "{}", said.err);
    })
    .await;
}
