//! The history: one line of JSON for everything that was published, acknowledged or done to the daemons, as it happened.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context;
use chrono::{DateTime, Utc};
use conversationd::clock::{Clock, SystemClock};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{checker::Violation, site::Names};

/// What a publisher says in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// A chat message.
    Message,
    /// The conversation ends here.
    Close,
    /// The session ends here; silence after it ends the conversation, whatever is said before that goes on with it.
    SessionEnd,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Entry {
    /// A round begins, on queues, a table and a schema of its own. `seed` decided all choices of it.
    Round {
        round: u32,
        fault: String,
        seed: u64,
        trials: u32,
        daemons: usize,
        site: Names,
        /// Whether an outside system is told by HTTP too.
        #[serde(default)]
        tells: bool,
    },
    /// The publisher asks the queue to take the `n`th event of a thread.
    Sent { thread: String, n: u32, said: Said },
    /// The queue said that it has it.
    Acknowledged { thread: String, n: u32 },
    /// A fault begins; `on` says to whom it happens.
    Fault { trial: u32, on: String, detail: String },
    /// It is over.
    Over { trial: u32 },
    /// What is counted of this fault; the fault says what that is.
    Counted { trial: u32, on: String, number: u64 },
    /// The outside system took a notice of a close, under this key.
    Told { conversation: Uuid, key: String },
    /// A daemon ended that was told to.
    Ended { daemon: String, code: Option<i32>, millis: u64 },
    /// Nothing is published any more, all faults are over, and this is how long it took until nothing was left to do.
    Rest { millis: u64, left: usize },
    /// What the judge says.
    Verdict { violations: Vec<Violation> },
}

/// A line.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    pub at: DateTime<Utc>,
    #[serde(flatten)]
    pub entry: Entry,
}

/// A history that is being written.
#[derive(Clone)]
pub struct History {
    written: Arc<Mutex<(Vec<Line>, File)>>,
    /// Where it is kept.
    pub path: PathBuf,
}

impl History {
    /// Begins one.
    pub fn begin(path: PathBuf) -> anyhow::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { written: Arc::new(Mutex::new((Vec::new(), file))), path })
    }

    /// Adds a line; it is in the file before this returns.
    pub fn add(&self, entry: Entry) {
        let line = Line { at: SystemClock.now(), entry };
        let mut text = serde_json::to_string(&line).expect("an entry is JSON");
        text.push('\n');
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.1.write_all(text.as_bytes()).expect("the history is written");
        written.0.push(line);
    }

    /// All of it so far.
    pub fn lines(&self) -> Vec<Line> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Reads a history back.
pub fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = BufReader::new(file)
        .lines()
        .enumerate()
        .map(|(n, line)| serde_json::from_str(&line?).with_context(|| format!("line {} of {}", n + 1, path.display())));
    lines.collect()
}
