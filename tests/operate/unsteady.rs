//! A queue that fails as SQS does: refuses single entries of a batch, and loses answers to calls that it took.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it took: bodies in order, by group.
#[derive(Default)]
pub struct Taken {
    pub bodies: BTreeMap<String, Vec<String>>,
    pub entries_failed: usize,
    pub answers_lost: usize,
    seen: BTreeSet<String>,
    entries: usize,
    calls: usize,
}

/// Serves on a port of its own, as long as the test runs. Returns its URL, and what it takes.
pub async fn serve() -> (String, Arc<Mutex<Taken>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let taken = Arc::new(Mutex::new(Taken::default()));
    let queue = taken.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(answer(connection, queue.clone()));
        }
    });
    (url, taken)
}

async fn answer(connection: TcpStream, queue: Arc<Mutex<Taken>>) {
    let mut connection = BufReader::new(connection);
    while let Some(request) = read(&mut connection).await {
        let answer = queue.lock().expect("lock").take(&request);
        let (status, body) = match answer {
            Some(body) => ("200 OK", body.to_string()),
            None => ("500 Internal Server Error", r#"{"__type":"com.amazonaws.sqs#InternalError"}"#.to_owned()),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if connection.write_all((head + &body).as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(connection: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

/// Some clients compare it.
fn md5(body: &str) -> String {
    Md5::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Taken {
    /// Every fifth entry fails; the answer to every seventh call is lost. What it saw before, it takes without keeping it.
    fn take(&mut self, request: &Value) -> Option<Value> {
        self.calls += 1;
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in request["Entries"].as_array().expect("entries") {
            let text = |name: &str| entry[name].as_str().expect("text").to_owned();
            self.entries += 1;
            if self.entries.is_multiple_of(5) {
                self.entries_failed += 1;
                failed.push(json!({"Id": text("Id"), "SenderFault": false, "Code": "InternalError"}));
                continue;
            }
            if self.seen.insert(text("MessageDeduplicationId")) {
                self.bodies.entry(text("MessageGroupId")).or_default().push(text("MessageBody"));
            }
            successful.push(json!({"Id": text("Id"), "MessageId": "m", "MD5OfMessageBody": md5(&text("MessageBody"))}));
        }
        if self.calls.is_multiple_of(7) {
            self.answers_lost += 1;
            return None;
        }
        Some(json!({"Successful": successful, "Failed": failed}))
    }
}
