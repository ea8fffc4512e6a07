//! Panics, planted leaks and talkative libraries, in a process of their own: the hook and the subscriber are a process's only.

use std::process::Command;

use conversationd::{
    config::{LogConfig, environment},
    telemetry,
};

use crate::{
    listener::Listener,
    marks::{NUMBER, SAID, SECRET, assert_none_in, found_in},
};

/// What the child is to do.
const DEED: &str = "CANARY_DEED";

/// Does it in a process of its own: what that printed, and what it reported.
async fn done(deed: &str, format: &str) -> (String, String) {
    let listener = Listener::serve(|_| Some((200, "{}".into()))).await;
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "child::in_a_process_of_its_own", "--ignored", "--nocapture"]).env(DEED, deed);
    for proxy in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        child.env_remove(proxy);
    }
    let dsn = format!("http://{SECRET}@127.0.0.1:{}/42", listener.port);
    child.envs([("CONVERSATIOND_LOG", "trace"), ("CONVERSATIOND_LOG_FORMAT", format), ("SENTRY_DSN", &dsn)]);
    child.env("RUST_BACKTRACE", "1");
    let output = tokio::task::spawn_blocking(move || child.output().expect("a process")).await.expect("its end");
    assert!(output.status.success(), "{output:?}");
    let reports: String = listener.got().iter().map(|got| String::from_utf8_lossy(&got.body).into_owned()).collect();
    (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), reports)
}

#[test]
#[ignore = "the others run it, each for a deed"]
fn in_a_process_of_its_own() {
    let reports = telemetry::start(&LogConfig::read(&environment).expect("settings"));
    match environment(DEED).as_deref() {
        Some("panic") => panic_in_every_way(),
        Some("leak") => tracing::info!(contact = NUMBER, "planted: {SAID}"),
        Some("report") => {
            let failure = std::io::Error::other(SAID);
            let span = tracing::error_span!("turn", contact = NUMBER);
            let _in = span.enter();
            tracing::info!("of no interest to anybody");
            tracing::error!(
                tags.contact = NUMBER,
                text = SAID,
                sqs.message_id = "m-4711",
                error = &failure as &dyn std::error::Error,
                "turn failed"
            );
        }
        Some("libraries") => {
            tracing::trace!(target: "hyper::proto", body = SAID, "a whole request");
            tracing::debug!(target: "aws_smithy_runtime::client", body = SAID, "a whole request");
            tracing::trace!(target: "conversationd::child", "our own word");
            tracing::warn!(target: "hyper::proto", "their warning");
        }
        _ => {}
    }
    drop(reports);
}

/// Takes nothing, and quotes what it does not take.
struct Refusing;

impl std::str::FromStr for Refusing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Err(text.to_owned())
    }
}

fn panic_in_every_way() {
    let said = format!("é{SAID}");
    for way in 0..4 {
        let said = said.clone();
        let thread = std::thread::Builder::new().name(format!("way-{way}"));
        let panicking = thread.spawn(move || match way {
            0 => panic!("could not take {said}"),
            1 => drop(said[1..].to_owned()), // says what it would have cut
            2 => drop(said.parse::<Refusing>().expect(SECRET)),
            _ => unreachable!("a fixed word"),
        });
        assert!(panicking.expect("a thread").join().is_err());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let failure = runtime.block_on(async { tokio::spawn(async { panic!("a task with {SAID}") }).await });
    assert!(failure.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_says_where_it_was_and_quotes_nothing() {
    for format in ["json", "pretty"] {
        let (said, reports) = done("panic", format).await;
        assert_none_in("the output", &said);
        assert_none_in("a report", &reports);
        for place in [&said, &reports] {
            assert!(place.matches("tests/security/child.rs:").count() >= 5, "{place}");
            assert!(place.contains("a fixed word"), "what is part of the program may be shown: {place}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_names_ids_and_nobody() {
    let (_, reports) = done("report", "json").await;
    assert!(reports.contains("turn failed") && reports.contains("m-4711"), "{reports}");
    assert!(!reports.contains("of no interest"), "{reports}");
    assert_none_in("a report", &reports);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_leak_is_found_in_either_form() {
    for format in ["json", "pretty"] {
        let (said, _) = done("leak", format).await;
        assert_eq!(found_in(&said), [SAID, NUMBER], "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_are_not_heard_below_info_whatever_the_setting_says() {
    let (said, _) = done("libraries", "json").await;
    assert!(said.contains("our own word") && said.contains("their warning"), "{said}");
    assert_none_in("the output", &said);
}
