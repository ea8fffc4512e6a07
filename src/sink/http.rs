//! One HTTP client for all sinks: no redirects, no proxy, addresses guarded where they are resolved, one deadline over
//! everything, and an answer of which little is read.

use std::{error::Error, io, sync::Arc, time::Duration};

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
use tracing::debug;
use url::Url;

use super::address::{Blocked, Guard};
use crate::{clock::Clock, config::EgressConfig};

/// What is read of an answer; the rest is not waited for.
const LONGEST_ANSWER: usize = 64 * 1024;

/// How a request names its sender.
const USER_AGENT: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

/// The client.
pub struct Http {
    connector: Connector,
    guard: Guard,
    clock: Arc<dyn Clock>,
}

/// A request.
pub struct Outgoing<'a> {
    /// Its method.
    pub method: &'static str,
    /// Where to.
    pub url: &'a Url,
    /// Its headers; the agent's name is added.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The receiver's status.
    pub status: u16,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The first 64 KiB.
    pub body: Vec<u8>,
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
        let guard = Guard::new(egress);
        let connector =
            Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_with_resolver(guard.clone());
        Self { connector, guard, clock }
    }

    /// What may be connected to.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Whether a URL that comes from elsewhere than the sinks file may be `http:`.
    pub(super) fn allows_http(&self) -> bool {
        self.guard.allows_http()
    }

    /// Sends, and reads the answer as far as it is looked at. The deadline is the caller's.
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
            headers.try_insert(name, value).map_err(|_| NoAnswer::Unfit)?;
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
        let body = read(response).await?;
        debug!(status, bytes = body.len(), "a sink answered");
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
}

/// Reads at most 64 KiB. More is not an error: the status has been said, and the connection is dropped.
async fn read(response: HttpResponse) -> Result<Vec<u8>, NoAnswer> {
    let (mut body, mut read) = (response.into_body(), Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(NoAnswer::Broken) };
        if let Some(bytes) = frame.data_ref() {
            let room = LONGEST_ANSWER - read.len();
            read.extend_from_slice(&bytes[..bytes.len().min(room)]);
            if read.len() == LONGEST_ANSWER {
                break;
            }
        }
    }
    Ok(read)
}

/// Whether a failure goes back to an address that may not be connected to.
pub(super) fn is_blocked(failure: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        // an I/O error shows its own error neither as itself nor as its source
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<Blocked>() || inner.is_some_and(|inner| inner.is::<Blocked>()) {
            return true;
        }
        cause = error.source();
    }
    false
}
