//! What kind of outside system a sink is, and where.

use std::time::Duration;

use url::Url;

use super::{EgressConfig, SecretRef, fault_of_url, fields::Fields};
use crate::domain::NoticeKind;

/// An outside system.
#[derive(Clone, Debug)]
pub enum Target {
    /// A webhook, signed as Standard Webhooks says.
    Webhook {
        /// Where.
        url: Url,
        /// Its keys, newest first.
        secret: SecretRef,
        /// It takes what the datalake takes, and nothing else.
        datalake: Option<DatalakeNames>,
    },
    /// An SQS queue.
    Queue {
        /// Its URL; FIFO when it ends in `.fifo`.
        url: String,
        /// Its region, unless AWS_REGION.
        region: Option<String>,
        /// What is put into it.
        shape: QueueShape,
    },
    /// A chat channel that takes `{"text": …}`, as Slack's incoming webhooks do.
    Alert {
        /// Where the URL is, which is a secret.
        url: SecretRef,
        /// Where the keys are that it is signed with; without them it is a text.
        secret: Option<SecretRef>,
        /// What is worth an alert of what happens in conversations.
        rules: AlertRules,
    },
    /// A CRM, or whatever stands before one: a JSON request for each notice, in the order of contacts.
    Crm {
        /// Where.
        url: Url,
        /// A bearer token.
        token: Option<SecretRef>,
    },
    /// HubSpot.
    HubSpot {
        /// Its API.
        base: Url,
        /// The version of its API, a date.
        version: String,
        /// A bearer token.
        token: SecretRef,
        /// The portal's number: what is written there is remembered, and known when it comes back.
        portal: Option<String>,
    },
    /// The datalake's gRPC service.
    Datalake {
        /// `host:port`.
        address: String,
        /// What its events are called.
        names: DatalakeNames,
    },
    /// An endpoint that reads closed conversations and says how they ended.
    Classifier(ClassifierTarget),
}

/// Who says how a conversation ended.
#[derive(Clone, Debug)]
pub struct ClassifierTarget {
    /// Where; of a model, the whole address of its chat completions.
    pub url: Url,
    /// How it is asked.
    pub protocol: Protocol,
    /// A bearer token.
    pub token: Option<SecretRef>,
    /// Messages it is told at most, the latest.
    pub messages: usize,
}

/// How a classifier is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The conversation as JSON, and JSON back.
    Plain,
    /// OpenAI's chat completions.
    OpenAi {
        /// Which model.
        model: String,
    },
}

/// What is worth an alert of what happens in conversations. Alerts themselves always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertRules {
    /// Satisfaction scores up to this one.
    pub csat_at_most: Option<u8>,
    /// Recommendation scores up to this one.
    pub nps_at_most: Option<u8>,
    /// Conversations that are still open after this long.
    pub open_for: Option<Duration>,
}

/// What is put into a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueShape {
    /// The notice, as webhooks have it.
    Notice,
    /// What billing takes of a close.
    Billing,
    /// What the datalake takes.
    Datalake(DatalakeNames),
}

/// What events are called in the datalake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatalakeNames {
    /// All of them.
    pub event: String,
    /// A satisfaction score.
    pub csat: String,
    /// A recommendation score.
    pub nps: String,
    /// How a conversation ended.
    pub closed: String,
}

impl Target {
    /// Every form, as the file names them.
    pub const FORMS: &[&str] = &["webhook", "queue", "alert", "crm", "hubspot", "datalake", "classifier"];

    /// Its form, as the file names it.
    pub fn form(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Queue { .. } => "queue",
            Self::Alert { .. } => "alert",
            Self::Crm { .. } => "crm",
            Self::HubSpot { .. } => "hubspot",
            Self::Datalake { .. } => "datalake",
            Self::Classifier(_) => "classifier",
        }
    }

    /// What it takes unless the file says otherwise.
    pub(super) fn usual_kinds(&self) -> Vec<NoticeKind> {
        use NoticeKind::{Alert, Archived, Closed, Custom, OpenForLong, Rated, Updated};
        match self {
            Self::Webhook { datalake: None, .. } | Self::Queue { shape: QueueShape::Notice, .. } => {
                vec![Updated, Closed, Archived, Rated, Custom]
            }
            Self::Queue { shape: QueueShape::Billing, .. } | Self::Classifier(_) => vec![Closed],
            Self::Webhook { datalake: Some(_), .. }
            | Self::Queue { shape: QueueShape::Datalake(_), .. }
            | Self::Datalake { .. } => vec![Closed, Rated, Custom],
            Self::Alert { rules, .. } => {
                let of_scores = rules.csat_at_most.or(rules.nps_at_most).map(|_| Rated);
                let of_time = rules.open_for.map(|_| OpenForLong);
                std::iter::once(Alert).chain(of_scores).chain(of_time).collect()
            }
            Self::Crm { .. } => vec![Closed, Rated],
            Self::HubSpot { .. } => vec![Closed, Rated, Updated],
        }
    }

    /// Whether it keeps one record of a person.
    pub(super) fn is_of_contacts(&self) -> bool {
        matches!(self, Self::Crm { .. } | Self::HubSpot { .. })
    }
}

/// Reads the fields that make the target.
pub(super) fn read(
    fields: &mut Fields<'_>,
    egress: &EgressConfig,
    get: &dyn Fn(&str) -> Option<String>,
) -> Option<Target> {
    let kind = fields.required("kind")?;
    match kind.as_str() {
        "webhook" => {
            let (url, secret) = (url(fields, "url", egress), secret(fields, "secret", get));
            let datalake = match fields.one_of("shape", &["notice", "datalake"]) {
                Some("datalake") => Some(names(fields)),
                _ => None,
            };
            Some(Target::Webhook { url: url?, secret: secret?, datalake })
        }
        "queue" => {
            let (url, region) = (fields.required("url"), fields.text("region"));
            if url.as_ref().is_some_and(|url| !(url.starts_with("https://") || url.starts_with("http://"))) {
                fields.fault("url", "must be the URL of an SQS queue");
            }
            let shape = match fields.one_of("shape", &["notice", "billing", "datalake"]) {
                Some("billing") => QueueShape::Billing,
                Some("datalake") => QueueShape::Datalake(names(fields)),
                _ => QueueShape::Notice,
            };
            Some(Target::Queue { url: url?, region, shape })
        }
        "alert" => {
            let mut score = |name: &str, most| fields.number(name, 0, most).and_then(|score| u8::try_from(score).ok());
            let rules = AlertRules {
                csat_at_most: score("csat_at_most", 5),
                nps_at_most: score("nps_at_most", 10),
                open_for: fields.number("open_hours", 1, 8_760).map(|hours| Duration::from_secs(3600 * hours)),
            };
            let (url, secret) = (secret(fields, "url", get), optional_secret(fields, "secret", get));
            Some(Target::Alert { url: url?, secret, rules })
        }
        "crm" => {
            let url = url(fields, "url", egress);
            let token = optional_secret(fields, "token", get);
            Some(Target::Crm { url: url?, token })
        }
        "hubspot" => {
            let base = fields.text("base_url").unwrap_or_else(|| "https://api.hubapi.com".to_owned());
            let base = checked(fields, "base_url", &base, egress);
            let version = version(fields, "api_version", "2026-09");
            let token = secret(fields, "token", get);
            let portal = fields.number("portal", 1, u64::MAX >> 1).map(|portal| portal.to_string());
            Some(Target::HubSpot { base: base?, version, token: token?, portal })
        }
        "datalake" => {
            let address = fields.required("address");
            let fits = |address: &String| {
                address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
            };
            if address.as_ref().is_some_and(|address| !fits(address)) {
                fields.fault("address", "must be host:port");
            }
            Some(Target::Datalake { address: address?, names: names(fields) })
        }
        "classifier" => classifier(fields, egress, get),
        _ => {
            fields.fault("kind", &format!("must be one of: {}", Target::FORMS.join(", ")));
            None
        }
    }
}

fn classifier(fields: &mut Fields<'_>, egress: &EgressConfig, get: &dyn Fn(&str) -> Option<String>) -> Option<Target> {
    let url = url(fields, "url", egress);
    let model = fields.text("model");
    let protocol = match (fields.one_of("protocol", &["plain", "openai"]), model) {
        (Some("openai"), Some(model)) => Some(Protocol::OpenAi { model }),
        (Some("openai"), None) => {
            fields.fault("model", "is missing");
            None
        }
        (_, Some(_)) => {
            fields.fault("model", "is for protocol = \"openai\"");
            None
        }
        (_, None) => Some(Protocol::Plain),
    };
    let token = optional_secret(fields, "token", get);
    let messages = fields.number("messages", 1, 1_000).unwrap_or(200);
    let messages = usize::try_from(messages).unwrap_or(usize::MAX);
    Some(Target::Classifier(ClassifierTarget { url: url?, protocol: protocol?, token, messages }))
}

fn names(fields: &mut Fields<'_>) -> DatalakeNames {
    let mut or = |field, usual: &str| fields.text(field).unwrap_or_else(|| usual.to_owned());
    DatalakeNames {
        event: or("event_name", "weni_nexus_data"),
        csat: or("csat_key", "weni_csat"),
        nps: or("nps_key", "weni_nps"),
        closed: or("closed_key", "conversation_classification"),
    }
}

fn url(fields: &mut Fields<'_>, field: &str, egress: &EgressConfig) -> Option<Url> {
    let text = fields.required(field)?;
    checked(fields, field, &text, egress)
}

/// A date that names a version of HubSpot's API.
pub(super) fn version(fields: &mut Fields<'_>, field: &str, usual: &str) -> String {
    let version = fields.text(field).unwrap_or_else(|| usual.to_owned());
    if version.len() != 7 || !version.chars().all(|c| c.is_ascii_digit() || c == '-') {
        fields.fault(field, "must be a month, such as 2026-09");
    }
    version
}

pub(super) fn checked(fields: &mut Fields<'_>, field: &str, text: &str, egress: &EgressConfig) -> Option<Url> {
    let Ok(url) = text.parse::<Url>() else {
        fields.fault(field, "must be a URL");
        return None;
    };
    if let Some(wrong) = fault_of_url(&url, egress) {
        fields.fault(field, wrong);
        return None;
    }
    Some(url)
}

pub(super) fn secret(fields: &mut Fields<'_>, field: &str, get: &dyn Fn(&str) -> Option<String>) -> Option<SecretRef> {
    let text = fields.required(field)?;
    referred(fields, field, &text, get)
}

fn optional_secret(fields: &mut Fields<'_>, field: &str, get: &dyn Fn(&str) -> Option<String>) -> Option<SecretRef> {
    let text = fields.text(field)?;
    referred(fields, field, &text, get)
}

fn referred(
    fields: &mut Fields<'_>,
    field: &str,
    text: &str,
    get: &dyn Fn(&str) -> Option<String>,
) -> Option<SecretRef> {
    let Some(secret) = SecretRef::parse(text) else {
        fields.fault(field, "must say where the secret is, env:NAME or file:/path, and not the secret itself");
        return None;
    };
    if secret.read_with(get).is_none() {
        fields.fault(field, "holds nothing where it points to");
    }
    Some(secret)
}
