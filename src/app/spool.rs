//! The spool, if the settings want one.

use std::sync::Arc;

use uuid::Uuid;

use super::observers::host;
use crate::{
    config::Config,
    counters::Counters,
    hot::HotStore,
    queue::{Leases, SqsQueue},
    spool::{Keeper, PostgresSpool, SpooledQueue},
};

/// `queue` with the spool beside it, and what keeps this replica in step with the others.
///
/// # Errors
/// The URL cannot be used.
pub(super) fn of(
    config: &Config,
    queue: Arc<SqsQueue>,
    hot: Arc<dyn HotStore>,
    leases: Arc<Leases>,
    counters: Arc<Counters>,
    instance: Uuid,
) -> anyhow::Result<Option<(Arc<SpooledQueue>, Keeper)>> {
    let Some(rules) = config.spool else { return Ok(None) };
    let spool = Arc::new(PostgresSpool::new(config.database.url.reveal(), config.database.schema.as_deref())?);
    let queue = Arc::new(SpooledQueue::new(queue, spool.clone(), leases.clone()));
    let keeper =
        Keeper::new((queue.clone(), spool), hot, leases, counters, (rules, config.limits.wait), (instance, host()));
    Ok(Some((queue, keeper)))
}
