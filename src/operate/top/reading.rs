//! Reading what there is to be seen: each store by itself, within a time of its own, and none hides another.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::time::timeout;

use super::snapshot::{Depth, Letters, Outlet, Part, Reason, Snapshot, Told};
use crate::{
    app,
    config::{DatabaseConfig, HotConfig, QueueConfig},
    fleet,
    hot::{DeadLetter, HotStore},
    operate::{clients, letters, moment::now},
    outbox::{Outbox, SinkRow},
};

/// How long one store may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the index of dead letters may take, which is thirty-one calls.
const LETTERS_PATIENCE: Duration = Duration::from_secs(20);

/// Rows of the index that are counted; more are not needed to see what is wrong.
const LETTERS: usize = 10_000;

/// Where everything is, as far as the settings say.
#[derive(Clone)]
pub(super) struct Places {
    queue: Result<(aws_sdk_sqs::Client, String), String>,
    dead_letter: Result<(aws_sdk_sqs::Client, String), String>,
    hot: Result<Arc<dyn HotStore>, String>,
    outbox: Result<Outbox, String>,
}

/// What is read often, and the index of dead letters, which is long, apart.
pub(super) struct Often {
    queue: Part<Depth>,
    dead_letter_queue: Part<Depth>,
    replicas: Part<Vec<fleet::Beat>>,
    told: Part<Told>,
    sinks: Part<Vec<Outlet>>,
}

impl Places {
    pub(super) async fn of(get: &dyn Fn(&str) -> Option<String>) -> Self {
        let unset = |faults: crate::config::Faults| {
            let named: Vec<&str> = faults.0.iter().map(|fault| fault.variable).collect();
            format!("{} cannot be used", named.join(", "))
        };
        let (queue, dead_letter) = (QueueConfig::read(get), QueueConfig::read_dead_letter(get));
        let hot = HotConfig::read(get);
        let region = queue.as_ref().ok().and_then(|queue| queue.region.clone());
        let table_region = hot.as_ref().ok().and_then(|hot| hot.table_region().map(str::to_owned));
        let clients = clients(region, table_region).await;
        let at = |queue: Result<QueueConfig, _>| match queue {
            Ok(queue) => Ok((clients.sqs.control.clone(), queue.url)),
            Err(faults) => Err(unset(faults)),
        };
        let hot = hot.map_err(unset).and_then(|hot| {
            let hot = app::hot(&hot, &clients, Duration::MAX).map_err(|failure| failure.to_string())?;
            Ok(hot as Arc<dyn HotStore>)
        });
        let outbox = DatabaseConfig::read(get).map_err(unset);
        let outbox = outbox.and_then(|database| app::outbox(&database).map_err(|failure| failure.to_string()));
        Self { queue: at(queue), dead_letter: at(dead_letter), hot, outbox }
    }

    /// What is read every few seconds: two calls to SQS, two or three to DynamoDB, one to PostgreSQL.
    pub(super) async fn often(&self) -> Often {
        let (queue, dead_letter_queue, replicas, told, sinks) = tokio::join!(
            depth(&self.queue),
            depth(&self.dead_letter),
            part(&self.hot, |hot| async move { Ok(fleet::beats(hot.as_ref(), now()).await?) }),
            part(&self.hot, |hot| async move { Ok(told(&hot.controls().await?)) }),
            part(&self.outbox, |outbox| async move { Ok(outbox.sinks().await?.into_iter().map(outlet).collect()) }),
        );
        Often { queue, dead_letter_queue, replicas, told, sinks }
    }

    /// The index of dead letters: a call to DynamoDB for each of its thirty days.
    pub(super) async fn letters(&self) -> Part<Letters> {
        match &self.hot {
            Ok(hot) => bounded(LETTERS_PATIENCE, letters(hot.as_ref())).await,
            Err(why) => Part::Unknown(why.clone()),
        }
    }
}

async fn letters(hot: &dyn HotStore) -> anyhow::Result<Letters> {
    let rows = letters::rows(hot, None, LETTERS, waits).await?;
    let mut by: BTreeMap<_, (u64, _)> = BTreeMap::new();
    for row in &rows {
        let key = (row.code.clone(), row.event_type.clone(), row.field.clone());
        let (count, latest) = by.entry(key).or_insert((0, row.sent_at));
        (*count, *latest) = (*count + 1, row.sent_at.max(*latest));
    }
    let reason = |((code, event_type, field), (count, latest))| Reason { code, event_type, field, count, latest };
    let mut by_reason: Vec<Reason> = by.into_iter().map(reason).collect();
    by_reason.sort_by_key(|reason| std::cmp::Reverse(reason.count));
    let oldest = rows.iter().map(|row| row.sent_at).min();
    Ok(Letters { waiting: rows.len() as u64, oldest, by_reason, read_at: Some(now()) })
}

fn waits(row: &DeadLetter) -> bool {
    row.settled.is_none()
}

/// What is read at a place, if the settings name one.
async fn part<P: Clone, T, R>(place: &Result<P, String>, read: impl FnOnce(P) -> R) -> Part<T>
where
    R: Future<Output = anyhow::Result<T>>,
{
    match place {
        Ok(place) => bounded(PATIENCE, read(place.clone())).await,
        Err(why) => Part::Unknown(why.clone()),
    }
}

impl Snapshot {
    pub(super) fn of(often: Often, letters: Part<Letters>) -> Self {
        let Often { queue, dead_letter_queue, replicas, told, sinks } = often;
        Self { at: now(), queue, dead_letter_queue, replicas, told, letters, sinks, trend: Vec::new() }
    }
}

async fn depth(queue: &Result<(aws_sdk_sqs::Client, String), String>) -> Part<Depth> {
    match queue {
        Ok((sqs, url)) => {
            bounded(PATIENCE, async {
                let (waiting, in_flight) = letters::depth(sqs, url).await?;
                Ok(Depth { waiting, in_flight })
            })
            .await
        }
        Err(why) => Part::Unknown(why.clone()),
    }
}

/// What was read, or in a line why it was not.
async fn bounded<T>(patience: Duration, reading: impl Future<Output = anyhow::Result<T>>) -> Part<T> {
    match timeout(patience, reading).await {
        Ok(Ok(value)) => Part::Known(value),
        Ok(Err(failure)) => Part::Unknown(failure.to_string()),
        Err(_) => Part::Unknown(format!("no answer within {} s", patience.as_secs())),
    }
}

fn told(controls: &crate::hot::Controls) -> Told {
    Told {
        paused_since: controls.pause.as_ref().map(|pause| pause.at),
        reason: controls.pause.as_ref().and_then(|pause| pause.reason.clone()),
        parked: controls.parked.len() as u64,
    }
}

fn outlet(row: SinkRow) -> Outlet {
    Outlet {
        name: row.name,
        kind: row.form,
        state: row.state,
        breaker: row.breaker,
        pending: row.pending.unsigned_abs(),
        oldest_due: row.oldest_due,
        parked: row.parked.unsigned_abs(),
        dead: row.dead.unsigned_abs(),
    }
}
