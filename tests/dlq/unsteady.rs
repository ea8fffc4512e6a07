//! A way to the stack on which some sends fail: refused before they arrive, or taken and their answer lost.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it did.
#[derive(Default)]
pub struct Done {
    pub sends: AtomicU64,
    pub failed: AtomicU64,
}

/// Serves on a port of its own in front of `stack` (host:port). Every seventh send is refused, the answer to every eleventh lost.
pub async fn serve(stack: String) -> (String, Arc<Done>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let done = Arc::new(Done::default());
    let counted = done.clone();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(pass(connection, stack.clone(), counted.clone()));
        }
    });
    (url, done)
}

async fn pass(connection: TcpStream, stack: String, done: Arc<Done>) {
    let mut client = BufReader::new(connection);
    let Ok(server) = TcpStream::connect(&stack).await else { return };
    let mut server = BufReader::new(server);
    while let Some((request, send)) = message(&mut client).await {
        let place = if send { done.sends.fetch_add(1, Ordering::Relaxed) + 1 } else { 1 };
        let fails = place.is_multiple_of(7) || place.is_multiple_of(11);
        if !place.is_multiple_of(7) {
            if server.write_all(&request).await.is_err() {
                return;
            }
            let Some((answer, _)) = message(&mut server).await else { return };
            if !fails && client.write_all(&answer).await.is_err() {
                return;
            }
        }
        if fails {
            done.failed.fetch_add(1, Ordering::Relaxed);
            let body = r#"{"__type":"com.amazonaws.sqs#InternalError"}"#;
            let head =
                "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: ";
            let _ = client.write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes()).await;
        }
    }
}

/// One request or answer, and whether it is a SendMessage.
async fn message(connection: &mut BufReader<TcpStream>) -> Option<(Vec<u8>, bool)> {
    let (mut bytes, mut length, mut send) = (Vec::new(), 0, false);
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let lower = line.trim_end().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        send |= lower == "x-amz-target: amazonsqs.sendmessage";
        bytes.extend_from_slice(line.as_bytes());
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.ok()?;
    bytes.extend(body);
    Some((bytes, send))
}
