//! What a run ran on: date, commit, machine, servers.

use std::process::Command;

use conversationd::clock::{Clock, SystemClock};

/// What it ran on.
#[derive(Clone, Debug)]
pub struct Machine {
    pub date: String,
    pub commit: String,
    pub machine: String,
    pub postgres: String,
    /// How the daemons are built: as this program is.
    pub build: &'static str,
}

impl Machine {
    /// This one, now; the archive says what it is.
    pub async fn now(database: &str) -> Self {
        Self {
            date: now(),
            commit: Self::commit(),
            machine: machine(),
            postgres: postgres(database).await.unwrap_or_else(|| "unknown".to_owned()),
            build: if cfg!(debug_assertions) { "a debug build" } else { "an optimised build" },
        }
    }

    /// This checkout's commit, and whether it was changed.
    pub fn commit() -> String {
        let git = |arguments: &[&str]| {
            let said = Command::new("git").args(arguments).output().ok()?;
            said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
        };
        let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "src", "tests", "Cargo.lock"]);
        let changed =
            if changed.is_some_and(|changed| !changed.is_empty()) { ", and changes not committed" } else { "" };
        git(&["rev-parse", "--short=12", "HEAD"]).map_or_else(|| "unknown".to_owned(), |commit| commit + changed)
    }
}

/// This minute.
pub fn now() -> String {
    SystemClock.now().format("%Y-%m-%d %H:%M UTC").to_string()
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let processor = value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "processor unknown".to_owned());
    let kilobytes = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
    let gigabytes = kilobytes.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) >> 20;
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cores} cores ({processor}), {gigabytes} GiB, Linux {}", kernel.trim())
}

async fn postgres(url: &str) -> Option<String> {
    let mut connection = <sqlx::PgConnection as sqlx::Connection>::connect(url).await.ok()?;
    sqlx::query_scalar("show server_version").fetch_one(&mut connection).await.ok()
}
