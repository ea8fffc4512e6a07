//! A webhook, signed as Standard Webhooks 1.0 says. The receiver knows a repeat by `webhook-id`.

use std::sync::Arc;

use url::Url;

use async_trait::async_trait;

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
        let keys = match self.secret.read().as_ref().map(|secret| Keys::parse(secret.reveal())) {
            Some(Ok(keys)) => keys,
            Some(Err(wrong)) => return Verdict::failed(Outcome::Misconfigured, None, wrong),
            None => return Verdict::failed(Outcome::Misconfigured, None, "the secret is not where it should be"),
        };
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
        // signed anew at every attempt: receivers refuse what is older than five minutes
        let (id, now) = (shape::event_id(dispatch.notice), self.clock.now());
        let signatures = keys.signatures(&id, now, &body);
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("webhook-id", id),
            ("webhook-timestamp", now.timestamp().to_string()),
            ("webhook-signature", signatures),
            ("x-conversationd-attempt", dispatch.attempt.to_string()),
        ];
        let outgoing = Outgoing { method: "POST", url: &self.url, headers, body };
        Verdict::of_http(&self.http.send(outgoing).await)
    }
}
