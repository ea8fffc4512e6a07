//! What can happen next in a state, and the state it leads to: publishers, the queue, faults, and the replicas' calls.

use super::{
    environment::Environment,
    rules::Broken,
    state::{Body, Call, Entry, Ghost, Head, Replica, Run, State, Status, Work, bit},
};

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A message is published; without `occurred` it is said now, else the publisher's clock is off.
    Publish {
        group: u8,
        occurred: Option<u8>,
    },
    /// A message is sent again, as if it occurred now or when it first did.
    Resend {
        event: u8,
        now: bool,
    },
    Send {
        body: Body,
        group: u8,
    },
    Receive {
        replica: u8,
        group: u8,
        count: u8,
    },
    /// A lease ends beneath a replica.
    Expire {
        sequence: u8,
    },
    /// The queue moves a message to the dead-letter queue.
    Bury {
        sequence: u8,
    },
    Redrive {
        place: u8,
    },
    Crash {
        replica: u8,
    },
    /// A write lands whose caller gave up.
    Land {
        place: u8,
    },
    /// A replica's next call ends.
    Call {
        replica: u8,
        item: u8,
        outcome: Outcome,
    },
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Done, and of several things a due command may lead to, this one.
    Chose(Choice),
    /// Never arrived.
    Refused,
    /// Applied, and the answer was lost.
    Lost,
    /// Applied, the answer was lost, and the client asked again: the condition fails on its own write.
    Repeated,
    /// The caller gave up; it may land later.
    Late,
    /// Answered from before the last write (a broken rule).
    Stale,
    /// A failed turn gives everything back.
    GivesUp,
    /// A failed turn is dead-lettered.
    Buries,
}

/// What a due command finds: the model has no clock, so each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    Close,
    LookAgain,
    Checkpoint,
}

/// The protocol, with one rule broken or none, in an environment.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    pub broken: Broken,
    pub environment: Environment,
    /// Whether the look before opening asks for the message *or one behind it* in the closed conversation, as shipped, or
    /// for the message alone.
    pub looks_behind: bool,
}

/// Received this often, a message goes to the dead-letter queue.
const MOST_RECEIVED: u8 = 2;

/// A time after everything.
const FUTURE: u8 = 99;

impl Model {
    /// The beginning.
    pub fn start(&self) -> State {
        State { left: self.environment.budget, ..State::default() }
    }

    /// Everything that can happen next.
    pub fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.clear();
        for group in 0..=u8::from(self.environment.two_groups) {
            self.sends(state, group, actions);
            for replica in 0..2 {
                self.receives(state, replica, group, actions);
            }
        }
        for replica in 0..2 {
            self.calls(state, replica, actions);
        }
        for entry in state.queue.iter() {
            if entry.hidden && state.left.expiries > 0 {
                actions.push(Action::Expire { sequence: entry.sequence });
            }
            if !entry.hidden && self.environment.dead_letters && entry.received >= MOST_RECEIVED {
                actions.push(Action::Bury { sequence: entry.sequence });
            }
        }
        for place in 0..state.dead.len() {
            actions.push(Action::Redrive { place: place as u8 });
        }
        for place in 0..state.ghosts.len() {
            actions.push(Action::Land { place: place as u8 });
        }
    }

    fn sends(&self, state: &State, group: u8, actions: &mut Vec<Action>) {
        if state.left.messages > 0 {
            actions.push(Action::Publish { group, occurred: None });
            for off in [0, 1, FUTURE].into_iter().filter(|_| self.environment.skewed) {
                actions.push(Action::Publish { group, occurred: Some(off) });
            }
        }
        if state.left.resends > 0 && group == 0 {
            for event in 1..=state.published {
                actions.push(Action::Resend { event, now: true });
                actions.push(Action::Resend { event, now: false });
            }
        }
        // before there is a head, a command changes nothing
        if state.left.closes > 0 && state.head.status == Status::Open {
            actions.push(Action::Send { body: Body::Close, group });
        }
        if state.left.session_ends > 0 && state.head.status == Status::Open {
            actions.push(Action::Send { body: Body::SessionEnd, group });
        }
        if state.left.dues > 0 && matches!(state.head.status, Status::Open | Status::Closing) {
            actions.push(Action::Send { body: Body::Due(state.head.conversation), group });
        }
    }

    fn receives(&self, state: &State, replica: u8, group: u8, actions: &mut Vec<Action>) {
        if state.replicas[usize::from(replica)].call != Call::Idle {
            return;
        }
        // the run of visible messages from the group's head up to the first hidden one
        let of_group = state.queue.iter().filter(|entry| entry.group == group);
        let run = of_group.take_while(|entry| !entry.hidden && !self.is_dead(entry));
        for count in 1..=run.take(usize::from(self.environment.batch)).count() {
            actions.push(Action::Receive { replica, group, count: count as u8 });
        }
    }

    fn is_dead(&self, entry: &Entry) -> bool {
        self.environment.dead_letters && entry.received >= MOST_RECEIVED
    }

    fn calls(&self, state: &State, replica: u8, actions: &mut Vec<Action>) {
        let Replica { call, works, .. } = state.replicas[usize::from(replica)];
        let (items, write) = match call {
            Call::Idle => return,
            Call::Failed(durable) => {
                self.verdicts(state, replica, durable, actions);
                return;
            }
            Call::ReadHead | Call::Look(_) | Call::Verify(..) | Call::Page(_) => (1, false),
            Call::Put(_, run) | Call::Delete(run) => (run.pending, true),
            _ => (1, true),
        };
        let head = state.head;
        for item in (0..8).filter(|item| items & bit(*item) != 0) {
            let mut push = |outcome| actions.push(Action::Call { replica, item, outcome });
            let asks = call == Call::ReadHead
                && head.status == Status::Open
                && works[0].body == Body::Due(head.conversation)
                && works[0].sequence > head.not_due
                && !head.grace;
            if asks {
                [Choice::Close, Choice::LookAgain, Choice::Checkpoint]
                    .into_iter()
                    .for_each(|choice| push(Outcome::Chose(choice)));
            } else {
                push(Outcome::Done);
            }
            if self.may_be_stale(&call) {
                push(Outcome::Stale);
            }
            if state.left.net > 0 {
                push(Outcome::Refused);
                if write {
                    push(Outcome::Lost);
                }
                if matches!(call, Call::WriteHead(..)) {
                    push(Outcome::Repeated);
                }
            }
            let may_land = matches!(call, Call::WriteHead(..) | Call::Put(..) | Call::Commit(_) | Call::Append(..));
            if state.left.ghosts > 0 && may_land {
                push(Outcome::Late);
            }
        }
        if state.left.crashes > 0 {
            actions.push(Action::Crash { replica });
        }
    }

    /// What may be done about a failed turn: try again within the receipt, give up, or dead-letter.
    fn verdicts(&self, state: &State, replica: u8, durable: u8, actions: &mut Vec<Action>) {
        let mut push = |outcome| actions.push(Action::Call { replica, item: 0, outcome });
        push(Outcome::Done);
        push(Outcome::GivesUp);
        if self.environment.dead_letters && durable == 0 {
            push(Outcome::Buries);
        }
        if state.left.crashes > 0 {
            actions.push(Action::Crash { replica });
        }
    }

    fn may_be_stale(&self, call: &Call) -> bool {
        match call {
            Call::ReadHead => self.broken.is(Broken::ConsistentHead),
            Call::Verify(..) => self.broken.is(Broken::ConsistentVerify),
            Call::Page(_) => self.broken.is(Broken::ConsistentPages),
            _ => false,
        }
    }

    /// The state after `action`; `None` when it changes nothing.
    pub fn after(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        let s = &mut next;
        match action {
            Action::Publish { group, occurred } => {
                s.left.messages -= 1;
                s.published += 1;
                if occurred.is_some() || self.environment.two_groups {
                    s.unordered |= bit(s.published);
                }
                let occurred = occurred.unwrap_or(s.sent + 1);
                s.occurred.push(occurred);
                self.send(s, Body::Message { event: s.published, occurred }, group);
            }
            Action::Resend { event, now } => {
                s.left.resends -= 1;
                s.unordered |= bit(event);
                let occurred = if now { s.sent + 1 } else { s.occurred[usize::from(event) - 1] };
                self.send(s, Body::Message { event, occurred }, 0);
            }
            Action::Send { body, group } => {
                match body {
                    Body::Close => s.left.closes -= 1,
                    Body::SessionEnd => s.left.session_ends -= 1,
                    _ => s.left.dues -= 1,
                }
                self.send(s, body, group);
            }
            Action::Receive { replica, group, count } => self.receive(s, replica, group, count),
            Action::Expire { sequence } => {
                s.left.expiries -= 1;
                show(s, sequence);
                for work in s.replicas.iter_mut().flat_map(|replica| replica.works.iter_mut()) {
                    if work.sequence == sequence {
                        work.ours = false;
                    }
                }
            }
            Action::Bury { sequence } => {
                let place = s.queue.iter().position(|entry| entry.sequence == sequence)?;
                let entry = s.queue.remove(place);
                forget(s, sequence);
                if let Body::Message { event, .. } = entry.body {
                    s.unordered |= bit(event);
                }
                s.dead.push(entry.body);
            }
            Action::Redrive { place } => {
                let body = s.dead.remove(usize::from(place));
                self.send(s, body, 0);
            }
            Action::Crash { replica } => {
                s.left.crashes -= 1;
                give_back(s, replica);
                s.replicas[usize::from(replica)].done = 0;
            }
            Action::Land { place } => match s.ghosts.remove(usize::from(place)) {
                Ghost::Put(row) => {
                    s.rows.insert(row);
                }
                Ghost::Head(head) => {
                    self.write_head(s, head);
                }
                Ghost::Archive(writing) => self.archive(s, writing),
                Ghost::Nothing => {}
            },
            Action::Call { replica, item, outcome } => self.call(s, replica, item, outcome),
        }
        Some(next)
    }

    fn send(&self, s: &mut State, body: Body, group: u8) {
        s.sent += 1;
        s.queue.push(Entry { sequence: s.sent, group, body, received: 0, hidden: false });
    }

    fn receive(&self, s: &mut State, replica: u8, group: u8, count: u8) {
        let taking = &mut s.replicas[usize::from(replica)];
        for entry in s.queue.iter_mut().filter(|entry| entry.group == group).take(usize::from(count)) {
            entry.hidden = true;
            entry.received += u8::from(self.environment.dead_letters);
            taking.works.push(Work { sequence: entry.sequence, body: entry.body, ours: true });
        }
        begin(taking);
    }

    /// Writes the head if the stored one is at the version before it. Returns whether it was written.
    pub fn write_head(&self, s: &mut State, head: Head) -> bool {
        let write = match self.broken {
            Broken::HeadCas => true,
            Broken::ClosedVersion if head.status == Status::Closed => true,
            Broken::ClosedStatusOnly if head.status == Status::Closed => {
                s.head.status == Status::Closing && s.head.conversation == head.conversation
            }
            _ => s.head.version + 1 == head.version,
        };
        if write {
            if matches!(self.broken, Broken::ConsistentHead | Broken::ConsistentVerify) {
                s.stale = s.head;
            }
            s.head = head;
        }
        write
    }
}

/// Makes a message visible again.
fn show(s: &mut State, sequence: u8) {
    if let Some(entry) = s.queue.iter_mut().find(|entry| entry.sequence == sequence) {
        entry.hidden = false;
    }
}

/// A replica lets go of everything it holds.
///
/// What it held becomes visible at once: a state in which it stays hidden for a while allows nothing that this one does not.
pub fn give_back(s: &mut State, replica: u8) {
    let works = s.replicas[usize::from(replica)].works;
    works.iter().filter(|work| work.ours).for_each(|work| show(s, work.sequence));
    let done = s.replicas[usize::from(replica)].done;
    s.replicas[usize::from(replica)] = Replica { done, ..Replica::default() };
}

/// A turn begins.
pub fn begin(replica: &mut Replica) {
    replica.alone = false;
    replica.call = match replica.works.first() {
        None => Call::Idle,
        Some(work) if replica.done & (1 << work.sequence) != 0 => ack(1),
        Some(_) => Call::ReadHead,
    };
}

/// A message has left the queue.
pub fn forget(s: &mut State, sequence: u8) {
    s.replicas.iter_mut().for_each(|replica| replica.done &= !(1 << sequence));
}

/// So many deliveries, side by side.
pub fn run_of(length: u8) -> Run {
    Run { length, pending: (1 << length) - 1, ..Run::default() }
}

/// Their deletes.
pub fn ack(length: u8) -> Call {
    Call::Delete(run_of(length))
}
