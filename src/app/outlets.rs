//! Sinks as the settings have them, ready for the relay.

use std::sync::Arc;

use aws_sdk_sqs::{Client, config::Region};

use crate::{
    archive::{GuardedReader, Options, PostgresArchive},
    classifier::{Classifier, Stores},
    clock::Clock,
    config::{DatabaseConfig, SinkConfig, SinksConfig, Target},
    counters::Counters,
    hot::HotStore,
    http::Http,
    outbox::{Order, Outbox, Rate, Registration, Schedule},
    queue::Queue,
    relay::{Outlet, Relay},
    sink::{self, Shared},
};

/// Connections of the outbox: each piece of work is a few short statements.
const CONNECTIONS: u32 = 4;

/// The outbox in the archive's database, over connections of its own.
///
/// # Errors
/// The URL cannot be used.
pub fn outbox(database: &DatabaseConfig) -> anyhow::Result<Outbox> {
    Ok(Outbox::over(super::archive(database)?.pool_beside(CONNECTIONS)))
}

/// What classifiers read and write: the archive by connections of their own, so that no close ever waits for one.
///
/// # Errors
/// The URL cannot be used.
pub(super) fn stores(
    database: &DatabaseConfig,
    hot: Arc<dyn HotStore>,
    queue: Arc<dyn Queue>,
) -> anyhow::Result<Stores> {
    let options = Options { max_connections: CONNECTIONS, schema: database.schema.clone(), ..Options::default() };
    let archive = Arc::new(PostgresArchive::new(database.url.reveal(), &options)?);
    Ok(Stores { archive: Arc::new(GuardedReader::by(Arc::default(), archive)), hot, queue })
}

/// The relay to the sinks that `config` names; `sqs` is a client to make others of.
pub(super) fn relay(
    config: &SinksConfig,
    outbox: Outbox,
    stores: &Stores,
    sqs: &Client,
    clock: &Arc<dyn Clock>,
    counters: &Arc<Counters>,
) -> Relay {
    let http = Arc::new(Http::new(&config.egress, clock.clone()));
    let shared = Shared { http, clock: clock.clone() };
    let in_region = |region: Option<&str>| match region {
        Some(region) => Client::from_conf(sqs.config().to_builder().region(Region::new(region.to_owned())).build()),
        None => sqs.clone(),
    };
    let build = |config: &SinkConfig| match &config.target {
        Target::Classifier(target) => {
            Some(Arc::new(Classifier::new(target, stores.clone(), shared.http.clone())) as Arc<dyn sink::Sink>)
        }
        _ => sink::build(config, &shared, &in_region),
    };
    let outlets = config.sinks.iter().filter_map(|config| Some(outlet(config, build(config)?))).collect();
    Relay::new(outbox, outlets, config.lag, clock.clone(), counters.clone())
}

fn outlet(config: &SinkConfig, sink: Arc<dyn sink::Sink>) -> Outlet {
    let schedule = match config.target {
        Target::Webhook { .. } | Target::Crm { .. } => Schedule::webhook(),
        Target::Queue { .. }
        | Target::Alert { .. }
        | Target::HubSpot { .. }
        | Target::Datalake { .. }
        | Target::Classifier(_) => Schedule::steady(),
    };
    Outlet {
        registration: Registration {
            name: config.name.clone(),
            form: config.target.form(),
            kinds: config.kinds.clone(),
            projects: config.projects.clone(),
            order: if config.by_contact { Order::Contact } else { Order::Conversation },
        },
        sink,
        schedule,
        concurrency: config.concurrency,
        park: config.park,
        timeout: config.timeout,
        rate: config.rate.map(|rate| Rate { per_window: rate.per_ten_seconds, per_day: rate.per_day }),
    }
}
