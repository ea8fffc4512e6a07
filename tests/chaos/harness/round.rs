//! A round: one fault, tried again and again under load on a fresh corner of the stack; then rest; then the judge.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::future::try_join_all;
use tokio::time::sleep;

use super::{
    checker::{Violation, judge},
    daemon::Daemon,
    fault::{Counts, Fault, Reach},
    found,
    history::{Entry, History, Line},
    load::{Load, Rate},
    outage::{on_all, on_outside, on_roads, repair, spooled, stack_is_local, tell_now},
    outside::{Manner, Outside},
    rng::Rng,
    site::{Settings, Site},
    trial::{Ground, on_daemon},
};

/// After the faults everything must come to rest within this: the longest pauses of a group that failed again and again.
const LONGEST_REST: Duration = Duration::from_secs(600);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// What a round is.
#[derive(Clone, Debug)]
pub struct Plan {
    pub round: u32,
    pub fault: Fault,
    pub trials: u32,
    /// Decides every choice: who speaks, whom it hits, when, for how long.
    pub seed: u64,
    pub daemons: usize,
    pub rate: Rate,
    /// No new trial after this.
    pub until: Instant,
    /// The present program, and the older one.
    pub program: PathBuf,
    pub old: Option<PathBuf>,
    /// Where logs go.
    pub folder: PathBuf,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub fault: Fault,
    pub trials: u32,
    pub events: u64,
    pub rest: Duration,
    /// What the fault counts.
    pub counted: Option<u64>,
    pub violations: Vec<Violation>,
}

/// Plays a round. `progress` hears how many trials there were so far.
pub async fn play(plan: &Plan, history: &History, progress: &(dyn Fn(u32) + Sync)) -> anyhow::Result<Outcome> {
    let unique = uuid::Uuid::now_v7().simple().to_string();
    let site = Site::make(&format!("chaos-{}-{}", plan.round, &unique[..20])).await?;
    history.add(Entry::Round {
        round: plan.round,
        fault: plan.fault.name(),
        seed: plan.seed,
        trials: plan.trials,
        daemons: plan.daemons,
        site: site.names.clone(),
        tells: true,
    });
    let folder = plan.folder.join(format!("round-{}", plan.round));
    std::fs::create_dir_all(&folder)?;
    let outside = Outside::begin(history.clone(), plan.seed).await?;
    let mut settings = site.settings(&folder, Some(outside.port))?;
    if plan.fault == Fault::Spool {
        settings.insert("CONVERSATIOND_SPOOL_AFTER_SECONDS".into(), "1".into());
        settings.insert("CONVERSATIOND_SPOOL_LEASE_SECONDS".into(), "60".into());
    }
    let mut daemons = staff(plan, &settings, &folder).await?;
    let load = Load::begin(site.clone(), history.clone(), plan.rate, plan.seed);
    let ground = Ground { site: &site, history, outside: &outside, program: &plan.program, old: plan.old.as_deref() };
    let trials = happen(plan, &ground, &mut daemons, progress).await?;
    let events = load.end().await?;
    outside.set(Manner::Takes);
    if matches!(plan.fault, Fault::Sinks | Fault::Storm) {
        tell_now(&plan.program, &settings).await?;
    }
    let mut rested = rest(&site, history, &mut daemons).await?;
    if plan.fault == Fault::Forgets {
        repair(&plan.program, &settings).await?;
        rested += rest(&site, history, &mut daemons).await?;
    }
    for daemon in &mut daemons {
        let (code, took) = daemon.terminate().await?;
        history.add(Entry::Ended { daemon: daemon.name.clone(), code, millis: u64::try_from(took.as_millis())? });
    }
    let found = found::read(&site).await?;
    let lines = history.lines();
    let violations = judge(&lines, &found);
    history.add(Entry::Verdict { violations: violations.clone() });
    if violations.is_empty() {
        site.clear().await?;
        let _ = std::fs::remove_dir_all(&folder);
    } else {
        std::fs::write(folder.join("found.txt"), format!("{found:#?}"))?;
    }
    Ok(Outcome { fault: plan.fault, trials, events, rest: rested, counted: counted(plan.fault, &lines), violations })
}

/// What the fault counts besides.
fn counted(fault: Fault, lines: &[Line]) -> Option<u64> {
    let (_, counts) = fault.counts()?;
    let numbers = lines.iter().filter_map(|line| match line.entry {
        Entry::Counted { number, .. } => Some(number),
        _ => None,
    });
    Some(match counts {
        Counts::TheMost => numbers.max().unwrap_or_default(),
        Counts::TheSum => numbers.sum(),
    })
}

async fn staff(plan: &Plan, settings: &Settings, folder: &Path) -> anyhow::Result<Vec<Daemon>> {
    let mut daemons = Vec::new();
    for place in 0..plan.daemons {
        let seed = plan.seed.wrapping_add(place as u64);
        let mut daemon =
            Daemon::place(&format!("daemon-{place}"), &plan.program, folder, settings.clone(), seed).await?;
        if let (Fault::Versions, Some(old), 1) = (plan.fault, &plan.old, place % 2) {
            daemon.program = old.clone();
        }
        if plan.fault == Fault::Skew {
            daemon.set_clock(0)?;
        }
        daemon.start_and_wait().await?;
        daemons.push(daemon);
    }
    Ok(daemons)
}

/// Trials so far, and when it is enough.
struct Trials<'a> {
    plan: &'a Plan,
    done: AtomicU32,
    progress: &'a (dyn Fn(u32) + Sync),
}

impl Trials<'_> {
    fn go_on(&self) -> bool {
        self.done.load(Ordering::Relaxed) < self.plan.trials && Instant::now() < self.plan.until
    }

    fn next(&self) -> u32 {
        self.done.load(Ordering::Relaxed) + 1
    }

    fn count(&self, trials: u32) {
        (self.progress)(self.done.fetch_add(trials, Ordering::Relaxed) + trials);
    }
}

/// Lets the faults happen. Returns how many trials there were.
async fn happen(
    plan: &Plan,
    ground: &Ground<'_>,
    daemons: &mut [Daemon],
    progress: &(dyn Fn(u32) + Sync),
) -> anyhow::Result<u32> {
    let trials = Trials { plan, done: AtomicU32::new(0), progress };
    let mut rng = Rng(plan.seed ^ 0x5eed);
    let (all, hit) = match plan.fault.reach() {
        Reach::Each => (None, daemons.len()),
        Reach::EachButOne => (None, daemons.len().saturating_sub(1).max(1)),
        Reach::All | Reach::Outside | Reach::Roads => (Some(rng.next()), 0),
        Reach::Storm => (Some(rng.next()), daemons.len()),
    };
    let (hit, others) = daemons.split_at_mut(hit);
    let lanes = hit.iter_mut().map(|daemon| of_daemon(ground, &trials, daemon, Rng(rng.next())));
    let lanes = try_join_all(lanes);
    let world = async {
        match all {
            Some(seed) if plan.fault == Fault::Spool => of_roads(ground, &trials, others, Rng(seed)).await,
            Some(seed) => of_all(ground, &trials, Rng(seed)).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(lanes, world)?;
    Ok(trials.done.into_inner())
}

async fn of_daemon(ground: &Ground<'_>, trials: &Trials<'_>, daemon: &mut Daemon, mut rng: Rng) -> anyhow::Result<()> {
    while trials.go_on() {
        let (fault, trial) = (trials.plan.fault, trials.next());
        if fault == Fault::Storm {
            let fault = by_lot(&mut rng, |fault| matches!(fault.reach(), Reach::Each | Reach::EachButOne));
            on_daemon(ground, fault, daemon, trial, &mut rng).await?;
            trials.count(1);
        } else {
            trials.count(on_daemon(ground, fault, daemon, trial, &mut rng).await?);
        }
    }
    Ok(())
}

async fn of_all(ground: &Ground<'_>, trials: &Trials<'_>, mut rng: Rng) -> anyhow::Result<()> {
    let local = stack_is_local();
    while trials.go_on() {
        let fault = match trials.plan.fault {
            Fault::Storm => {
                let may = |fault: Fault| fault.reach() == Reach::All && (local || fault == Fault::PostgresBackends);
                by_lot(&mut rng, |fault| fault == Fault::Sinks || may(fault))
            }
            fault => fault,
        };
        if fault == Fault::Sinks {
            let met = on_outside(ground, trials.next(), &mut rng).await?;
            trials.count(if trials.plan.fault == Fault::Sinks { met } else { 1 });
        } else {
            on_all(ground, fault, trials.next(), &mut rng).await?;
            trials.count(1);
        }
    }
    Ok(())
}

async fn of_roads(ground: &Ground<'_>, trials: &Trials<'_>, daemons: &[Daemon], mut rng: Rng) -> anyhow::Result<()> {
    while trials.go_on() {
        on_roads(ground, daemons, trials.next(), &mut rng).await?;
        trials.count(1);
    }
    Ok(())
}

/// One of the faults that may be.
fn by_lot(rng: &mut Rng, may: impl Fn(Fault) -> bool) -> Fault {
    let all: Vec<Fault> = Fault::ALL.into_iter().filter(|fault| fault.in_a_storm() && may(*fault)).collect();
    all[rng.below(all.len() as u64) as usize]
}

/// Waits until nothing is left to do: in the queue, in heads, in the outbox.
pub async fn rest(site: &Site, history: &History, daemons: &mut [Daemon]) -> anyhow::Result<Duration> {
    for daemon in daemons.iter_mut() {
        daemon.roads.open();
        if !daemon.runs()? {
            daemon.start_and_wait().await?;
        }
    }
    let begun = Instant::now();
    let left = loop {
        let left = left(site).await;
        match left {
            Ok(0) => break 0,
            Ok(left) if begun.elapsed() > LONGEST_REST => break left,
            Err(failure) if begun.elapsed() > LONGEST_REST => return Err(failure).context("the stores do not answer"),
            _ => sleep(LOOK_AGAIN).await,
        }
    };
    history.add(Entry::Rest { millis: u64::try_from(begun.elapsed().as_millis())?, left });
    Ok(begun.elapsed())
}

async fn left(site: &Site) -> anyhow::Result<usize> {
    let in_queue = found::depth(site).await?;
    if in_queue > 0 {
        return Ok(in_queue);
    }
    let open = found::open(site).await?.len();
    if open > 0 {
        return Ok(open);
    }
    // a command of the timer may have been on its way while the heads were read
    let spooled = usize::try_from(spooled(&site.pool).await?)?;
    Ok(spooled + found::depth(site).await? + found::pending(&site.pool).await?)
}
