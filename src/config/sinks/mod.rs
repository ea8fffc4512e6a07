//! The sinks file: which outside systems are told what. TOML, read at the start; infra/sinks.example.toml shows all of it.
//!
//! Every fault is told at once, by the sink's name and the field. No value is repeated, and no secret stands in the file:
//! only where it is (`env:NAME`, `file:/path`).

mod fields;
mod portal;
mod target;

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use ipnet::IpNet;
use toml::Table;
use url::Url;

use super::{Faults, SINKS_FILE, reader::Reader};
use crate::domain::{NoticeKind, TOLD_AT};
use fields::Fields;
pub use portal::{JournalConfig, PortalConfig};
pub use target::{AlertRules, ClassifierTarget, DatalakeNames, Protocol, QueueShape, Target};

/// How long a notice may wait, unless the file says otherwise.
const LAG: Duration = Duration::from_secs(600);

/// Which outside systems there are, and what may be connected to.
#[derive(Clone, Debug)]
pub struct SinksConfig {
    /// What may be connected to.
    pub egress: EgressConfig,
    /// How long a notice may wait before an alert says so.
    pub lag: Duration,
    /// The systems, by name.
    pub sinks: Vec<SinkConfig>,
    /// Portals of HubSpot that tell us what happens in them.
    pub portals: Vec<PortalConfig>,
}

/// What sinks may connect to beyond public addresses at the ports of HTTPS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// Networks that are not public and allowed all the same. Addresses of cloud metadata never are.
    pub networks: Vec<IpNet>,
    /// Ports beyond 443 and 8443.
    pub ports: Vec<u16>,
    /// Whether a URL may be `http:`.
    pub http: bool,
}

/// One outside system.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its name: in the database, in logs, for operators.
    pub name: String,
    /// What it takes.
    pub kinds: Vec<NoticeKind>,
    /// Projects it hears of; `None` for all.
    pub projects: Option<Vec<String>>,
    /// Whether it needs the order of all notices of a contact, not only of a conversation.
    pub by_contact: bool,
    /// Requests at once, in one process.
    pub concurrency: u32,
    /// Whether a lane waits for an operator when its head was given up.
    pub park: bool,
    /// How long one request may take.
    pub timeout: Duration,
    /// How fast it may be sent to.
    pub rate: Option<RateConfig>,
    /// What it is.
    pub target: Target,
}

/// What an outside system allows, of all replicas together; in dispatches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateConfig {
    /// In ten seconds.
    pub per_ten_seconds: u32,
    /// In a day.
    pub per_day: u64,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable.
    Env(String),
    /// In a file, read at each use: a new secret needs no restart.
    File(std::path::PathBuf),
}

impl SinksConfig {
    /// The ages of open conversations that any sink wants to be told of; zero is their beginning.
    pub fn told_at(&self) -> [Option<Duration>; TOLD_AT] {
        let mut ages = [None; TOLD_AT];
        for (age, wanted) in ages.iter_mut().zip(self.ages()) {
            *age = Some(wanted);
        }
        ages
    }

    fn ages(&self) -> BTreeSet<Duration> {
        let opening = |sink: &SinkConfig| sink.kinds.contains(&NoticeKind::Opened).then_some(Duration::ZERO);
        let rule = |sink: &SinkConfig| match &sink.target {
            Target::Alert { rules, .. } if sink.kinds.contains(&NoticeKind::OpenForLong) => rules.open_for,
            _ => None,
        };
        self.sinks.iter().flat_map(|sink| [opening(sink), rule(sink)]).flatten().collect()
    }
}

impl SecretRef {
    /// Where `text` says: `env:NAME` or `file:/path`.
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("env", name) if !name.is_empty() => Some(Self::Env(name.to_owned())),
            ("file", path) if path.starts_with('/') => Some(Self::File(path.into())),
            _ => None,
        }
    }

    /// The secret as it stands there now; `None` if there is none.
    pub fn read(&self) -> Option<super::Secret> {
        self.read_with(&super::environment)
    }

    fn read_with(&self, get: &dyn Fn(&str) -> Option<String>) -> Option<super::Secret> {
        let text = match self {
            Self::Env(name) => get(name)?,
            Self::File(path) => std::fs::read_to_string(path).ok()?,
        };
        let text = text.trim();
        (!text.is_empty()).then(|| super::Secret(text.to_owned()))
    }
}

impl SinksConfig {
    /// Reads the sinks file; `None` when there is no setting for one.
    ///
    /// # Errors
    /// All faults at once.
    pub fn read(get: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, Faults> {
        let mut reader = Reader { get, faults: Vec::new() };
        let sinks = Self::read_with(&mut reader);
        reader.end(sinks)
    }

    pub(super) fn read_with(reader: &mut Reader<'_>) -> Option<Self> {
        let path = reader.optional(SINKS_FILE)?;
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let (sinks, faults) = Self::parse(&text, reader.get);
                faults.into_iter().for_each(|fault| reader.fault(SINKS_FILE, fault));
                Some(sinks)
            }
            Err(failure) => {
                reader.fault(SINKS_FILE, format!("cannot be read: {:?}", failure.kind()));
                None
            }
        }
    }

    /// Reads the text of a sinks file: what could be read of it, and what is wrong with the rest.
    pub fn parse(text: &str, get: &dyn Fn(&str) -> Option<String>) -> (Self, Vec<String>) {
        let mut faults = Vec::new();
        let mut none = Self { egress: EgressConfig::default(), lag: LAG, sinks: Vec::new(), portals: Vec::new() };
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(wrong) => {
                // the parser's own message would show the line, which may hold what should not be there
                let line = wrong.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
                faults.push(format!("line {line} is not TOML"));
                return (none, faults);
            }
        };
        let mut file = Fields::of("", table, &mut faults);
        none.egress = egress(&mut file);
        if let Some(minutes) = file.number("lag_minutes", 1, 10_080) {
            none.lag = Duration::from_secs(60 * minutes);
        }
        let (entries, portals) = (file.tables("sink"), file.tables("portal"));
        file.end();
        let mut names = BTreeSet::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let name = entry.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
            let shown = if is_name(&name) { format!("sink {name}: ") } else { format!("sink number {}: ", place + 1) };
            let mut fields = Fields::of(&shown, entry, &mut faults);
            let read = sink(&mut fields, &none.egress, get);
            if !names.insert(name) {
                fields.fault("name", "is the name of another sink too");
            }
            fields.end();
            none.sinks.extend(read);
        }
        none.portals(portals, &mut faults, get);
        if none.ages().len() > TOLD_AT {
            faults.push(format!("all open_hours together, and conversation.opened, must be {TOLD_AT} ages at most"));
        }
        (none, faults)
    }
}

impl SinksConfig {
    fn portals(&mut self, entries: Vec<Table>, faults: &mut Vec<String>, get: &dyn Fn(&str) -> Option<String>) {
        let several = entries.len() > 1;
        let mut ids = BTreeSet::new();
        for (place, entry) in entries.into_iter().enumerate() {
            let mut fields = Fields::of(&format!("portal number {}: ", place + 1), entry, faults);
            let read = portal::read(&mut fields, &self.egress, get);
            if let Some(portal) = &read {
                if !ids.insert(portal.id.clone()) {
                    fields.fault("id", "is the number of another portal too");
                }
                if several && portal.projects.is_none() {
                    fields.fault("projects", "is missing: two portals may have records of one number");
                }
            }
            fields.end();
            self.portals.extend(read);
        }
    }
}

fn egress(file: &mut Fields<'_>) -> EgressConfig {
    let Some(mut fields) = file.table("egress") else { return EgressConfig::default() };
    let networks = fields.texts("networks").unwrap_or_default();
    let parsed: Vec<IpNet> = networks
        .iter()
        .filter_map(|text| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)))
        .collect();
    if parsed.len() < networks.len() {
        fields.fault("networks", "must be networks such as 10.0.0.0/8 or fd00::/8");
    }
    let ports = fields.numbers("ports", 1, 65_535).unwrap_or_default();
    let egress = EgressConfig {
        networks: parsed,
        ports: ports.into_iter().filter_map(|port| u16::try_from(port).ok()).collect(),
        http: fields.flag("http"),
    };
    fields.end();
    egress
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    (1..=64).contains(&name.len()) && name.chars().all(plain)
}

fn sink(fields: &mut Fields<'_>, egress: &EgressConfig, get: &dyn Fn(&str) -> Option<String>) -> Option<SinkConfig> {
    let name = fields.required("name").unwrap_or_default();
    if !name.is_empty() && !is_name(&name) {
        fields.fault("name", "must be of a-z, 0-9, - and _, and 64 at most");
    }
    let target = target::read(fields, egress, get);
    let kinds = match fields.texts("events") {
        Some(patterns) => kinds(&patterns).unwrap_or_else(|| {
            fields.fault(
                "events",
                "must be kinds of notices, such as conversation.closed, conversation.* or alert.raised",
            );
            Vec::new()
        }),
        None => target.as_ref().map(Target::usual_kinds).unwrap_or_default(),
    };
    let rate = match target {
        Some(Target::HubSpot { .. }) => Some(rate(fields)),
        _ => None,
    };
    let order = fields.one_of("order", &["conversation", "contact"]);
    let on_exhausted = fields.one_of("on_exhausted", &["skip", "park"]);
    Some(SinkConfig {
        name,
        kinds,
        projects: fields.texts("projects"),
        by_contact: order
            .map_or_else(|| target.as_ref().is_some_and(Target::is_of_contacts), |order| order == "contact"),
        concurrency: u32::try_from(fields.number("concurrency", 1, 256).unwrap_or(8)).unwrap_or(8),
        park: on_exhausted == Some("park"),
        timeout: Duration::from_secs(fields.number("timeout_seconds", 1, 30).unwrap_or(10)),
        rate,
        target: target?,
    })
}

/// HubSpot counts requests: a new contact and a note are four.
fn rate(fields: &mut Fields<'_>) -> RateConfig {
    const REQUESTS: u64 = 4;
    let in_ten_seconds = fields.number("requests_per_10_seconds", 8, 10_000).unwrap_or(100);
    let in_a_day = fields.number("requests_per_day", 1_000, 100_000_000).unwrap_or(250_000);
    RateConfig {
        per_ten_seconds: u32::try_from(in_ten_seconds / REQUESTS).unwrap_or(u32::MAX),
        per_day: in_a_day / REQUESTS,
    }
}

/// Every kind that one of the patterns names; `None` if one names nothing.
fn kinds(patterns: &[String]) -> Option<Vec<NoticeKind>> {
    let mut kinds = BTreeSet::new();
    for pattern in patterns {
        let fits = |kind: &&NoticeKind| match pattern.strip_suffix('*') {
            Some(prefix) => kind.as_str().starts_with(prefix),
            None => kind.as_str() == pattern,
        };
        let named: Vec<_> = NoticeKind::ALL.iter().filter(fits).copied().collect();
        if named.is_empty() {
            return None;
        }
        kinds.extend(named);
    }
    (!kinds.is_empty()).then(|| kinds.into_iter().collect())
}

/// Whether `url` may be connected to as far as it says so itself: scheme, port, no credentials. Addresses are judged when they
/// are connected to, because only then are they known.
fn fault_of_url(url: &Url, egress: &EgressConfig) -> Option<&'static str> {
    let port = url.port_or_known_default().unwrap_or_default();
    let usual = [443, 8443].contains(&port) || (egress.http && port == 80);
    match url.scheme() {
        "https" => {}
        "http" if egress.http => {}
        _ => return Some("must be an https: URL (egress.http = true allows http:)"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must not hold a user or a password; say where the secret is instead");
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Some("must name a host");
    }
    (!usual && !egress.ports.contains(&port)).then_some("must be at port 443 or 8443, or one of egress.ports")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (SinksConfig, Vec<String>) {
        SinksConfig::parse(text, &|name| (name == "KEY").then(|| "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned()))
    }

    #[test]
    fn the_example_is_as_the_code_has_it() {
        let text = include_str!("../../../infra/sinks.example.toml");
        let (sinks, faults) = SinksConfig::parse(text, &|_| Some("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into()));
        let faults: Vec<_> = faults.iter().filter(|fault| !fault.contains("holds nothing")).collect();
        assert!(faults.is_empty(), "{faults:#?}");
        let forms: BTreeSet<_> = sinks.sinks.iter().map(|sink| sink.target.form()).collect();
        assert_eq!(forms.len(), Target::FORMS.len(), "every form is shown: {forms:?}");
    }

    #[test]
    fn what_is_not_said_is_as_documented() {
        let (sinks, faults) =
            parse("[[sink]]\nname = 'a'\nkind = 'webhook'\nurl = 'https://example.com/'\nsecret = 'env:KEY'");
        assert_eq!(faults, [""; 0]);
        let sink = &sinks.sinks[0];
        assert_eq!((sink.concurrency, sink.park, sink.by_contact), (8, false, false));
        assert_eq!(sink.timeout, Duration::from_secs(10));
        assert!(sink.kinds.contains(&NoticeKind::Closed) && !sink.kinds.contains(&NoticeKind::Alert));
    }

    #[test]
    fn all_faults_are_told_at_once_and_none_repeats_a_value() {
        let (_, faults) = parse(
            "[egress]\nnetworks = ['hunter2']\n\
             [[sink]]\nname = 'Bad Name'\nkind = 'webhook'\nurl = 'http://hunter2/'\nsecret = 'hunter2'\n\
             [[sink]]\nname = 'b'\nkind = 'hunter2'\n\
             [[sink]]\nname = 'b'\nkind = 'queue'\nurl = 'https://sqs/hunter2'\nevents = ['conversation.eaten']\nretries = 3\n",
        );
        let shown = faults.join("\n");
        for part in [
            "egress.networks must",
            "sink number 1: name must",
            "sink number 1: url must",
            "sink number 1: secret must",
            "sink b: kind must",
            "sink b: name is the name of another",
            "sink b: events must",
            "sink b: retries is unknown",
        ] {
            assert!(shown.contains(part), "no {part:?} in\n{shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_classifier_is_plain_or_of_a_model_and_never_without_tls() {
        let entry =
            |url: &str, more: &str| parse(&format!("[[sink]]\nname = 'c'\nkind = 'classifier'\nurl = '{url}'\n{more}"));
        for (url, more, fault) in [
            ("https://example.com/", "", None),
            ("https://example.com/", "protocol = 'openai'\nmodel = 'm'", None),
            ("https://example.com/", "protocol = 'openai'", Some("sink c: model is missing")),
            ("https://example.com/", "model = 'm'", Some("sink c: model is for")),
            ("https://example.com/", "protocol = 'smoke'", Some("sink c: protocol must")),
            ("https://example.com/", "messages = 0", Some("sink c: messages must")),
            ("http://example.com/", "", Some("sink c: url must be an https: URL")),
        ] {
            let (sinks, faults) = entry(url, more);
            match fault {
                None => assert_eq!((faults.len(), sinks.sinks[0].kinds.as_slice()), (0, &[NoticeKind::Closed][..])),
                Some(fault) => assert!(faults.len() == 1 && faults[0].starts_with(fault), "{more}: {faults:?}"),
            }
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_by_its_line() {
        let (_, faults) = parse("[egress]\nnetworks = hunter2\n");
        assert_eq!(faults, ["line 2 is not TOML"]);
    }

    #[test]
    fn url_rules_table() {
        let open = EgressConfig { http: true, ports: vec![9000], ..EgressConfig::default() };
        let closed = EgressConfig::default();
        for (url, egress, fits) in [
            ("https://example.com/a?b=c", &closed, true),
            ("https://example.com:8443/", &closed, true),
            ("https://example.com:9000/", &closed, false),
            ("https://example.com:9000/", &open, true),
            ("https://example.com:22/", &open, false),
            ("http://example.com/", &closed, false),
            ("http://example.com/", &open, true),
            ("https://user@example.com/", &open, false),
            ("https://user:password@example.com/", &open, false),
            ("ftp://example.com/", &open, false),
            ("file:///etc/passwd", &open, false),
        ] {
            assert_eq!(fault_of_url(&url.parse().expect("a URL"), egress).is_none(), fits, "{url}");
        }
    }
}
