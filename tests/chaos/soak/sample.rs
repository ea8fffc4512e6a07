//! What the daemons are like at a moment: from /proc, from their metrics pages, from the queue.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{found, site::Site};

/// A daemon that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Its process.
    pub id: u32,
    /// Its metrics page.
    pub port: u16,
}

/// A moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Since the load began.
    pub at: Duration,
    /// Resident memory of each daemon, in bytes.
    pub resident: Vec<u64>,
    /// Processor time of all daemons so far, in ticks of a hundredth of a second.
    pub ticks: u64,
    /// Deliveries settled so far.
    pub settled: u64,
    /// Deliveries in the queue.
    pub depth: usize,
    /// How old deliveries were when they were settled: so many up to each bound, in seconds; infinity last.
    pub ages: Vec<(f64, u64)>,
}

impl Sample {
    /// Takes one.
    pub async fn take(site: &Site, watched: &[Watched], at: Duration) -> anyhow::Result<Self> {
        let mut sample =
            Self { at, resident: vec![], ticks: 0, settled: 0, depth: found::depth(site).await?, ages: vec![] };
        let mut ages: BTreeMap<u64, (f64, u64)> = BTreeMap::new();
        for daemon in watched {
            sample.resident.push(resident(daemon.id)?);
            sample.ticks += ticks(daemon.id)?;
            let page = page(daemon.port).await?;
            sample.settled += total(&page);
            for (bound, count) in histogram(&page) {
                ages.entry(bound.to_bits()).or_insert((bound, 0)).1 += count;
            }
        }
        sample.ages = ages.into_values().collect();
        Ok(sample)
    }
}

/// Deliveries that all of them settled so far.
pub async fn settled(watched: &[Watched]) -> anyhow::Result<u64> {
    let mut settled = 0;
    for daemon in watched {
        settled += total(&page(daemon.port).await?);
    }
    Ok(settled)
}

fn total(page: &str) -> u64 {
    let lines = page.lines().filter(|line| line.starts_with("conversationd_deliveries_settled_total"));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// Cumulative counts of the ages' histogram.
fn histogram(page: &str) -> Vec<(f64, u64)> {
    let lines = page.lines().filter(|line| line.starts_with("conversationd_queue_age_seconds_bucket"));
    let bucket = |line: &str| {
        let bound = line.split_once("le=\"")?.1.split_once('"')?.0;
        let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
        Some((bound, line.rsplit(' ').next()?.parse::<f64>().ok()? as u64))
    };
    lines.filter_map(bucket).collect()
}

async fn page(port: u16) -> anyhow::Result<String> {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).await.context("a metrics page")?;
    connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut page = String::new();
    connection.read_to_string(&mut page).await?;
    Ok(page)
}

fn resident(id: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).context("the daemon ended")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024)
}

/// User and system time: the 14th and 15th field, counted behind the name, which may hold anything.
fn ticks(id: u32) -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).context("the daemon ended")?;
    let fields = stat.rsplit_once(") ").map(|(_, fields)| fields).unwrap_or_default();
    Ok(fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}
