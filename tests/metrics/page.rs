//! The metrics page, as a scraper sees it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    daemon::{CANARY_CONTACT, CANARY_TEXT, Daemon, Thread, until, until_settled},
    site::on_a_site,
};

/// An answer: its head and its body.
async fn ask(address: &str, request: &str) -> (String, String) {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer, and then its end");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), body.to_owned())
}

async fn get(address: &str, path: &str) -> (String, String) {
    ask(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")).await
}

/// The samples of a page, each under its name and labels. The format is checked on the way.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let (mut samples, mut families, mut family) = (BTreeMap::new(), BTreeSet::new(), (String::new(), String::new()));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().expect("a name").to_owned();
            assert!(families.insert(name.clone()), "{name} stands there twice");
            family = (name, String::new());
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("name and type");
            assert_eq!(name, family.0, "a type follows its help");
            family.1 = kind.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').expect("sample and value");
            let name = sample.split('{').next().expect("a name");
            let parts: &[&str] = if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(parts.iter().any(|part| name == format!("{}{part}", family.0)), "{name} is not of {family:?}");
            assert!(samples.insert(sample.to_owned(), value.parse().expect("a number")).is_none(), "{sample} twice");
        }
    }
    samples
}

/// The buckets of a histogram, in order.
fn buckets(page: &str, name: &str) -> Vec<f64> {
    let lines = page.lines().filter(|line| line.starts_with(&format!("{name}_bucket{{")));
    lines.map(|line| line.rsplit_once(' ').expect("a value").1.parse().expect("a number")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_counts_exactly_what_happened_and_names_nobody() {
    on_a_site(|site| async move {
        let daemon = Daemon::start(&site, &[("CONVERSATIOND_METRICS_ADDRESS", "127.0.0.1:0")]).await;
        let address = daemon.says("metrics page").await["address"].as_str().expect("an address").to_owned();

        let before = samples(&get(&address, "/metrics").await.1);
        assert!(before.iter().all(|(name, value)| !name.contains("deliveries") || *value == 0.0), "{before:?}");

        let (one, other) = (Thread::new(), Thread::new());
        one.publish(&site, &[one.says("m1"), one.says("m2"), one.says("m3"), one.closes()], None).await;
        other.publish(&site, &[other.says("m1"), format!("{{\"{CANARY_TEXT}")], None).await;
        until_settled(&site).await;
        let archived = || async {
            let page = get(&address, "/metrics").await.1;
            samples(&page)["conversationd_conversations_archived_total"] == 1.0
                && samples(&page)["conversationd_held_deliveries"] == 0.0
        };
        until("the close is archived and nothing is held", archived).await;

        let (head, page) = get(&address, "/metrics").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"), "{head}");
        let now = samples(&page);
        for (name, value) in [
            (
                "messaging_client_consumed_messages_total\
                 {messaging_system=\"aws_sqs\",messaging_operation_name=\"receive\"}",
                6.0,
            ),
            ("conversationd_deliveries_settled_total", 6.0),
            ("conversationd_messages_stored_total", 4.0),
            ("conversationd_deliveries_dead_lettered_total", 1.0),
            ("conversationd_deliveries_released_total", 0.0),
            ("conversationd_deliveries_lost_total", 0.0),
            ("conversationd_conversations_opened_total", 2.0),
            ("conversationd_conversations_sealed_total", 1.0),
            ("conversationd_conversations_archived_total", 1.0),
            ("conversationd_queue_age_seconds_count", 6.0),
            ("conversationd_held_size_bytes", 0.0),
            ("conversationd_leases_held", 0.0),
            ("conversationd_groups_running", 0.0),
            ("conversationd_hot_away", 0.0),
            ("conversationd_archive_away", 0.0),
        ] {
            assert_eq!(now.get(name), Some(&value), "{name} in\n{page}");
        }
        assert!(now["conversationd_consumer_rounds_total"] > 0.0 && now["conversationd_timer_steps_total"] > 0.0);
        let turns = "messaging_process_duration_seconds";
        let labels = "{messaging_system=\"aws_sqs\",messaging_operation_name=\"process\"}";
        // chat messages of one thread may share a turn; nothing else does
        assert!((4.0..=6.0).contains(&now[&format!("{turns}_count{labels}")]), "{page}");
        assert!(now[&format!("{turns}_sum{labels}")] > 0.0 && now["conversationd_queue_age_seconds_sum"] > 0.0);
        for (name, count) in [
            (turns, now[&format!("{turns}_count{labels}")]),
            ("conversationd_queue_age_seconds", now["conversationd_queue_age_seconds_count"]),
        ] {
            let buckets = buckets(&page, name);
            assert!(buckets.len() > 10 && buckets.is_sorted() && buckets.last() == Some(&count), "{name}: {buckets:?}");
        }
        for canary in [CANARY_TEXT, CANARY_CONTACT, "5511999990000", "m1"] {
            assert!(!page.contains(canary), "{canary} is on the page:\n{page}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_answers_two_questions_and_refuses_what_is_large_or_slow() {
    on_a_site(|site| async move {
        let daemon = Daemon::start(&site, &[("CONVERSATIOND_METRICS_ADDRESS", "127.0.0.1:0")]).await;
        let address = daemon.says("metrics page").await["address"].as_str().expect("an address").to_owned();

        let (head, body) = get(&address, "/healthz").await;
        assert!(head.starts_with("HTTP/1.1 200") && body.starts_with("live"), "{head}\n{body}");
        for (request, status) in [
            ("GET / HTTP/1.1\r\nhost: x\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n", "405"),
            ("not HTTP at all\r\n\r\n", "400"),
            (&format!("GET /metrics HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)), "431"),
        ] {
            // one that is too large may be cut off while it is sent
            let mut connection = TcpStream::connect(&address).await.expect("a connection");
            let _ = connection.write_all(request.as_bytes()).await;
            let mut answer = Vec::new();
            let _ = connection.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let begins = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&begins) || (status == "431" && answer.is_empty()), "{status}: {answer}");
        }
        // more who say nothing than there are places: they are sent away, and the next one is served
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(TcpStream::connect(&address).await.expect("a connection"));
        }
        let answer = timeout(Duration::from_secs(40), get(&address, "/healthz")).await.expect("an answer in time");
        assert!(answer.0.starts_with("HTTP/1.1 200"), "{answer:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_cannot_be_had_is_told_at_the_start() {
    on_a_site(|site| async move {
        let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        let said = site.run_with(&["run"], &[("CONVERSATIOND_METRICS_ADDRESS", &address)], "").await;
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains("CONVERSATIOND_METRICS_ADDRESS"), "{}", said.err);
        let said = site.run_with(&["run"], &[("CONVERSATIOND_METRICS_ADDRESS", "9464")], "").await;
        assert_eq!(said.code, 64, "{}", said.err);
    })
    .await;
}
