//! What a redrive has sent, on disk: an interrupted run goes on where it was, and sends nothing twice.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

/// One line of the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    /// The first: which run, and out of which queue.
    Run { id: String, queue: String },
    /// A letter was taken by the inbound queue under this deduplication id.
    Sent(String),
    /// The run ended in order: nothing of it is hidden any more.
    Ended,
}

/// The journal of a run.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    run: String,
    sent: HashSet<String>,
    interrupted: bool,
}

impl Journal {
    /// Opens the journal at `path`, or begins it for the run `fresh` out of `queue`.
    ///
    /// # Errors
    /// It cannot be written, belongs to another queue, or another run is at it.
    pub fn open(path: &Path, queue: &str, fresh: String) -> anyhow::Result<Self> {
        let named = || format!("the journal {} cannot be used", path.display());
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).with_context(named)?;
        }
        let open = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path);
        let mut file = open.with_context(named)?;
        if file.try_lock().is_err() {
            bail!("another redrive is at work with the journal {}; --journal FILE names another", path.display());
        }
        let text = io::read_to_string(&file).with_context(named)?;
        // a line that was cut off was never acted upon
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).with_context(named)?;
        file.seek(SeekFrom::End(0)).with_context(named)?;
        let mut journal =
            Self { path: path.to_owned(), file, run: String::new(), sent: HashSet::new(), interrupted: false };
        for line in text[..whole].lines() {
            let entry: Entry = serde_json::from_str(line).with_context(named)?;
            journal.interrupted = !matches!(entry, Entry::Ended);
            match entry {
                Entry::Run { id, queue: of } if of == queue => journal.run = id,
                Entry::Run { queue: of, .. } => bail!("the journal {} is of the queue {of}", path.display()),
                Entry::Sent(dedup) => drop(journal.sent.insert(dedup)),
                Entry::Ended => {}
            }
        }
        // a run that ended in order is over; what it sent stays known
        if !journal.interrupted {
            journal.run = fresh;
            journal.append(&Entry::Run { id: journal.run.clone(), queue: queue.to_owned() }).with_context(named)?;
        }
        Ok(journal)
    }

    /// The run's name: a letter that carries it was sent by this run before, and came back.
    pub fn run(&self) -> &str {
        &self.run
    }

    /// Letters sent so far.
    pub fn count(&self) -> usize {
        self.sent.len()
    }

    /// Whether the run before this was cut off: what it held is hidden until its visibility ends.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// Whether the letter with this deduplication id was sent.
    pub fn has(&self, dedup: &str) -> bool {
        self.sent.contains(dedup)
    }

    /// Notes that the letter with this deduplication id was sent.
    ///
    /// # Errors
    /// It is not noted.
    pub fn sent(&mut self, dedup: &str) -> io::Result<()> {
        self.append(&Entry::Sent(dedup.to_owned()))?;
        self.sent.insert(dedup.to_owned());
        Ok(())
    }

    /// Makes everything noted survive a power cut.
    ///
    /// # Errors
    /// It may not.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Notes that everything held was given back.
    ///
    /// # Errors
    /// It is not noted.
    pub fn end(&mut self) -> io::Result<()> {
        self.append(&Entry::Ended)?;
        self.sync()
    }

    /// Removes the file: everything was moved.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        self.file.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("conversationd-journal-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path
    }

    #[test]
    fn a_run_that_was_cut_off_in_the_middle_of_a_line_goes_on() {
        let path = at("torn");
        let mut journal = Journal::open(&path, "q", "run 1".into()).expect("a journal");
        journal.sent("a#r1").expect("noted");
        drop(journal);
        let mut file = OpenOptions::new().append(true).open(&path).expect("a file");
        file.write_all(b"{\"sent\":\"b#").expect("written");
        drop(file);
        let mut journal = Journal::open(&path, "q", "run 2".into()).expect("a journal");
        assert_eq!((journal.run(), journal.was_interrupted()), ("run 1", true));
        assert!(journal.has("a#r1") && !journal.has("b#r1"));
        journal.sent("b#r1").expect("noted");
        journal.end().expect("noted");
        drop(journal);
        let journal = Journal::open(&path, "q", "run 3".into()).expect("a journal");
        assert_eq!((journal.run(), journal.count(), journal.was_interrupted()), ("run 3", 2, false));
        journal.remove().expect("removed");
    }

    #[test]
    fn two_runs_do_not_share_a_journal_nor_two_queues() {
        let path = at("shared");
        let journal = Journal::open(&path, "q", "run 1".into()).expect("a journal");
        assert!(Journal::open(&path, "q", "run 2".into()).is_err());
        drop(journal);
        assert!(Journal::open(&path, "other", "run 2".into()).is_err());
        fs::remove_file(&path).expect("removed");
    }
}
