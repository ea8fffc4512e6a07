//! The one way out over HTTP: no redirects, no proxy, addresses guarded where they are resolved, and an answer of which as
//! much is read as somebody looks at. AWS has its own clients, and the datalake's gRPC its own connection, guarded here.

mod address;
pub mod chat;
mod reach;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use aws_smithy_http_client::{
    Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::HttpConnector,
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use chrono::DateTime;
use http_body_util::BodyExt;
use serde_json::Value;
use tracing::debug;
use url::Url;

pub use reach::{Place, reach};

use address::{Blocked, Guard, is_blocked};

use crate::{clock::Clock, config::EgressConfig};

/// What is read of an answer, unless a client reads more; the rest is not waited for.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How a request names its sender.
pub const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The client.
pub struct Http {
    connector: Connector,
    guard: Guard,
    longest: usize,
    clock: Arc<dyn Clock>,
}

/// A request.
pub struct Outgoing<'a> {
    /// Its method.
    pub method: &'static str,
    /// Where to.
    pub url: &'a Url,
    /// Its headers; the agent's name is added.
    pub headers: Vec<(&'a str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl<'a> Outgoing<'a> {
    /// A POST of JSON, answered in JSON, by whoever bears `token`.
    pub fn json(url: &'a Url, token: Option<&str>, body: &Value) -> Self {
        let json = || "application/json".to_owned();
        let mut headers = vec![("content-type", json()), ("accept", json())];
        headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        Self { method: "POST", url, headers, body: body.to_string().into_bytes() }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The receiver's status.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Its beginning: 64 KiB, unless the client reads more.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the receiver did what it was asked.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Why there is no answer; nothing of what the other side said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody may connect there.
    #[error("its address may not be connected to")]
    Blocked,
    /// Nobody is there.
    #[error("no connection")]
    Unreachable,
    /// Too late.
    #[error("no answer in time")]
    Timeout,
    /// It ended before the answer did.
    #[error("the connection broke")]
    Broken,
    /// It was never sent.
    #[error("the request could not be built")]
    Unfit,
}

impl Http {
    /// A client that connects to what `egress` allows. Connects to nothing yet.
    pub fn new(egress: &EgressConfig, clock: Arc<dyn Clock>) -> Self {
        Self::guarded(Guard::new(egress), clock)
    }

    /// A client for an endpoint that stands in the daemon's own settings: it may be beside the daemon, in a network of its
    /// own. Where clouds keep credentials nobody connects, here neither.
    pub fn to_own(clock: Arc<dyn Clock>) -> Self {
        Self::guarded(Guard::of_own(), clock)
    }

    fn guarded(guard: Guard, clock: Arc<dyn Clock>) -> Self {
        let connector =
            Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_with_resolver(guard.clone());
        Self { connector, guard, longest: LONGEST_ANSWER, clock }
    }

    /// Reads answers up to `longest` bytes.
    #[must_use]
    pub fn reading(mut self, longest: usize) -> Self {
        self.longest = longest;
        self
    }

    /// The addresses behind `host` that may be connected to, for what is spoken over a connection of its own.
    ///
    /// # Errors
    /// There are none.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, NoAnswer> {
        let found = self.guard.resolve(host, port).await;
        found.map_err(|failure| if is_blocked(&failure) { NoAnswer::Blocked } else { NoAnswer::Unreachable })
    }

    /// Whether a URL that comes from elsewhere than the sinks file may be `http:`.
    pub fn allows_http(&self) -> bool {
        self.guard.allows_http()
    }

    /// Sends, and reads the answer as far as it is looked at, all of it within `patience`.
    ///
    /// # Errors
    /// There is none.
    pub async fn send_within(&self, patience: Duration, outgoing: Outgoing<'_>) -> Result<Answer, NoAnswer> {
        tokio::time::timeout(patience, self.send(outgoing)).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    /// The same, for a caller whose own deadline is over more than this.
    ///
    /// # Errors
    /// There is none.
    pub async fn send(&self, outgoing: Outgoing<'_>) -> Result<Answer, NoAnswer> {
        self.guard.check(outgoing.url).map_err(|Blocked| NoAnswer::Blocked)?;
        let mut request = HttpRequest::new(SdkBody::from(outgoing.body));
        request.set_method(outgoing.method).map_err(|_| NoAnswer::Unfit)?;
        request.set_uri(outgoing.url.as_str()).map_err(|_| NoAnswer::Unfit)?;
        let headers = request.headers_mut();
        headers.insert("user-agent", USER_AGENT);
        for (name, value) in outgoing.headers {
            headers.try_insert(name.to_owned(), value).map_err(|_| NoAnswer::Unfit)?;
        }
        let response = self.connector.call(request).await.map_err(|failure| {
            if is_blocked(&failure) {
                NoAnswer::Blocked
            } else if failure.is_timeout() {
                NoAnswer::Timeout
            } else {
                NoAnswer::Unreachable
            }
        })?;
        let (status, retry_after) = (response.status().as_u16(), self.retry_after(&response));
        let body = self.read(response).await?;
        debug!(status, bytes = body.len(), "an endpoint answered");
        Ok(Answer { status, retry_after, body })
    }

    /// Seconds, whole or not, or a date.
    fn retry_after(&self, response: &HttpResponse) -> Option<Duration> {
        let text = response.headers().get("retry-after")?.trim();
        if let Ok(seconds) = text.parse::<f64>() {
            return Duration::try_from_secs_f64(seconds.ceil()).ok();
        }
        let at = DateTime::parse_from_rfc2822(text).ok()?;
        (at.to_utc() - self.clock.now()).to_std().ok()
    }

    /// Reads the beginning. More is not an error: the status has been said, and the connection is dropped.
    async fn read(&self, response: HttpResponse) -> Result<Vec<u8>, NoAnswer> {
        let (mut body, mut read) = (response.into_body(), Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(NoAnswer::Broken) };
            if let Some(bytes) = frame.data_ref() {
                let room = self.longest - read.len();
                read.extend_from_slice(&bytes[..bytes.len().min(room)]);
                if read.len() == self.longest {
                    break;
                }
            }
        }
        Ok(read)
    }
}
