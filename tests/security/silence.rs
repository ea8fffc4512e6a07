//! The daemon at its most talkative, told of everything it knows to be told of: what it says afterwards bears no mark.

use base64::{Engine, engine::general_purpose::STANDARD};
use conversationd::sink::Keys;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    bodies::{self, event},
    listener::{Got, Listener, open},
    marks::{NUMBER, SAID, SECRET, assert_none_in},
    process::{Daemon, Files, letters, script, send, until},
    site::{Site, on_a_site},
};

/// A contact beside the usual one, one of whose messages PostgreSQL refuses.
const REFUSED: &str = "unerwünscht";

/// Sinks, and how each answers: (name, what it is, status).
const SINKS: [(&str, &str, u16); 8] = [
    ("good", "kind = 'webhook'", 200),
    ("broken", "kind = 'webhook'", 500),
    ("refusing", "kind = 'webhook'", 400),
    ("turning", "kind = 'webhook'", 302),
    ("denied", "kind = 'webhook'", 401),
    ("throttling", "kind = 'webhook'", 429),
    ("crm", "kind = 'crm'", 422),
    ("classifier", "kind = 'classifier'", 200),
];

/// Answers everybody, and tells whoever asks what he said himself.
fn answer(got: &Got) -> Option<(u16, String)> {
    let path = got.line.split(' ').nth(1).unwrap_or_default();
    let echo = format!("{SAID} {SECRET} {got:?} {}", String::from_utf8_lossy(&got.body));
    if path.starts_with("/api/") || path.starts_with("/otlp") {
        return Some((200, "{}".into()));
    }
    let sink = SINKS.iter().find(|(name, _, _)| path.starts_with(&format!("/{name}/")));
    match sink {
        Some(("classifier", _, status)) => Some((*status, json!({"resolution": SAID, "topic": SAID}).to_string())),
        Some((_, _, status)) => Some((*status, echo)),
        None if path.contains("hubspot") => Some((400, json!({"message": echo, "category": SAID}).to_string())),
        None if path.contains("summary") => Some((503, echo)),
        None if path.contains("silent") => None,
        None => Some((500, echo)),
    }
}

fn sinks_file(port: u16, key: &str, token: &str) -> String {
    let base = format!("http://127.0.0.1:{port}");
    let mut text = open(port);
    for (name, kind, _) in SINKS {
        let secret =
            if kind.contains("webhook") { format!("secret = 'file:{key}'") } else { format!("token = 'file:{token}'") };
        text += &format!("\n[[sink]]\nname = '{name}'\n{kind}\nurl = '{base}/{name}/{SECRET}'\n{secret}\n");
    }
    text + &format!(
        "\n[[sink]]\nname = 'silent'\nkind = 'webhook'\nurl = '{base}/silent/{SECRET}'\nsecret = 'file:{key}'\n\
         [[sink]]\nname = 'hubspot'\nkind = 'hubspot'\nbase_url = '{base}/hubspot'\napi_version = '2026-09'\ntoken = 'file:{token}'\n\
         [[sink]]\nname = 'alerts'\nkind = 'alert'\nurl = 'env:CANARY_ALERTS'\ncsat_at_most = 5\nnps_at_most = 10\n\
         [[sink]]\nname = 'datalake'\nkind = 'datalake'\naddress = '127.0.0.1:{port}'\nevent_name = 'e'\ncsat_key = 'c'\n\
         nps_key = 'n'\nclosed_key = 'k'\n\
         [[sink]]\nname = 'nowhere'\nkind = 'queue'\nurl = '{base}/1/nowhere-{SAID}.fifo'\n"
    )
}

async fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {SAID}\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer, and then its end");
    answer
}

async fn queue(site: &Site, name: &str) -> String {
    let name = format!("{}-{name}", site.provisioned.table);
    let made = site.clients.sqs.control.create_queue().queue_name(name).send().await.expect("a queue");
    made.queue_url.expect("its URL")
}

/// Everything there is to tell it, and everything that can go wrong with it.
async fn tell(site: &Site, requests: &str, reply_to: &str) {
    let bodies = bodies::all(reply_to);
    let trace = [("traceparent", SAID), ("AWSTraceHeader", SAID)];
    for body in &bodies.taken {
        send(site, "thread", body, &trace).await;
        if body.contains("reply_to") {
            let ask = site.clients.sqs.control.send_message().queue_url(requests).message_body(body);
            ask.send().await.expect("it is asked");
        }
    }
    for (n, body) in bodies.refused.iter().enumerate() {
        send(site, &format!("refused-{}", n % 16), body, &[]).await;
    }
    send(site, "attribute", &event("message.received", NUMBER, json!({})), &[("event_type", SAID)]).await;
    let number = format!("{NUMBER}1");
    let bomb = json!({"message": {"id": "bomb", "text": format!("{REFUSED} {SAID}")}});
    send(site, "bomb", &event("message.received", &number, bomb), &[]).await;
    send(site, "bomb", &event("conversation.close", &number, json!({})), &[]).await;
    let wanted = bodies.refused.len() + 2; // the attribute, and the close that PostgreSQL refuses
    until("the queue is empty", async || site.depth().await == 0).await;
    until("what was refused is kept", async || letters(site).await >= wanted).await;
}

async fn the_daemon_tells_nobody_anything(format: &'static str, level: &'static str) {
    on_a_site(async move |site| {
        let listener = Listener::serve(answer).await;
        let base = format!("http://127.0.0.1:{}", listener.port);
        let mut files = Files::default();
        let key = files.hold(&format!("whsec_{}\n", STANDARD.encode(format!("{SECRET}-{SECRET}"))));
        let token = files.hold(SECRET);
        let sinks = files.hold(&sinks_file(listener.port, key.to_str().unwrap(), token.to_str().unwrap()));
        let health = files.hold("");
        let mut database: url::Url = std::env::var("DATABASE_URL").expect("DATABASE_URL").parse().expect("a URL");
        database.set_password(Some(SECRET)).expect("a password");
        let (replies, requests) = (queue(&site, "replies").await, queue(&site, "requests").await);
        let reply_to = replies.rsplit('/').next().expect("a name").to_owned();
        let settings = [
            ("CONVERSATIOND_LOG", level.into()),
            ("CONVERSATIOND_LOG_FORMAT", format.into()),
            ("RUST_BACKTRACE", "1".into()),
            ("CONVERSATIOND_GRACE_SECONDS", "0".into()),
            ("CONVERSATIOND_TIMER_SECONDS", "1".into()),
            ("CONVERSATIOND_POLL_WAIT_SECONDS", "1".into()),
            ("CONVERSATIOND_ATTEMPTS", "1".into()),
            ("CONVERSATIOND_RETRIES", "0".into()),
            ("CONVERSATIOND_METRICS_ADDRESS", "127.0.0.1:0".into()),
            ("CONVERSATIOND_HEALTH_FILE", health.display().to_string()),
            ("CONVERSATIOND_REPLY_QUEUES", reply_to.clone()),
            ("SQS_CONVERSATION_REQUEST_QUEUE_URL", requests.clone()),
            ("CONVERSATIOND_SINKS_FILE", sinks.display().to_string()),
            ("CANARY_ALERTS", format!("{base}/alerts/{SECRET}")),
            ("CONVERSATIOND_SUMMARY_ENDPOINT", format!("{base}/summary/{SECRET}")),
            ("CONVERSATIOND_SUMMARY_KEY", SECRET.into()),
            ("CONVERSATIOND_SUMMARY_MODEL", "m".into()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{base}/otlp")),
            ("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {SECRET}")),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000".into()),
            ("SENTRY_DSN", format!("http://{SECRET}@127.0.0.1:{}/42", listener.port)),
            ("DATABASE_URL", database.to_string()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_SESSION_TOKEN", SECRET.into()),
        ];
        script(&site, &format!("alter table message add constraint wanted check (text not like '{REFUSED}%')")).await;
        let daemon = Daemon::start(&site, &settings);
        let page = daemon.says("metrics page").await;
        let port: String =
            page.split("127.0.0.1:").nth(1).expect("a port").chars().take_while(char::is_ascii_digit).collect();
        daemon.says("started").await;

        tell(&site, &requests, &reply_to).await;
        let came = |to: &str| listener.got().iter().filter(|got| got.line.contains(to)).count();
        for (name, _, _) in SINKS {
            until(name, async || came(&format!("/{name}/")) > 0).await;
        }
        for name in ["/silent/", "/hubspot/", "/alerts/", "/summary/", "/api/42/", "/otlp"] {
            until(name, async || came(name) > 0).await;
        }
        let address = format!("127.0.0.1:{port}");
        let page = get(&address, "/metrics").await + &get(&address, &format!("/healthz?{SAID}")).await;
        let pages = [page, get(&address, &format!("/{SAID}")).await];
        let status = std::fs::read_to_string(&health).expect("the health file");
        let log = daemon.ended().await;
        for url in [&replies, &requests] {
            site.clients.sqs.control.delete_queue().queue_url(url).send().await.expect("a queue goes");
        }

        // everything went through it: whoever may know was told
        let got = listener.got();
        let told = |to: &str, mark: &str| {
            got.iter().any(|got| got.line.contains(to) && String::from_utf8_lossy(&got.body).contains(mark))
        };
        assert!(told("/good/", SAID) && told("/good/", NUMBER) && told("/crm/", SAID) && told("/hubspot/", NUMBER));
        let signed = got.iter().find(|got| got.line.contains("/good/")).expect("a webhook");
        assert!(
            Keys::parse(&std::fs::read_to_string(&key).unwrap()).is_ok()
                && !signed.header("webhook-signature").is_empty()
        );
        assert!(got.iter().any(|got| got.line.contains("/crm/") && got.header("authorization").contains(SECRET)));
        for said in
            ["dead-lettered", "turn failed", "given up", "conversation archived", "a notice was given up", "attempted"]
        {
            assert!(log.contains(said), "it never said {said:?}:\n{log}");
        }
        assert!(log.lines().count() > 300, "{}", log.lines().count());
        assert!(pages[0].contains("conversationd_messages_stored_total") && status.len() > 10);

        // and nobody else was
        assert_none_in("the log", &log);
        pages.iter().for_each(|page| assert_none_in("the metrics page", page));
        assert_none_in("the health file", &status);
        for got in got.iter().filter(|got| got.line.contains("/otlp") || got.line.contains("/api/42/")) {
            let place = got.line.split('/').nth(1).expect("a path");
            assert_none_in(place, &String::from_utf8_lossy(&got.body));
        }
        // errors alone are reported, not every line of the log
        let reports = came("/api/42/");
        let errors = log.lines().filter(|line| line.contains("ERROR")).count();
        assert!((1..=errors).contains(&reports), "{reports} reports of {errors} errors");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_into_json_and_everything_that_is_told_beside_it() {
    the_daemon_tells_nobody_anything("json", "trace").await;
}

/// Asked for by name, the libraries say no more than they do anyway: they would show whole requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_leaks_into_lines_for_people_whoever_is_asked_to_talk() {
    let talkative = "trace,aws_smithy_runtime=trace,aws_smithy_http_client=trace,aws_sdk_sqs=trace,aws_sdk_dynamodb=trace,\
        aws_runtime=trace,aws_sigv4=trace,hyper=trace,hyper_util=trace,h2=trace,sqlx=trace,rustls=trace,ureq=trace";
    the_daemon_tells_nobody_anything("pretty", talkative).await;
}
