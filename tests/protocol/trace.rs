//! A trace as a person reads it: who did what, and what then stood where.

use std::fmt;

use super::{
    actions::{Action, Choice, Model, Outcome},
    state::{Body, Call, ConversationId, Ghost, Head, State, Status, Then},
};

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "C{}", self.version)
    }
}

impl fmt::Display for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => write!(f, "nothing"),
            Self::Message { event, .. } => write!(f, "m{event}"),
            Self::Close => write!(f, "close"),
            Self::SessionEnd => write!(f, "session end"),
            Self::Due(conversation) => write!(f, "due {conversation}"),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Status::None => write!(f, "none"),
            status => {
                let grace = if self.grace { " in grace" } else { "" };
                write!(f, "{} {status:?}{grace} v{}", self.conversation, self.version)
            }
        }
    }
}

fn events(bits: u8) -> String {
    let names: Vec<String> =
        (1..8).filter(|event| bits & (1 << event) != 0).map(|event: u8| format!("m{event}")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(" ") }
}

/// The lines of a trace.
pub fn lines(model: &Model, trace: &[Action]) -> Vec<String> {
    let mut state = model.start();
    let mut lines = Vec::new();
    for (n, action) in trace.iter().enumerate() {
        let what = said(&state, *action);
        if let Some(next) = model.after(&state, *action) {
            state = next;
        }
        lines.push(format!("{:>3}  {what:<58} {}", n + 1, stands(&state)));
    }
    lines
}

fn said(state: &State, action: Action) -> String {
    let name = |replica: u8| if replica == 0 { "A" } else { "B" };
    let body = |sequence: u8| {
        let entry = state.queue.iter().find(|entry| entry.sequence == sequence);
        entry.map_or_else(String::new, |entry| entry.body.to_string())
    };
    match action {
        Action::Publish { occurred: None, .. } => format!("publish m{}", state.published + 1),
        Action::Publish { occurred: Some(at), .. } => format!("publish m{}, said at {at}", state.published + 1),
        Action::Resend { event, now } => format!("publish m{event} again{}", if now { ", said now" } else { "" }),
        Action::Send { body, .. } => format!("send {body}"),
        Action::Receive { replica, group, count } => {
            let of_group = state.queue.iter().filter(|entry| entry.group == group).take(usize::from(count));
            let taken: Vec<String> = of_group.map(|entry| entry.body.to_string()).collect();
            format!("{} receives {}", name(replica), taken.join(", "))
        }
        Action::Expire { sequence } => format!("the lease on {} ends", body(sequence)),
        Action::Bury { sequence } => format!("{} is dead-lettered", body(sequence)),
        Action::Redrive { place } => format!("{} is redriven", state.dead[usize::from(place)]),
        Action::Crash { replica } => format!("{} is killed", name(replica)),
        Action::Land { place } => match state.ghosts[usize::from(place)] {
            Ghost::Put(row) => format!("the put of m{} into {} lands", row.event, row.conversation),
            Ghost::Head(head) => format!("the head {head} lands"),
            Ghost::Archive(writing) => format!("the commit of {} lands", writing.conversation),
            Ghost::Nothing => String::new(),
        },
        Action::Call { replica, item, outcome } => {
            format!("{} {}{}", name(replica), call(state, replica, item, outcome), ended(outcome))
        }
    }
}

fn call(state: &State, replica: u8, item: u8, outcome: Outcome) -> String {
    let at = state.replicas[usize::from(replica)];
    let work = |n: u8| at.works[usize::from(n)].body;
    match at.call {
        Call::Idle => "idles".to_owned(),
        Call::ReadHead | Call::Verify(..) if outcome == Outcome::Stale => {
            format!("reads the head for {}: {}", work(0), state.stale)
        }
        Call::ReadHead => format!("reads the head for {}: {}", work(0), state.head),
        Call::Look(head) => format!("looks whether {} stands in {}", work(0), head.conversation),
        Call::WriteHead(head, then) => {
            let won = if head.version == state.head.version + 1 { "" } else { " (stale)" };
            let why = if then == Then::Decide && head.status == Status::Closing { "seals: " } else { "" };
            format!("{why}writes the head {head}{won}")
        }
        Call::Put(conversation, _) => format!("puts {} into {conversation}", work(item)),
        Call::Verify(conversation, _) => format!("verifies {conversation}: {}", state.head),
        Call::Page(reading) => format!("reads a page of {}", reading.head.conversation),
        Call::Commit(reading) => format!("archives {} of {}", events(reading.found), reading.head.conversation),
        Call::Remove(reading) => format!("deletes rows of {}", reading.head.conversation),
        Call::Append(conversation, length) => {
            let which: Vec<String> = (0..length).map(|n| work(n).to_string()).collect();
            format!("appends {} late to {conversation}", which.join(" "))
        }
        Call::Delete(_) => format!("deletes {}", work(item)),
    }
}

fn ended(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done | Outcome::Chose(Choice::Close) => "",
        Outcome::Chose(Choice::LookAgain) => ", to look again later",
        Outcome::Chose(Choice::Checkpoint) => ", to checkpoint",
        Outcome::Refused => ": no answer, not done",
        Outcome::Lost => ": no answer, done",
        Outcome::Repeated => ": done, answered to a repetition",
        Outcome::Late => ": no answer, on its way",
        Outcome::Stale => ": stale",
    }
}

fn stands(state: &State) -> String {
    let queue: Vec<String> =
        state.queue.iter().map(|entry| format!("{}{}", entry.body, if entry.hidden { "*" } else { "" })).collect();
    let rows: Vec<String> = state.rows.iter().map(|row| format!("{}:m{}", row.conversation, row.event)).collect();
    let archive: Vec<String> = state.archive.iter().map(|(id, event)| format!("{id}:m{event}")).collect();
    let notices: Vec<String> = state
        .notices
        .iter()
        .map(|notice| {
            let kind = if notice.amended { "amended" } else { "closed" };
            format!("{} {kind} {}", notice.conversation, events(notice.events))
        })
        .collect();
    format!(
        "| head {} | queue {} | hot {} | archive {} | announced {}",
        state.head,
        queue.join(" "),
        rows.join(" "),
        archive.join(" "),
        notices.join(", ")
    )
}
