//! HubSpot's journal over HTTP: a token, the next place, the file there, subscriptions, snapshots. Every answer is bounded, and
//! so is every wait.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{sync::Mutex, time::Instant};
use url::{Url, form_urlencoded};

use super::entries::CONTACTS;
use crate::{
    config::{JournalConfig, PortalConfig, SecretRef},
    http::{Answer, Http, NoAnswer, Outgoing},
};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// A token is not used in its last minute.
const LAST_MINUTE: Duration = Duration::from_secs(60);

/// What the journal is read with.
const SCOPES: &str = "developer.webhooks_journal.read developer.webhooks_journal.subscriptions.read \
    developer.webhooks_journal.subscriptions.write developer.webhooks_journal.snapshots.read \
    developer.webhooks_journal.snapshots.write crm.objects.contacts.read";

/// Why a call came to nothing. Nothing of what the other side said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// Try again later.
    #[error("HubSpot gave no answer: {0}")]
    None(#[from] NoAnswer),
    /// Try again later; 401 and 403 need a person.
    #[error("HubSpot answered {0}")]
    Status(u16),
    /// It is not what it should be.
    #[error("HubSpot's answer is not what its interface says")]
    Unreadable,
    /// A person has to mend it.
    #[error("the client secret is not where it should be")]
    NoSecret,
}

/// What comes behind a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A file.
    File {
        /// Where it is, for some minutes.
        url: String,
        /// Its place.
        place: String,
    },
    /// Nothing, or the place is not known any more: HubSpot does not say which.
    Nothing,
}

/// The client of one portal's journal.
pub(super) struct Client {
    portal: String,
    config: JournalConfig,
    secret: SecretRef,
    http: Arc<Http>,
    token: Mutex<Option<(String, Instant)>>,
}

impl Client {
    pub(super) fn new(portal: &PortalConfig, config: &JournalConfig, http: Arc<Http>) -> Self {
        let secret = portal.client_secret.clone();
        Self { portal: portal.id.clone(), config: config.clone(), secret, http, token: Mutex::default() }
    }

    /// What comes behind `place`, or first of all that is kept.
    pub(super) async fn next(&self, place: Option<&str>) -> Result<Next, Trouble> {
        let stretch = match place {
            Some(place) => {
                format!("offset/{}/next", form_urlencoded::byte_serialize(place.as_bytes()).collect::<String>())
            }
            None => "earliest".to_owned(),
        };
        let path =
            format!("webhooks-journal/journal-local/{}/{stretch}?installPortalId={}", self.config.version, self.portal);
        let answer = self.call("GET", &path, None).await?;
        match answer.status {
            200 => {
                let body: Value = serde_json::from_slice(&answer.body).map_err(|_| Trouble::Unreadable)?;
                let text = |name: &str| body[name].as_str().map(str::to_owned);
                match (text("url"), text("currentOffset")) {
                    (Some(url), Some(place)) if place.len() <= 256 => Ok(Next::File { url, place }),
                    _ => Err(Trouble::Unreadable),
                }
            }
            204 | 404 | 410 => Ok(Next::Nothing),
            status => Err(Trouble::Status(status)),
        }
    }

    /// The file at a place. Its address is HubSpot's own word: it is guarded as all are, and hears no token.
    pub(super) async fn file(&self, url: &str, most: usize) -> Result<Vec<u8>, Trouble> {
        let url: Url = url.parse().map_err(|_| Trouble::Unreadable)?;
        if url.scheme() != "https" && !self.http.allows_http() {
            return Err(Trouble::Unreadable);
        }
        let outgoing = Outgoing { method: "GET", url: &url, headers: Vec::new(), body: Vec::new() };
        let answer = self.http.send_within(PATIENCE, outgoing).await?;
        match answer.status {
            200 if answer.body.len() < most => Ok(answer.body),
            200 => Err(Trouble::Unreadable),
            status => Err(Trouble::Status(status)),
        }
    }

    /// Asks for contacts to be told of. Whoever asked before is told that; the journal goes on either way.
    pub(super) async fn subscribe(&self) -> Result<(), Trouble> {
        let portal = number(&self.portal);
        for wanted in [
            json!({"subscriptionType": "OBJECT", "portalId": portal, "objectTypeId": CONTACTS,
                "actions": ["CREATE", "UPDATE", "DELETE", "MERGE", "RESTORE"], "objectIds": [],
                "properties": self.config.properties}),
            json!({"subscriptionType": "GDPR_PRIVACY_DELETION", "portalId": portal, "objectTypeId": CONTACTS,
                "actions": ["GDPR_DELETE"]}),
        ] {
            let path = format!("webhooks-journal/subscriptions/{}", self.config.version);
            let answer = self.call("POST", &path, Some(&wanted)).await?;
            if !answer.is_success() && answer.status != 409 {
                return Err(Trouble::Status(answer.status));
            }
        }
        Ok(())
    }

    /// Asks for contacts as they are now: they come in the journal.
    pub(super) async fn snapshot(&self, records: &[String]) -> Result<(), Trouble> {
        let one = |id: &String| {
            json!({"portalId": number(&self.portal), "objectId": number(id), "objectTypeId": CONTACTS,
                "properties": self.config.properties})
        };
        let wanted = json!({ "snapshotRequests": records.iter().map(one).collect::<Vec<_>>() });
        let path = format!("webhooks-journal/snapshots/{}/crm", self.config.version);
        let answer = self.call("POST", &path, Some(&wanted)).await?;
        if answer.is_success() { Ok(()) } else { Err(Trouble::Status(answer.status)) }
    }

    async fn call(&self, method: &'static str, path: &str, body: Option<&Value>) -> Result<Answer, Trouble> {
        let token = self.token().await?;
        let url = self.url(path)?;
        let json = || "application/json".to_owned();
        let headers = vec![("authorization", format!("Bearer {token}")), ("content-type", json()), ("accept", json())];
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let answer = self.http.send_within(PATIENCE, Outgoing { method, url: &url, headers, body }).await?;
        if answer.status == 401 {
            // it may have been taken back: another is asked for at the next try
            *self.token.lock().await = None;
        }
        Ok(answer)
    }

    async fn token(&self) -> Result<String, Trouble> {
        let mut known = self.token.lock().await;
        if let Some((token, until)) = &*known
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let secret = self.secret.read().ok_or(Trouble::NoSecret)?;
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", &self.config.client_id)
            .append_pair("client_secret", secret.reveal())
            .append_pair("scope", SCOPES)
            .finish();
        let url = self.url("oauth/v1/token")?;
        let headers = vec![("content-type", "application/x-www-form-urlencoded".to_owned())];
        let outgoing = Outgoing { method: "POST", url: &url, headers, body: form.into_bytes() };
        let answer = self.http.send_within(PATIENCE, outgoing).await?;
        if !answer.is_success() {
            return Err(Trouble::Status(answer.status));
        }
        let body: Value = serde_json::from_slice(&answer.body).map_err(|_| Trouble::Unreadable)?;
        let token = body["access_token"].as_str().ok_or(Trouble::Unreadable)?.to_owned();
        let lives = Duration::from_secs(body["expires_in"].as_u64().unwrap_or(600).min(86_400));
        *known = Some((token.clone(), Instant::now() + lives.saturating_sub(LAST_MINUTE)));
        Ok(token)
    }

    fn url(&self, path: &str) -> Result<Url, Trouble> {
        let base = self.config.base.as_str().trim_end_matches('/');
        format!("{base}/{path}").parse().map_err(|_| Trouble::Unreadable)
    }
}

/// HubSpot writes ids as numbers; those that are none never come here.
fn number(id: &str) -> u64 {
    id.parse().unwrap_or_default()
}
