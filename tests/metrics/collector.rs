//! An OpenTelemetry collector, as far as a push sees one: takes requests, and answers as it is told to.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// One request.
#[derive(Clone)]
pub struct Pushed {
    pub line: String,
    pub headers: HeaderMap,
    pub text: String,
}

pub struct Collector {
    pub url: String,
    status: Arc<AtomicU16>,
    pushed: Arc<Mutex<Vec<Pushed>>>,
}

impl Collector {
    /// Serves on a port of its own, as long as the test runs.
    pub async fn serve() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (status, pushed) = (Arc::new(AtomicU16::new(200)), Arc::new(Mutex::new(Vec::new())));
        let collector = Self { url, status: status.clone(), pushed: pushed.clone() };
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (status, pushed) = (status.clone(), pushed.clone());
                tokio::spawn(async move {
                    let take = service_fn(async |request| take(request, &status, &pushed).await);
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), take).await;
                });
            }
        });
        collector
    }

    /// Answers with this status from now on.
    pub fn answer_with(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// Everything pushed so far.
    pub fn pushed(&self) -> Vec<Pushed> {
        self.pushed.lock().expect("lock").clone()
    }
}

async fn take(
    request: Request<Incoming>,
    status: &AtomicU16,
    pushed: &Mutex<Vec<Pushed>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let text = String::from_utf8(body.to_vec()).expect("UTF-8");
    let line = format!("{} {}", head.method, head.uri);
    pushed.lock().expect("lock").push(Pushed { line, headers: head.headers, text });
    let answer = Response::builder().status(status.load(Ordering::Relaxed));
    Ok(answer.body("{}".into()).expect("an answer"))
}

impl Pushed {
    fn resource_metrics(&self) -> Value {
        let request: Value = serde_json::from_str(&self.text).expect("JSON");
        request["resourceMetrics"][0].clone()
    }

    /// A resource attribute.
    pub fn attribute(&self, name: &str) -> Option<String> {
        let resource = self.resource_metrics();
        let attributes = resource["resource"]["attributes"].as_array().expect("attributes").clone();
        let found = attributes.into_iter().find(|attribute| attribute["key"] == name)?;
        Some(found["value"]["stringValue"].as_str()?.to_owned())
    }

    /// The only point of a metric.
    pub fn point(&self, name: &str) -> Value {
        let metrics = self.resource_metrics()["scopeMetrics"][0]["metrics"].as_array().expect("metrics").clone();
        let metric = metrics.into_iter().find(|metric| metric["name"] == name).expect("the metric");
        let kinds = ["sum", "gauge", "histogram"];
        let points = kinds.iter().find_map(|kind| metric[kind]["dataPoints"].as_array()).expect("points");
        assert_eq!(points.len(), 1);
        points[0].clone()
    }

    /// A count, however it is written.
    pub fn count(&self, name: &str) -> u64 {
        let point = self.point(name);
        let count = point.get("asInt").or(point.get("count")).and_then(Value::as_str).expect("a count");
        count.parse().expect("a number")
    }
}
