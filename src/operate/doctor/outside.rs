//! Outside systems: whether sinks, classifiers and the model that summarises can be connected to; nothing is sent to them. And
//! what the outbox says of those that were sent to.

use futures_util::future::join_all;

use super::{
    Finding, Role,
    finding::{code, is_absent},
    permissions::{Tried, judged},
};
use crate::{
    app,
    config::{Config, DatabaseConfig, EgressConfig, SinkConfig, SinksConfig, Target},
    http::{NoAnswer, Place, reach},
    operate::{clients, output::counted},
    outbox::SinkRow,
};

const SINK: &str = "sink";
const OUTBOX: &str = "outbox";
const SUMMARY: &str = "summary endpoint";

const UNTOLD: &str = "what it should hear waits in the outbox, and is given up in the end";

/// Tries each of them at once.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>, role: Role) -> Vec<Finding> {
    let sinks = async {
        match SinksConfig::read(get) {
            Ok(Some(sinks)) => join_all(sinks.sinks.iter().map(|config| sink(config, &sinks.egress, role))).await,
            _ => Vec::new(), // none, or the settings cannot be used: said elsewhere
        }
    };
    let (sinks, summary, outbox) = tokio::join!(sinks, summary(get), outbox(get));
    [sinks, summary.into_iter().collect(), outbox].concat()
}

async fn sink(config: &SinkConfig, egress: &EgressConfig, role: Role) -> Finding {
    let name = format!("{}, a {},", config.name, config.target.form());
    if let Target::Queue { url, region, .. } = &config.target {
        return queue(&name, url, region.clone(), role).await;
    }
    let reached = match place(&config.target) {
        Some(place) => Some(reach(&place, Some(egress), config.timeout).await),
        None => None,
    };
    match reached {
        Some(Ok(())) => Finding::ok(SINK, format!("{name} can be connected to")),
        Some(Err(NoAnswer::Blocked)) => {
            let advice = "let `egress` in the sinks file allow its network, if it is meant to be sent to";
            Finding::fault(SINK, format!("{name} has an address that may not be connected to"), UNTOLD, advice)
        }
        Some(Err(failure)) => {
            let advice = "see that its address is right, that it runs, and that this machine may go there";
            Finding::fault(SINK, format!("{name} cannot be connected to: {failure}"), UNTOLD, advice)
        }
        None => {
            let advice = "see that the secret that it points to is there";
            Finding::fault(SINK, format!("{name} has no address"), UNTOLD, advice)
        }
    }
}

/// Where a sink sends to; `None` if its secret does not say.
fn place(target: &Target) -> Option<Place> {
    match target {
        Target::Webhook { url, .. } | Target::Crm { url, .. } | Target::HubSpot { base: url, .. } => Place::of(url),
        Target::Queue { url, .. } => Place::of(&url.parse().ok()?),
        Target::Classifier(target) => Place::of(&target.url),
        Target::Alert { url, .. } => Place::of(&url.read()?.reveal().parse().ok()?),
        Target::Datalake { address, .. } => Place::parse(address),
    }
}

/// A message that no queue takes.
async fn queue(name: &str, url: &str, region: Option<String>, role: Role) -> Finding {
    if role != Role::Daemon {
        return Finding::ok(SINK, format!("{name} not tried: only the daemon sends to it"));
    }
    let sqs = clients(region, None).await.sqs.control;
    let sent = sqs.send_message().queue_url(url).message_body("\u{ffff}").send().await;
    let absent = sent.as_ref().err().and_then(code).is_some_and(is_absent);
    match judged(sent) {
        Tried::Allowed => Finding::ok(SINK, format!("{name} may be sent to")),
        Tried::Refused(code) => {
            let advice = "give the role the right to sqs:SendMessage on it";
            Finding::fault(SINK, format!("{name} refuses: {code}"), UNTOLD, advice)
        }
        Tried::Untold if absent => {
            Finding::fault(SINK, format!("{name} does not exist"), UNTOLD, "make it, or mend its URL in the sinks file")
        }
        Tried::Untold => {
            Finding::fault(SINK, format!("{name} does not answer"), UNTOLD, "see that its URL and region are right")
        }
    }
}

async fn summary(get: &dyn Fn(&str) -> Option<String>) -> Option<Finding> {
    let endpoint = Config::read(get).ok()?.answers.endpoint?;
    let reached = match Place::of(&endpoint.url) {
        Some(place) => reach(&place, None, endpoint.patience).await,
        None => Err(NoAnswer::Unfit),
    };
    Some(match reached {
        Ok(()) => Finding::ok(SUMMARY, "can be connected to"),
        Err(failure) => {
            let why = "contexts keep their previous summary, or have sentences picked: every answer waits for it first";
            let advice = "see that CONVERSATIOND_SUMMARY_ENDPOINT is right, runs, and may be connected to from here";
            Finding::fault(SUMMARY, format!("cannot be connected to: {failure}"), why, advice)
        }
    })
}

/// Says nothing without sinks, nor when the database does not answer: the check of the archive does.
async fn outbox(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (Ok(Some(config)), Ok(database)) = (SinksConfig::read(get), DatabaseConfig::read(get)) else {
        return Vec::new();
    };
    let Ok(outbox) = app::outbox(&database) else { return Vec::new() };
    let (rows, lagging) = tokio::join!(outbox.sinks(), outbox.lagging(config.lag));
    let (Ok(rows), Ok(lagging)) = (rows, lagging) else { return Vec::new() };
    let here = |row: &&SinkRow| config.sinks.iter().any(|sink| sink.name == row.name);
    let found: Vec<Finding> =
        rows.iter().filter(here).filter_map(|row| fares(row, lagging.contains(&row.name))).collect();
    if found.is_empty() { vec![Finding::ok(OUTBOX, "nothing waits too long, nothing was given up")] } else { found }
}

/// What is wrong with a sink that was sent to.
fn fares(row: &SinkRow, lags: bool) -> Option<Finding> {
    let name = &row.name;
    let (found, why, advice) = if row.state != "enabled" {
        let advice = format!("`conversationd outbox resume {name}` when the reason is gone");
        (format!("{name} is {}", row.state), "what it should hear waits, and grows", advice)
    } else if row.parked > 0 {
        let lanes = counted(row.parked.unsigned_abs(), "lane");
        let why = "what comes behind in them waits for a person";
        let advice = format!(
            "`conversationd outbox list --sink {name} --state pending` says why, `conversationd outbox retry` goes on"
        );
        (format!("{name}: {lanes} parked"), why, advice)
    } else if row.dead > 0 {
        let dead = counted(row.dead.unsigned_abs(), "notice");
        let advice = format!(
            "`conversationd outbox list --sink {name} --state dead` says why, `conversationd outbox retry` tries again"
        );
        (format!("{name}: {dead} given up"), "it never heard of them", advice)
    } else if row.breaker != "closed" {
        let advice = "see that it runs: it is tried again by itself".to_owned();
        (format!("{name}: its breaker is {}", row.breaker), "it failed too often, and is let alone for a while", advice)
    } else if lags {
        let advice = format!(
            "`conversationd outbox show {name}` shows the attempts; more `concurrency` in the sinks file may help"
        );
        (format!("{name}: notices wait longer than they should"), "whoever relies on it sees yesterday", advice)
    } else {
        return None;
    };
    Some(Finding::warning(OUTBOX, found, why, advice))
}
