//! The journals of HubSpot's portals: what happened there, read in order and put into our own queue, one event for each record.
//!
//! One replica reads a journal at a time. A file's events are in the queue before its place is written: a crash in between puts
//! them there twice, under the same deduplication ids, and what comes later than those is known by its time.

mod client;
mod entries;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::TimeDelta;
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    archive::{ArchiveError, JournalCursor, PostgresArchive, Stream},
    config::PortalConfig,
    counters::Counters,
    crm,
    domain::RecordChange,
    http::Http,
    queue::{Queue, QueueError},
};
use client::{Client, Next, Trouble};

/// How long a journal is held without a word: three calls and a file's events.
const LEASE: Duration = Duration::from_secs(120);

/// What is sent between two words.
const AT_ONCE: usize = 100;

/// Groups sent to at once.
const GROUPS_AT_ONCE: usize = 10;

/// Files read in one step.
const FILES: usize = 50;

/// Bytes of a file. HubSpot names no limit; a portal whose files are larger is told of.
pub const LONGEST_FILE: usize = 16 * 1_048_576;

/// Records asked for again in one call.
const SNAPSHOTS: u32 = 100;

/// How long HubSpot keeps its journal.
const KEPT: TimeDelta = TimeDelta::days(3);

/// Between two looks at a journal that had nothing more.
const PAUSE: Duration = Duration::from_secs(5);

/// After trouble.
const AFTER_TROUBLE: Duration = Duration::from_secs(60);

/// The stream that is read: what happens to objects.
const STREAM: &str = "journal";

/// Why a step ended early. The next one goes on from the place that was written last.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted {
    /// Of HubSpot's making, or of the settings'.
    #[error("{0}")]
    HubSpot(String),
    /// The cursor cannot be read or written now.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The queue takes nothing now.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// Another replica reads on.
    #[error("the lease on the journal was lost")]
    LeaseLost,
}

impl From<Trouble> for Interrupted {
    fn from(trouble: Trouble) -> Self {
        Self::HubSpot(trouble.to_string())
    }
}

/// The journal of one portal.
pub struct Journal {
    portal: String,
    projects: Option<Vec<String>>,
    client: Client,
    archive: PostgresArchive,
    queue: Arc<dyn Queue>,
    counters: Arc<Counters>,
}

/// A cursor in hand.
struct Held {
    cursor: JournalCursor,
    renewed: Instant,
}

impl Journal {
    /// The journal of `portal`, if the settings want it to be read. Connects to nothing yet. `http` reads files of
    /// [`LONGEST_FILE`].
    pub fn of(
        portal: &PortalConfig,
        http: Arc<Http>,
        archive: PostgresArchive,
        queue: Arc<dyn Queue>,
        counters: Arc<Counters>,
    ) -> Option<Self> {
        let client = Client::new(portal, portal.journal.as_ref()?, http);
        let (portal, projects) = (portal.id.clone(), portal.projects.clone());
        Some(Self { portal, projects, client, archive, queue, counters })
    }

    /// One step: everything there is, 50 files at most. Returns how many were read; none while another replica reads.
    ///
    /// # Errors
    /// It ended early: what was read stays read.
    pub async fn run_once(&self) -> Result<usize, Interrupted> {
        let Some(cursor) = self.archive.take_cursor(self.stream(), LEASE).await? else { return Ok(0) };
        let mut held = Held { cursor, renewed: Instant::now() };
        let read = self.read(&mut held).await;
        // whoever comes next need not wait; one that was lost is not ours to give back
        self.archive.move_cursor(self.stream(), &held.cursor, false, Duration::ZERO).await?;
        read
    }

    /// Runs until `stop`.
    pub async fn run(&self, stop: CancellationToken) {
        let mut troubled = false;
        loop {
            let pause = match self.run_once().await {
                Ok(FILES..) => Duration::ZERO,
                Ok(_) => {
                    if std::mem::take(&mut troubled) {
                        info!(portal = self.portal, "the journal is read again");
                    }
                    PAUSE
                }
                Err(Interrupted::LeaseLost) => PAUSE,
                Err(interrupted) => {
                    if !std::mem::replace(&mut troubled, true) {
                        warn!(portal = self.portal, error = %interrupted, "the journal cannot be read now");
                    }
                    AFTER_TROUBLE
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
        }
    }

    async fn read(&self, held: &mut Held) -> Result<usize, Interrupted> {
        if held.cursor.seen_at.is_none() {
            self.client.subscribe().await?;
        }
        if held.cursor.again_from.is_some() {
            self.ask_again(held).await?;
        } else if held.cursor.seen_at.is_some_and(|seen_at| held.cursor.now - seen_at > KEPT) {
            error!(
                portal = self.portal,
                "the journal was not read for longer than HubSpot keeps it: linked contacts are asked for again"
            );
            held.cursor.again_from = Some(String::new());
            held.cursor.place = None;
            self.hold(held, false).await?;
            self.ask_again(held).await?;
        }
        let mut files = 0;
        while files < FILES {
            let Some((url, place)) = self.next(held).await? else {
                self.hold(held, true).await?;
                break;
            };
            let file = self.client.file(&url, LONGEST_FILE).await?;
            let entries = entries::read(&file, &self.portal).ok_or(Trouble::Unreadable)?;
            self.counters.crm_echoes.add(entries.told.echoes);
            self.counters.crm_ignored.add(entries.told.ignored);
            for changes in entries.told.changes.chunks(AT_ONCE) {
                if held.renewed.elapsed() > LEASE / 3 {
                    self.hold(held, false).await?;
                }
                self.send(changes).await?;
            }
            held.cursor.place = Some(place);
            held.cursor.placed_at = entries.published_at.or(Some(held.cursor.now));
            self.hold(held, true).await?;
            self.counters.journal_files.add(1);
            files += 1;
        }
        Ok(files)
    }

    /// What comes next. A place that HubSpot keeps no longer has nothing behind it, whatever came since: then everything kept
    /// is newer, and the journal was seen to its end when there was nothing more.
    async fn next(&self, held: &mut Held) -> Result<Option<(String, String)>, Interrupted> {
        let mut next = self.client.next(held.cursor.place.as_deref()).await?;
        let outlived = held.cursor.placed_at.is_none_or(|placed_at| held.cursor.now - placed_at > KEPT);
        if next == Next::Nothing && held.cursor.place.is_some() && outlived {
            next = self.client.next(None).await?;
        }
        match next {
            Next::File { url, place } => Ok(Some((url, place))),
            Next::Nothing => Ok(None),
        }
    }

    /// After a gap: linked contacts, some at a time, come in the journal as they are now.
    async fn ask_again(&self, held: &mut Held) -> Result<(), Interrupted> {
        while let Some(after) = held.cursor.again_from.clone() {
            let projects = self.projects.as_deref();
            let records = self.archive.linked_records(crm::HUBSPOT, projects, &after, SNAPSHOTS).await?;
            let numbered: Vec<String> =
                records.iter().filter(|id| id.bytes().all(|byte| byte.is_ascii_digit())).cloned().collect();
            if !numbered.is_empty() {
                self.client.snapshot(&numbered).await?;
            }
            held.cursor.again_from = records.last().cloned();
            self.hold(held, false).await?;
        }
        Ok(())
    }

    /// Puts what happened into the queue, in order for each record.
    async fn send(&self, changes: &[RecordChange]) -> Result<(), Interrupted> {
        let mut groups: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for command in changes.iter().map(crm::command) {
            groups.entry(command.group_id.clone()).or_default().push(command);
        }
        let groups: Vec<_> = groups.into_values().collect();
        for some in groups.chunks(GROUPS_AT_ONCE) {
            let sends = some.iter().map(async |commands| {
                for command in commands {
                    self.queue.send(command.clone()).await?;
                }
                Ok::<(), QueueError>(())
            });
            try_join_all(sends).await?;
        }
        Ok(())
    }

    async fn hold(&self, held: &mut Held, seen: bool) -> Result<(), Interrupted> {
        if !self.archive.move_cursor(self.stream(), &held.cursor, seen, LEASE).await? {
            return Err(Interrupted::LeaseLost);
        }
        held.renewed = Instant::now();
        Ok(())
    }

    fn stream(&self) -> Stream<'_> {
        Stream { crm: crm::HUBSPOT, account: &self.portal, stream: STREAM }
    }
}
