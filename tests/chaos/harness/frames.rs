//! Bytes on their way to a server → whole requests, and what is asked for. As much of HTTP/1.1 and of PostgreSQL's protocol as
//! a fault needs to know.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// Something that goes to a server as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub asks: Asks,
}

/// What it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// An AWS operation, as the header names it, and its body.
    Operation(String, Vec<u8>),
    /// The end of a transaction that wrote.
    Commit,
    /// Anything else.
    Other,
}

/// Takes whole HTTP requests out of a connection's bytes.
pub fn http(waiting: &mut Vec<u8>) -> Option<Frame> {
    let head_ends = waiting.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&waiting[..head_ends]).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if waiting.len() < head_ends + length {
        return None;
    }
    let bytes: Vec<u8> = waiting.drain(..head_ends + length).collect();
    let operation = header("x-amz-target").unwrap_or_default();
    let operation = operation.rsplit('.').next().unwrap_or_default().to_owned();
    let body = bytes[head_ends..].to_vec();
    Some(Frame { bytes, asks: Asks::Operation(operation, body) })
}

/// An answer that says: too much, ask later. Every other one says it as a fault of the server.
pub fn refusal(times: u64) -> Vec<u8> {
    let (status, code) = match times % 2 {
        0 => ("400 Bad Request", "ThrottlingException"),
        _ => ("503 Service Unavailable", "ServiceUnavailable"),
    };
    answer(status, &json!({ "__type": code, "message": "refused on the way" }))
}

/// An answer that does nothing of a batch, as the services say it; `None` for what is no batch.
pub fn nothing_done(operation: &str, body: &[u8]) -> Option<Vec<u8>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let said = match operation {
        "BatchWriteItem" => json!({ "UnprocessedItems": body["RequestItems"] }),
        "BatchGetItem" => json!({ "Responses": {}, "UnprocessedKeys": body["RequestItems"] }),
        "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
            let failed = |entry: &Value| json!({ "Id": entry["Id"], "SenderFault": false, "Code": "InternalError" });
            let failed: Vec<Value> = body["Entries"].as_array()?.iter().map(failed).collect();
            json!({ "Successful": [], "Failed": failed })
        }
        _ => return None,
    };
    Some(answer("200 OK", &said))
}

fn answer(status: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// A connection to PostgreSQL, as far as it tells which requests are commits.
#[derive(Debug, Default)]
pub struct Postgres {
    begun: bool,
    commits: BTreeSet<Vec<u8>>,
}

/// The code that asks for encryption, in place of a protocol version.
const SSL_REQUEST: u32 = 80_877_103;

impl Postgres {
    /// Takes everything that is whole out of a connection's bytes.
    pub fn take(&mut self, waiting: &mut Vec<u8>) -> Option<Frame> {
        let mut end = 0;
        let mut asks = Asks::Other;
        while let Some((kind, message)) = self.next(&waiting[end..]) {
            if self.is_commit(kind, message) {
                asks = Asks::Commit;
            }
            end += message.len();
        }
        (end > 0).then(|| Frame { bytes: waiting.drain(..end).collect(), asks })
    }

    /// The first message: its kind, 0 before a connection is set up, and its bytes.
    fn next<'a>(&mut self, bytes: &'a [u8]) -> Option<(u8, &'a [u8])> {
        let at = usize::from(self.begun);
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let message = bytes.get(..at + length)?;
        if self.begun {
            return Some((message[0], message));
        }
        let code = u32::from_be_bytes(message.get(4..8)?.try_into().ok()?);
        self.begun = code != SSL_REQUEST;
        Some((0, message))
    }

    /// Whether it is the execution of a commit; remembers the statements that are prepared.
    fn is_commit(&mut self, kind: u8, message: &[u8]) -> bool {
        let texts: Vec<&[u8]> = message.get(5..).unwrap_or_default().splitn(3, |byte| *byte == 0).collect();
        let is = |text: Option<&&[u8]>| text.is_some_and(|text| text.eq_ignore_ascii_case(b"commit"));
        match kind {
            b'Q' => is(texts.first()),
            b'P' => {
                let name = texts.first().map(|name| name.to_vec()).unwrap_or_default();
                if is(texts.get(1)) {
                    self.commits.insert(name);
                } else {
                    self.commits.remove(&name);
                }
                false
            }
            b'B' => texts.get(1).is_some_and(|name| self.commits.contains(*name)),
            _ => false,
        }
    }
}
