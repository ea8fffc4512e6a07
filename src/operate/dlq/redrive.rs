//! `dlq redrive`: the mover on the service, with a dry run, a canary, a journal and a way to stop.

use std::{path::PathBuf, process::ExitCode, sync::Mutex, time::Duration};

use anyhow::bail;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::BoxFuture;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    INTERRUPTED, Site, groups,
    journal::Journal,
    mover::{Moved, Mover},
    native, state_folder,
    wanted::Wanted,
};
use crate::{
    clock::SystemClock,
    operate::{
        letters,
        moment::now,
        output::{Output, counted},
        pause::told,
        stop_on_signal,
    },
    queue::Leases,
};

/// No letter is held longer than SQS allows.
const LONGEST: Duration = Duration::from_secs(12 * 3_600);

/// The queue brings nothing for so long: it was read to its end.
const IDLE: Duration = Duration::from_secs(2);

/// What to send back, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Everything, what SQS moved by itself too.
    #[arg(long, required_unless_present_any = ["code", "event_type", "group", "since"], conflicts_with_all = ["code", "event_type", "group", "since"])]
    all: bool,
    #[command(flatten)]
    wanted: Wanted,
    /// Letters a second, at most.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=3_000))]
    rate: u32,
    /// First so many; the others only when none of these came back.
    #[arg(long, value_name = "K", conflicts_with = "native", value_parser = clap::value_parser!(u64).range(1..))]
    canary: Option<u64>,
    /// How long to wait for the first letters to be handled.
    #[arg(long, value_name = "SPAN", default_value = "2m", value_parser = crate::operate::moment::span, requires = "canary")]
    canary_wait: Duration,
    /// SQS's own redrive: 500 a second, no filters, order only as SQS keeps it, no marks in the index.
    #[arg(long, requires = "all")]
    native: bool,
    /// What was sent, for a run that goes on after an interruption. Default: a file in the state folder.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long letters in hand are hidden from others, at a time. After a kill, that long passes until they can be had again.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = lease)]
    lease: Duration,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// The totals as JSON.
    #[arg(long)]
    json: bool,
}

/// A span that SQS and a steady heartbeat allow.
fn lease(text: &str) -> Result<Duration, String> {
    let allowed = Duration::from_secs(10)..=Duration::from_secs(3_600);
    let lease = crate::operate::moment::span(text)?;
    if allowed.contains(&lease) { Ok(lease) } else { Err("must be 10s to 1h".to_owned()) }
}

pub(super) async fn run(
    arguments: &Arguments,
    site: &Site,
    get: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<ExitCode> {
    let (arguments, parked) = &but_of_parked(arguments, site).await?;
    let wanted = |row: &crate::hot::DeadLetter| row.settled.is_none() && arguments.wanted.takes_row(row);
    let known = letters::rows(&*site.index, arguments.wanted.since, usize::MAX, wanted).await?.len() as u64;
    let (waiting, in_flight) = letters::depth(&site.clients.sqs.control, &site.dead.url).await?;
    if !arguments.yes {
        return dry(arguments, known, waiting + in_flight, *parked);
    }
    let stop = stop_on_signal()?;
    if arguments.native {
        return native::run(site, arguments.rate, &stop).await;
    }
    let path = arguments
        .journal
        .clone()
        .unwrap_or_else(|| state_folder(get).join(format!("redrive-{}.jsonl", site.dead.name())));
    let began = now();
    let journal = Journal::open(&path, site.dead.name(), format!("redrive-{}", began.timestamp_micros()))?;
    if journal.count() > 0 {
        eprintln!("conversationd: goes on with {}: {} letters are sent already", path.display(), journal.count());
    }
    let bar = bar(if arguments.wanted.is_everything() { waiting + in_flight } else { known });
    let mover = mover(arguments, site, journal, stop.clone(), bar.clone());
    let mut total = Moved::default();
    if let Some(first) = arguments.canary {
        add(&mut total, mover.run(first).await);
        if total.failure.is_none() && !stop.is_cancelled() {
            bar.suspend(|| eprintln!("{} sent; waiting until they are handled", total.moved));
            total.came_back += came_back(arguments, site, &mover, began, &stop).await?;
        }
    }
    if total.failure.is_none() && total.came_back == 0 && !stop.is_cancelled() {
        add(&mut total, mover.run(u64::MAX).await);
    }
    bar.finish_and_clear();
    let complete = total.failure.is_none() && total.undeleted == 0 && !stop.is_cancelled() && total.came_back == 0;
    if let Ok(journal) = mover.journal.into_inner()
        && complete
    {
        journal.remove()?;
    }
    report(arguments, &total, stop.is_cancelled())
}

/// Letters of parked groups stay: sent back, they would come back at once. With how many letters those are.
async fn but_of_parked(arguments: &Arguments, site: &Site) -> anyhow::Result<(Arguments, u64)> {
    let controls = told(&*site.index).await?;
    let mut wanted = site.resolved(&arguments.wanted).await?;
    if let Some((_, parked)) = wanted.group.as_ref().and_then(|name| groups::parked(&controls, name)) {
        let id = &parked.message_id;
        bail!(
            "that group is parked, and its letters would come back at once: first `conversationd dlq group unpark {id}`"
        );
    }
    if arguments.native && !controls.parked.is_empty() {
        bail!(
            "groups are parked, and SQS's own redrive would send their letters too: leave out --native, or unpark them"
        );
    }
    let of_parked = |row: &crate::hot::DeadLetter| {
        row.settled.is_none() && controls.parked.contains_key(&row.group_id) && wanted.takes_row(row)
    };
    let stay = match controls.parked.is_empty() {
        true => 0,
        false => letters::rows(&*site.index, wanted.since, usize::MAX, of_parked).await?.len() as u64,
    };
    if stay > 0 {
        let stay = counted(stay, "letter");
        eprintln!(
            "conversationd: {stay} of parked groups will stay; `conversationd dlq group parked` lists the groups"
        );
    }
    wanted.but_of = controls.parked.into_keys().collect();
    Ok((Arguments { wanted, ..arguments.clone() }, stay))
}

fn dry(arguments: &Arguments, known: u64, in_queue: u64, parked: u64) -> anyhow::Result<ExitCode> {
    let mut output = Output::new();
    let letters = counted(known, "letter");
    output.line(format!("would send back {letters} that the index knows; the queue holds {in_queue}"))?;
    if arguments.all {
        if let Some((found, _)) = letters::disagreement(in_queue, known + parked) {
            output.line(found)?;
        }
    } else {
        output.line(
            "other letters of their groups stay behind: their order among those sent is yours to judge. Letters behind ten \
             that stay cannot be reached",
        )?;
    }
    output.line("nothing was sent; say --yes to send, --canary 5 to try a few first")?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn mover(arguments: &Arguments, site: &Site, journal: Journal, stop: CancellationToken, bar: ProgressBar) -> Mover {
    let clock = std::sync::Arc::new(SystemClock);
    Mover {
        from: site.letters(arguments.lease),
        to: site.queue(),
        index: site.index.clone(),
        leases: Leases::new(arguments.lease, LONGEST, clock.clone()),
        clock,
        wanted: arguments.wanted.clone(),
        rate: arguments.rate,
        idle: IDLE,
        depth: journal.was_interrupted().then(|| depth(site)),
        journal: Mutex::new(journal),
        stop,
        progress: Box::new(move |moved| {
            bar.set_position(moved.moved);
            bar.set_message(format!("{} moved, {} left, {} came back", moved.moved, moved.left, moved.came_back));
        }),
    }
}

/// How many letters the dead-letter queue holds; as if many, when it does not say.
fn depth(site: &Site) -> Box<dyn Fn() -> BoxFuture<'static, u64> + Send + Sync> {
    let (sqs, url) = (site.clients.sqs.control.clone(), site.dead.url.clone());
    Box::new(move || {
        let (sqs, url) = (sqs.clone(), url.clone());
        let depth = async move { letters::depth(&sqs, &url).await.map_or(u64::MAX, |(one, other)| one + other) };
        Box::pin(depth)
    })
}

/// Waits until the queue is empty, a letter came back, or time is up. Returns how many came back.
async fn came_back(
    arguments: &Arguments,
    site: &Site,
    mover: &Mover,
    began: DateTime<Utc>,
    stop: &CancellationToken,
) -> anyhow::Result<u64> {
    let run = mover.journal.lock().map(|journal| journal.run().to_owned()).unwrap_or_default();
    let until = Instant::now() + arguments.canary_wait;
    loop {
        let (waiting, in_flight) = letters::depth(&site.clients.sqs.control, &site.inbound.url).await?;
        let again =
            |row: &crate::hot::DeadLetter| row.settled.is_none() && row.redrive_run.as_deref() == Some(run.as_str());
        // the queue's clock may be behind ours
        let came_back =
            letters::rows(&*site.index, Some(began - TimeDelta::minutes(10)), usize::MAX, again).await?.len();
        if came_back > 0 || waiting + in_flight == 0 || stop.is_cancelled() {
            return Ok(came_back as u64);
        }
        if Instant::now() > until {
            bail!(
                "after {:?} the inbound queue still holds {} messages, so the first letters may not have been handled yet: \
                 see that the daemon runs, then say the same again (or --canary-wait 10m)",
                arguments.canary_wait,
                waiting + in_flight
            );
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(Duration::from_millis(500)) => {}
        }
    }
}

fn add(total: &mut Moved, more: Moved) {
    *total = Moved {
        moved: total.moved + more.moved,
        sent_before: total.sent_before + more.sent_before,
        undeleted: total.undeleted + more.undeleted,
        left: total.left.max(more.left),
        came_back: total.came_back.max(more.came_back),
        without_row: total.without_row + more.without_row,
        failure: more.failure.or(total.failure.take()),
    };
}

fn bar(length: u64) -> ProgressBar {
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn report(arguments: &Arguments, total: &Moved, stopped: bool) -> anyhow::Result<ExitCode> {
    let mut output = Output::new();
    if arguments.json {
        output.json(total)?;
    } else {
        let Moved { moved, undeleted, left, came_back, .. } = total;
        output.line(format!("moved={moved} left={left} came_back={came_back} undeleted={undeleted}"))?;
        if total.without_row > 0 {
            output.line(format!("{} of them had no row in the index", total.without_row))?;
        }
    }
    output.flush()?;
    if let Some(why) = &total.failure {
        bail!("{why}; mend that and say the same again: it goes on where it was");
    }
    if stopped {
        eprintln!("conversationd: stopped; the same again goes on where it was");
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if total.came_back > 0 {
        bail!("letters came back: `conversationd dlq list --since 10m` says why; nothing more was sent of those");
    }
    Ok(ExitCode::SUCCESS)
}
