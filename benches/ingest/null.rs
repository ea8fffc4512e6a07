//! An AWS that costs its caller nothing: SQS and DynamoDB, as far as the paths go, answering at once from memory.
//!
//! It keeps the heads that are put, for they are read again, and forgets messages unless it is told to keep them. It counts
//! every call, and what AWS would bill. It checks no condition and loses nothing: a bench has one consumer.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    convert::Infallible,
    net::{SocketAddr, TcpListener},
    ops::Bound::{Excluded, Included},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
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

/// What one receive brings.
pub struct Receive {
    /// The answer.
    pub body: Bytes,
    /// Correlation ids of the requests in it.
    pub asks: Vec<String>,
}

#[derive(Default)]
struct State {
    receives: VecDeque<Receive>,
    heads: HashMap<String, Value>,
    /// Messages by key, if they are kept.
    kept: Option<BTreeMap<(String, String), Value>>,
    /// When the next receive is answered, and how long after it the one that follows; none: at once.
    pace: Option<(Instant, Duration)>,
    asked: HashMap<String, Instant>,
    replied: Vec<(String, Duration)>,
    polled: Option<Instant>,
    began: Option<Instant>,
    ended: Option<Instant>,
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
    /// Its turn has not come yet.
    Later(Instant, Receive),
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
        let receives = receives.into_iter().map(|body| Receive { body, asks: Vec::new() }).collect();
        *lock(&self.state) = State { receives, ..State::default() };
    }

    /// Empties queue and table, and keeps every message from now on.
    pub fn keep(&self) {
        *lock(&self.state) = State { kept: Some(BTreeMap::new()), ..State::default() };
    }

    /// Fills the queue, leaves the table, and counts from nothing; answers a receive each `every`.
    pub fn hand_out(&self, receives: Vec<Receive>, every: Duration) {
        let mut state = lock(&self.state);
        let State { heads, kept, .. } = std::mem::take(&mut *state);
        let pace = (!every.is_zero()).then(|| (Instant::now(), every));
        *state = State { receives: receives.into(), heads, kept, pace, ..State::default() };
    }

    /// Requests that were answered, and how long after they were handed out.
    pub fn replied(&self) -> Vec<(String, Duration)> {
        lock(&self.state).replied.clone()
    }

    /// From the first receive that brought something to the last delete.
    pub fn took(&self) -> Duration {
        let state = lock(&self.state);
        state.began.zip(state.ended).map_or(Duration::ZERO, |(began, ended)| ended - began)
    }

    /// When the first receive was asked for, and when the last delete.
    pub fn polled_and_ended(&self) -> (Option<Instant>, Option<Instant>) {
        let state = lock(&self.state);
        (state.polled, state.ended)
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
        Answer::Later(at, receive) => {
            tokio::time::sleep_until(at.into()).await;
            lock(&state).hand(&receive);
            (StatusCode::OK, receive.body)
        }
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
        if operation == "ReceiveMessage" {
            self.polled.get_or_insert_with(Instant::now);
        }
        let said = match operation {
            "ReceiveMessage" => match self.receives.pop_front() {
                Some(receive) => {
                    if let Some((next, every)) = &mut self.pace {
                        let at = (*next).max(Instant::now());
                        *next = at + *every;
                        return Answer::Later(at, receive);
                    }
                    self.hand(&receive);
                    return Answer::At(StatusCode::OK, receive.body);
                }
                None => return Answer::Empty(Duration::from_secs(asked["WaitTimeSeconds"].as_u64().unwrap_or(0))),
            },
            "DeleteMessage" => {
                self.bill.deleted += 1;
                json!({})
            }
            "DeleteMessageBatch" | "ChangeMessageVisibilityBatch" => {
                let done: Vec<Value> = list(&asked["Entries"]).iter().map(|entry| json!({"Id": entry["Id"]})).collect();
                self.ended = Some(Instant::now());
                self.bill.deleted += if operation == "DeleteMessageBatch" { done.len() as u64 } else { 0 };
                json!({"Successful": done, "Failed": []})
            }
            "ChangeMessageVisibility" => json!({}),
            "SendMessage" => self.sent(asked["MessageBody"].as_str().unwrap_or_default()),
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
                    let items = list(&wanted["Keys"]).iter().filter_map(|key| self.read(key, strong));
                    let items = items.map(|item| projected(item, wanted)).collect();
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
            // nothing is due, told or set; but messages may be kept
            "Query" if self.kept.is_some() && asked["IndexName"].is_null() => self.query(asked),
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

    /// A receive leaves.
    fn hand(&mut self, receive: &Receive) {
        let now = Instant::now();
        self.began.get_or_insert(now);
        self.asked.extend(receive.asks.iter().map(|id| (id.clone(), now)));
    }

    /// A reply arrived.
    fn sent(&mut self, body: &str) -> Value {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let id = body["correlation_id"].as_str().unwrap_or_default();
        if body["status"] == "ok"
            && let Some(asked) = self.asked.remove(id)
        {
            self.replied.push((id.to_owned(), asked.elapsed()));
        }
        json!({"MessageId": "sent", "SequenceNumber": "1"})
    }

    /// Messages of one conversation, from a place on, one way or the other.
    fn query(&self, asked: &Value) -> Value {
        let values = &asked["ExpressionAttributeValues"];
        let given = |name: &str| values[name]["S"].as_str().map(str::to_owned);
        let begin = given(":low").or_else(|| given(":messages"));
        // whoever asks for anything but messages finds nothing
        let (Some(pk), Some(low), Some(kept)) = (given(":pk"), begin, &self.kept) else {
            return json!({"Items": [], "Count": 0, "ScannedCount": 0});
        };
        let high = given(":high").unwrap_or_else(|| format!("{low}~"));
        let after = asked["ExclusiveStartKey"]["sk"]["S"].as_str().map(|sk| (pk.clone(), sk.to_owned()));
        let (forward, limit) = (asked["ScanIndexForward"] != false, asked["Limit"].as_u64().unwrap_or(1_000) as usize);
        let (mut from, mut to) = (Included((pk.clone(), low)), Included((pk, high)));
        match after {
            Some(key) if forward => from = Excluded(key),
            Some(key) => to = Excluded(key),
            None => {}
        }
        let found = kept.range((from, to)).map(|(_, item)| item.clone());
        let items: Vec<Value> = if forward { found.take(limit).collect() } else { found.rev().take(limit).collect() };
        let last =
            items.last().filter(|_| items.len() == limit).map(|item| json!({"pk": item["pk"], "sk": item["sk"]}));
        let mut said = json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items});
        if let Some(last) = last {
            said["LastEvaluatedKey"] = last;
        }
        said
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
            if let Some(kept) = &mut self.kept {
                kept.insert((text(&item["pk"]).to_owned(), text(&item["sk"]).to_owned()), item.clone());
            }
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

/// The attributes that were asked for, by their aliases; all of them if none was named.
fn projected(item: Value, wanted: &Value) -> Value {
    let (Some(names), Some(aliases)) =
        (wanted["ProjectionExpression"].as_str(), wanted["ExpressionAttributeNames"].as_object())
    else {
        return item;
    };
    let named = names.split(',').filter_map(|alias| aliases.get(alias.trim())?.as_str());
    Value::Object(named.filter_map(|name| Some((name.to_owned(), item.get(name)?.clone()))).collect())
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
