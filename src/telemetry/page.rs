//! The metrics page: one small HTTP/1 server for whoever scrapes. Two paths, no request bodies, few connections, little time.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Bytes,
    header::{ALLOW, CONTENT_TYPE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{exposition, health::Health};
use crate::counters::Counters;

/// Connections served at once; others wait.
const CONNECTIONS: usize = 8;

/// A connection that has not sent its request, or not taken its answer, by then is closed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest request, without a body (hyper's least).
const LONGEST_REQUEST: usize = 8 * 1024;

/// After a connection could not be taken, because there are no more files for instance.
const PAUSE: Duration = Duration::from_millis(200);

/// The page, bound and not yet served.
pub struct Page {
    listener: TcpListener,
}

impl Page {
    /// Takes the port.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(address: &str) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address).await.context(
            "cannot listen at CONVERSATIOND_METRICS_ADDRESS; choose an address of this host and a port that is free",
        )?;
        Ok(Self { listener })
    }

    /// Where it is.
    ///
    /// # Errors
    /// The socket does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until dropped.
    pub async fn serve(self, counters: Arc<Counters>, health: Arc<Health>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        while let Ok(place) = places.clone().acquire_owned().await {
            match self.listener.accept().await {
                Ok((connection, _)) => {
                    let (counters, health) = (counters.clone(), health.clone());
                    tokio::spawn(async move {
                        converse(connection, &counters, &health).await;
                        drop(place);
                    });
                }
                Err(failure) => {
                    warn!(error = %failure, "the metrics page could not take a connection");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One request, one answer.
async fn converse(connection: TcpStream, counters: &Counters, health: &Health) {
    let answer = service_fn(async |request: Request<_>| answer(&request, counters, health));
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .max_buf_size(LONGEST_REQUEST)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), answer);
    match timeout(2 * PATIENCE, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => debug!(error = %failure, "a reader of the metrics page was not served"),
        Err(_) => debug!("a reader of the metrics page was too slow"),
    }
}

fn answer<Body>(
    request: &Request<Body>,
    counters: &Counters,
    health: &Health,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let response = Response::builder();
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => {
            response.header(CONTENT_TYPE, exposition::CONTENT_TYPE).body(exposition::page(counters).into())
        }
        (&Method::GET, "/healthz") => {
            let (status, line) = match health.verdict() {
                Ok(line) => (StatusCode::OK, line),
                Err(line) => (StatusCode::SERVICE_UNAVAILABLE, line),
            };
            response.status(status).header(CONTENT_TYPE, "text/plain; charset=utf-8").body((line + "\n").into())
        }
        (_, "/metrics" | "/healthz") => {
            response.status(StatusCode::METHOD_NOT_ALLOWED).header(ALLOW, "GET").body(Full::default())
        }
        _ => response.status(StatusCode::NOT_FOUND).body("try /metrics or /healthz\n".into()),
    }
}
