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

#[cfg(test)]
mod tests {
    use super::super::SinksConfig;

    fn parse(text: &str) -> (SinksConfig, Vec<String>) {
        SinksConfig::parse(text, &|name| (name == "KEY").then(|| "hunter2".to_owned()))
    }

    const WHOLE: &str = "[[portal]]\nid = 1\nclient_secret = 'env:KEY'\nwebhook_url = 'https://b.example/h'\n";

    #[test]
    fn what_is_not_said_of_a_portal_is_as_documented() {
        let (sinks, faults) = parse(&format!("{WHOLE}[portal.journal]\nclient_id = 'app'\n"));
        assert_eq!(faults, [""; 0]);
        let portal = &sinks.portals[0];
        assert_eq!((portal.id.as_str(), portal.allow_v1, &portal.projects), ("1", false, &None));
        let journal = portal.journal.as_ref().expect("a journal");
        assert_eq!((journal.base.as_str(), journal.version.as_str()), ("https://api.hubapi.com/", "2026-03"));
        assert!(journal.properties.iter().any(|property| property == "lifecyclestage"));
    }

    #[test]
    fn what_is_wrong_with_a_portal_is_told_and_no_value_repeated() {
        for (text, fault) in [
            ("[[portal]]\nclient_secret = 'env:KEY'\nwebhook_url = 'https://b.example'\n", "id is missing"),
            (
                "[[portal]]\nid = 1\nclient_secret = 'hunter2'\nwebhook_url = 'https://b.example'\n",
                "client_secret must say",
            ),
            ("[[portal]]\nid = 1\nclient_secret = 'env:KEY'\n", "webhook_url is missing, or a journal"),
            ("[[portal]]\nid = 1\nclient_secret = 'env:KEY'\nwebhook_url = 'hunter2'\n", "webhook_url must be a URL"),
            (&format!("{WHOLE}[portal.journal]\n"), "journal.client_id is missing"),
            (
                &format!("{WHOLE}[portal.journal]\nclient_id = 'a'\nproperties = ['hunter2!']\n"),
                "journal.properties must",
            ),
            (
                &format!("{WHOLE}[portal.journal]\nclient_id = 'a'\nbase_url = 'http://hunter2'\n"),
                "journal.base_url must",
            ),
            (&format!("{WHOLE}projects = ['p']\n{WHOLE}projects = ['q']\n"), "id is the number of another"),
            (&format!("{WHOLE}{}", WHOLE.replace("id = 1", "id = 2")), "projects is missing"),
        ] {
            let shown = parse(text).1.join("\n");
            assert!(shown.contains(fault) && !shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn four_ages_of_open_conversations_may_be_asked_for() {
        let sink =
            |name: &str, more: &str| format!("[[sink]]\nname = '{name}'\nkind = 'alert'\nurl = 'env:KEY'\n{more}\n");
        let ages = |hours: &[u64]| {
            let sinks: Vec<String> = hours
                .iter()
                .enumerate()
                .map(|(n, hours)| sink(&format!("s{n}"), &format!("open_hours = {hours}")))
                .collect();
            parse(&sinks.concat())
        };
        let (sinks, faults) = ages(&[4, 8, 4]);
        assert_eq!(faults, [""; 0]);
        let hours = |hours: u64| Some(std::time::Duration::from_secs(3600 * hours));
        assert_eq!(sinks.told_at(), [hours(4), hours(8), None, None]);
        assert!(ages(&[1, 2, 3, 4, 5]).1[0].contains("4 ages at most"));
        let (openings, _) = parse(&sink("o", "events = ['conversation.opened']"));
        assert_eq!(openings.told_at()[0], Some(std::time::Duration::ZERO));
        assert_eq!(parse(&sink("o", "")).0.told_at(), [None; 4], "nobody asks unless they say so");
    }
}
