//! Portals of HubSpot that tell us what happens in them: by webhooks that come through the queue, or by a journal that is read.

use url::Url;

use super::{EgressConfig, SecretRef, fields::Fields, target};

/// One portal.
#[derive(Clone, Debug)]
pub struct PortalConfig {
    /// Its number.
    pub id: String,
    /// The projects whose links it may touch; `None` for all.
    pub projects: Option<Vec<String>>,
    /// The client secret of the app: webhooks are signed with it, and tokens of the journal had for it.
    pub client_secret: SecretRef,
    /// The URL that HubSpot sends webhooks to, as it signs it; none takes no webhooks.
    pub webhook_url: Option<String>,
    /// Whether signatures of version 1 are taken.
    pub allow_v1: bool,
    /// Sources of changes that are our own doing.
    pub our_sources: Vec<String>,
    /// How its journal is read; none is not read.
    pub journal: Option<JournalConfig>,
}

/// How a portal's journal is read.
#[derive(Clone, Debug)]
pub struct JournalConfig {
    /// The app's client id.
    pub client_id: String,
    /// HubSpot's API.
    pub base: Url,
    /// The version of the journal's API, a date.
    pub version: String,
    /// The properties whose changes are asked for, and fetched again after a gap.
    pub properties: Vec<String>,
}

/// Reads a portal.
pub(super) fn read(
    fields: &mut Fields<'_>,
    egress: &EgressConfig,
    get: &dyn Fn(&str) -> Option<String>,
) -> Option<PortalConfig> {
    let id = fields.number("id", 1, u64::MAX >> 1);
    if id.is_none() {
        fields.fault("id", "is missing");
    }
    let projects = fields.texts("projects");
    let client_secret = target::secret(fields, "client_secret", get);
    let webhook_url = fields.text("webhook_url");
    let named = |url: &String| url.parse::<Url>().is_ok_and(|url| url.host_str().is_some());
    if webhook_url.as_ref().is_some_and(|url| !named(url)) {
        fields.fault("webhook_url", "must be a URL");
    }
    let allow_v1 = fields.flag("allow_v1");
    let our_sources = fields.texts("our_sources").unwrap_or_default();
    let journal = fields.table("journal").and_then(|mut inner| {
        let journal = journal(&mut inner, egress);
        inner.end();
        journal
    });
    if webhook_url.is_none() && journal.is_none() {
        fields.fault("webhook_url", "is missing, or a journal");
    }
    let (id, client_secret) = (id?.to_string(), client_secret?);
    Some(PortalConfig { id, projects, client_secret, webhook_url, allow_v1, our_sources, journal })
}

fn journal(fields: &mut Fields<'_>, egress: &EgressConfig) -> Option<JournalConfig> {
    let client_id = fields.required("client_id");
    let base = fields.text("base_url").unwrap_or_else(|| "https://api.hubapi.com".to_owned());
    let base = target::checked(fields, "base_url", &base, egress);
    let version = target::version(fields, "api_version", "2026-03");
    let usual = ["email", "phone", "firstname", "lastname", "lifecyclestage", "hubspot_owner_id"];
    let properties = fields.texts("properties").unwrap_or_else(|| usual.map(str::to_owned).into());
    let plain = |name: &String| {
        !name.is_empty()
            && name.len() <= 100
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    if properties.len() > 50 || !properties.iter().all(plain) {
        fields.fault("properties", "must be names of properties, 50 at most");
    }
    Some(JournalConfig { client_id: client_id?, base: base?, version, properties })
}
