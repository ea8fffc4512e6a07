//! One trial of a fault: what is done to whom, for how long.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::time::sleep;

use super::{
    daemon::{Daemon, Denied},
    fault::Fault,
    history::{Entry, History},
    outside::Outside,
    rng::Rng,
    road::Mode,
    site::{Site, VISIBILITY},
};

/// Seconds that a clock is off at most.
const FURTHEST_OFF: u64 = 600;

/// A process that cannot say that it runs begins to work within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a trial may touch besides its daemons.
pub struct Ground<'a> {
    pub site: &'a Site,
    pub history: &'a History,
    pub outside: &'a Outside,
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
            terminate(ground, daemon).await?;
            daemon.start_and_wait().await?;
            1
        }
        Fault::Memory => {
            sleep(millis(rng, 10, 1_500)).await;
            let memory = daemon.memory()? / 100 * (20 + rng.below(80));
            begins(format!("kill -9, started with {} KiB", memory >> 10));
            daemon.kill().await?;
            daemon.start(Denied::Memory(memory))?;
            let ended = daemon.ends_within(millis(rng, 500, 4_000)).await?;
            ground.history.add(Entry::Counted { trial, on: name.clone(), number: ended.into() });
            if !ended {
                daemon.kill().await?;
            }
            daemon.start_and_wait().await?;
            1
        }
        Fault::Disk => {
            sleep(millis(rng, 100, 1_500)).await;
            begins("no disk for its log".into());
            terminate(ground, daemon).await?;
            let asked = daemon.roads.sqs.asked();
            daemon.start(Denied::Disk)?;
            let begun = Instant::now();
            while daemon.roads.sqs.asked() == asked {
                if begun.elapsed() > PATIENCE || !daemon.runs()? {
                    bail!("{name} does not start without a disk for its log");
                }
                sleep(Duration::from_millis(20)).await;
            }
            sleep(millis(rng, 500, 3_000)).await;
            terminate(ground, daemon).await?;
            daemon.start_and_wait().await?;
            1
        }
        Fault::Skew => {
            let seconds = i64::try_from(rng.below(2 * FURTHEST_OFF + 1))? - i64::try_from(FURTHEST_OFF)?;
            begins(format!("its clock is {seconds:+} s off"));
            daemon.set_clock(seconds)?;
            sleep(millis(rng, 500, 3_000)).await;
            1
        }
        Fault::Throttled => {
            sleep(millis(rng, 100, 1_500)).await;
            let (lasts, (to, road)) = (millis(rng, 1_000, 6_000), daemon.roads.all()[rng.below(2) as usize]);
            begins(format!("{to} refuses everything for {} ms", lasts.as_millis()));
            let (before, begun) = (road.asked(), Instant::now());
            road.set(Mode::RefusesAll);
            sleep(lasts).await;
            let number = ((road.asked() - before) as f64 / begun.elapsed().as_secs_f64()).ceil() as u64;
            road.set(Mode::Open);
            ground.history.add(Entry::Counted { trial, on: name.clone(), number });
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

/// Tells it to end, and notes how it did.
async fn terminate(ground: &Ground<'_>, daemon: &mut Daemon) -> anyhow::Result<()> {
    let (code, took) = daemon.terminate().await?;
    let millis = u64::try_from(took.as_millis())?;
    ground.history.add(Entry::Ended { daemon: daemon.name.clone(), code, millis });
    Ok(())
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

/// So long, by lot.
pub fn millis(rng: &mut Rng, least: u64, most: u64) -> Duration {
    Duration::from_millis(least + rng.below(most - least))
}
