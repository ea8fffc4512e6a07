//! What must hold at the end. Reads only the stores, the dead-letter queue and the publisher's list.

use std::collections::{BTreeMap, BTreeSet};

use conversationd::{
    domain::{Conversation, ConversationId, EventId},
    spool::Stage,
};

use super::{
    life::{self, Life},
    questions::{self, Questions},
    world::State,
};

/// What the publisher sent, in order, by thread.
#[derive(Default)]
pub struct Published {
    pub threads: Vec<Vec<EventId>>,
    /// Messages that were sent again, or went through the dead-letter queue: their order is the operator's doing.
    pub again: BTreeSet<EventId>,
    /// Bodies that no one can decode.
    pub poison: usize,
    /// What else happened.
    pub life: Life,
    /// What was asked.
    pub questions: Questions,
}

/// A broken invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Violation {
    /// A published message stands nowhere in the archive.
    I1Lost,
    /// A message stands twice in the archive.
    I2Doubled,
    /// A message stands in an earlier conversation than one published before it.
    I3Reordered,
    /// A conversation was announced as closed twice.
    I4ClosedTwice,
    /// An archived message was announced by none of its conversation's notices, or by several.
    I5Uncovered,
    /// A conversation without messages and ratings was announced.
    I6Phantom,
    /// A body that cannot be decoded is not kept.
    I7PoisonLost,
    /// A dead letter that carries a reason has no row in the index, or an unsettled row has no dead letter.
    I8NotIndexed,
    /// A rating stands nowhere, or with a conversation of another thread.
    I9Unrated,
    /// An older variable or update stands over a newer one, or what the head knew is not in the archive.
    I10Overwritten,
    /// A conversation that a person took over does not say so.
    I11NotHandedOver,
    /// An answer does not know of what stood before its question.
    I12Stale,
    /// An answer about a project went to another, or to a queue that was not named.
    I13Foreign,
    /// A reply was tried more often than its question was received, or nobody had asked.
    I14AskedOnce,
    /// A delivery was settled while one of its group that was sent before it waited in the spool.
    I15Overtaken,
    /// The system did not come to rest in time.
    L1NotDrained,
}

/// Whether nothing is left to do.
pub fn at_rest(state: &State) -> bool {
    let dead = state.sqs.dead.iter().any(|dead| !super::scenario::is_poison(&dead.body));
    state.sqs.is_empty()
        && !dead
        && state.spool.is_empty()
        && state.spool.stage() == Stage::Direct
        && state.hot.heads.values().all(|head| matches!(head.conversation, Conversation::Closed(_)))
}

/// What stands in the archive: the n-th conversation that opened, and the message.
pub fn archived(state: &State) -> Vec<(Option<usize>, EventId)> {
    let place = |id: &ConversationId| state.hot.order.iter().position(|opened| opened == id);
    let mut archived: Vec<_> = state.archive.messages.iter().map(|(id, event)| (place(id), *event)).collect();
    archived.sort_unstable();
    archived
}

/// Published messages that stand nowhere in the archive.
pub fn lost(state: &State, published: &Published) -> Vec<EventId> {
    let archived: BTreeSet<EventId> = state.archive.messages.iter().map(|(_, event)| *event).collect();
    published.threads.iter().flatten().filter(|event| !archived.contains(event)).copied().collect()
}

/// Checks everything.
pub fn check(state: &State, published: &Published, drained: bool) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut places: BTreeMap<EventId, Vec<ConversationId>> = BTreeMap::new();
    for (conversation, event) in &state.archive.messages {
        places.entry(*event).or_default().push(*conversation);
    }
    if !lost(state, published).is_empty() {
        violations.push(Violation::I1Lost);
    }
    if places.values().any(|places| places.len() > 1) {
        violations.push(Violation::I2Doubled);
    }
    if published.threads.iter().any(|thread| reordered(state, thread, published, &places)) {
        violations.push(Violation::I3Reordered);
    }
    let mut closed = BTreeSet::new();
    if state.archive.notices.iter().any(|(id, amended, _)| !amended && !closed.insert(*id)) {
        violations.push(Violation::I4ClosedTwice);
    }
    let mut covered: BTreeMap<(ConversationId, EventId), usize> = BTreeMap::new();
    for (id, _, events) in &state.archive.notices {
        events.iter().for_each(|event| *covered.entry((*id, *event)).or_default() += 1);
    }
    if state.archive.messages.iter().any(|place| covered.get(place) != Some(&1)) {
        violations.push(Violation::I5Uncovered);
    }
    let rated = |id: &ConversationId| state.archive.ratings.values().any(|of| *of == Some(*id));
    if state.archive.notices.iter().any(|(id, _, events)| events.is_empty() && !rated(id)) {
        violations.push(Violation::I6Phantom);
    }
    if state.sqs.dead.iter().filter(|dead| super::scenario::is_poison(&dead.body)).count() < published.poison {
        violations.push(Violation::I7PoisonLost);
    }
    if !indexed(state) {
        violations.push(Violation::I8NotIndexed);
    }
    violations.extend(life::check(state, &published.life));
    violations.extend(questions::check(state, published));
    if state.spool.overtaken {
        violations.push(Violation::I15Overtaken);
    }
    if !drained {
        violations.push(Violation::L1NotDrained);
    }
    violations
}

/// Whether the index of dead letters and the dead-letter queue say the same. What the queue itself moved there carries no reason,
/// and may or may not have a row. A message whose letter was sent back while it still waited for its delete dies again: the
/// row is written anew, and the queue drops the letter as long as it remembers the first one. Such a row may be left over.
fn indexed(state: &State) -> bool {
    let unsettled = || state.hot.dead_letters.values().filter(|row| row.settled.is_none()).map(|row| &row.message_id);
    let rows: BTreeSet<&String> = unsettled().collect();
    let letters: BTreeSet<&String> = state.sqs.dead.iter().map(|dead| &dead.message_id).collect();
    let said = state.sqs.dead.iter().filter(|dead| dead.reason.is_some());
    rows.iter().all(|id| letters.contains(id) || state.hot.settled_once.contains(*id))
        && said.map(|dead| &dead.message_id).all(|id| rows.contains(id))
}

fn reordered(
    state: &State,
    thread: &[EventId],
    published: &Published,
    places: &BTreeMap<EventId, Vec<ConversationId>>,
) -> bool {
    let place = |event: &EventId| {
        let conversation = places.get(event)?.first()?;
        state.hot.order.iter().position(|opened| opened == conversation)
    };
    let of_first_sends = thread.iter().filter(|event| !published.again.contains(event)).filter_map(place);
    of_first_sends.collect::<Vec<_>>().windows(2).any(|pair| pair[1] < pair[0])
}
