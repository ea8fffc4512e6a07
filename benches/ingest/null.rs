//! An AWS that costs its caller nothing: SQS and DynamoDB, as far as the paths go, answering at once from memory.
//!
//! It keeps the heads that are put, for they are read again, and forgets messages. It counts every call, and what AWS
//! would bill. It checks no condition and loses nothing: a bench has one consumer.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

/// Bytes of an item that one unit writes, and that one reads.
const WRITE_UNIT: usize = 1024;
const READ_UNIT: usize = 4096;

/// What was asked of it since it was last filled.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// Calls by operation, empty receives included.
    pub calls: BTreeMap<String, u64>,
    /// Those to SQS.
    pub sqs_calls: u64,
    /// Messages deleted from the queue.
    pub deleted: u64,
    /// Messages put into the table.
    pub put: u64,
    /// Write request units, those of the index included.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
}

#[derive(Default)]
struct State {
    receives: VecDeque<Bytes>,
    heads: HashMap<String, Value>,
    bill: Bill,
}

/// The server; it ends with the process.
pub struct NullAws {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What a call is answered with.
enum Answer {
    At(StatusCode, Bytes),
    /// Nothing to receive: answered when the wait is over.
    Empty(Duration),
}

impl NullAws {
    /// Starts it, on a thread of its own.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let (address, state) = (listener.local_addr()?, Arc::<Mutex<State>>::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = state.clone();
        std::thread::spawn(move || runtime.block_on(serve(listener, served)));
        Ok(Self { address, state })
    }

    /// Fills the queue, empties the table, and counts from nothing.
    pub fn fill(&self, receives: Vec<Bytes>) {
        *lock(&self.state) = State { receives: receives.into(), ..State::default() };
    }

    /// What was asked since.
    pub fn bill(&self) -> Bill {
        lock(&self.state).bill.clone()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("no call panics")
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let state = state.clone();
        let calls = service_fn(move |request| answer(state.clone(), request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), calls));
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    let (api, operation) = target.and_then(|target| target.split_once('.')).unwrap_or_default();
    let (is_sqs, operation) = (api == "AmazonSQS", operation.to_owned());
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = serde_json::from_slice(&body).unwrap_or_default();
    let answer = lock(&state).answer(is_sqs, &operation, &asked);
    let (status, body) = match answer {
        Answer::At(status, body) => (status, body),
        Answer::Empty(wait) => {
            tokio::time::sleep(wait).await;
            (StatusCode::OK, Bytes::from_static(b"{}"))
        }
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, "application/x-amz-json-1.0".parse().expect("a header"));
    Ok(response)
}

impl State {
    fn answer(&mut self, is_sqs: bool, operation: &str, asked: &Value) -> Answer {
        *self.bill.calls.entry(operation.to_owned()).or_default() += 1;
        self.bill.sqs_calls += u64::from(is_sqs);
        let said = match operation {
            "ReceiveMessage" => match self.receives.pop_front() {
                Some(messages) => return Answer::At(StatusCode::OK, messages),
                None => return Answer::Empty(Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0))),
            },
            "DeleteMessage" => {
                self.bill.deleted += 1;
                json!({})
            }
            "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
                let done: Vec<Value> = list(&asked["Entries"]).iter().map(|entry| json!({"Id": entry["Id"]})).collect();
                self.bill.deleted += if operation == "DeleteMessageBatch" { done.len() as u64 } else { 0 };
                json!({"Successful": done, "Failed": []})
            }
            "ChangeMessageVisibility" => json!({}),
            "SendMessage" => json!({"MessageId": "sent", "MD5OfMessageBody": "", "SequenceNumber": "1"}),
            "GetItem" => {
                let strong = asked["ConsistentRead"].as_bool().unwrap_or(false);
                match self.read(&asked["Key"], strong) {
                    Some(item) => json!({"Item": item}),
                    None => json!({}),
                }
            }
            "BatchGetItem" => {
                let mut found = serde_json::Map::new();
                for (table, wanted) in asked["RequestItems"].as_object().into_iter().flatten() {
                    let strong = wanted["ConsistentRead"].as_bool().unwrap_or(false);
                    let items = list(&wanted["Keys"]).iter().filter_map(|key| self.read(key, strong)).collect();
                    found.insert(table.clone(), Value::Array(items));
                }
                json!({"Responses": found, "UnprocessedKeys": {}})
            }
            "PutItem" => {
                self.write(&asked["Item"]);
                json!({})
            }
            "BatchWriteItem" => {
                for request in asked["RequestItems"].as_object().into_iter().flatten().flat_map(|(_, all)| list(all)) {
                    self.write(&request["PutRequest"]["Item"]);
                }
                json!({"UnprocessedItems": {}})
            }
            // nothing is due, told or set
            "Query" => {
                self.bill.read_units += units(0, READ_UNIT, asked["ConsistentRead"].as_bool().unwrap_or(false));
                json!({"Items": [], "Count": 0, "ScannedCount": 0})
            }
            _ => {
                let unknown = Bytes::from_static(br#"{"__type":"UnknownOperationException"}"#);
                return Answer::At(StatusCode::BAD_REQUEST, unknown);
            }
        };
        Answer::At(StatusCode::OK, said.to_string().into())
    }

    fn read(&mut self, key: &Value, strong: bool) -> Option<Value> {
        let found = self.heads.get(text(&key["pk"]));
        self.bill.read_units += units(found.map_or(0, size), READ_UNIT, strong);
        found.cloned()
    }

    fn write(&mut self, item: &Value) {
        self.bill.write_units += units(size(item), WRITE_UNIT, true);
        if text(&item["sk"]) != "HEAD" {
            self.bill.put += 1;
            return;
        }
        let due = |item: &Value| item.get("due_at").cloned();
        let (pk, due_now) = (text(&item["pk"]), due(item));
        let before = self.heads.insert(pk.to_owned(), item.clone()).and_then(|before| due(&before));
        // an entry of the index that moves is deleted and written
        if before != due_now {
            self.bill.write_units += f64::from(u8::from(before.is_some()) + u8::from(due_now.is_some()));
        }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(attribute: &Value) -> &str {
    attribute["S"].as_str().unwrap_or_default()
}

/// What DynamoDB bills for `bytes`: whole units, one at least; half of that for a read that may be stale.
fn units(bytes: usize, unit: usize, strong: bool) -> f64 {
    let units = bytes.div_ceil(unit).max(1) as f64;
    if strong { units } else { units / 2.0 }
}

/// Bytes of an item, as DynamoDB counts them: names and values.
fn size(item: &Value) -> usize {
    let value = |attribute: &Value| match (attribute["S"].as_str(), attribute["N"].as_str()) {
        (Some(text), _) => text.len(),
        (_, Some(number)) => number.len().div_ceil(2) + 1,
        _ => 1,
    };
    item.as_object().into_iter().flatten().map(|(name, attribute)| name.len() + value(attribute)).sum()
}
