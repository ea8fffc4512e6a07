//! The daemon's own pipeline on model edges without faults: takes deliveries one by one, whenever they come.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    clock::Clock,
    counters::Counters,
    domain::{Conversation, ConversationId, EventId, Sequence},
    event::{self, Due},
    hot::Hot,
    pipeline::Pipeline,
    queue::{Delivery, Inbox, Leases},
};
use tokio::runtime::Runtime;

use super::day::delivery;
use crate::model::{
    answers::answers,
    archive::ModelArchive,
    hot::ModelHot,
    mutant::Mutant,
    replica::{POLICY, SkewedClock, VISIBILITY},
    scenario::thread,
    sqs::ModelQueue,
    world::{Faults, Link, World},
};

/// What the archive says in the end, but for the names of the conversations.
#[derive(Debug, PartialEq, Eq)]
pub struct Archive {
    pub conversations: BTreeSet<Archived>,
    /// Ratings of none.
    pub alone: BTreeSet<EventId>,
}

/// One conversation.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Archived {
    pub messages: BTreeSet<EventId>,
    pub ratings: BTreeSet<EventId>,
    pub closed_at: Option<DateTime<Utc>>,
    pub reason: Option<&'static str>,
    pub resolution: Option<u8>,
    pub title: Option<String>,
    pub ticket: Option<String>,
    pub window: Option<String>,
    /// Key, value, and the event that set it.
    pub variables: BTreeSet<(String, String, Sequence)>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
pub enum Arrival {
    /// A delivery for the first time.
    First(usize),
    /// One that came already.
    Again(usize),
    /// A command of the timer that came already.
    TimerAgain(usize),
}

/// The pipeline, and what it writes to.
pub struct House {
    world: Arc<World>,
    pipeline: Pipeline,
    runtime: Runtime,
}

impl House {
    fn empty() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let _here = runtime.enter();
        let world = World::new(1, Faults { longest_stall: 1, ..Faults::default() }, Mutant::Shipped, false);
        let link = Link { world: world.clone(), who: 0, life: 0, alive: Arc::new(AtomicBool::new(true)) };
        let clock: Arc<dyn Clock> = Arc::new(SkewedClock { world: world.clone(), ahead: TimeDelta::zero() });
        let counters = Arc::new(Counters::default());
        let answers = answers(&link, &counters, &clock);
        let pipeline = Pipeline {
            hot: Hot::over(Arc::new(ModelHot(link.clone())), Duration::from_millis(1)),
            archive: Arc::new(ModelArchive(link.clone())),
            inbox: Arc::new(Inbox::over(Arc::new(ModelQueue(link)), Duration::from_millis(1))),
            leases: Arc::new(Leases::new(VISIBILITY, Duration::from_secs(300), clock.clone())),
            policy: POLICY,
            counters,
            clock,
            answers,
            portals: Arc::default(),
            senders: Arc::default(),
        };
        drop(_here);
        Self { world, pipeline, runtime }
    }

    /// Takes a day's deliveries as they come, with the commands of a timer that is always in time, and then whatever is due
    /// until nothing is open.
    pub fn lives_through(deliveries: &[Delivery], arrivals: &[Arrival]) -> Archive {
        let house = Self::empty();
        let mut timer = Vec::new();
        let mut latest: Option<&Delivery> = None;
        for arrival in arrivals {
            match *arrival {
                Arrival::First(n) => {
                    house.catch_up(&mut timer, latest, Some(deliveries[n].sent_at));
                    house.takes(&deliveries[n]);
                    latest = Some(&deliveries[n]);
                }
                Arrival::Again(n) => house.takes(&deliveries[n]),
                Arrival::TimerAgain(n) if !timer.is_empty() => house.takes(&timer[n % timer.len()]),
                Arrival::TimerAgain(_) => {}
            }
        }
        house.catch_up(&mut timer, latest, None);
        house.archive()
    }

    /// What is due by then, one command at a time.
    fn catch_up(&self, timer: &mut Vec<Delivery>, latest: Option<&Delivery>, until: Option<DateTime<Utc>>) {
        while let Some((conversation_id, due_at)) = self.due().filter(|(_, at)| until.is_none_or(|until| *at < until)) {
            let body = event::due::to_body(&thread(0), &Due { conversation_id, due_at });
            let before = timer.last().map_or(0, |before: &Delivery| before.sequence.0);
            let place = before.max(latest.map_or(0, |latest| latest.sequence.0)) + 1;
            let command = delivery(place, body, latest.map_or(due_at, |latest| due_at.max(latest.sent_at)));
            self.takes(&command);
            timer.push(command);
        }
    }

    /// One turn, with a lease.
    fn takes(&self, delivery: &Delivery) {
        self.runtime.block_on(async {
            let leases = &self.pipeline.leases;
            leases.take(delivery.receipt.clone(), leases.ask(Duration::ZERO));
            let settled = self.pipeline.turn(&[self.pipeline.read(delivery.clone())]).await;
            assert_eq!(settled.expect("no fault"), 1);
        });
    }

    /// The open conversation, and when it comes up.
    fn due(&self) -> Option<(ConversationId, DateTime<Utc>)> {
        let state = self.world.state();
        let head = state.hot.heads.get(&thread(0).key())?;
        match &head.conversation {
            Conversation::Open(open) => Some((open.record.id, open.due.at)),
            Conversation::Closing(_) | Conversation::Closed(_) => None,
        }
    }

    fn archive(&self) -> Archive {
        let world = self.world.state();
        let state = &world.archive;
        let rated = |of: Option<ConversationId>| -> BTreeSet<EventId> {
            state.ratings.iter().filter(|(_, stands)| **stands == of).map(|(event, _)| *event).collect()
        };
        let archived = |id: &ConversationId| {
            let close = state.closes.get(id);
            // nothing was said in it while it was open: what a window said of it is known only until the next one opens
            let forgotten =
                state.messages.iter().filter(|(of, _)| of == id).all(|(_, event)| state.late.contains(event));
            let details = state.details.get(id).filter(|_| !forgotten).cloned().unwrap_or_default();
            let variables = state.variables.get(id).into_iter().flatten();
            Archived {
                messages: state.messages.iter().filter(|(of, _)| of == id).map(|(_, event)| *event).collect(),
                ratings: rated(Some(*id)),
                closed_at: close.map(|close| close.at),
                reason: close.map(|close| close.reason.as_str()),
                resolution: close.and_then(|close| close.resolution),
                title: details.title,
                ticket: details.ticket,
                window: details.window.and_then(|window| window.external_id),
                variables: variables
                    .map(|variable| (variable.key.clone(), format!("{:?}", variable.value), variable.sequence))
                    .collect(),
            }
        };
        let all: BTreeSet<Archived> = state.conversations.keys().map(archived).collect();
        assert_eq!(all.len(), state.conversations.len(), "two that say the same");
        Archive { conversations: all, alone: rated(None) }
    }
}
