//! The datalake's gRPC service, over plaintext HTTP/2 as it is reached inside a network: one unary call for each event.
//!
//! A gRPC client would be more than the one call needs: five bytes before a message, and a status in the trailers. The
//! service knows no repeats; `event_id` in the metadata lets its readers tell them.

pub mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request,
    body::{Bytes, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::{net::TcpStream, sync::Mutex};
use tracing::debug;

use super::{
    Dispatch, Outcome, Shared, Sink, Verdict,
    shape::{self, DatalakeEvent},
};
use crate::{
    config::DatalakeNames,
    http::{Http, NoAnswer, USER_AGENT},
};

/// The method.
const PATH: &str = "/events.DatalakeManagerService/InsertEventData";

/// What is read of an answer; it is a word.
const LONGEST_ANSWER: usize = 64 * 1024;

/// The sink. One connection, shared by all its requests.
pub(super) struct Datalake {
    address: String,
    names: DatalakeNames,
    http: Arc<Http>,
    timeout: Duration,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Datalake {
    pub(super) fn new(address: &str, names: &DatalakeNames, shared: &Shared, timeout: Duration) -> Self {
        let connection = Mutex::default();
        Self { address: address.to_owned(), names: names.clone(), http: shared.http.clone(), timeout, connection }
    }

    /// The connection there is, or another.
    async fn connection(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| !open.is_closed()) {
            return Ok(open.clone());
        }
        let opened = self.connect().await?;
        *connection = Some(opened.clone());
        Ok(opened)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, NoAnswer> {
        let (host, port) = self.address.rsplit_once(':').ok_or(NoAnswer::Unfit)?;
        let (host, port) = (host.trim_matches(['[', ']']), port.parse().map_err(|_| NoAnswer::Unfit)?);
        let addresses = self.http.resolve(host, port).await?;
        let stream = TcpStream::connect(&addresses[..]).await.map_err(|_| NoAnswer::Unreachable)?;
        stream.set_nodelay(true).map_err(|_| NoAnswer::Broken)?;
        let shaken = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = shaken.map_err(|_| NoAnswer::Broken)?;
        tokio::spawn(async move {
            if let Err(failure) = connection.await {
                debug!(error = %failure, "the connection to the datalake ended");
            }
        });
        Ok(sender)
    }

    /// The call's status, as gRPC numbers them.
    async fn call(&self, event: &DatalakeEvent) -> Result<u16, NoAnswer> {
        let request = Request::post(format!("http://{}{PATH}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("grpc-timeout", format!("{}m", self.timeout.as_millis()))
            .header("user-agent", USER_AGENT)
            .body(Full::new(framed(&wire::InsertEventData::from(event))))
            .map_err(|_| NoAnswer::Unfit)?;
        let answer = self.connection().await?.send_request(request).await.map_err(|_| NoAnswer::Broken)?;
        if !answer.status().is_success() {
            return Ok(of_http_status(answer.status().as_u16()));
        }
        if let Some(status) = status(answer.headers()) {
            return Ok(status); // an answer that is nothing but a status
        }
        Ok(trailer(answer.into_body()).await?.unwrap_or(UNKNOWN))
    }
}

const UNKNOWN: u16 = 2;

/// What gRPC makes of an HTTP status: something between us and the service answered.
fn of_http_status(status: u16) -> u16 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => UNKNOWN,
    }
}

/// A message behind its prefix: not compressed, so many bytes.
fn framed(message: &impl Message) -> Bytes {
    let bytes = message.encode_to_vec();
    let mut framed = Vec::with_capacity(bytes.len() + 5);
    framed.push(0);
    framed.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    framed.extend_from_slice(&bytes);
    framed.into()
}

fn status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}

/// Reads the answer for what stands behind it.
async fn trailer(mut body: Incoming) -> Result<Option<u16>, NoAnswer> {
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| NoAnswer::Broken)?;
        if let Some(trailers) = frame.trailers_ref() {
            return Ok(status(trailers));
        }
        read += frame.data_ref().map_or(0, Bytes::len);
        if read > LONGEST_ANSWER {
            return Err(NoAnswer::Broken);
        }
    }
    Ok(None)
}

#[async_trait]
impl Sink for Datalake {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let Some(event) = shape::datalake(dispatch.notice, &self.names) else { return Verdict::not_for_it() };
        match self.call(&event).await {
            Ok(status) => judge(status),
            Err(no_answer) => Verdict::of_http(&Err(no_answer)),
        }
    }
}

fn judge(status: u16) -> Verdict {
    let failed = |outcome, reason| Verdict::failed(outcome, Some(status), reason);
    match status {
        0 => Verdict::delivered(Some(0)),
        // invalid argument, failed precondition, out of range
        3 | 9 | 11 => failed(Outcome::Refused { tries: 1 }, "the datalake does not take the event"),
        // permission denied, unimplemented, unauthenticated
        7 | 12 | 16 => failed(Outcome::Misconfigured, "the datalake does not take events from here"),
        _ => failed(Outcome::Retry { after: None }, "the datalake did not take it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_status_table() {
        for (statuses, outcome) in [
            (&[0][..], Outcome::Delivered),
            (&[1, 2, 4, 8, 10, 13, 14, 15], Outcome::Retry { after: None }),
            (&[3, 9, 11], Outcome::Refused { tries: 1 }),
            (&[7, 12, 16], Outcome::Misconfigured),
        ] {
            for status in statuses {
                assert_eq!(judge(*status).outcome, outcome, "{status}");
            }
        }
    }

    #[test]
    fn a_frame_says_how_long_its_message_is() {
        let message = wire::InsertEventData { key: "k".into(), ..wire::InsertEventData::default() };
        assert_eq!(framed(&message)[..], [0, 0, 0, 0, 3, 0x12, 1, b'k']);
    }
}
