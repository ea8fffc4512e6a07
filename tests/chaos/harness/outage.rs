//! One trial of a fault that happens to all at once: what is stopped, for how long, and what it forgets.

use std::{
    collections::BTreeSet,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{process::Command, time::sleep};
use uuid::Uuid;

use super::{
    daemon::Daemon,
    fault::Fault,
    history::Entry,
    outside::Manner,
    rng::Rng,
    road::Mode,
    site::{Settings, WEBHOOK, aws_url, database_url, root},
    trial::{Ground, millis},
};

/// PostgreSQL answers within this after its start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Commits are acknowledged before they are written, and hardly ever written: what a standby lacks that takes over.
const LAG: [(&str, &str); 3] =
    [("synchronous_commit", "off"), ("wal_writer_delay", "10s"), ("wal_writer_flush_after", "64MB")];

/// Tries a fault once that happens to all at once.
pub async fn on_all(ground: &Ground<'_>, fault: Fault, trial: u32, rng: &mut Rng) -> anyhow::Result<()> {
    let begins = |detail: String| ground.history.add(Entry::Fault { trial, on: "all".into(), detail });
    sleep(millis(rng, 300, 2_000)).await;
    match fault {
        Fault::PostgresStop | Fault::PostgresAway => {
            let (least, most) = if fault == Fault::PostgresAway { (30_000, 120_000) } else { (100, 4_000) };
            let lasts = millis(rng, least, most);
            begins(format!("PostgreSQL stopped for {} ms", lasts.as_millis()));
            outage("postgres", lasts).await?;
        }
        Fault::AwsRestart => {
            sleep(millis(rng, 1_000, 5_000)).await; // nothing happens to a load that stands
            let lasts = millis(rng, 100, 4_000);
            begins(format!("SQS and DynamoDB stopped for {} ms", lasts.as_millis()));
            outage("aws", lasts).await?;
        }
        Fault::PostgresBackends => {
            begins("connections to PostgreSQL ended".into());
            let sql = "
                select count(pg_terminate_backend(pid)) from pg_stat_activity
                where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
            // the connection that asks may have been ended before
            let _ = sqlx::query(sql).execute(&ground.site.pool).await;
        }
        Fault::Forgets => {
            begins("PostgreSQL is going to forget".into());
            let number = forgotten(&ground.site.pool, millis(rng, 1_000, 6_000)).await?;
            ground.history.add(Entry::Counted { trial, on: "all".into(), number });
        }
        fault => bail!("not a fault of all: {fault:?}"),
    }
    ground.history.add(Entry::Over { trial });
    Ok(())
}

/// Lets PostgreSQL forget what it acknowledges for a while. Returns how many messages of the archive it forgot.
async fn forgotten(archive: &PgPool, lasts: Duration) -> anyhow::Result<u64> {
    for (setting, value) in LAG {
        set(archive, &format!("alter system set {setting} = '{value}'")).await?;
    }
    sqlx::query("select pg_reload_conf()").execute(archive).await?;
    sleep(lasts).await;
    let before = messages(archive).await?;
    stack("postgres", "stop").await?;
    stack("postgres", "start").await?;
    let begun = Instant::now();
    let after = loop {
        match messages(archive).await {
            Ok(after) => break after,
            Err(_) if begun.elapsed() < PATIENCE => sleep(Duration::from_millis(50)).await,
            Err(failure) => return Err(failure.into()),
        }
    };
    for (setting, _) in LAG {
        set(archive, &format!("alter system reset {setting}")).await?;
    }
    sqlx::query("select pg_reload_conf()").execute(archive).await?;
    Ok(before.difference(&after).count() as u64)
}

async fn set(archive: &PgPool, sql: &str) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(archive).await.map(drop)
}

async fn messages(archive: &PgPool) -> sqlx::Result<BTreeSet<Uuid>> {
    let ids: Vec<Uuid> = sqlx::query_scalar("select event_id from message").fetch_all(archive).await?;
    Ok(ids.into_iter().collect())
}

/// Tries once what an outside system may do. Returns how many requests that met.
pub async fn on_outside(ground: &Ground<'_>, trial: u32, rng: &mut Rng) -> anyhow::Result<u32> {
    sleep(millis(rng, 100, 800)).await;
    let manner = match rng.below(10) {
        0..4 => Manner::Refuses,
        4..8 => Manner::TakesSilently,
        8 => Manner::Hangs,
        _ => Manner::Dead,
    };
    let lasts = millis(rng, 500, 4_000);
    let detail = format!("{manner:?} for {} ms", lasts.as_millis());
    ground.history.add(Entry::Fault { trial, on: "outside".into(), detail });
    let before = ground.outside.met();
    ground.outside.set(manner);
    sleep(lasts).await;
    ground.outside.set(Manner::Takes);
    ground.history.add(Entry::Over { trial });
    Ok(u32::try_from(ground.outside.met() - before).unwrap_or(u32::MAX))
}

/// Tries once what the spool is for. What it holds at the end is counted.
pub async fn on_roads(ground: &Ground<'_>, daemons: &[Daemon], trial: u32, rng: &mut Rng) -> anyhow::Result<()> {
    sleep(millis(rng, 500, 5_000)).await;
    let (lasts, then) = (millis(rng, 5_000, 40_000), millis(rng, 1_000, 20_000));
    let alone = daemons.get(rng.below(2 * daemons.len() as u64) as usize);
    let who = alone.map_or("all", |daemon| daemon.name.as_str());
    let detail = format!("DynamoDB away for {} ms, then for {} ms not from {who}", lasts.as_millis(), then.as_millis());
    ground.history.add(Entry::Fault { trial, on: "all".into(), detail });
    daemons.iter().for_each(|daemon| daemon.roads.dynamodb.set(Mode::Cut));
    sleep(lasts).await;
    if let Some(alone) = alone {
        alone.roads.postgres.set(Mode::Cut);
        alone.roads.dynamodb.set(Mode::Open);
        sleep(then).await;
    }
    let number = u64::try_from(spooled(&ground.site.pool).await?)?;
    daemons.iter().for_each(|daemon| daemon.roads.open());
    ground.history.add(Entry::Counted { trial, on: "all".into(), number });
    ground.history.add(Entry::Over { trial });
    Ok(())
}

/// How many deliveries are in the spool.
pub async fn spooled(archive: &PgPool) -> sqlx::Result<i64> {
    sqlx::query_scalar("select count(*) from spool").fetch_one(archive).await
}

/// What an operator does when an outside system is well again: what has to wait for minutes or hours is told now.
pub async fn tell_now(program: &Path, settings: &Settings) -> anyhow::Result<()> {
    command(program, settings, &["outbox", "retry", "--sink", WEBHOOK, "--yes"]).await
}

/// What an operator does when the archive has forgotten something.
pub async fn repair(program: &Path, settings: &Settings) -> anyhow::Result<()> {
    command(program, settings, &["reconcile", "--repair", "--settled", "0s"]).await
}

/// Runs a command of the daemon's program, by the straight way to the stores.
async fn command(program: &Path, settings: &Settings, arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).envs(settings).stdin(Stdio::null()).kill_on_drop(true);
    let done = command.output().await.context("the program cannot be run")?;
    if !done.status.success() {
        bail!("{arguments:?} failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// Stops one half of the local stack for a while.
async fn outage(half: &str, lasts: Duration) -> anyhow::Result<()> {
    stack(half, "stop").await?;
    sleep(lasts).await;
    stack(half, "start").await
}

/// Starts or stops a half of the local stack.
pub async fn stack(half: &str, what: &str) -> anyhow::Result<()> {
    let script = root().join("infra/local/stack.sh");
    let mut command = Command::new(script);
    command.args([half, what]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let done = command.output().await.context("infra/local/stack.sh cannot be run")?;
    if !done.status.success() {
        bail!("stack.sh {half} {what} failed: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

/// Whether the environment means the local stack's halves: only those may be stopped.
pub fn stack_is_local() -> bool {
    let port =
        |variable: &str, otherwise: &str| conversationd::config::environment(variable).unwrap_or(otherwise.to_owned());
    let (aws, sql) = (port("LOCAL_AWS_PORT", "4566"), port("LOCAL_PG_PORT", "5433"));
    let is =
        |url: anyhow::Result<String>, port: String| url.is_ok_and(|url| url.contains(&format!("127.0.0.1:{port}")));
    is(aws_url("SQS"), aws) && is(database_url(), sql)
}
