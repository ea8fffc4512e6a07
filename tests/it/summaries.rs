//! Summaries made by a model behind an OpenAI-compatible endpoint: one call for what no longer fits, and what when it fails.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    asker::{Asker, texts},
    events::{Event, Thread},
};

/// How a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Answers,
    Fails,
    Hangs,
}

/// How a model is, and the head and body of each call to it.
type State = (Manner, Vec<(String, Value)>);

/// A model that numbers its summaries.
#[derive(Clone)]
struct Model {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Model {
    async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let model = Self { url, state: Arc::new(Mutex::new((Manner::Answers, Vec::new()))) };
        let serving = model.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.answer(client).await });
            }
        });
        model
    }

    async fn answer(&self, client: TcpStream) -> std::io::Result<()> {
        let (mut client, mut head, mut length) = (BufReader::new(client), String::new(), 0);
        loop {
            let begins = head.len();
            client.read_line(&mut head).await?;
            let line = head[begins..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body).await?;
        let (manner, calls) = {
            let mut state = self.state.lock().expect("the state");
            state.1.push((head, serde_json::from_slice(&body).expect("JSON")));
            (state.0, state.1.len())
        };
        let (status, body) = match manner {
            Manner::Answers => {
                let content = format!("summary {calls}");
                ("200 OK", json!({"choices": [{"message": {"role": "assistant", "content": content}}]}))
            }
            Manner::Fails => ("500 Internal Server Error", json!({"error": "a secret of yours"})),
            Manner::Hangs => return std::future::pending().await,
        };
        let body = body.to_string();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        client.write_all(answer.as_bytes()).await
    }

    fn behaves(&self, manner: Manner) {
        self.state.lock().expect("the state").0 = manner;
    }

    /// What it was told with the last call, and by how many calls until now.
    fn told(&self) -> (String, usize) {
        let state = self.state.lock().expect("the state");
        let last =
            state.1.last().map(|(_, body)| body["messages"][1]["content"].as_str().unwrap_or_default().to_owned());
        (last.unwrap_or_default(), state.1.len())
    }
}

/// Says five more things and asks.
async fn round(asker: &Asker, thread: &Thread, round: usize) -> Value {
    let says = |n| {
        thread.event(
            "message.received",
            json!({"message": {"id": format!("{round}-{n}"), "text": format!("order {round}{n} came late")}}),
        )
    };
    asker.stack.publish(&(0..5).map(says).collect::<Vec<Event>>()).await;
    asker.asks(thread, "get_context", json!({"strategy": "summary_buffer", "max_tokens": 24})).await
}

#[tokio::test]
async fn a_model_is_told_once_of_what_no_longer_fits_and_its_failure_leaves_the_previous_summary() {
    let model = Model::serve().await;
    let asker = Asker::new(
        "summary",
        &[
            ("CONVERSATIOND_SUMMARY_ENDPOINT", &model.url),
            ("CONVERSATIOND_SUMMARY_KEY", "key-1"),
            ("CONVERSATIOND_SUMMARY_MODEL", "small"),
            ("CONVERSATIOND_SUMMARY_SECONDS", "1"),
        ],
    )
    .await;
    let thread = Thread::of("whatsapp:+5511999990000");
    let recap = async || asker.stack.head(&thread).await.expect("a head").conversation.record().recap.clone();

    let first = round(&asker, &thread, 0).await;
    let (told, calls) = model.told();
    assert_eq!((calls, texts(&first)[0]), (1, "summary 1"), "{first}");
    assert!(told.contains("Human: order 00 came late") && !told.contains("order 04"), "{told}");
    {
        let state = model.state.lock().expect("the state");
        let (head, body) = &state.1[0];
        assert!(head.starts_with("POST /v1/chat/completions") && head.contains("Bearer key-1"), "{head}");
        assert_eq!((&body["model"], &body["temperature"]), (&json!("small"), &json!(0)));
    }
    let summary = &first["data"]["receipt"]["summary"];
    assert_eq!((&summary["stored"], &summary["behind"]), (&json!(true), &json!(false)));
    let watermark = recap().await.expect("a summary").through;

    let second = round(&asker, &thread, 1).await;
    let (told, calls) = model.told();
    assert_eq!((calls, texts(&second)[0]), (2, "summary 2"));
    assert!(
        told.contains("Current summary:\nsummary 1") && !told.contains("order 00"),
        "from the watermark on: {told}"
    );
    let stored = recap().await.expect("a summary");
    assert!(watermark < stored.through);
    assert_eq!(stored.messages as usize + texts(&second).len() - 1, 10, "each is told or summarised");

    for manner in [Manner::Fails, Manner::Hangs] {
        model.behaves(manner);
        let began = Instant::now();
        let failed = round(&asker, &thread, if manner == Manner::Fails { 2 } else { 3 }).await;
        assert!(began.elapsed() < Duration::from_secs(5), "{manner:?}: {:?}", began.elapsed());
        let receipt = &failed["data"]["receipt"];
        assert_eq!((&failed["status"], texts(&failed)[0]), (&json!("ok"), "summary 2"));
        assert_eq!((&receipt["summary"]["behind"], receipt["warning"].is_string()), (&json!(true), true), "{receipt}");
        assert!(!failed.to_string().contains("a secret of yours"));
        assert_eq!(recap().await.as_ref(), Some(&stored), "nothing is written over it");
    }

    model.behaves(Manner::Answers);
    let last = round(&asker, &thread, 4).await;
    let (told, _) = model.told();
    assert!(told.contains("order 20") && told.contains("order 30"), "what failed before is caught up: {told}");
    let stored = recap().await.expect("a summary");
    assert_eq!(stored.messages as usize + texts(&last).len() - 1, 25);
    asker.done().await;
}
