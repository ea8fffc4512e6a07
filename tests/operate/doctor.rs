//! Stories of `doctor`.

use serde_json::Value;

use crate::site::{Said, Site, on_a_site};

/// The findings that are not ok: check and level.
pub fn bad(said: &Said) -> Vec<(String, String)> {
    let report = said.json().remove(0);
    let findings = report["findings"].as_array().expect("findings").clone();
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    let pairs = findings.iter().map(|finding| (text(finding, "check"), text(finding, "level")));
    // the local stack's PostgreSQL runs without fsync
    pairs.filter(|(check, level)| level != "ok" && check != "archive durability").collect()
}

pub async fn doctor(site: &Site, settings: &[(&str, &str)]) -> Said {
    site.run_with(&["doctor", "--json"], settings, "").await
}

fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(check, level)| ((*check).to_owned(), (*level).to_owned())).collect()
}

#[tokio::test]
async fn a_fresh_stack_is_without_fault() {
    on_a_site(async |site| {
        let said = doctor(&site, &[]).await;
        assert_eq!((said.code, bad(&said)), (0, Vec::new()), "{}", said.out);
        let people = site.run(&["doctor"]).await;
        assert_eq!(people.code, 0);
        assert!(people.out.contains("✓ queue ") && people.out.contains("\n0 faults, "), "{}", people.out);
    })
    .await;
}

#[tokio::test]
async fn a_missing_table_is_found_and_the_rest_is_looked_at_still() {
    on_a_site(async |site| {
        site.clients.dynamodb.delete_table().table_name(&site.provisioned.table).send().await.expect("delete");
        let said = doctor(&site, &[("CONVERSATIOND_HOT_STORE", "dynamodb")]).await;
        assert_eq!((said.code, bad(&said)), (1, named(&[("table", "fault")])), "{}", said.out);
        assert!(said.out.contains("archive schema"), "{}", said.out);
    })
    .await;
}

#[tokio::test]
async fn a_missing_migration_is_found() {
    on_a_site(async |site| {
        let said = doctor(&site, &[("CONVERSATIOND_DATABASE_SCHEMA", "operate_test_without_tables")]).await;
        assert_eq!((said.code, bad(&said)), (1, named(&[("archive schema", "fault")])), "{}", said.out);
        assert!(said.out.contains("conversationd migrate"), "{}", said.out);
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_queue_that_the_policy_does_not_name_is_found() {
    on_a_site(async |site| {
        let sqs = &site.clients.sqs.control;
        let name = format!("{}-other.fifo", site.provisioned.table);
        let other = sqs.create_queue().queue_name(name).attributes("FifoQueue".into(), "true").send().await;
        let other = other.expect("a queue").queue_url.expect("a URL");

        let said = doctor(&site, &[("SQS_CONVERSATION_DLQ_URL", &other)]).await;

        sqs.delete_queue().queue_url(&other).send().await.expect("delete");
        assert_eq!(said.code, 1);
        let bad = bad(&said);
        assert!(bad.contains(&("queue redrive policy".into(), "fault".into())), "{bad:?}");
        // made with the defaults of SQS, it forgets after four days
        assert!(bad.contains(&("dead-letter retention".into(), "warning".into())), "{bad:?}");
    })
    .await;
}

#[tokio::test]
async fn dead_letters_are_a_warning() {
    on_a_site(async |site| {
        let sqs = &site.clients.sqs.control;
        let letter = sqs.send_message().queue_url(&site.provisioned.dead_letter_url).message_body("{");
        letter.message_group_id("g").message_deduplication_id("1").send().await.expect("send");
        let said = doctor(&site, &[]).await;
        assert_eq!(
            (said.code, bad(&said)),
            (0, named(&[("dead letters", "warning"), ("dead-letter index", "warning")])),
            "{}",
            said.out
        );
    })
    .await;
}

#[tokio::test]
async fn settings_that_cannot_be_used_do_not_keep_it_from_looking_at_the_rest() {
    on_a_site(async |site| {
        let unusable = [("DATABASE_URL", "mysql://hunter2"), ("CONVERSATIOND_LOG_FORMAT", "xml")];
        let said = doctor(&site, &[&unusable[..], &[("CONVERSATIOND_HOT_STORE", "dynamodb")]].concat()).await;
        assert_eq!(said.code, 64);
        let expected = named(&[("settings", "fault"), ("settings", "fault"), ("archive", "fault")]);
        assert_eq!(bad(&said), expected, "{}", said.out);
        assert!(!said.out.contains("hunter2"));
    })
    .await;
}
