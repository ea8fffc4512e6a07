//! Any CRM behind an endpoint of the operator's: one JSON request for each notice, in the order of contacts, with a bearer
//! token and an idempotency key.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use url::Url;

use super::{Dispatch, Http, Outcome, Shared, Sink, Verdict, http::Outgoing, shape};
use crate::config::SecretRef;

/// The sink.
pub(super) struct Crm {
    url: Url,
    token: Option<SecretRef>,
    http: Arc<Http>,
}

impl Crm {
    pub(super) fn new(url: &Url, token: Option<SecretRef>, shared: &Shared) -> Self {
        Self { url: url.clone(), token, http: shared.http.clone() }
    }
}

#[async_trait]
impl Sink for Crm {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        let notice = dispatch.notice;
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("idempotency-key", shape::event_id(notice))];
        if let Some(token) = &self.token {
            let Some(token) = token.read() else {
                return Verdict::failed(Outcome::Misconfigured, None, "the token is not where it should be");
            };
            headers.push(("authorization", format!("Bearer {}", token.reveal())));
        }
        let body = json!({
            "event": shape::notice(dispatch),
            "contact": {
                // the same for all conversations of the contact, in all channels
                "key": notice.contact_lane,
                "urn": notice.text("contact_urn"),
                "name": notice.text("contact_name"),
            },
        });
        let body = body.to_string().into_bytes();
        Verdict::of_http(&self.http.send(Outgoing { method: "POST", url: &self.url, headers, body }).await)
    }
}
