//! What is sent, and what receivers may do to whoever sends it.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use conversationd::{
    domain::{Notice, NoticeKind},
    sink::{Dispatch, Keys, Outcome, Sink, Verdict},
};

use crate::{
    house::notice,
    listener::{Hostile, Listener, built, closed, open},
};

const KEY: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A file with a secret, which goes with the test.
struct Secret(PathBuf);

impl Secret {
    fn holding(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("conversationd-test-{}", uuid::Uuid::new_v4()));
        fs::write(&path, text).expect("a file");
        Self(path)
    }

    fn webhook(&self, url: &str) -> String {
        format!("kind = 'webhook'\nurl = '{url}'\nsecret = 'file:{}'", self.0.display())
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

async fn send(sink: &Arc<dyn Sink>, notice: &Notice) -> Verdict {
    sink.send(&Dispatch { notice, lane: notice.conversation_lane, sequence: 7, attempt: 3 }).await
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}/hook")
}

#[tokio::test]
async fn a_receiver_verifies_what_it_gets_with_the_new_key_and_with_the_old_one() {
    let listener = Listener::serve(|_| Some((204, String::new()))).await;
    let now = chrono::Utc::now();
    let rotated = Keys::parse(KEY).expect("a key").rotated([7; 32], now);
    let secret = Secret::holding(&rotated.text);
    let sink = built(&open(listener.port), &secret.webhook(&local(listener.port)));
    assert_eq!(send(&sink, &notice(1, 1)).await, Verdict::delivered(Some(204)));

    let got = &listener.got()[0];
    assert_eq!(got.line, "POST /hook");
    let at = got.header("webhook-timestamp").parse::<i64>().expect("seconds");
    assert!((at - now.timestamp()).abs() < 60);
    let at = chrono::DateTime::from_timestamp(at, 0).expect("a time");
    let id = got.header("webhook-id");
    let signatures: Vec<&str> = got.header("webhook-signature").split(' ').collect();
    assert_eq!(signatures.len(), 2);
    for key in [rotated.new.as_str(), KEY] {
        let receiver = Keys::parse(key).expect("a key");
        assert!(signatures.contains(&receiver.signatures(id, at, &got.body).as_str()));
    }
    let body = got.json();
    assert_eq!((body["id"].as_str(), body["sequence"].as_i64()), (Some(id), Some(7)));
    assert_eq!(body["data"]["contact_urn"], "whatsapp:+5511999990000");
    assert_eq!(got.header("x-conversationd-attempt"), "3");
}

#[tokio::test]
async fn a_webhook_of_the_datalakes_shape_gets_its_events_as_json_and_nothing_else() {
    let listener = Listener::serve(|_| Some((204, String::new()))).await;
    let secret = Secret::holding(KEY);
    let entry = format!("{}\nshape = 'datalake'\nnps_key = 'nps'", secret.webhook(&local(listener.port)));
    let sink = built(&open(listener.port), &entry);
    let mut rated = notice(1, 1);
    rated.kind = NoticeKind::Rated;
    rated.content.insert("rating".into(), "nps".into());
    rated.content.insert("score".into(), 0.into());
    assert_eq!(send(&sink, &rated).await, Verdict::delivered(Some(204)));
    assert_eq!(send(&sink, &notice(1, 2)).await.outcome, Outcome::Delivered);
    let got = listener.got();
    assert_eq!(got.len(), 1, "an update is nothing to the datalake");
    let body = got[0].json();
    assert_eq!((body["event_name"].as_str(), body["key"].as_str()), (Some("weni_nexus_data"), Some("nps")));
    assert_eq!(
        (body["value"].as_str(), body["metadata"]["event_id"].as_str()),
        (Some("0"), Some(got[0].header("webhook-id")))
    );
}

#[tokio::test]
async fn a_new_secret_needs_no_restart_and_a_missing_one_pauses() {
    let listener = Listener::serve(|_| Some((200, String::new()))).await;
    let secret = Secret::holding(KEY);
    let sink = built(&open(listener.port), &secret.webhook(&local(listener.port)));
    send(&sink, &notice(1, 1)).await;
    fs::write(&secret.0, Keys::parse(KEY).expect("a key").rotated([1; 32], chrono::Utc::now()).text).expect("written");
    send(&sink, &notice(1, 1)).await;
    fs::write(&secret.0, "hunter2").expect("written");
    let verdict = send(&sink, &notice(1, 1)).await;
    assert_eq!(verdict.outcome, Outcome::Misconfigured);
    assert!(!format!("{verdict:?}").contains("hunter2"));
    let signatures: Vec<usize> =
        listener.got().iter().map(|got| got.header("webhook-signature").split(' ').count()).collect();
    assert_eq!(signatures, [1, 2]);
    fs::remove_file(&secret.0).expect("removed");
    assert_eq!(send(&sink, &notice(1, 1)).await.outcome, Outcome::Misconfigured);
}

#[tokio::test]
async fn redirect_not_followed() {
    let target = Listener::serve(|_| Some((200, String::new()))).await;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", local(target.port));
    let redirecting = Hostile::serve(head, None).await;
    let secret = Secret::holding(KEY);
    let sink = built(&open(redirecting.port), &secret.webhook(&local(redirecting.port)));
    assert_eq!(send(&sink, &notice(1, 1)).await.outcome, Outcome::Retry { after: None });
    assert!(target.got().is_empty());
}

#[tokio::test]
async fn rebinding_blocked() {
    let listener = Hostile::serve("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".into(), None).await;
    let secret = Secret::holding(KEY);
    // a name is judged by what it resolves to for the connection; an address by itself, however it is written
    for host in ["localhost", "127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{}/", listener.port);
        let sink = built(&closed(listener.port), &secret.webhook(&url));
        let verdict = send(&sink, &notice(1, 1)).await;
        assert_eq!(verdict.outcome, Outcome::Misconfigured, "{host}: {verdict:?}");
    }
    assert_eq!(listener.connections.load(Ordering::Relaxed), 0, "nobody was connected to");
    let sink = built(&open(listener.port), &secret.webhook(&format!("http://localhost:{}/", listener.port)));
    assert_eq!(send(&sink, &notice(1, 1)).await.outcome, Outcome::Delivered, "an allowed network is");
}

#[tokio::test]
async fn body_bounded() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n".to_owned();
    let endless = Hostile::serve(head, Some(vec![b'a'; 16 * 1024])).await;
    let secret = Secret::holding(KEY);
    let sink = built(&open(endless.port), &secret.webhook(&local(endless.port)));
    assert_eq!(send(&sink, &notice(1, 1)).await, Verdict::delivered(Some(200)), "its status was said");
    // what it could write is what sockets buffer: then nobody reads any more, and its connection is closed
    let written = endless.written.load(Ordering::Relaxed);
    assert!(written < 16 * 1024 * 1024, "{written} bytes");
}

#[tokio::test]
async fn slow_body_hits_deadline() {
    let secret = Secret::holding(KEY);
    for head in ["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "HTTP/1.1 200 OK\r\n", ""] {
        let slow = Hostile::serve(head.into(), None).await;
        let sink = built(&open(slow.port), &secret.webhook(&local(slow.port)));
        let sent = tokio::time::timeout(Duration::from_millis(200), send(&sink, &notice(1, 1))).await;
        assert!(sent.is_err(), "one deadline is over all of it: {head:?} gave {sent:?}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_no_tls_is_a_failure_like_any_other() {
    let secret = Secret::holding(KEY);
    let closed = Hostile::serve("\0\0\0\0\0not http\r\n\r\n".into(), None).await;
    for url in [local(closed.port), format!("https://127.0.0.1:{}/", closed.port), "http://127.0.0.1:1/".into()] {
        let egress = "[egress]\nnetworks = ['127.0.0.0/8']\nhttp = true\nports = [1, PORT]";
        let sink = built(&egress.replace("PORT", &closed.port.to_string()), &secret.webhook(&url));
        let sent = tokio::time::timeout(Duration::from_secs(5), send(&sink, &notice(1, 1))).await;
        assert!(sent.is_err() || sent.is_ok_and(|verdict| verdict.outcome == Outcome::Retry { after: None }), "{url}");
    }
}

#[tokio::test]
async fn retry_after_is_read_in_seconds_and_as_a_date() {
    let secret = Secret::holding(KEY);
    let later = (chrono::Utc::now() + Duration::from_secs(600)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (text, expected) in [("7", Some(7..8)), ("1.5", Some(2..3)), (later.as_str(), Some(590..601)), ("soon", None)] {
        let head = format!("HTTP/1.1 429 Slow\r\nretry-after: {text}\r\ncontent-length: 0\r\n\r\n");
        let busy = Hostile::serve(head, None).await;
        let sink = built(&open(busy.port), &secret.webhook(&local(busy.port)));
        let Outcome::Throttled { after } = send(&sink, &notice(1, 1)).await.outcome else { panic!("throttled") };
        assert_eq!(after.is_some(), expected.is_some(), "{text}");
        assert!(expected.is_none_or(|range| range.contains(&after.unwrap().as_secs())), "{text}: {after:?}");
    }
}

#[tokio::test]
async fn an_alert_is_a_text_and_its_url_is_a_secret() {
    let listener = Listener::serve(|_| Some((200, "ok".into()))).await;
    let secret = Secret::holding(&local(listener.port));
    let sink = built(&open(listener.port), &format!("kind = 'alert'\nurl = 'file:{}'", secret.0.display()));
    let alert = Notice::alert_of_sink("sink_paused", "partner", "refused our key", crate::house::noon());
    assert_eq!(send(&sink, &alert).await.outcome, Outcome::Delivered);
    assert_eq!(listener.got()[0].json(), serde_json::json!({ "text": "*sink_paused* partner: refused our key" }));
    let sink =
        built(&closed(1).replace("http = true", ""), &format!("kind = 'alert'\nurl = 'file:{}'", secret.0.display()));
    assert_eq!(send(&sink, &alert).await.outcome, Outcome::Misconfigured, "not without TLS");
}

#[tokio::test]
async fn an_alert_can_be_signed_and_the_rules_hold_all_the_same() {
    let listener = Listener::serve(|_| Some((200, "ok".into()))).await;
    let (url, key) = (Secret::holding(&local(listener.port)), Secret::holding(KEY));
    let entry = format!(
        "kind = 'alert'\nurl = 'file:{}'\nsecret = 'file:{}'\ncsat_at_most = 2",
        url.0.display(),
        key.0.display()
    );
    let sink = built(&open(listener.port), &entry);
    for (score, sent) in [(2, 1), (3, 1), (0, 2)] {
        let mut rating = Notice { kind: NoticeKind::Rated, ..notice(1, 1) };
        rating.content.insert("rating".into(), "csat".into());
        rating.content.insert("score".into(), score.into());
        assert_eq!(send(&sink, &rating).await.outcome, Outcome::Delivered);
        assert_eq!(listener.got().len(), sent, "csat {score}");
    }
    let alert = Notice::alert("dead_letters", "the inbound queue", "look", crate::house::noon());
    assert_eq!(send(&sink, &alert).await.outcome, Outcome::Delivered);
    let got = listener.got();
    let receiver = Keys::parse(KEY).expect("a key");
    for got in &got {
        let at = got.header("webhook-timestamp").parse().ok().and_then(|at| chrono::DateTime::from_timestamp(at, 0));
        let signed = receiver.signatures(got.header("webhook-id"), at.expect("a time"), &got.body);
        assert_eq!(got.header("webhook-signature"), signed);
    }
    assert_eq!(got[2].json()["data"]["rule"], "dead_letters");
}

#[tokio::test]
async fn a_crm_gets_the_contact_a_token_and_a_key_for_repeats() {
    let listener = Listener::serve(|_| Some((200, String::new()))).await;
    let token = Secret::holding("t0k3n\n");
    let entry = format!("kind = 'crm'\nurl = '{}'\ntoken = 'file:{}'", local(listener.port), token.0.display());
    let sink = built(&open(listener.port), &entry);
    let told = notice(1, 1);
    for _ in 0..2 {
        assert_eq!(send(&sink, &told).await.outcome, Outcome::Delivered);
    }
    let got = listener.got();
    assert_eq!(got[0].header("authorization"), "Bearer t0k3n");
    assert_eq!(got[0].header("idempotency-key"), got[1].header("idempotency-key"));
    assert_eq!(got[0].json()["contact"]["urn"], "whatsapp:+5511999990000");
    assert_eq!(got[0].json()["event"]["type"], NoticeKind::Updated.as_str());
}
