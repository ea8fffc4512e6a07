//! An SQS FIFO queue with the facts that were measured on AWS (F1 to F9), and its dead-letter queue.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use conversationd::{
    domain::Sequence,
    queue::{BATCH, Command, DeadLetterReason, Delivery, Queue, QueueError, Receipt, Senders},
};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::{
    mutant::Mutant,
    witness::{self, About, Process},
    world::{Link, State, Unanswered},
};

/// SQS remembers deduplication ids and receive attempts for this long.
pub const MEMORY: Duration = Duration::from_secs(300);

/// The first sequence number: beyond 64 bits, as real ones are.
pub const FIRST_SEQUENCE: u128 = 18_882_245_240_547_823_616;

#[derive(Default)]
pub struct SqsState {
    groups: BTreeMap<String, Vec<Entry>>,
    dedup: BTreeMap<String, Duration>,
    /// The same, oldest first.
    remembered: VecDeque<(Duration, String)>,
    attempts: BTreeMap<Uuid, Attempt>,
    pub dead: Vec<Dead>,
    /// Messages whose copy the dead-letter queue took, and when: it drops a second one for as long as it remembers the first.
    kept: BTreeMap<String, Duration>,
    /// Whether a receive brings as much as it can, and not a part by chance.
    pub full: bool,
    /// How often the delivery that came most often did.
    pub received_most: u32,
    /// Calls that were made, by name; one long poll is one.
    pub calls: BTreeMap<&'static str, u64>,
    pub visibility: Duration,
    pub max_receive_count: u32,
    /// Who may send for which project, for replicas that start.
    pub senders: Senders,
    /// Whether a hidden delivery holds back those behind it in its group.
    pub locked: bool,
    /// How often requests were received, by their bodies.
    pub asked: BTreeMap<Arc<str>, u32>,
    sent: u64,
    receipts: u64,
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: u64,
    pub body: Arc<str>,
    pub sent_at: DateTime<Utc>,
    pub received: u32,
    receipt: u64,
    pub hidden_until: Option<Duration>,
    /// Who received it last, and until when that counts.
    pub holder: Option<Process>,
    pub held_until: Duration,
    /// For how long its holder asked to hide it last; `None` before it asked for anything.
    pub asked: Option<Duration>,
    attributes: BTreeMap<String, String>,
}

struct Attempt {
    at: Duration,
    taken: Vec<(String, u64, u64)>,
}

/// A message in the dead-letter queue.
#[derive(Clone, Debug)]
pub struct Dead {
    pub message_id: String,
    pub group: String,
    pub body: Arc<str>,
    pub reason: Option<DeadLetterReason>,
}

impl SqsState {
    /// Takes a message; one whose deduplication id it remembers is accepted and dropped (F13).
    ///
    /// Returns the message's number.
    pub fn send(
        &mut self,
        group: &str,
        dedup: &str,
        body: Arc<str>,
        sent_at: DateTime<Utc>,
        now: Duration,
    ) -> Option<u64> {
        self.send_with(group, dedup, body, BTreeMap::new(), sent_at, now)
    }

    /// The same with attributes.
    pub fn send_with(
        &mut self,
        group: &str,
        dedup: &str,
        body: Arc<str>,
        attributes: BTreeMap<String, String>,
        sent_at: DateTime<Utc>,
        now: Duration,
    ) -> Option<u64> {
        while self.remembered.front().is_some_and(|(at, _)| *at + MEMORY <= now) {
            if let Some((_, forgotten)) = self.remembered.pop_front() {
                self.dedup.remove(&forgotten);
            }
        }
        let remembered = format!("{group}\0{dedup}");
        if self.dedup.contains_key(&remembered) {
            return None;
        }
        self.dedup.insert(remembered.clone(), now);
        self.remembered.push_back((now, remembered));
        self.sent += 1;
        let entry = Entry {
            id: self.sent,
            body,
            sent_at,
            received: 0,
            receipt: 0,
            hidden_until: None,
            holder: None,
            held_until: Duration::ZERO,
            asked: None,
            attributes,
        };
        self.groups.entry(group.to_owned()).or_default().push(entry);
        Some(self.sent)
    }

    pub fn is_empty(&self) -> bool {
        self.groups.values().all(Vec::is_empty)
    }

    /// Deliveries handed out so far.
    pub fn receipts(&self) -> u64 {
        self.receipts
    }

    /// Messages taken so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    pub fn groups(&self) -> impl Iterator<Item = (&String, usize)> {
        self.groups.iter().map(|(group, entries)| (group, entries.len()))
    }

    /// What waits in a group, in order.
    pub fn entries(&self, group: &str) -> &[Entry] {
        self.groups.get(group).map_or(&[], Vec::as_slice)
    }

    /// What waits in all of them.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.groups.values().flatten()
    }

    /// Whether the dead-letter queue ever took a copy of a message.
    pub fn was_kept(&self, id: u64) -> bool {
        self.kept.contains_key(&id.to_string())
    }

    /// The group a message waits in.
    pub fn group_of(&self, message_id: &str) -> Option<String> {
        let has = |entries: &Vec<Entry>| entries.iter().any(|entry| entry.id.to_string() == message_id);
        self.groups.iter().find(|(_, entries)| has(entries)).map(|(group, _)| group.clone())
    }

    /// How long, from now, the delivery that is hidden longest stays so.
    pub fn hidden_for(&self, now: Duration) -> Duration {
        let hidden = self.groups.values().flatten().filter_map(|entry| entry.hidden_until?.checked_sub(now));
        hidden.max().unwrap_or_default()
    }

    fn receive(
        &mut self,
        attempt: Uuid,
        who: Process,
        first_group: usize,
        most: usize,
        now: Duration,
    ) -> Vec<Delivery> {
        self.attempts.retain(|_, past| now < past.at + MEMORY);
        if let Some(again) = self.again(attempt, now) {
            return again;
        }
        let mut groups: Vec<String> = self.groups.keys().cloned().collect();
        if !groups.is_empty() {
            let turn = first_group % groups.len();
            groups.rotate_left(turn);
        }
        let mut deliveries = Vec::new();
        for group in groups {
            self.move_dead(&group, now);
            let (visibility, entries) = (self.visibility, self.groups.entry(group.clone()).or_default());
            // F1, F2: the run of visible messages from the group's head up to the first invisible one
            let locked = self.locked;
            let run = entries.iter_mut().take_while(|entry| !locked || entry.hidden_until.is_none());
            for entry in run.filter(|entry| entry.hidden_until.is_none()) {
                if deliveries.len() == most {
                    break;
                }
                self.receipts += 1;
                entry.received += 1;
                self.received_most = self.received_most.max(entry.received);
                if entry.body.contains("\"reply_to\"") {
                    *self.asked.entry(entry.body.clone()).or_default() += 1;
                }
                entry.receipt = self.receipts;
                entry.hidden_until = Some(now + visibility);
                (entry.holder, entry.held_until, entry.asked) = (Some(who), now + visibility, None);
                deliveries.push((group.clone(), entry.id, entry.receipt));
            }
        }
        let found = deliveries.iter().filter_map(|(group, id, _)| self.delivery(group, *id)).collect();
        // an attempt that took nothing goes on: what is sent while a long poll waits, it takes
        if !deliveries.is_empty() {
            self.attempts.insert(attempt, Attempt { at: now, taken: deliveries });
        }
        found
    }

    /// F8: the same attempt again, nothing settled meanwhile: the same deliveries, hidden anew.
    fn again(&mut self, attempt: Uuid, now: Duration) -> Option<Vec<Delivery>> {
        let taken = self.attempts.get(&attempt)?.taken.clone();
        let visibility = self.visibility;
        let held = |state: &Self, group: &String, id: u64, receipt: u64| {
            let entry = state.groups.get(group)?.iter().find(|entry| entry.id == id)?;
            (entry.receipt == receipt && entry.hidden_until.is_some_and(|until| now < until)).then_some(())
        };
        taken.iter().try_for_each(|(group, id, receipt)| held(self, group, *id, *receipt))?;
        for (group, id, _) in &taken {
            let entry = self.groups.get_mut(group)?.iter_mut().find(|entry| entry.id == *id)?;
            entry.hidden_until = Some(now + visibility);
            entry.held_until = now + visibility;
        }
        Some(taken.iter().filter_map(|(group, id, _)| self.delivery(group, *id)).collect())
    }

    /// What became visible again too often goes to the dead-letter queue when the group is looked at, and unlocks it.
    fn move_dead(&mut self, group: &str, now: Duration) {
        let most = self.max_receive_count;
        let Some(entries) = self.groups.get_mut(group) else { return };
        for entry in entries.iter_mut() {
            if entry.hidden_until.is_some_and(|until| until <= now) {
                entry.hidden_until = None;
            }
        }
        while entries.first().is_some_and(|head| head.hidden_until.is_none() && head.received >= most) {
            let entry = entries.remove(0);
            let message_id = entry.id.to_string();
            self.dead.push(Dead { message_id, group: group.to_owned(), body: entry.body, reason: None });
        }
    }

    fn delivery(&self, group: &str, id: u64) -> Option<Delivery> {
        let entry = self.groups.get(group)?.iter().find(|entry| entry.id == id)?;
        Some(Delivery {
            message_id: entry.id.to_string(),
            receipt: receipt(group, entry.id, entry.receipt),
            group_id: group.to_owned(),
            sequence: Sequence(FIRST_SEQUENCE + u128::from(entry.id)),
            sent_at: entry.sent_at,
            receive_count: entry.received,
            body: entry.body.clone(),
            attributes: entry.attributes.clone(),
        })
    }

    /// What waits in each group, in order.
    pub fn bodies(&self) -> BTreeMap<String, Vec<Arc<str>>> {
        let bodies = |entries: &Vec<Entry>| entries.iter().map(|entry| entry.body.clone()).collect();
        self.groups.iter().map(|(group, entries)| (group.clone(), bodies(entries))).collect()
    }

    /// F5: after the visibility timeout the handle has expired. F6: deleting again is a success.
    fn delete(&mut self, wanted: &Receipt, now: Duration) -> Result<(), QueueError> {
        let Some((group, place)) = self.find(wanted) else { return Ok(()) };
        let entries = self.groups.entry(group).or_default();
        if receipt_matches(&entries[place], wanted, now) {
            entries.remove(place);
            return Ok(());
        }
        Err(QueueError::LeaseLost)
    }

    fn hide(&mut self, wanted: &Receipt, time: Duration, now: Duration) -> Result<(), QueueError> {
        let Some((group, place)) = self.find(wanted) else { return Err(QueueError::LeaseLost) };
        let entry = &mut self.groups.entry(group).or_default()[place];
        if !receipt_matches(entry, wanted, now) {
            return Err(QueueError::LeaseLost);
        }
        entry.hidden_until = (!time.is_zero()).then(|| now + time);
        (entry.held_until, entry.asked) = (now + time, Some(time));
        Ok(())
    }

    /// The message of a receipt that still counts.
    fn good(&self, wanted: &Receipt, now: Duration) -> Option<(String, u64)> {
        let (group, place) = self.find(wanted)?;
        let entry = &self.groups.get(&group)?[place];
        receipt_matches(entry, wanted, now).then_some((group, entry.id))
    }

    /// Whether the dead-letter queue takes a copy: not a second time while it remembers the first.
    fn keeps(&mut self, message_id: &str, now: Duration) -> bool {
        let remembered = self.kept.get(message_id).is_some_and(|at| now < *at + MEMORY);
        if !remembered {
            self.kept.insert(message_id.to_owned(), now);
        }
        !remembered
    }

    fn find(&self, wanted: &Receipt) -> Option<(String, usize)> {
        let mut parts = wanted.0.split('\0');
        let (group, id) = (parts.next()?.to_owned(), parts.next()?.parse::<u64>().ok()?);
        let place = self.groups.get(&group)?.iter().position(|entry| entry.id == id)?;
        Some((group, place))
    }
}

fn receipt(group: &str, id: u64, receipt: u64) -> Receipt {
    Receipt(Arc::from(format!("{group}\0{id}\0{receipt}")))
}

fn receipt_matches(entry: &Entry, wanted: &Receipt, now: Duration) -> bool {
    wanted.0.rsplit('\0').next() == Some(&entry.receipt.to_string())
        && entry.hidden_until.is_some_and(|until| now < until)
}

/// The queue as one replica sees it.
pub struct ModelQueue(pub Link);

fn unavailable(_: Unanswered) -> QueueError {
    QueueError::Unavailable("no answer".into())
}

#[async_trait]
impl Queue for ModelQueue {
    async fn receive(&self, attempt: Uuid, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let until = Instant::now() + wait;
        self.counts("receive");
        let who = (self.0.who, self.0.life);
        loop {
            let sent = self.0.world.sent.notified();
            let received = self.0.io("receive", true, move |state: &mut State, now| {
                let (first, most) = (state.rng.next() as usize, 1 + state.rng.below(BATCH as u64) as usize);
                let dead = state.sqs.dead.len();
                let most = if state.sqs.full { BATCH } else { most };
                let mut received = state.sqs.receive(attempt, who, first, most, now);
                for moved in state.sqs.dead.split_off(dead) {
                    state.saw("a delivery was moved to the dead-letter queue");
                    witness::died(state, &moved.message_id, &moved.group, &moved.body, None, now);
                    state.sqs.dead.push(moved);
                }
                if state.mutant == Mutant::AckFirst {
                    received.iter().for_each(|delivery| drop(delete(state, &delivery.receipt, now)));
                }
                for delivery in &mut received {
                    state.detail(|| format!(" {}x{}", delivery.message_id, delivery.receive_count));
                    if state.mutant == Mutant::SplitGroups {
                        delivery.group_id = format!("{}~{}", delivery.group_id, delivery.sequence.0 % 2);
                    }
                }
                received
            });
            let received = received.await.map_err(unavailable)?;
            if !received.is_empty() || Instant::now() >= until {
                return Ok(received);
            }
            // what becomes visible again wakes nobody: look now and then
            let _ = timeout((until - Instant::now()).min(Duration::from_secs(2)), sent).await;
        }
    }

    async fn delete(&self, receipts: Vec<Receipt>) -> Vec<Result<(), QueueError>> {
        let asked = receipts.len();
        self.counts("delete");
        let groups = receipts.iter().map(group_of).map(About::Group).collect();
        let _doing = self.0.doing("delete", |_| groups);
        let deleted = self.0.io("delete", true, move |state: &mut State, now| {
            state.detail(|| format!(" {}", named(receipts.iter())));
            receipts.iter().map(|receipt| partial(state).and_then(|()| delete(state, receipt, now))).collect()
        });
        deleted.await.unwrap_or_else(|failure| vec![Err(unavailable(failure)); asked])
    }

    async fn hide(&self, receipts: Vec<(Receipt, Duration)>) -> Vec<Result<(), QueueError>> {
        let asked = receipts.len();
        self.counts("hide");
        let hidden = self.0.io("hide", true, move |state: &mut State, now| {
            receipts
                .iter()
                .map(|(receipt, time)| match state.mutant {
                    Mutant::NoRelease if time.is_zero() => Ok(()),
                    _ => partial(state).and_then(|()| state.sqs.hide(receipt, *time, now)),
                })
                .collect()
        });
        hidden.await.unwrap_or_else(|failure| vec![Err(unavailable(failure)); asked])
    }

    async fn send(&self, command: Command) -> Result<(), QueueError> {
        let world = self.0.world.clone();
        self.counts("send");
        let sent = self.0.io("send", true, move |state: &mut State, now| {
            let sent_at = world.server_time();
            let Command { group_id, dedup_id, body, attributes } = &command;
            let body = Arc::from(body.as_str());
            let number = state.sqs.send_with(group_id, dedup_id, body, attributes.clone(), sent_at, now);
            state.detail(|| format!(" {number:?} {}", command.dedup_id));
            world.sent.notify_waiters();
        });
        sent.await.map_err(unavailable)
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &DeadLetterReason) -> Result<(), QueueError> {
        let spooled = delivery.receipt.0.starts_with("spool:");
        let group = if spooled { delivery.group_id.clone() } else { group_of(&delivery.receipt) };
        let body = delivery.body.clone();
        let (message_id, reason) = (delivery.message_id.clone(), Some(reason.clone()));
        let dead = Dead { message_id, group: group.clone(), body, reason };
        self.counts("dead_letter");
        let _doing = self.0.doing("dead_letter", |_| vec![About::Group(group)]);
        let kept = self.0.io("dead_letter", true, move |state: &mut State, now| {
            if state.mutant == Mutant::RejectForgets || !state.sqs.keeps(&dead.message_id, now) {
                return;
            }
            state.detail(|| format!(" {}", dead.message_id));
            witness::died(state, &dead.message_id, &dead.group, &dead.body, dead.reason.as_ref(), now);
            state.sqs.dead.push(dead);
        });
        kept.await.map_err(unavailable)
    }
}

impl ModelQueue {
    fn counts(&self, call: &'static str) {
        *self.0.world.state().sqs.calls.entry(call).or_default() += 1;
    }
}

fn delete(state: &mut State, receipt: &Receipt, now: Duration) -> Result<(), QueueError> {
    if let Some((group, id)) = state.sqs.good(receipt, now) {
        witness::deletes(state, &group, id, now);
        state.spool.settled_directly(&group, &id.to_string(), FIRST_SEQUENCE + u128::from(id));
    }
    state.sqs.delete(receipt, now)
}

/// The group of a receipt, whatever its delivery was told.
fn group_of(receipt: &Receipt) -> String {
    receipt.0.split('\0').next().unwrap_or_default().to_owned()
}

/// The messages of some receipts, for the trace.
fn named<'a>(receipts: impl Iterator<Item = &'a Receipt>) -> String {
    receipts.filter_map(|receipt| receipt.0.split('\0').nth(1)).collect::<Vec<_>>().join(" ")
}

/// One entry of a batch may fail alone.
fn partial(state: &mut State) -> Result<(), QueueError> {
    let faults = state.faults;
    if state.rng.chance(faults.partial) {
        state.saw("one entry of a batch failed alone");
        return Err(QueueError::Unavailable("internal error".into()));
    }
    Ok(())
}
