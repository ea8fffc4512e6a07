//! Timers without a leader: every replica reads what is due and sends a command into the thread's own group.
//!
//! The timer decides nothing. Duplicates are harmless twice over: SQS drops most, and the handler looks at the head as it is.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use uuid::Uuid;

use crate::{
    clock::Clock,
    counters::Counters,
    domain::Thread,
    event::{self, Due},
    hot::{DUE_SHARDS, DueHead, HotError, HotStore},
    queue::{Command, Inbox, fifo_id},
};

/// Commands that a replica sent once whose conversations are due still: past it its timer waits until the daemons have come to
/// some, so that a hundred thousand conversations of one midnight do not stand in the queue before the messages of everyone
/// else, nor fill what the replica may hold (500 by default).
pub const OUTSTANDING: usize = 200;

/// The next step comes this soon while there is something to send: at most 200 closes a second and replica.
const BUSY_PERIOD: Duration = Duration::from_secs(1);

/// Of each shard are read as many as were sent, and so many more, the oldest: among these a replica chooses, each by an order of
/// its own, so that the commands of two are seldom for the same. With all of them 1,600 to choose from, some 300 KB.
const CHOICE: usize = 200;

/// Due conversations of one shard whose command was sent, and that the timer looks past to find others: those that cannot
/// be closed must not hide those that can.
const LOOKED_PAST: usize = 10_000;

/// Commands on their way at once.
const PARALLEL_SENDS: usize = 16;

/// A command that changed nothing yet is sent again after this, then after twice as long, and so on.
const FIRST_REPEAT: Duration = Duration::from_secs(60);

/// The longest pause between two commands for one due time.
const LAST_REPEAT: Duration = Duration::from_secs(3600);

/// The timer.
pub struct Timer {
    hot: Arc<dyn HotStore>,
    inbox: Arc<Inbox>,
    clock: Arc<dyn Clock>,
    counters: Arc<Counters>,
    instance: Uuid,
    sent: Mutex<HashMap<DueHead, Sent>>,
}

/// What was sent for one due time.
#[derive(Clone, Copy)]
struct Sent {
    times: u32,
    next: Instant,
}

impl Timer {
    /// A timer that reads `hot` and sends into `inbox`; `instance` tells this process's order from all others'.
    pub fn new(
        hot: Arc<dyn HotStore>,
        inbox: Arc<Inbox>,
        clock: Arc<dyn Clock>,
        counters: Arc<Counters>,
        instance: Uuid,
    ) -> Self {
        Self { hot, inbox, clock, counters, instance, sent: Mutex::default() }
    }

    /// Runs until `stop`, a step every `period`, and sooner while there is something to send.
    pub async fn run(&self, period: Duration, stop: CancellationToken) {
        let mut next = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = sleep(next) => {}
            }
            next = match self.run_once().await {
                Ok(0) => period,
                Ok(_) => period.min(BUSY_PERIOD),
                Err(failure) => {
                    warn!(error = %failure, "the timer could not read what is due; it tries again at its next step");
                    period
                }
            };
        }
    }

    /// One step: sends a command for everything that is due and was not sent lately. Returns how many were sent.
    ///
    /// # Errors
    /// A shard could not be read; the others were served.
    pub async fn run_once(&self) -> Result<usize, HotError> {
        self.counters.timer_steps.add(1);
        let now = self.clock.now();
        let wanted = self.sent_by_shard().await.map(|sent| CHOICE + sent.min(LOOKED_PAST));
        let shards = (0..).zip(wanted).map(|(shard, wanted)| self.hot.due(shard, now, wanted));
        let mut due = Vec::new();
        let mut failure = None;
        for shard in join_all(shards).await {
            match shard {
                Ok(heads) => due.extend(heads),
                Err(error) => failure = Some(error),
            }
        }
        due.sort_by_cached_key(|head| self.place(head, now));
        let waiting = self.not_sent_lately(due, failure.is_none()).await;
        let mut sent = 0;
        for batch in waiting.chunks(PARALLEL_SENDS) {
            self.counters.timer_steps.add(1);
            let sends = batch.iter().map(|(head, times)| self.send(head, *times));
            for ((head, _), done) in batch.iter().zip(join_all(sends).await) {
                if done {
                    sent += 1;
                } else {
                    self.sent.lock().await.remove(head); // at the next step again
                }
            }
        }
        self.counters.timer_commands.add(sent);
        failure.map_or(Ok(sent), Err)
    }

    /// Where `head` stands among those that are due at `now`: before what has waited not half as long, whatever its shard; and
    /// among those that have waited about as long, such as all of one midnight, in this replica's own order.
    fn place(&self, head: &DueHead, now: DateTime<Utc>) -> (Reverse<u32>, Uuid) {
        let waited = (now - head.due_at).num_seconds().max(1).unsigned_abs().ilog2();
        (Reverse(waited), Uuid::new_v5(&self.instance, head.conversation.0.as_bytes()))
    }

    /// How many commands were sent for each shard.
    async fn sent_by_shard(&self) -> [usize; DUE_SHARDS as usize] {
        let (mut shards, known) = ([0; DUE_SHARDS as usize], self.sent.lock().await);
        for head in known.keys() {
            if let Some(sent) = shards.get_mut(usize::from(head.shard())) {
                *sent += 1;
            }
        }
        shards
    }

    /// Those of `due` whose command was never sent, or long enough ago, and how often it was.
    async fn not_sent_lately(&self, due: Vec<DueHead>, complete: bool) -> Vec<(DueHead, u32)> {
        let now = Instant::now();
        let mut sent = self.sent.lock().await;
        if complete {
            let still: HashSet<&DueHead> = due.iter().collect();
            sent.retain(|head, _| still.contains(head));
        }
        let mut outstanding = outstanding(&sent);
        due.into_iter()
            .filter_map(|head| {
                let times = sent.get(&head).map_or(0, |sent| sent.times);
                if sent.get(&head).is_some_and(|sent| now < sent.next) || (times == 0 && outstanding >= OUTSTANDING) {
                    return None;
                }
                outstanding += usize::from(times == 0);
                let pause = FIRST_REPEAT.saturating_mul(1 << times.min(10)).min(LAST_REPEAT);
                sent.insert(head.clone(), Sent { times: times + 1, next: now + pause });
                Some((head, times))
            })
            .collect()
    }

    async fn send(&self, head: &DueHead, times: u32) -> bool {
        let Some(thread) = Thread::named_by(&head.thread) else {
            warn!(conversation.id = %head.conversation, "a head in the due index has a key that names no thread");
            return false;
        };
        let due = Due { conversation_id: head.conversation, due_at: head.due_at };
        let command = Command {
            group_id: head.group_id.clone(),
            // the count makes a repeat a new command: SQS silently drops an id it saw within five minutes (fact F13)
            dedup_id: fifo_id(&format!("due:{}:{}:{times}", head.conversation, head.due_at.timestamp_millis())),
            body: event::due::to_body(&thread, &due),
            attributes: BTreeMap::new(),
        };
        match self.inbox.edge().send(command).await {
            Ok(()) => {
                debug!(conversation.id = %head.conversation, times, "due: command sent");
                true
            }
            Err(failure) => {
                warn!(conversation.id = %head.conversation, error = %failure, "a due command could not be sent");
                false
            }
        }
    }
}

/// Commands sent once, for which nothing has happened yet.
fn outstanding(sent: &HashMap<DueHead, Sent>) -> usize {
    sent.values().filter(|sent| sent.times == 1).count()
}
