//! The protocol as shipped: what each remote call of a turn does, and which call comes next (src/pipeline, src/handler).
//!
//! Everything between two calls is local and happens with the first of them. The check that a lease still holds is left out:
//! a replica may sleep right after it, so nothing may rest on it.

use super::{
    actions::{Choice, Model, Outcome, ack, begin, forget, give_back, run_of},
    rules::Broken,
    state::{
        Body, Call, ConversationId, Ghost, Goal, Head, Kind, Notice, Reading, Row, Run, State, Status, Stretch, Then,
        Work, Writing, bit,
    },
};

impl Model {
    /// The next call of a replica ends.
    pub fn call(&self, s: &mut State, replica: u8, item: u8, outcome: Outcome) {
        match outcome {
            Outcome::Refused | Outcome::Lost | Outcome::Repeated => s.left.net -= 1,
            Outcome::Late => s.left.ghosts -= 1,
            _ => {}
        }
        let applied = matches!(outcome, Outcome::Done | Outcome::Chose(_) | Outcome::Lost | Outcome::Repeated);
        let answered = matches!(outcome, Outcome::Done | Outcome::Chose(_) | Outcome::Stale);
        let at = usize::from(replica);
        match s.replicas[at].call {
            Call::Put(conversation, run) => {
                self.put(s, replica, item, outcome, conversation, run);
                return;
            }
            Call::Delete(run) => {
                self.delete(s, replica, item, applied, answered, run);
                return;
            }
            Call::Failed(durable) => {
                self.after_failure(s, replica, durable, outcome);
                return;
            }
            Call::Keep => {
                let body = s.replicas[at].works[0].body;
                if applied {
                    s.unordered |= event_of(body);
                    s.dead.push(body);
                }
                s.replicas[at].call = ack(1);
            }
            Call::WriteHead(head, then) if applied => {
                let written = self.write_head(s, head) && outcome != Outcome::Repeated;
                if outcome != Outcome::Lost {
                    self.head_written(s, replica, head, then, written);
                }
            }
            Call::WriteHead(head, _) if outcome == Outcome::Late => s.ghosts.push(Ghost::Head(head)),
            Call::Commit(reading) => {
                let kind = if reading.goal == Goal::Checkpoint { Kind::Checkpoint } else { Kind::Close };
                let writing = Writing { conversation: reading.head.conversation, events: reading.found, kind };
                self.write_archive(s, writing, applied, outcome);
                s.replicas[at].call = match self.broken.deletes(kind == Kind::Close) {
                    true => Call::Remove(reading),
                    false => self.after_reading(&reading),
                };
            }
            Call::Append(conversation, length) => {
                let works = s.replicas[at].works;
                let events = works[..usize::from(length)].iter().fold(0, |events, work| events | event_of(work.body));
                self.write_archive(s, Writing { conversation, events, kind: Kind::Append }, applied, outcome);
                s.replicas[at].call = ack(length);
            }
            Call::Remove(reading) if applied => {
                self.remove(s, &reading);
                s.replicas[at].call = self.after_reading(&reading);
            }
            Call::Page(reading) if answered => s.replicas[at].call = self.page(s, reading, outcome == Outcome::Stale),
            Call::ReadHead if answered => {
                let head = if outcome == Outcome::Stale { s.stale } else { s.head };
                let choice = if let Outcome::Chose(choice) = outcome { choice } else { Choice::Close };
                self.decide(s, replica, head, None, choice);
            }
            Call::Look(head) if answered => {
                let found = self.look(s, head.conversation, s.replicas[at].works[0]);
                self.decide(s, replica, head, Some(found), Choice::Close);
            }
            Call::Verify(conversation, run) if answered => {
                let head = if outcome == Outcome::Stale { s.stale } else { s.head };
                s.replicas[at].call = self.verify(&head, conversation, run);
            }
            _ => {}
        }
        if !answered && outcome != Outcome::Repeated {
            self.fail(s, replica, 1, 0);
        }
    }

    /// Whether a message stands in a closed conversation.
    fn look(&self, s: &State, conversation: ConversationId, work: Work) -> bool {
        let Body::Message { event, occurred } = work.body else { return false };
        let own = Row { conversation, occurred, sequence: work.sequence, event };
        let behind = |row: &Row| row.conversation == conversation && *row >= own && row.sequence >= own.sequence;
        if self.looks_behind { s.rows.iter().any(behind) } else { s.rows.binary_search(&own).is_ok() }
    }

    /// One event and the head: what is to happen (src/handler).
    fn decide(&self, s: &mut State, replica: u8, head: Head, looked: Option<bool>, choice: Choice) {
        let at = usize::from(replica);
        let work = s.replicas[at].works[0];
        let is_message = matches!(work.body, Body::Message { .. });
        if head.status == Status::Closing && !(is_message && self.broken.is(Broken::Help)) {
            s.replicas[at].call = Call::Page(Reading { head, goal: Goal::Finish, ..Reading::default() });
            return;
        }
        let next = Head { version: head.version + 1, ..head };
        s.replicas[at].call = match work.body {
            Body::Message { event, occurred } => {
                let closed = matches!(head.status, Status::Closing | Status::Closed);
                if closed && looked.is_none() && self.broken.looks() {
                    s.replicas[at].call = Call::Look(head);
                    return;
                }
                let before = head.before();
                if looked == Some(true) || self.belongs(&before, occurred) {
                    self.settled(before.conversation, 1)
                } else if head.status == Status::Open && !head.grace {
                    self.append(s, replica, &head)
                } else if head.status == Status::Open {
                    Call::WriteHead(Head { grace: false, not_due: work.sequence, ..next }, Then::Append)
                } else {
                    let opened = Head {
                        version: next.version,
                        status: Status::Open,
                        grace: false,
                        conversation: ConversationId { version: next.version, event },
                        opened: occurred,
                        opened_received: work.sequence,
                        closed: 0,
                        not_due: 0,
                        previous: before,
                    };
                    Call::WriteHead(opened, Then::Append)
                }
            }
            _ if head.status != Status::Open || work.sequence < head.opened_received => ack(1),
            Body::Close => self.seal(&next, work.sequence),
            Body::SessionEnd if head.grace => ack(1),
            Body::SessionEnd => Call::WriteHead(Head { grace: true, not_due: work.sequence, ..next }, Then::Ack),
            Body::Due(meant) if meant != head.conversation || work.sequence <= head.not_due => ack(1),
            Body::Due(_) if head.grace => self.seal(&next, work.sequence),
            Body::Due(_) => match choice {
                Choice::Close => self.seal(&next, work.sequence),
                Choice::LookAgain => Call::WriteHead(Head { not_due: work.sequence, ..next }, Then::Ack),
                Choice::Checkpoint => Call::Page(Reading {
                    head: Head { not_due: work.sequence, ..head },
                    goal: Goal::Checkpoint,
                    ..Reading::default()
                }),
            },
            Body::Nothing => ack(1),
        };
    }

    /// Whether a message belongs to a closed conversation rather than to the one after it.
    fn belongs(&self, stretch: &Stretch, occurred: u8) -> bool {
        self.broken.knows_event_time() && stretch.covers(occurred)
    }

    /// W6.
    fn seal(&self, next: &Head, at: u8) -> Call {
        let closing = Head { status: Status::Closing, closed: at, not_due: 0, ..*next };
        match self.broken {
            Broken::SealFirst => {
                let unsealed = Head { version: closing.version - 1, ..closing };
                Call::Page(Reading { head: unsealed, goal: Goal::Finish, ..Reading::default() })
            }
            Broken::ArchiveFirst => Call::WriteHead(Head { status: Status::Closed, ..closing }, Then::Archive),
            _ => Call::WriteHead(closing, Then::Decide),
        }
    }

    /// Puts the first message, and those behind it that the conversation takes as it is, side by side.
    fn append(&self, s: &State, replica: u8, head: &Head) -> Call {
        let replica = &s.replicas[usize::from(replica)];
        let behind = replica.works.iter().skip(1).take_while(|work| match work.body {
            Body::Message { occurred, .. } => !replica.alone && !self.belongs(&head.previous, occurred),
            _ => false,
        });
        Call::Put(head.conversation, run_of(1 + behind.count() as u8))
    }

    fn head_written(&self, s: &mut State, replica: u8, head: Head, then: Then, written: bool) {
        let call = match then {
            Then::Settle(length) => self.settled(head.conversation, length),
            _ if !written => Call::ReadHead,
            Then::Append => self.append(s, replica, &head),
            Then::Ack => ack(1),
            Then::Archive => Call::Page(Reading { head, goal: Goal::Late, ..Reading::default() }),
            Then::Decide => return self.decide(s, replica, head, None, Choice::Close),
        };
        s.replicas[usize::from(replica)].call = call;
    }

    /// W1, W2: every put ends, done or not; then the head is read again.
    fn put(&self, s: &mut State, replica: u8, item: u8, outcome: Outcome, conversation: ConversationId, run: Run) {
        let at = usize::from(replica);
        let work = s.replicas[at].works[usize::from(item)];
        if let Body::Message { event, occurred } = work.body {
            let row = Row { conversation, occurred, sequence: work.sequence, event };
            match outcome {
                Outcome::Late => s.ghosts.push(Ghost::Put(row)),
                Outcome::Refused => {}
                _ => {
                    s.rows.insert(row);
                }
            }
        }
        let failed = run.failed || outcome != Outcome::Done;
        let run = Run { pending: run.pending & !bit(item), failed, ..run };
        s.replicas[at].call = match run.pending {
            0 if failed => return self.fail(s, replica, run.length, 0),
            0 if self.broken.is(Broken::Verify) => ack(run.length),
            0 => Call::Verify(conversation, Run { failed: false, ..run }),
            _ => Call::Put(conversation, run),
        };
    }

    fn verify(&self, head: &Head, conversation: ConversationId, run: Run) -> Call {
        let same = head.conversation == conversation;
        match head.status {
            Status::Open if same => ack(run.length),
            Status::Closing if same && !self.broken.is(Broken::SettleFinishes) => {
                Call::Page(Reading { head: *head, goal: Goal::Settle(run.length), ..Reading::default() })
            }
            _ => self.settled(conversation, run.length),
        }
    }

    /// The displaced messages are appended: whoever closed the conversation may not have seen them.
    fn settled(&self, conversation: ConversationId, length: u8) -> Call {
        if self.broken.is(Broken::LateAppend) { ack(length) } else { Call::Append(conversation, length) }
    }

    /// One page: a row. The reading ends with the page after which there is nothing more.
    fn page(&self, s: &State, reading: Reading, stale: bool) -> Call {
        let conversation = reading.head.conversation;
        let behind = |row: &&Row| row.conversation == conversation && **row > reading.last;
        let mut rows = s.rows.iter().filter(behind);
        let Some(row) = rows.next() else { return self.read(reading) };
        let found = if stale { reading.found } else { reading.found | bit(row.event) };
        let reading = Reading { last: *row, found, ..reading };
        let ended = rows.next().is_none() || self.broken.is(Broken::AllPages);
        if ended { self.read(reading) } else { Call::Page(reading) }
    }

    fn read(&self, reading: Reading) -> Call {
        let reading = Reading { last: Row::default(), ..reading };
        // a close asks the archive all the same: what it holds already must be told to have closed
        let skip = reading.found == 0 && reading.goal == Goal::Checkpoint && !self.broken.is(Broken::SkipEmpty);
        if skip { self.after_reading(&reading) } else { Call::Commit(reading) }
    }

    fn after_reading(&self, reading: &Reading) -> Call {
        let next = Head { version: reading.head.version + 1, ..reading.head };
        let closed = Head { status: Status::Closed, ..next };
        match reading.goal {
            Goal::Finish => Call::WriteHead(closed, Then::Decide),
            Goal::Settle(length) => Call::WriteHead(closed, Then::Settle(length)),
            Goal::Checkpoint => Call::WriteHead(next, Then::Ack),
            Goal::Late => ack(1),
        }
    }

    fn write_archive(&self, s: &mut State, writing: Writing, applied: bool, outcome: Outcome) {
        if applied {
            self.archive(s, writing);
        } else if outcome == Outcome::Late {
            s.ghosts.push(Ghost::Archive(writing));
        }
    }

    /// W7, W9: one transaction. What stands is not inserted; a first close announces all, anything else what it inserted.
    pub fn archive(&self, s: &mut State, writing: Writing) {
        let id = writing.conversation;
        let mut inserted = 0;
        for event in (1..=3).filter(|event| writing.events & bit(*event) != 0) {
            let stands = match self.broken {
                Broken::InsertOnce => false,
                Broken::UniqueEvent => s.archive.contains(&(id, event)),
                _ => s.archive.iter().any(|(_, archived)| *archived == event),
            };
            if !stands && !s.archive.is_full() {
                let place = s.archive.partition_point(|archived| *archived < (id, event));
                s.archive.insert_again(place, (id, event));
                inserted |= bit(event);
            }
        }
        if inserted == 0 && writing.kind == Kind::Append {
            return;
        }
        let events = s.archived(id);
        if events == 0 && !self.broken.is(Broken::SkipEmpty) {
            return;
        }
        let closed = s.notices.iter().any(|notice| notice.conversation == id && !notice.amended);
        let notice = match closed {
            false if writing.kind == Kind::Checkpoint => return,
            false => Notice { conversation: id, amended: false, events },
            true if inserted == 0 || self.broken.is(Broken::Amend) => return,
            true => Notice { conversation: id, amended: true, events: inserted },
        };
        let place = s.notices.partition_point(|announced| *announced < notice);
        s.notices.insert_again(place, notice);
    }

    fn remove(&self, s: &mut State, reading: &Reading) {
        let mut place = 0;
        while place < s.rows.len() {
            let row = s.rows[place];
            let read = !self.broken.is(Broken::DeleteExact) || reading.found & bit(row.event) != 0;
            if row.conversation == reading.head.conversation && read {
                s.rows.remove(place);
            } else {
                place += 1;
            }
        }
    }

    /// W4: every delete ends; the group goes on if all were done.
    fn delete(&self, s: &mut State, replica: u8, item: u8, applied: bool, answered: bool, run: Run) {
        let at = usize::from(replica);
        let work = s.replicas[at].works[usize::from(item)];
        let place = s.queue.iter().position(|entry| entry.sequence == work.sequence);
        let ours = work.ours || self.environment.unfenced;
        if let Some(place) = place.filter(|_| applied && ours) {
            s.queue.remove(place);
            forget(s, work.sequence);
        }
        // deleting what is gone already is a success
        let lost = answered && !ours && place.is_some();
        let pending = run.pending & !bit(item);
        let run = Run { pending, failed: run.failed || !answered, lost: run.lost || lost, ..run };
        if run.pending != 0 {
            s.replicas[at].call = Call::Delete(run);
            return;
        }
        if !(run.failed || run.lost) || self.broken.is(Broken::ConfirmedDelete) {
            self.next_turn(s, replica, run.length);
            return;
        }
        for n in 0..usize::from(run.length) {
            let sequence = s.replicas[at].works[n].sequence;
            if s.queue.iter().any(|entry| entry.sequence == sequence) {
                s.replicas[at].done |= 1 << sequence;
            }
        }
        match run.lost {
            true => give_back(s, replica),
            false => self.fail(s, replica, run.length, run.length),
        }
    }

    fn next_turn(&self, s: &mut State, replica: u8, settled: u8) {
        let at = usize::from(replica);
        for _ in 0..settled {
            let work = s.replicas[at].works.remove(0);
            if let Some(entry) = s.queue.iter_mut().find(|entry| work.ours && entry.sequence == work.sequence) {
                entry.hidden = false;
            }
        }
        begin(&mut s.replicas[at]);
    }

    /// A turn failed; so many of its deliveries are durable.
    fn fail(&self, s: &mut State, replica: u8, turn: u8, durable: u8) {
        if self.broken.is(Broken::StrictOrder) {
            self.next_turn(s, replica, turn);
        } else {
            s.replicas[usize::from(replica)].call = Call::Failed(durable);
        }
    }

    fn after_failure(&self, s: &mut State, replica: u8, durable: u8, outcome: Outcome) {
        let failed = &mut s.replicas[usize::from(replica)];
        match outcome {
            Outcome::GivesUp => give_back(s, replica),
            Outcome::Buries => failed.call = Call::Keep,
            _ if durable > 0 => failed.call = ack(durable),
            _ => (failed.call, failed.alone) = (Call::ReadHead, true),
        }
    }
}

fn event_of(body: Body) -> u8 {
    match body {
        Body::Message { event, .. } => bit(event),
        _ => 0,
    }
}
