//! A webhook, signed as Standard Webhooks 1.0 says. The receiver knows a repeat by `webhook-id`.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use url::Url;

use super::{Dispatch, Keys, Outcome, Shared, Sink, Verdict, shape};
use crate::{
    clock::Clock,
    config::{DatalakeNames, SecretRef},
    http::{Http, Outgoing},
};

/// Receivers expect bodies below 20 kB; beyond this nobody takes one.
const LONGEST_BODY: usize = 256 * 1024;

/// The sink.
pub(super) struct Webhook {
    url: Url,
    secret: SecretRef,
    datalake: Option<DatalakeNames>,
    http: Arc<Http>,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    pub(super) fn new(url: &Url, secret: &SecretRef, datalake: Option<DatalakeNames>, shared: &Shared) -> Self {
        let (http, clock) = (shared.http.clone(), shared.clock.clone());
        Self { url: url.clone(), secret: secret.clone(), datalake, http, clock }
    }
}

#[async_trait]
impl Sink for Webhook {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let body = match &self.datalake {
            None => shape::notice(dispatch),
            Some(names) => match shape::datalake(dispatch.notice, names) {
                Some(event) => event.json(),
                None => return Verdict::not_for_it(),
            },
        };
        let body = body.to_string().into_bytes();
        if body.len() > LONGEST_BODY {
            return Verdict::failed(Outcome::Refused { tries: 1 }, None, "the body is too large");
        }
        let headers = match signed(&self.secret, dispatch, self.clock.now(), &body) {
            Ok(headers) => headers,
            Err(verdict) => return verdict,
        };
        let outgoing = Outgoing { method: "POST", url: &self.url, headers, body };
        Verdict::of_http(&self.http.send(outgoing).await)
    }
}

/// The headers of a signed body. Signed anew at every attempt: receivers refuse what is older than five minutes.
///
/// # Errors
/// There are no keys where they should be, or they are none.
pub(super) fn signed(
    secret: &SecretRef,
    dispatch: &Dispatch<'_>,
    now: DateTime<Utc>,
    body: &[u8],
) -> Result<Vec<(&'static str, String)>, Verdict> {
    let misconfigured = |wrong: &str| Verdict::failed(Outcome::Misconfigured, None, wrong);
    let secret = secret.read().ok_or_else(|| misconfigured("the secret is not where it should be"))?;
    let keys = Keys::parse(secret.reveal()).map_err(misconfigured)?;
    let id = shape::event_id(dispatch.notice);
    let signatures = keys.signatures(&id, now, body);
    Ok(vec![
        ("content-type", "application/json".to_owned()),
        ("webhook-id", id),
        ("webhook-timestamp", now.timestamp().to_string()),
        ("webhook-signature", signatures),
        ("x-conversationd-attempt", dispatch.attempt.to_string()),
    ])
}
