//! A daemon as a process, which is started, killed, frozen and told to end, again and again.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use conversationd::config;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

use super::roads::Roads;

/// How long a process may take to start, or to end once it is told to.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program of this build, copied into `folder`: a build that is made meanwhile changes nothing.
pub fn present(folder: &Path) -> anyhow::Result<PathBuf> {
    let program = folder.join("conversationd");
    std::fs::create_dir_all(folder)?;
    std::fs::copy(env!("CARGO_BIN_EXE_conversationd"), &program).context("the daemon cannot be copied")?;
    Ok(program)
}

/// The library that gives a process another clock, where this machine has it.
pub fn faketime() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib"];
    folders.iter().map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1")).find(|library| library.exists())
}

/// A daemon's place: it may run or not, and whoever runs here has the same settings and the same roads.
pub struct Daemon {
    pub name: String,
    pub roads: Roads,
    /// The program that the next start starts.
    pub program: PathBuf,
    settings: BTreeMap<String, String>,
    log: PathBuf,
    /// The clock of its machine, as a file that says how far off it is; none is the clock of this one.
    clock: Option<PathBuf>,
    running: Option<Child>,
}

/// What a start is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    Nothing,
    /// More memory of its own than so many bytes.
    Memory(u64),
    /// A disk that takes its log.
    Disk,
}

impl Daemon {
    /// A place in `folder`, where its log goes; nothing runs yet.
    pub async fn place(
        name: &str,
        program: &Path,
        folder: &Path,
        mut settings: BTreeMap<String, String>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let roads = Roads::lay(seed).await?;
        settings.extend(roads.settings());
        let log = folder.join(format!("{name}.log"));
        let (name, program) = (name.to_owned(), program.to_owned());
        Ok(Self { name, roads, program, settings, log, clock: None, running: None })
    }

    /// Starts it, and does not wait until it runs.
    pub fn start(&mut self, denied: Denied) -> anyhow::Result<()> {
        let log: File = match denied {
            Denied::Disk => OpenOptions::new().write(true).open("/dev/full")?,
            _ => OpenOptions::new().create(true).append(true).open(&self.log)?,
        };
        let mut command = match denied {
            Denied::Memory(bytes) => {
                let mut confined = Command::new("prlimit"); // which becomes the daemon
                confined.arg(format!("--data={bytes}")).arg(&self.program);
                confined
            }
            _ => Command::new(&self.program),
        };
        if let Some(clock) = &self.clock {
            command.env("LD_PRELOAD", faketime().context("there is no libfaketime")?);
            // what waits for a span waits by the steady clock, which no machine sets
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("FAKETIME_CACHE_DURATION", "1");
            command.env("FAKETIME_TIMESTAMP_FILE", clock);
        }
        for setting in config::SETTINGS {
            command.env_remove(setting.variable);
        }
        command
            .arg("run")
            .envs(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true);
        self.running = Some(command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?);
        Ok(())
    }

    /// Starts it, and waits until it says that it runs.
    pub async fn start_and_wait(&mut self) -> anyhow::Result<()> {
        let starts = self.starts();
        self.start(Denied::Nothing)?;
        let begun = Instant::now();
        while self.starts() == starts {
            if begun.elapsed() > PATIENCE || !self.runs()? {
                bail!("{} does not start; its log is {}", self.name, self.log.display());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn starts(&self) -> usize {
        std::fs::read_to_string(&self.log).unwrap_or_default().matches("\"started\"").count()
    }

    /// Whether its process is there.
    pub fn runs(&mut self) -> anyhow::Result<bool> {
        Ok(match &mut self.running {
            Some(child) => child.try_wait()?.is_none(),
            None => false,
        })
    }

    /// Sets the clock of its machine so many seconds off. A daemon hears of it at once if its clock was set before it started.
    pub fn set_clock(&mut self, seconds: i64) -> anyhow::Result<()> {
        let clock = self.log.with_extension("clock");
        // in one step: half a number is another time
        let written = self.log.with_extension("clock-written");
        std::fs::write(&written, format!("{seconds:+}\n"))?;
        std::fs::rename(written, &clock)?;
        self.clock = Some(clock);
        Ok(())
    }

    /// Bytes of memory of its own that it has asked for.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let id = self.id().with_context(|| format!("{} does not run", self.name))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB"));
        Ok(kilobytes.context("a process without memory")?.trim().parse::<u64>()? << 10)
    }

    /// Whether it ends by itself within `patience`.
    pub async fn ends_within(&mut self, patience: Duration) -> anyhow::Result<bool> {
        let child = self.running.as_mut().with_context(|| format!("{} does not run", self.name))?;
        let ended = timeout(patience, child.wait()).await.is_ok();
        if ended {
            self.running = None;
        }
        Ok(ended)
    }

    /// Its process's number.
    pub fn id(&self) -> Option<u32> {
        self.running.as_ref().and_then(Child::id)
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut child = self.running.take().with_context(|| format!("{} does not run", self.name))?;
        if let Some(status) = child.try_wait()? {
            bail!("{} had ended by itself, {status}; its log is {}", self.name, self.log.display());
        }
        child.kill().await?;
        Ok(())
    }

    /// SIGSTOP: it holds what it holds and does nothing.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let id = self.id().with_context(|| format!("{} does not run", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(id)?), signal)?)
    }

    /// SIGTERM, and KILL if that does not end it. Returns its exit code, none after a signal, and how long it took.
    pub async fn terminate(&mut self) -> anyhow::Result<(Option<i32>, Duration)> {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM)?;
        let mut child = self.running.take().with_context(|| format!("{} does not run", self.name))?;
        let Ok(status) = timeout(PATIENCE, child.wait()).await else {
            child.kill().await?;
            return Ok((None, begun.elapsed()));
        };
        let status = status?;
        debug_assert!(status.code().is_some() || status.signal().is_some());
        Ok((status.code(), begun.elapsed()))
    }
}
