//! `conversationd crm`: links between conversations and customer records, from the older service's file.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDateTime, Utc};
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    BAD_INPUT,
    output::{counted, say},
};
use crate::{
    app,
    archive::OlderLink,
    clock::{Clock, SystemClock},
    config::{DatabaseConfig, SinksConfig},
    http::Http,
    sink::{self, Prepared, Shared},
};

/// How long HubSpot may take for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// Links written in one transaction.
const AT_ONCE: usize = 500;

/// Longest texts, in bytes: the archive's limits.
const LONGEST: usize = 1024;

/// What to do with links.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Take over the links of the older service, which kept them in a JSON file.
    ///
    /// One object, by conversation: hubspot_id, prospect_data, created_at, updated_at. A conversation that the archive knows by
    /// that id is linked as itself, any other by the id alone. What stands already stays as it is, so importing again is
    /// harmless. Says how many there are; --yes writes them. Exit code 65 when an entry is not a link: nothing is written.
    #[command(after_help = "Example:\n  conversationd crm import conversation_mappings.json --project P --yes")]
    Import(Import),
    /// Make the properties that a HubSpot sink needs, those that are missing.
    ///
    /// Needs a token that may write contacts' schemas. Repeating it is harmless.
    #[command(after_help = "Example:\n  conversationd crm bootstrap hubspot")]
    Bootstrap {
        /// The sink's name in the sinks file.
        sink: String,
    },
}

/// What to import.
#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// The file.
    file: PathBuf,
    /// The project that all of its conversations belong to.
    #[arg(long)]
    project: String,
    /// Write them.
    #[arg(long)]
    yes: bool,
}

/// An entry of the file.
#[derive(Deserialize)]
struct Entry {
    conversation_id: Option<String>,
    hubspot_id: Value,
    #[serde(default)]
    prospect_data: Option<Map<String, Value>>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// Does it, with the settings that `get` reads.
///
/// # Errors
/// The file cannot be read, the archive cannot be written, or HubSpot does not do its part.
pub async fn run(command: &Command, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Import(arguments) => import(arguments, &DatabaseConfig::read(get)?).await,
        Command::Bootstrap { sink } => bootstrap(sink, get).await,
    }
}

async fn bootstrap(name: &str, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let config = SinksConfig::read(get)?.context("CONVERSATIOND_SINKS_FILE is not set")?;
    let named = config.sinks.iter().find(|sink| sink.name == name);
    let named = named.context("the sinks file has no sink of this name")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let shared = Shared { http: Arc::new(Http::new(&config.egress, clock.clone())), clock };
    let done = tokio::time::timeout(PATIENCE, sink::bootstrap(named, &shared)).await;
    match done.context("HubSpot does not answer")? {
        None => bail!("this sink is no HubSpot"),
        Some(Err(verdict)) => bail!("HubSpot did not make them: {}", verdict.reason.unwrap_or_default()),
        Some(Ok(prepared)) => {
            for Prepared { object, property, new } in prepared {
                say(format!("{object} {property} {}", if new { "made" } else { "there" }))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn import(import: &Import, database: &DatabaseConfig) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(&import.file).context("the file cannot be read")?;
    let links = match links(&text) {
        Ok(links) => links,
        Err(wrong) => {
            eprintln!("{wrong}; nothing was imported");
            return Ok(ExitCode::from(BAD_INPUT));
        }
    };
    let all = counted(links.len() as u64, "link");
    if !import.yes {
        say(format!("{all} would be imported; --yes does it"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let archive = app::archive(database)?;
    let mut new = 0;
    for some in links.chunks(AT_ONCE) {
        new += archive.import_links(&import.project, some).await.context("the rest was not imported")?;
    }
    say(format!("{all} read, {new} new"))?;
    Ok(ExitCode::SUCCESS)
}

/// The links of a file, in the order of their conversations. Names entries by their place: they are about people.
fn links(text: &str) -> anyhow::Result<Vec<OlderLink>> {
    let Ok(Value::Object(entries)) = serde_json::from_str(text) else { bail!("the file is not a JSON object") };
    entries
        .into_iter()
        .enumerate()
        .map(|(place, (name, entry))| link(name, entry).with_context(|| format!("entry {} is not a link", place + 1)))
        .collect()
}

fn link(name: String, entry: Value) -> anyhow::Result<OlderLink> {
    let Ok(entry) = serde_json::from_value::<Entry>(without_nul(entry)) else { bail!("a field is missing or wrong") };
    let crm_id = match entry.hubspot_id {
        Value::String(id) => id,
        Value::Number(id) => id.to_string(),
        _ => bail!("hubspot_id is no id"),
    };
    let external_id = entry.conversation_id.unwrap_or(name).replace('\0', "");
    for text in [&crm_id, &external_id] {
        if text.trim().is_empty() || text.len() > LONGEST {
            bail!("an id is empty or too long");
        }
    }
    Ok(OlderLink {
        external_id,
        crm: "hubspot".into(),
        crm_id,
        prospect: entry.prospect_data.unwrap_or_default(),
        created_at: entry.created_at.as_deref().and_then(time),
        updated_at: entry.updated_at.as_deref().and_then(time),
    })
}

/// The older service wrote local times without saying where; they are taken as UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let aware = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    aware.or_else(|| Some(text.parse::<NaiveDateTime>().ok()?.and_utc()))
}

/// PostgreSQL keeps no NUL in JSON.
fn without_nul(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('\0', "")),
        Value::Array(values) => values.into_iter().map(without_nul).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key.replace('\0', ""), without_nul(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_read_with_its_times_and_whatever_form_its_ids_have() {
        let text = r#"{
            "conversation-1": {"conversation_id": "conversation-1", "hubspot_id": "512", "prospect_data": {"rol": "CEO\u0000"},
                "created_at": "2025-10-06T11:24:26.974800", "updated_at": "2025-10-06T11:24:26Z"},
            "b": {"hubspot_id": 7}
        }"#;
        let links = links(text).expect("links");
        let of = |place: usize| (links[place].external_id.as_str(), links[place].crm_id.as_str());
        assert_eq!((of(0), of(1)), (("b", "7"), ("conversation-1", "512")));
        assert_eq!(links[1].prospect["rol"], "CEO");
        let at = |text: &str| text.parse::<DateTime<Utc>>().ok();
        assert_eq!(links[1].created_at, at("2025-10-06T11:24:26.974800Z"));
        assert_eq!((links[1].updated_at, links[0].created_at), (at("2025-10-06T11:24:26Z"), None));
    }

    #[test]
    fn what_is_no_link_is_named_by_its_place_and_not_quoted() {
        for (text, wrong) in [
            ("[]", "the file is not a JSON object"),
            (r#"{"secret-1": {"hubspot_id": "1"}, "secret-2": {"prospect_data": {}}}"#, "entry 2 is not a link"),
            (r#"{"secret": {"hubspot_id": ""}}"#, "entry 1 is not a link"),
            (r#"{"secret": {"hubspot_id": "1", "prospect_data": "secret"}}"#, "entry 1 is not a link"),
        ] {
            let error = links(text).expect_err("no link");
            assert_eq!(error.to_string(), wrong);
            assert!(!format!("{error:?}").contains("secret"));
        }
    }
}
