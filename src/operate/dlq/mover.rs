//! Moves dead letters back into their groups, oldest first. The order of a group holds whatever fails.
//!
//! Runs on the [`Queue`] edge: the service, or the model of it. Every letter is sent, noted in the journal, marked in the
//! index, and only then deleted: cut off anywhere, the next run with the same journal ends what this one began.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use uuid::Uuid;

use super::{journal::Journal, wanted::Wanted};
use crate::{
    clock::Clock,
    hot::{HotStore, Settled, Settlement},
    queue::{Delivery, Leases, Note, Queue, QueueError, Receipt},
};

/// How long one receive waits for letters.
const WAIT: Duration = Duration::from_secs(1);

/// Looks at letters that are left alone, one after the other in vain: how many of a group one receive brings is chance.
const LOOKS: u32 = 3;

/// How often held letters are looked at.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// Everything a move needs.
pub struct Mover {
    /// The dead-letter queue.
    pub from: Arc<dyn Queue>,
    /// The inbound queue.
    pub to: Arc<dyn Queue>,
    /// The index.
    pub index: Arc<dyn HotStore>,
    /// Letters held; their visibility is that of `from`.
    pub leases: Leases,
    /// For the marks.
    pub clock: Arc<dyn Clock>,
    /// What was sent.
    pub journal: Mutex<Journal>,
    /// Which letters.
    pub wanted: Wanted,
    /// Letters a second, at most.
    pub rate: u32,
    /// The queue counts as read to its end when it brings nothing for so long.
    pub idle: Duration,
    /// After an interruption: asks how many letters the queue holds, hidden ones too. What the run before held is waited for.
    pub depth: Option<Box<dyn Fn() -> BoxFuture<'static, u64> + Send + Sync>>,
    /// Asks it to end: letters on their way arrive, the others are given back.
    pub stop: CancellationToken,
    /// Told how far it is, after each group.
    pub progress: Box<dyn Fn(&Moved) + Send + Sync>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Moved {
    /// Sent and deleted.
    pub moved: u64,
    /// Of these, sent by the run that was interrupted, and only deleted now.
    pub sent_before: u64,
    /// Sent, but not deleted yet: the next run deletes them.
    pub undeleted: u64,
    /// Not asked for, and left where they are, as far as they were seen.
    pub left: u64,
    /// Sent by this run, failed, and dead again.
    pub came_back: u64,
    /// Moved without a row in the index.
    pub without_row: u64,
    /// Why it ended before its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What goes on while it runs.
#[derive(Default)]
struct Course {
    moved: Moved,
    /// Letters that may still be sent.
    budget: u64,
    /// When the next may be.
    next: Option<Instant>,
    left: BTreeSet<String>,
    came_back: BTreeSet<String>,
}

impl Mover {
    /// Moves `most` letters at most; to the end of the queue, if it comes first.
    pub async fn run(&self, most: u64) -> Moved {
        let course = Mutex::new(Course { budget: most, ..Course::default() });
        tokio::select! {
            () = self.receive(&course) => {}
            () = self.keep_hidden() => {}
        }
        self.give_back(self.leases.held()).await;
        if let Err(failure) = lock(&self.journal).end() {
            warn!(error = %failure, "the end of the run is not noted in the journal");
        }
        course.into_inner().unwrap_or_else(PoisonError::into_inner).moved
    }

    async fn receive(&self, course: &Mutex<Course>) {
        let (mut quiet_since, mut fruitless, mut moved) = (Instant::now(), 0, 0);
        for attempt in 0u64.. {
            if self.stop.is_cancelled() || lock(course).moved.failure.is_some() || lock(course).budget == 0 {
                return;
            }
            let name = format!("{}:{attempt}:{:?}", lock(&self.journal).run(), self.clock.now());
            let asked = self.leases.ask(WAIT);
            let letters = match self.from.receive(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes()), WAIT).await {
                Ok(letters) => letters,
                Err(failure) if quiet_since.elapsed() > self.idle + Duration::from_secs(60) => {
                    return self.fail(course, format!("the dead-letter queue does not answer: {failure}"));
                }
                Err(_) => {
                    sleep(WAIT).await;
                    continue;
                }
            };
            if letters.is_empty() {
                let quiet = quiet_since.elapsed();
                if quiet < self.idle || (quiet < self.leases.visibility() + self.idle && self.more_are_hidden().await) {
                    continue;
                }
                // what was left alone at the head of its group hid what stands behind it: look again, from the heads on
                let (now_moved, left) = (lock(course).moved.moved, self.leases.held());
                fruitless = if now_moved > moved { 1 } else { fruitless + 1 };
                moved = now_moved;
                if left.is_empty() || fruitless >= LOOKS {
                    return;
                }
                self.give_back(left).await;
                quiet_since = Instant::now();
                continue;
            }
            let mut groups: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
            for letter in letters {
                self.leases.take(letter.receipt.clone(), asked);
                groups.entry(letter.group_id.clone()).or_default().push(letter);
            }
            join_all(groups.into_values().map(|letters| self.group(letters, course))).await;
            quiet_since = Instant::now();
        }
    }

    /// Whether somebody else holds letters: the run that was cut off.
    async fn more_are_hidden(&self) -> bool {
        match &self.depth {
            Some(depth) => depth().await > self.leases.held().len() as u64,
            None => false,
        }
    }

    /// Letters of one group, from its head on.
    async fn group(&self, mut letters: Vec<Delivery>, course: &Mutex<Course>) {
        letters.sort_by_key(|letter| letter.sequence);
        let (mut sent, mut others, mut ended) = (Vec::new(), Vec::new(), false);
        for letter in letters {
            let note = Note::of_letter(&letter);
            if ended || !self.is_wanted(&letter, &note, course) {
                others.push(letter.receipt);
            } else if self.send_within_budget(&letter, note, course).await {
                sent.push(letter.receipt);
            } else {
                // what is behind it must not overtake it
                ended = true;
                others.push(letter.receipt);
            }
        }
        if !sent.is_empty() && lock(&self.journal).sync().is_err() {
            return self.fail(course, "the journal cannot be written".to_owned());
        }
        let deeper = !sent.is_empty();
        self.delete(sent, course).await;
        (self.progress)(&lock(course).moved);
        // given back, they come again together with those behind them; else they stay hidden, for there is nothing more to find
        if deeper || ended {
            self.give_back(others).await;
        }
    }

    fn is_wanted(&self, letter: &Delivery, note: &Note, course: &Mutex<Course>) -> bool {
        let came_back = note.redrive_run.as_deref() == Some(lock(&self.journal).run());
        let course = &mut *lock(course);
        if came_back {
            course.came_back.insert(letter.message_id.clone());
            course.moved.came_back = course.came_back.len() as u64;
            return false;
        }
        let wanted = self.wanted.takes_letter(letter, note);
        if !wanted {
            course.left.insert(letter.message_id.clone());
            course.moved.left = course.left.len() as u64;
        }
        wanted
    }

    /// Sends one letter, unless that is one too many. Groups go side by side: it is counted before.
    async fn send_within_budget(&self, letter: &Delivery, note: Note, course: &Mutex<Course>) -> bool {
        {
            let course = &mut *lock(course);
            if course.budget == 0 {
                return false;
            }
            course.budget -= 1;
        }
        let sent = self.send(letter, note, course).await;
        if !sent {
            lock(course).budget += 1;
        }
        sent
    }

    /// Sends one letter, however often that takes. Returns whether the inbound queue has it.
    async fn send(&self, letter: &Delivery, note: Note, course: &Mutex<Course>) -> bool {
        let (sent_at, id) = (note.original_sent_at, note.original_message_id.clone());
        let command = note.command(letter, lock(&self.journal).run());
        let before = lock(&self.journal).has(&command.dedup_id);
        let mut pauses = pauses();
        while !lock(&self.journal).has(&command.dedup_id) {
            if !self.may_send(letter, course).await {
                return false;
            }
            match self.to.send(command.clone()).await {
                Ok(()) => {
                    let noted = lock(&self.journal).sent(&command.dedup_id);
                    if let Err(failure) = noted {
                        self.fail(course, format!("the journal cannot be written: {failure}"));
                        return false;
                    }
                }
                Err(QueueError::Refused(code)) => {
                    self.fail(course, format!("the inbound queue refuses the letter {id} ({code})"));
                    return false;
                }
                Err(failure) => match pauses.next() {
                    Some(pause) => tokio::select! {
                        () = self.stop.cancelled() => return false,
                        () = sleep(pause) => {}
                    },
                    None => {
                        self.fail(course, format!("the inbound queue does not take letters: {failure}"));
                        return false;
                    }
                },
            }
        }
        let settled = Settled { how: Settlement::Redriven, at: self.clock.now() };
        match self.index.mark_dead_letter(sent_at, &id, settled).await {
            Ok(true) => {}
            Ok(false) => lock(course).moved.without_row += 1,
            Err(failure) => {
                warn!(error = %failure, sqs.message_id = id, "a row of the index is not marked as redriven")
            }
        }
        lock(course).moved.sent_before += u64::from(before);
        true
    }

    /// Waits for its turn. Returns whether the letter may be sent now.
    async fn may_send(&self, letter: &Delivery, course: &Mutex<Course>) -> bool {
        let turn = {
            let course = &mut *lock(course);
            if course.moved.failure.is_some() {
                return false;
            }
            let turn = course.next.map_or_else(Instant::now, |next| next.max(Instant::now()));
            course.next = Some(turn + Duration::from_secs(1) / self.rate.max(1));
            turn
        };
        tokio::select! {
            () = self.stop.cancelled() => return false,
            () = sleep_until(turn) => {}
        }
        !self.stop.is_cancelled() && lock(course).moved.failure.is_none() && self.leases.holds(&letter.receipt)
    }

    /// Deletes what was sent. What stays is deleted by a later receive, for the journal knows it.
    async fn delete(&self, mut receipts: Vec<Receipt>, course: &Mutex<Course>) {
        let mut pauses = pauses().take(4);
        while !receipts.is_empty() {
            let results = self.from.delete(receipts.clone()).await;
            let mut again = Vec::new();
            for (receipt, result) in receipts.into_iter().zip(results) {
                match result {
                    Ok(()) => {
                        self.leases.drop_lease(&receipt);
                        lock(course).moved.moved += 1;
                    }
                    Err(QueueError::LeaseLost) => {
                        self.leases.drop_lease(&receipt);
                        lock(course).moved.undeleted += 1;
                    }
                    Err(_) => again.push(receipt),
                }
            }
            receipts = again;
            match pauses.next() {
                Some(pause) if !receipts.is_empty() => sleep(pause).await,
                Some(_) => {}
                None => {
                    lock(course).moved.undeleted += receipts.len() as u64;
                    return self.give_back(receipts).await;
                }
            }
        }
    }

    /// Gives letters back at once, those of a group in one call.
    async fn give_back(&self, receipts: Vec<Receipt>) {
        for batch in receipts.chunks(crate::queue::BATCH) {
            batch.iter().for_each(|receipt| self.leases.drop_lease(receipt));
            self.from.hide(batch.iter().map(|receipt| (receipt.clone(), Duration::ZERO)).collect()).await;
        }
    }

    /// Extends what is held, for ever.
    async fn keep_hidden(&self) {
        loop {
            sleep(HEARTBEAT.min(self.leases.visibility() / 4)).await;
            let asked_at = Instant::now();
            for batch in self.leases.to_extend().chunks(crate::queue::BATCH) {
                let entries = batch.iter().map(|receipt| (receipt.clone(), self.leases.visibility())).collect();
                for (receipt, extended) in batch.iter().zip(self.from.hide(entries).await) {
                    match extended {
                        Ok(()) => self.leases.extended(receipt, asked_at.elapsed()),
                        Err(QueueError::LeaseLost) => self.leases.drop_lease(receipt),
                        Err(_) => {}
                    }
                }
            }
        }
    }

    fn fail(&self, course: &Mutex<Course>, why: String) {
        lock(course).moved.failure.get_or_insert(why);
    }
}

/// About a minute in all: less than the five minutes for which SQS knows a deduplication id.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(Duration::from_secs(15))
        .with_max_times(10)
        .build()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
