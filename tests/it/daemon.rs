//! The program itself, as a process: started, terminated, killed, frozen.

use std::{
    collections::BTreeMap,
    fs::File,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use conversationd::config;
use uuid::Uuid;

/// How long a process may take to say or do what it must.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The program with this command, knowing nothing of this process's settings.
pub fn program(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conversationd"));
    for setting in config::SETTINGS {
        program.env_remove(setting.variable);
    }
    program.arg(command).stdin(Stdio::null());
    program
}

/// A running daemon; killed when dropped.
pub struct Daemon {
    process: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it runs.
    pub async fn start(name: &str, settings: &BTreeMap<String, String>) -> Self {
        let log = std::env::temp_dir().join(format!("{name}-{}.log", Uuid::now_v7().simple()));
        let lines = File::create(&log).expect("a log file");
        let process = program("run").envs(settings).stdout(Stdio::null()).stderr(lines).spawn().expect("a process");
        let daemon = Self { process, log };
        daemon.until_it_says("\"started\"").await;
        daemon
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a piece of its log.
    pub async fn until_it_says(&self, piece: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(piece) {
            assert!(Instant::now() < deadline, "it never said {piece}");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.process.kill().expect("it is killed");
        self.process.wait().expect("it is gone");
    }

    /// SIGTERM; waits for its end and returns the last of its log: its totals.
    pub async fn last_words(mut self) -> String {
        assert!(self.end().await.0.success());
        self.log().lines().last().unwrap_or_default().to_owned()
    }

    /// SIGTERM; waits for its end and says how it was and how long it took.
    pub async fn terminate(mut self) -> (ExitStatus, Duration) {
        self.end().await
    }

    /// SIGTERM, and no waiting.
    pub fn ask_to_stop(&self) {
        self.signal("TERM");
    }

    async fn end(&mut self) -> (ExitStatus, Duration) {
        let asked = Instant::now();
        self.signal("TERM");
        loop {
            if let Some(status) = self.process.try_wait().expect("its status") {
                return (status, asked.elapsed());
            }
            assert!(asked.elapsed() < PATIENCE, "it does not end");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// SIGSTOP: it holds what it holds and does nothing.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -s {name} {}", self.process.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("a shell");
        assert!(sent.success(), "{kill}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- {} ends:", self.log.display());
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        } else {
            let _ = std::fs::remove_file(&self.log);
        }
    }
}
