//! What this process has used so far.

use std::time::Duration;

use conversationd::counters::Counters;
use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// How often progress is looked at.
const TICK: Duration = Duration::from_millis(5);

/// What a path used for its messages.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Used {
    /// Microseconds of the processor for each message, of all threads, in the system too.
    pub micros: f64,
    /// Most memory resident at once, in bytes, from the start of the process.
    pub peak_bytes: u64,
}

impl Used {
    /// The most memory, in megabytes.
    pub fn megabytes(&self) -> f64 {
        self.peak_bytes as f64 / MEGABYTE
    }
}

/// Bytes of a megabyte.
pub const MEGABYTE: f64 = 1_048_576.0;

/// Waits until `messages` are settled; measures from `warm` on, when all that is loaded once is loaded.
pub async fn used(counters: &Counters, warm: u64, messages: u64) -> Used {
    let (first, before) = reached(counters, warm).await;
    let (last, after) = reached(counters, messages).await;
    Used { micros: (after - before).as_secs_f64() * 1e6 / (last - first) as f64, peak_bytes: peak_bytes() }
}

async fn reached(counters: &Counters, wanted: u64) -> (u64, Duration) {
    loop {
        let now = counters.settled.get();
        if now >= wanted {
            return (now, processor_time());
        }
        tokio::time::sleep(TICK).await;
    }
}

/// What this process has used of the processor so far, all threads, in the system too.
pub fn processor_time() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask what it used");
    let micros = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
    Duration::from_micros(micros(usage.user_time()) + micros(usage.system_time()))
}

/// Not getrusage's: that one remembers the process which started this one.
fn peak_bytes() -> u64 {
    bytes("self", "VmHWM:")
}

/// A line of what the system knows of a process, in bytes; 0 where there is no /proc.
pub fn bytes(process: &str, line: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|said| said.strip_prefix(line)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}
