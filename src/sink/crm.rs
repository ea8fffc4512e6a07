//! Any CRM behind an endpoint of the operator's: one JSON request for each notice, in the order of contacts, with a bearer
//! token and an idempotency key.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;
use url::Url;

use super::{Dispatch, Outcome, Shared, Sink, Verdict, shape};
use crate::{
    config::{Secret, SecretRef},
    http::{Http, Outgoing},
};

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
        let token = match self.token.as_ref().map(SecretRef::read) {
            None => None,
            Some(Some(token)) => Some(token),
            Some(None) => {
                return Verdict::failed(Outcome::Misconfigured, None, "the token is not where it should be");
            }
        };
        let body = json!({
            "event": shape::notice(dispatch),
            "contact": {
                // the same for all conversations of the contact, in all channels
                "key": notice.contact_lane,
                "urn": notice.text("contact_urn"),
                "name": notice.text("contact_name"),
            },
        });
        let mut outgoing = Outgoing::json(&self.url, token.as_ref().map(Secret::reveal), &body);
        outgoing.headers.push(("idempotency-key", shape::event_id(notice)));
        Verdict::of_http(&self.http.send(outgoing).await)
    }
}
