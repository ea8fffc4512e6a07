//! Portals as the settings have them, ready for the pipeline.

use std::sync::Arc;

use crate::{
    archive::{Options, PostgresArchive},
    clock::Clock,
    config::{Config, PortalConfig, SecretRef, SinksConfig},
    counters::Counters,
    crm::{Portal, Portals, SecretSource, Webhook},
    http::Http,
    journal::{Journal, LONGEST_FILE},
    queue::SqsQueue,
};

/// Connections of all journals: each holds one for a moment now and then.
const CONNECTIONS: u32 = 2;

pub(super) fn of(config: Option<&SinksConfig>) -> Portals {
    Portals::of(config.into_iter().flat_map(|config| &config.portals).map(portal).collect())
}

fn portal(config: &PortalConfig) -> Portal {
    let webhook = config.webhook_url.clone().map(|url| Webhook {
        url,
        secret: secret(config.client_secret.clone()),
        older_too: config.allow_v1,
    });
    Portal {
        id: config.id.clone(),
        projects: config.projects.clone(),
        webhook,
        ours: config.our_sources.iter().cloned().collect(),
    }
}

pub(super) fn secret(place: SecretRef) -> SecretSource {
    Arc::new(move || Some(place.read()?.reveal().to_owned()))
}

/// The journals that the settings want to be read.
///
/// # Errors
/// The archive's URL cannot be used.
pub(super) fn journals(
    config: &Config,
    queue: &Arc<SqsQueue>,
    counters: &Arc<Counters>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<Vec<Journal>> {
    let Some(sinks) = config.sinks.as_ref().filter(|sinks| sinks.portals.iter().any(|portal| portal.journal.is_some()))
    else {
        return Ok(Vec::new());
    };
    let options =
        Options { max_connections: CONNECTIONS, schema: config.database.schema.clone(), ..Options::default() };
    let archive = PostgresArchive::new(config.database.url.reveal(), &options)?;
    let http = Arc::new(Http::new(&sinks.egress, clock.clone()).reading(LONGEST_FILE));
    let journal =
        |portal: &PortalConfig| Journal::of(portal, http.clone(), archive.clone(), queue.clone(), counters.clone());
    Ok(sinks.portals.iter().filter_map(journal).collect())
}
