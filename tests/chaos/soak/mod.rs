//! `soak`: the load of `run` in peace, at half of what the daemons can take, while memory, processor time and latency are
//! sampled. The document says what was seen.

mod document;
mod sample;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::time::sleep;

use self::{
    document::{Ends, Soaked},
    sample::{Sample, Watched},
};
use crate::{
    harness::{
        checker::judge,
        daemon::{Daemon, present},
        found,
        history::{Entry, History},
        load::{Load, Rate},
        round::rest,
        site::{Site, database_url, root},
    },
    machine::Machine,
};

/// How long it takes to find out what the daemons can take, and how much of that is only the beginning.
const MEASURE: Duration = Duration::from_secs(40);
const WARM_UP: Duration = Duration::from_secs(15);

/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);

/// More than any daemon takes: the load waits for the queue instead.
const TOO_MUCH: u32 = 4_000;

/// How long, and how much.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// How long the load lasts
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Daemons at work
    #[arg(long, default_value_t = 2)]
    daemons: usize,
    /// Threads that speak at once
    #[arg(long, default_value_t = 200)]
    threads: usize,
    /// Events a second; measured, and halved, if not given
    #[arg(long)]
    rate: Option<u32>,
    /// Decides who speaks when
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the document goes
    #[arg(long, value_name = "FILE", default_value = "docs/soak.md")]
    report: PathBuf,
}

/// Soaks. Returns whether nothing was lost, doubled or reordered.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let (folder, machine) = (root().join("target/chaos/soak"), Machine::now(&database_url()?).await);
    let (capacity, rate) = match arguments.rate {
        Some(rate) => (None, rate),
        None => {
            let capacity = capacity(arguments, &folder).await?;
            eprintln!(
                "the daemons take {capacity:.0} events a second here; half of that for {} minutes",
                arguments.minutes
            );
            (Some(capacity), ((capacity / 2.0) as u32).max(1))
        }
    };
    let site = Site::make(&format!("soak-{}", &uuid::Uuid::now_v7().simple().to_string()[..20])).await?;
    let history = History::begin(folder.join("history.jsonl"))?;
    let (mut daemons, watched) = staff(arguments.daemons, &site, &folder).await?;
    let rate = Rate { threads: arguments.threads, events: rate };
    let load = Load::begin(site.clone(), history.clone(), rate, arguments.seed);
    let samples = watch(&site, &daemons, &watched, Duration::from_secs(60 * arguments.minutes)).await?;
    let events = load.end().await?;
    let rested = rest(&site, &history, &mut daemons).await?;
    let ends = ends(&site).await?;
    for daemon in &mut daemons {
        let (code, took) = daemon.terminate().await?;
        history.add(Entry::Ended { daemon: daemon.name.clone(), code, millis: u64::try_from(took.as_millis())? });
    }
    let violations = judge(&history.lines(), &found::read(&site).await?);
    let given = arguments.rate.map(|rate| format!(" ARGS='--rate {rate}'")).unwrap_or_default();
    let command = format!("make soak MINUTES={} SEED={}{given}", arguments.minutes, arguments.seed);
    let soaked = Soaked { machine, command, capacity, rate, events, samples, ends, rested, violations };
    std::fs::write(&arguments.report, soaked.document())
        .with_context(|| format!("cannot write {}", arguments.report.display()))?;
    println!("{}", soaked.said());
    if soaked.violations.is_empty() {
        site.clear().await?;
    }
    Ok(soaked.violations.is_empty())
}

/// How many events a second the daemons take when there are always more.
async fn capacity(arguments: &Arguments, folder: &Path) -> anyhow::Result<f64> {
    let site = Site::make(&format!("soak-{}", &uuid::Uuid::now_v7().simple().to_string()[..20])).await?;
    let history = History::begin(folder.join("capacity.jsonl"))?;
    let (mut daemons, watched) = staff(arguments.daemons, &site, folder).await?;
    let rate = Rate { threads: arguments.threads, events: TOO_MUCH };
    let load = Load::begin(site.clone(), history.clone(), rate, arguments.seed);
    sleep(WARM_UP).await;
    let (before, began) = (sample::settled(&watched).await?, Instant::now());
    sleep(MEASURE - WARM_UP).await;
    let capacity = (sample::settled(&watched).await? - before) as f64 / began.elapsed().as_secs_f64();
    load.end().await?;
    rest(&site, &history, &mut daemons).await?;
    for daemon in &mut daemons {
        daemon.terminate().await?;
    }
    site.clear().await?;
    Ok(capacity)
}

/// Daemons with metrics pages, and leases as long as they are by default.
async fn staff(count: usize, site: &Site, folder: &Path) -> anyhow::Result<(Vec<Daemon>, Vec<Watched>)> {
    let (settings, program) = (site.settings(folder, None)?, present(folder)?);
    let (mut daemons, mut watched) = (Vec::new(), Vec::new());
    for place in 0..count {
        let mut settings = settings.clone();
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        settings.insert("CONVERSATIOND_METRICS_ADDRESS".into(), format!("127.0.0.1:{port}"));
        settings.insert("CONVERSATIOND_VISIBILITY_SECONDS".into(), "60".into());
        let mut daemon = Daemon::place(&format!("daemon-{place}"), &program, folder, settings, place as u64).await?;
        daemon.start_and_wait().await?;
        watched.push(Watched { id: daemon.id().context("it runs")?, port });
        daemons.push(daemon);
    }
    Ok((daemons, watched))
}

/// Samples until the time is over.
async fn watch(site: &Site, daemons: &[Daemon], watched: &[Watched], lasts: Duration) -> anyhow::Result<Vec<Sample>> {
    let (began, mut samples) = (Instant::now(), vec![]);
    while began.elapsed() < lasts {
        let sample = Sample::take(site, watched, began.elapsed()).await?;
        let resident: Vec<String> = sample.resident.iter().map(|bytes| format!("{} MiB", bytes >> 20)).collect();
        let line = format!(
            "{:.0} of {:.0} s: {} settled, {} in the queue, {} daemons at {}",
            sample.at.as_secs_f64(),
            lasts.as_secs_f64(),
            sample.settled,
            sample.depth,
            daemons.len(),
            resident.join(", ")
        );
        if std::io::stderr().is_terminal() {
            eprint!("\r{line}   ");
        } else if samples.len() % 12 == 0 {
            eprintln!("{line}");
        }
        let _ = std::io::stderr().flush();
        samples.push(sample);
        sleep(SAMPLE_EVERY.min(lasts.saturating_sub(began.elapsed()))).await;
    }
    samples.push(Sample::take(site, watched, began.elapsed()).await?);
    Ok(samples)
}

/// How long after its end a conversation stood in the archive.
async fn ends(site: &Site) -> anyhow::Result<Ends> {
    let sql = "
        select count(*), coalesce(percentile_cont(array[0.5, 0.95, 0.99, 1.0])
            within group (order by extract(epoch from created_at - closed_at)::float8), array[]::float8[])
        from conversation where close_reason = 'requested'";
    let (conversations, seconds): (i64, Vec<f64>) = sqlx::query_as(sql).fetch_one(&site.pool).await?;
    Ok(Ends { conversations: u64::try_from(conversations)?, seconds })
}
