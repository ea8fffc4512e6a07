//! Outside systems, one file each. A sink sends one notice once and says what came of it; it knows no database, repeats
//! nothing and decides nothing about the next attempt.

mod alert;
mod crm;
mod datalake;
mod hubspot;
mod keys;
mod queue;
mod shape;
mod verdict;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;

pub use datalake::wire as datalake_wire;
pub use hubspot::Prepared;
pub use keys::{Keys, NewKeys, sign};
pub use queue::SqsSend;
pub use verdict::{Outcome, Verdict, Written};

use crate::{
    clock::Clock,
    config::{SinkConfig, Target},
    domain::Notice,
    http::Http,
};

/// One notice on its way to one sink.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch<'a> {
    /// What to tell.
    pub notice: &'a Notice,
    /// Its lane: what a receiver may order by. It names no person.
    pub lane: uuid::Uuid,
    /// Its place in the lane, from 1, without gaps.
    pub sequence: i64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// An outside system.
#[async_trait]
pub trait Sink: Send + Sync {
    /// Sends one notice. Whoever calls gives up after the sink's timeout; what was sent by then may have arrived.
    async fn send(&self, dispatch: &Dispatch<'_>) -> Verdict;
}

/// What sinks share.
#[derive(Clone)]
pub struct Shared {
    /// The guarded HTTP client.
    pub http: Arc<Http>,
    /// The clock that signatures carry.
    pub clock: Arc<dyn Clock>,
}

/// Makes what the outside system must have before anything is sent to it: HubSpot's properties. `None` for any other.
///
/// # Errors
/// It does not answer, or refuses; the verdict says why.
pub async fn bootstrap(config: &SinkConfig, shared: &Shared) -> Option<Result<Vec<Prepared>, Verdict>> {
    let Target::HubSpot { base, version, token, .. } = &config.target else { return None };
    Some(hubspot::HubSpot::new(base, version, token, shared).bootstrap().await)
}

/// The sink that `config` describes; `sqs` makes clients for a region. None for a classifier, which reads the archive and so
/// has a room of its own.
pub fn build(
    config: &SinkConfig,
    shared: &Shared,
    sqs: &dyn Fn(Option<&str>) -> aws_sdk_sqs::Client,
) -> Option<Arc<dyn Sink>> {
    Some(match &config.target {
        Target::Webhook { url, secret, datalake } => {
            Arc::new(webhook::Webhook::new(url, secret, datalake.clone(), shared))
        }
        Target::Queue { url, region, shape } => {
            Arc::new(SqsSend::new(sqs(region.as_deref()), url.clone(), shape.clone()))
        }
        Target::Alert { url, secret, rules } => Arc::new(alert::Alert::new(url, secret.clone(), *rules, shared)),
        Target::Crm { url, token } => Arc::new(crm::Crm::new(url, token.clone(), shared)),
        Target::HubSpot { base, version, token, portal } => {
            Arc::new(hubspot::HubSpot::new(base, version, token, shared).of_portal(portal.clone()))
        }
        Target::Datalake { address, names } => {
            Arc::new(datalake::Datalake::new(address, names, shared, config.timeout))
        }
        Target::Classifier(_) => return None,
    })
}
