//! One trial of a fault: what is done to whom, for how long.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, bail};
use tokio::{process::Command, time::sleep};

use super::{
    daemon::Daemon,
    fault::Fault,
    history::{Entry, History},
    rng::Rng,
    road::Mode,
    site::{Site, VISIBILITY, aws_url, database_url, root},
};

/// What a trial may touch besides its daemons.
pub struct Ground<'a> {
    pub site: &'a Site,
    pub history: &'a History,
    /// The present program, and the older one.
    pub program: &'a std::path::Path,
    pub old: Option<&'a std::path::Path>,
}

/// Tries a fault once on one daemon. Returns how many trials that were: a fault that picks requests counts those it met.
pub async fn on_daemon(
    ground: &Ground<'_>,
    fault: Fault,
    daemon: &mut Daemon,
    trial: u32,
    rng: &mut Rng,
) -> anyhow::Result<u32> {
    let name = daemon.name.clone();
    let begins = |detail: String| ground.history.add(Entry::Fault { trial, on: name.clone(), detail });
    let met = match fault {
        Fault::Kill => {
            sleep(millis(rng, 10, 1_500)).await;
            begins("kill -9".into());
            daemon.kill().await?;
            daemon.start_and_wait().await?;
            1
        }
        Fault::Stop => {
            sleep(millis(rng, 200, 1_500)).await;
            let frozen = VISIBILITY + millis(rng, 200, 2_000);
            begins(format!("frozen for {} ms", frozen.as_millis()));
            daemon.freeze()?;
            sleep(frozen).await;
            daemon.thaw()?;
            1
        }
        Fault::Roll | Fault::Versions => {
            sleep(millis(rng, 100, 1_500)).await;
            if let (Fault::Versions, Some(old)) = (fault, ground.old) {
                daemon.program = if daemon.program == old { ground.program.to_owned() } else { old.to_owned() };
            }
            begins("SIGTERM".into());
            let (code, took) = daemon.terminate().await?;
            let millis = u64::try_from(took.as_millis())?;
            ground.history.add(Entry::Ended { daemon: name.clone(), code, millis });
            daemon.start_and_wait().await?;
            1
        }
        fault => {
            let Some((mode, which, longest)) = on_road(fault, rng) else { bail!("not a daemon's fault: {fault:?}") };
            sleep(millis(rng, 100, 800)).await;
            let (lasts, (to, road)) = (millis(rng, 300, longest), daemon.roads.all()[which]);
            begins(format!("{to} {mode:?} for {} ms", lasts.as_millis()));
            let before = road.met();
            road.set(mode);
            sleep(lasts).await;
            road.set(Mode::Open);
            match fault {
                Fault::Cut | Fault::Swallow | Fault::Drip => 1,
                _ => u32::try_from(road.met() - before).unwrap_or(u32::MAX),
            }
        }
    };
    ground.history.add(Entry::Over { trial });
    Ok(met)
}

/// What a fault makes of which of a daemon's roads, and for how many milliseconds at most.
fn on_road(fault: Fault, rng: &mut Rng) -> Option<(Mode, usize, u64)> {
    let (any, aws) = (rng.below(3) as usize, rng.below(2) as usize);
    Some(match fault {
        Fault::Cut => (Mode::Cut, any, 3_000),
        Fault::Swallow => (Mode::Swallows, any, 6_000),
        Fault::Drip => (Mode::Drips, any, 4_000),
        Fault::LostRequests => (Mode::LosesRequests, aws, 2_500),
        Fault::LostAnswers => (Mode::LosesAnswers, aws, 2_500),
        Fault::LostCommits => (Mode::LosesCommits, 2, 2_500),
        Fault::LostCommitAnswers => (Mode::LosesAnswersToCommits, 2, 2_500),
        Fault::Refused => (Mode::Refuses, aws, 2_500),
        Fault::NothingDone => (Mode::DoesNothing, aws, 2_500),
        _ => return None,
    })
}

/// Tries a fault once that happens to all at once.
pub async fn on_all(ground: &Ground<'_>, fault: Fault, trial: u32, rng: &mut Rng) -> anyhow::Result<()> {
    let begins = |detail: String| ground.history.add(Entry::Fault { trial, on: "all".into(), detail });
    sleep(millis(rng, 300, 2_000)).await;
    let lasts = millis(rng, 100, 4_000);
    match fault {
        Fault::PostgresStop => {
            begins(format!("PostgreSQL stopped for {} ms", lasts.as_millis()));
            outage("postgres", lasts).await?;
        }
        Fault::AwsRestart => {
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
        fault => bail!("not a fault of all: {fault:?}"),
    }
    ground.history.add(Entry::Over { trial });
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

fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + rng.below(most - least))
}
