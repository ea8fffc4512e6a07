//! HubSpot: a contact by a key of ours, a note for each conversation, and the two associated.
//!
//! Every step can be repeated: both records are upserted by a unique property of ours, and associating twice is once. Ids are
//! taken from the answers of the same dispatch, so nothing has to be remembered; a contact that was merged answers with the
//! id of the winner. What people see of a contact (name, phone) is written when it is new and belongs to the CRM from then on.

mod answer;
mod bootstrap;
mod request;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub use bootstrap::Prepared;
use serde_json::Value;
use url::Url;

use super::{Dispatch, Outcome, Shared, Sink, Verdict, Written};
use crate::{
    config::{Secret, SecretRef},
    domain::{Notice, NoticeKind, value_digest},
    http::{Http, Outgoing},
};

/// The sink.
pub(super) struct HubSpot {
    base: String,
    version: String,
    token: SecretRef,
    portal: Option<String>,
    http: Arc<Http>,
}

impl HubSpot {
    pub(super) fn new(base: &Url, version: &str, token: &SecretRef, shared: &Shared) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        Self { base, version: version.to_owned(), token: token.clone(), portal: None, http: shared.http.clone() }
    }

    /// The same of a portal that tells us what changes: what is written there is to be known when it comes back.
    pub(super) fn of_portal(mut self, portal: Option<String>) -> Self {
        self.portal = portal;
        self
    }

    async fn call(
        &self,
        token: &Secret,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Verdict> {
        self.call_at(token, method, &format!("crm/objects/{}/{path}", self.version), body).await
    }

    async fn call_at(
        &self,
        token: &Secret,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Verdict> {
        let url = format!("{}/{path}", self.base)
            .parse()
            .map_err(|_| Verdict::failed(Outcome::Misconfigured, None, "base_url is no URL"))?;
        let headers = vec![
            ("authorization", format!("Bearer {}", token.reveal())),
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json".to_owned()),
        ];
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        answer::judge(self.http.send(Outgoing { method, url: &url, headers, body }).await)
    }

    fn token(&self) -> Result<Secret, Verdict> {
        let no_token = || Verdict::failed(Outcome::Misconfigured, None, "the token is not where it should be");
        self.token.read().ok_or_else(no_token)
    }

    async fn tell(&self, notice: &Notice, attempt: u32) -> Result<Verdict, Verdict> {
        let token = self.token()?;
        let Some(upsert) = request::contact(notice) else { return Err(Verdict::not_for_it()) };
        let contact = self.call(&token, "POST", "contacts/batch/upsert", Some(&upsert)).await?;
        let (contact, is_new) = answer::upserted(&contact)?;
        let mut written = Vec::new();
        // an earlier attempt may have made the contact and come no further
        let unknown = is_new || (attempt > 1 && self.is_blank(&token, &contact).await?);
        if unknown && let Some(patch) = request::first_seen(notice) {
            self.call(&token, "PATCH", &format!("contacts/{contact}"), Some(&patch)).await?;
            let properties = patch["properties"].as_object().into_iter().flatten();
            written
                .extend(properties.map(|(name, value)| (name.clone(), value_digest(&contact, name, value.as_str()))));
        }
        // what is said of a conversation after its close goes into the same note
        if matches!(notice.kind, NoticeKind::Closed | NoticeKind::Updated) {
            let note = self.call(&token, "POST", "notes/batch/upsert", Some(&request::note(notice))).await?;
            let (note, _) = answer::upserted(&note)?;
            let path = format!("notes/{note}/associations/default/contacts/{contact}");
            self.call(&token, "PUT", &path, None).await?;
        }
        let wrote =
            self.portal.clone().map(|account| Box::new(Written { account, crm_id: contact, properties: written }));
        Ok(Verdict { wrote, ..Verdict::delivered(Some(200)) })
    }

    /// Whether the CRM knows neither name nor number of a contact.
    async fn is_blank(&self, token: &Secret, contact: &str) -> Result<bool, Verdict> {
        let known = self.call(token, "GET", &format!("contacts/{contact}?properties=firstname,phone"), None).await?;
        let blank = |name: &str| known["properties"][name].as_str().is_none_or(str::is_empty);
        Ok(blank("firstname") && blank("phone"))
    }
}

/// Asked for when HubSpot does not say how long: the window of its limit.
const WINDOW: Duration = Duration::from_secs(10);

#[async_trait]
impl Sink for HubSpot {
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict {
        match self.tell(dispatch.notice, dispatch.attempt).await {
            Ok(verdict) | Err(verdict) => verdict,
        }
    }
}
