//! The hot store as the settings want it, and what DynamoDB does by itself and PostgreSQL must be asked for: to forget what
//! has expired.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::Clients;
use crate::{
    config::HotConfig,
    hot::{Database, DynamoStore, EXPIRED_AT_ONCE, PostgresStore, WholeStore},
};

/// How often what has expired is looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// Between two sweeps while there is more: at most this much of the database's time goes into them.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(200);

/// Hears of a call.
pub(super) type Counted = Arc<dyn Fn() + Send + Sync>;

/// The hot store, and what must be swept of it.
pub(super) struct Built {
    pub(super) store: Arc<dyn WholeStore>,
    pub(super) swept: Option<PostgresStore>,
}

pub(super) fn build(config: &HotConfig, clients: &Clients, ttl: Duration, counted: Counted) -> anyhow::Result<Built> {
    Ok(match config {
        HotConfig::DynamoDb(table) => {
            let store = DynamoStore::new(clients.dynamodb.clone(), table.name.clone(), ttl);
            Built { store: Arc::new(store), swept: None }
        }
        HotConfig::Postgres { url, schema, connections } => {
            let database = Database { url: url.reveal(), schema: schema.as_deref(), connections: *connections };
            let store = PostgresStore::new(&database, ttl, counted)?;
            Built { store: Arc::new(store.clone()), swept: Some(store) }
        }
    })
}

/// The hot store that `config` names; `clients` are for its region. What is written into it expires after `ttl`.
///
/// # Errors
/// The URL cannot be used.
pub fn hot(config: &HotConfig, clients: &Clients, ttl: Duration) -> anyhow::Result<Arc<dyn WholeStore>> {
    Ok(build(config, clients, ttl, Arc::new(|| {}))?.store)
}

/// Takes away what has expired, until `stop`. Every replica does: what one holds, the others pass over.
pub(super) async fn expire(store: Option<&PostgresStore>, stop: CancellationToken) {
    let Some(store) = store else { return };
    let mut pause = EXPIRE_EVERY;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = sleep(pause) => {}
        }
        pause = match store.expire().await {
            Ok(gone) => {
                debug!(gone, "expired rows are gone from the hot store");
                if gone < u64::from(EXPIRED_AT_ONCE.unsigned_abs()) { EXPIRE_EVERY } else { BETWEEN_SWEEPS }
            }
            Err(failure) => {
                warn!(error = %failure, "what has expired in the hot store stays for now");
                EXPIRE_EVERY
            }
        };
    }
}
