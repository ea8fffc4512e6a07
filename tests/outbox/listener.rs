//! Receivers on loopback: an orderly one, and one that does as it likes with its connections.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use conversationd::{
    clock::SystemClock,
    config::SinksConfig,
    http::Http,
    sink::{self, Shared, Sink},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Got {
    pub line: String,
    pub headers: hyper::HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("a text")).unwrap_or_default()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// An orderly receiver.
pub struct Listener {
    pub port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Listener {
    /// Answers each request by `answer`; `None` closes the connection without a word.
    pub async fn serve(answer: impl Fn(&Got) -> Option<(u16, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (got, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let kept = got.clone();
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (got, answer) = (got.clone(), answer.clone());
                tokio::spawn(async move {
                    let take = service_fn(async |request| take(request, &got, &*answer).await);
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), take).await;
                });
            }
        });
        Self { port, got: kept }
    }

    /// Everything that came.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

async fn take(
    request: Request<hyper::body::Incoming>,
    got: &Mutex<Vec<Got>>,
    answer: &(dyn Fn(&Got) -> Option<(u16, String)> + Send + Sync),
) -> std::io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes().to_vec();
    let one = Got { line: format!("{} {}", head.method, head.uri), headers: head.headers, body };
    got.lock().unwrap().push(one.clone());
    let Some((status, body)) = answer(&one) else { return Err(std::io::Error::other("no answer")) };
    Response::builder().status(status).body(body.into()).map_err(std::io::Error::other)
}

/// A receiver that does as it likes: writes `head`, then `again` for as long as anybody reads.
pub struct Hostile {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub written: Arc<AtomicUsize>,
}

impl Hostile {
    pub async fn serve(head: String, again: Option<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let hostile = Self { port, connections: Arc::default(), written: Arc::default() };
        let (connections, written) = (hostile.connections.clone(), hostile.written.clone());
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(misbehave(connection, head.clone(), again.clone(), written.clone()));
            }
        });
        hostile
    }
}

async fn misbehave(
    mut connection: TcpStream,
    head: String,
    again: Option<Vec<u8>>,
    written: Arc<AtomicUsize>,
) -> Result<(), Infallible> {
    let mut request = [0; 4096];
    let _ = connection.read(&mut request).await;
    let _ = connection.write_all(head.as_bytes()).await;
    let Some(again) = again else {
        std::future::pending::<()>().await;
        return Ok(());
    };
    while connection.write_all(&again).await.is_ok() {
        written.fetch_add(again.len(), Ordering::Relaxed);
    }
    Ok(())
}

/// The sink that this entry of a sinks file describes, with `egress` before it. `KEY` holds a signing key, `TOKEN` a token.
pub fn built(egress: &str, entry: &str) -> Arc<dyn Sink> {
    let text = format!("{egress}\n[[sink]]\nname = 'a'\n{entry}");
    let (config, faults) = SinksConfig::parse(&text, &|_| Some("set".into()));
    assert!(faults.is_empty(), "{faults:?}");
    let clock = Arc::new(SystemClock);
    let shared = Shared { http: Arc::new(Http::new(&config.egress, clock.clone())), clock };
    let nowhere = |_: Option<&str>| unreachable!("no queue");
    sink::build(&config.sinks[0], &shared, &nowhere).expect("a sink of the sinks' room")
}

/// Loopback at this port is allowed, without TLS.
pub fn open(port: u16) -> String {
    format!("[egress]\nnetworks = ['127.0.0.0/8', '::1/128']\nports = [{port}]\nhttp = true")
}

/// The port is allowed without TLS, and loopback is not.
pub fn closed(port: u16) -> String {
    format!("[egress]\nports = [{port}]\nhttp = true")
}
