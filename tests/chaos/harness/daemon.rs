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

/// A daemon's place: it may run or not, and whoever runs here has the same settings and the same roads.
pub struct Daemon {
    pub name: String,
    pub roads: Roads,
    /// The program that the next start starts.
    pub program: PathBuf,
    settings: BTreeMap<String, String>,
    log: PathBuf,
    running: Option<Child>,
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
        Ok(Self { name: name.to_owned(), roads, program: program.to_owned(), settings, log, running: None })
    }

    /// Starts it, and does not wait until it runs.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.program);
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
        self.start()?;
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
