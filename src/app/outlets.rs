//! Sinks as the settings have them, ready for the relay.

use std::sync::Arc;

use aws_sdk_sqs::{Client, config::Region};

use crate::{
    clock::Clock,
    config::{DatabaseConfig, SinkConfig, SinksConfig, Target},
    counters::Counters,
    outbox::{Order, Outbox, Rate, Registration, Schedule},
    relay::{Outlet, Relay},
    sink::{self, Http, Shared},
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

/// The relay to the sinks that `config` names; `sqs` is a client to make others of.
pub(super) fn relay(
    config: &SinksConfig,
    outbox: Outbox,
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
    let outlets = config.sinks.iter().map(|config| outlet(config, sink::build(config, &shared, &in_region))).collect();
    Relay::new(outbox, outlets, config.lag, clock.clone(), counters.clone())
}

fn outlet(config: &SinkConfig, sink: Arc<dyn sink::Sink>) -> Outlet {
    let schedule = match config.target {
        Target::Webhook { .. } | Target::Crm { .. } => Schedule::webhook(),
        Target::Queue { .. } | Target::Alert { .. } | Target::HubSpot { .. } | Target::Datalake { .. } => {
            Schedule::steady()
        }
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
