//! The operator's commands: the program itself, on a story's own schema.

use std::{fs, os::unix::fs::PermissionsExt, process::Stdio, time::Duration};

use conversationd::{outbox::Settlement, sink::Keys};
use serde_json::Value;
use tokio::process::Command;

use crate::house::{House, event, in_a_house, notice};

/// What the program said: exit code, output, errors.
async fn said(house: &House, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String, String) {
    let schema: String = sqlx::query_scalar("select current_schema()").fetch_one(&house.pool).await.expect("a schema");
    let mut command = Command::new(env!("CARGO_BIN_EXE_conversationd"));
    command
        .arg("outbox")
        .args(arguments)
        .env("CONVERSATIOND_DATABASE_SCHEMA", schema)
        .env("CONVERSATIOND_LOG", "error");
    let output = command.envs(settings.iter().copied()).stdin(Stdio::null()).output().await.expect("it runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

async fn json(house: &House, arguments: &[&str]) -> Vec<Value> {
    let (code, out, err) = said(house, &[arguments, &["--json"]].concat(), &[]).await;
    assert_eq!(code, 0, "{err}");
    out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[tokio::test]
async fn an_operator_finds_what_was_given_up_and_sends_it_again() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["partner"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2), notice(2, 3)]).await.expect("tell");
        let head = house.claim(sink, 1).await.remove(0);
        house.settle(&head, Settlement::Dead).await;
        let id = head.notice.id.to_string();

        let sinks = json(&house, &["sinks"]).await;
        assert_eq!(
            (&sinks[0]["name"], &sinks[0]["pending"], &sinks[0]["dead"]),
            (&"partner".into(), &2.into(), &1.into())
        );
        let dead = json(&house, &["list", "--state", "dead"]).await;
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0]["notice"], id.as_str());

        let shown = json(&house, &["show", &format!("evt_{}", id.replace('-', ""))]).await.remove(0);
        assert_eq!(shown["attempts"][0]["outcome"], "dead");
        assert_eq!(shown["content"], Value::Null);
        let (_, out, _) = said(&house, &["show", &id], &[]).await;
        assert!(!out.contains("551199"), "{out}");
        let (_, out, _) = said(&house, &["show", &id, "--reveal"], &[]).await;
        assert!(out.contains("whatsapp:+5511999990000"), "{out}");

        let would = json(&house, &["replay", "--sink", "partner"]).await;
        assert_eq!(would[1], serde_json::json!({ "would": "replay", "dispatches": 1 }));
        assert_eq!(house.number("select count(*) from outbox_dispatch where state = 'dead'").await, 1, "a dry run");
        let did = json(&house, &["replay", "--sink", "partner", "--yes"]).await;
        assert_eq!(did[0]["dispatches"], 1);
        let claimed = house.claim(sink, 10).await;
        assert!(claimed.iter().any(|claimed| event(claimed) == 1));
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn retry_and_skip_need_a_name_and_a_yes() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["partner"]).await;
        house.outbox.tell(&[notice(1, 1), notice(1, 2)]).await.expect("tell");
        let head = house.claim_one(sink).await;
        house.settle(&head, Settlement::Retry(Duration::from_secs(3600))).await;
        let (code, _, err) = said(&house, &["skip", "--yes"], &[]).await;
        assert_eq!(code, 65, "{err}");
        assert_eq!(json(&house, &["retry", "--sink", "partner", "--yes"]).await[0]["dispatches"], 2);
        assert_eq!(event(&house.claim_one(sink).await), 1);
        let id = head.notice.id.to_string();
        assert_eq!(json(&house, &["skip", "--notice", &id, "--yes"]).await[0]["dispatches"], 1);
        assert_eq!(house.number("select count(*) from outbox_dispatch where state = 'skipped'").await, 1);
        house.is_sound().await;
    })
    .await;
}

#[tokio::test]
async fn a_sink_is_paused_and_resumed_by_its_name() {
    in_a_house(async |house| {
        let [sink] = house.sinks(["partner"]).await;
        house.outbox.tell(&[notice(1, 1)]).await.expect("tell");
        assert_eq!(said(&house, &["pause", "partner", "--reason", "moving"], &[]).await.0, 0);
        assert!(house.claim(sink, 10).await.is_empty());
        let (_, out, _) = said(&house, &["sinks"], &[]).await;
        assert!(out.contains("paused") && out.contains("moving"), "{out}");
        assert_eq!(said(&house, &["resume", "partner", "--since", "1h"], &[]).await.0, 0);
        assert_eq!(house.claim(sink, 10).await.len(), 1);
        for unknown in [["pause", "nobody"], ["resume", "nobody"]] {
            assert_eq!(said(&house, &unknown, &[]).await.0, 65);
        }
    })
    .await;
}

#[tokio::test]
async fn a_key_is_rotated_in_its_file_and_the_old_one_stays_for_a_day() {
    in_a_house(async |house| {
        let folder = std::env::temp_dir().join(format!("conversationd-test-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&folder).expect("a folder");
        let (secret, sinks) = (folder.join("key"), folder.join("sinks.toml"));
        fs::write(&secret, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD\n").expect("written");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("permissions");
        let text = format!(
            "[[sink]]\nname = 'partner'\nkind = 'webhook'\nurl = 'https://example.com/'\nsecret = 'file:{}'\n",
            secret.display()
        );
        fs::write(&sinks, text).expect("written");
        let settings = [("CONVERSATIOND_SINKS_FILE", sinks.to_str().expect("a path"))];

        let (code, out, err) = said(&house, &["rotate-secret", "partner"], &settings).await;
        assert_eq!(code, 0, "{err}");
        let written = fs::read_to_string(&secret).expect("the secret");
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(out.starts_with(lines[0]) && lines[1].contains(" until="), "{out}");
        assert!(Keys::parse(&written).is_ok());
        assert_eq!(fs::metadata(&secret).expect("the file").permissions().mode() & 0o777, 0o600);

        let (_, out, _) = said(&house, &["rotate-secret", "partner", "--print"], &settings).await;
        assert_eq!(out.lines().count(), 3);
        assert_eq!(fs::read_to_string(&secret).expect("the secret"), written, "nothing was written");
        assert_ne!(said(&house, &["rotate-secret", "nobody"], &settings).await.0, 0);
        fs::remove_dir_all(&folder).expect("it goes");
    })
    .await;
}
