//! What must hold, of the stores alone.

use super::{
    list::List,
    state::{ConversationId, Notice, State, Status, bit},
};

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Invariant {
    /// No loss. At rest, every published message stands in the archive, or in the hot store in the conversation that the head
    /// names and that has not closed yet.
    I1,
    /// Not twice. The archive never holds an event twice, in whichever conversations. (In the hot store a message of an
    /// archived conversation may stand again in the open one: [`repeated`]. I5 and I6 then see that it is not announced.)
    I2,
    /// Order. At rest: of two messages of one group, said when they were sent, neither ever sent again or dead-lettered, the
    /// second does not stand in an earlier conversation.
    I3,
    /// One close. No conversation is announced as closed twice.
    I4,
    /// Coverage. No archived message is announced twice; at rest each is announced, unless its conversation has not closed yet.
    I5,
    /// No phantom. What is announced as closed has messages.
    I6,
}

/// The first invariant that `state` breaks.
pub fn broken(state: &State) -> Option<Invariant> {
    always(state).or_else(|| if state.at_rest() { at_rest(state) } else { None })
}

fn always(state: &State) -> Option<Invariant> {
    for (place, (_, event)) in state.archive.iter().enumerate() {
        if state.archive[..place].iter().any(|(_, other)| other == event) {
            return Some(Invariant::I2);
        }
    }
    for (place, Notice { conversation, amended, events }) in state.notices.iter().enumerate() {
        for other in state.notices[..place].iter().filter(|other| other.conversation == *conversation) {
            if !amended && !other.amended {
                return Some(Invariant::I4);
            }
            if other.events & events != 0 {
                return Some(Invariant::I5);
            }
        }
        if *events == 0 {
            return Some(Invariant::I6);
        }
    }
    None
}

fn at_rest(state: &State) -> Option<Invariant> {
    let unclosed = matches!(state.head.status, Status::Open | Status::Closing);
    let archived = state.archive.iter().fold(0, |events, (_, event)| events | bit(*event));
    let open = if unclosed { state.held(state.head.conversation) } else { 0 };
    for event in 1..=state.published {
        if (archived | open) & bit(event) == 0 {
            return Some(Invariant::I1);
        }
    }
    for (conversation, event) in state.archive.iter() {
        let mut notices = state.notices.iter().filter(|notice| notice.conversation == *conversation).peekable();
        let waits = unclosed && *conversation == state.head.conversation && notices.peek().is_none();
        if !waits && !notices.any(|notice| notice.events & bit(*event) != 0) {
            return Some(Invariant::I5);
        }
    }
    reordered(state).then_some(Invariant::I3)
}

fn reordered(state: &State) -> bool {
    let place = |event: u8| {
        let archived = state.archive.iter().find(|(_, archived)| *archived == event);
        archived.map_or(state.head.conversation, |(conversation, _)| *conversation)
    };
    let ordered = |event: &u8| state.unordered & bit(*event) == 0;
    let places: List<ConversationId, 3> = (1..=state.published).filter(ordered).map(place).collect();
    places.windows(2).any(|pair| pair[1] < pair[0])
}

/// Whether a message of an archived conversation stands again in the open one: allowed, and worth knowing.
pub fn repeated(state: &State) -> bool {
    let open = if state.head.status == Status::Open { state.held(state.head.conversation) } else { 0 };
    let elsewhere =
        |(conversation, event): &&(_, u8)| *conversation != state.head.conversation && open & bit(*event) != 0;
    state.at_rest() && state.archive.iter().any(|archived| elsewhere(&archived))
}
