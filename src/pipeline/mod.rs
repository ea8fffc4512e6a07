//! One turn of one group: decide → commit → disposition. The only place that knows which store is written first.
//!
//! A turn is a delivery, or a run of chat messages of one thread that the open conversation simply takes: they are put side by
//! side, verified once and acked together. Every write here may be repeated, so a turn cut short anywhere is begun again by
//! the redelivery and ends the same.

mod archived;
mod close;
mod crm;
mod dead_letters;

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::join_all;
use thiserror::Error;
use tracing::{debug, info};

use crate::{
    answer::Answers,
    archive::{Archive, ArchiveError},
    clock::Clock,
    counters::Counters,
    crm::Portals,
    domain::{Conversation, ConversationId, Head, Message, Place, Policy, ProjectSettings, ThreadKey},
    event::{self, Event, Kind, Raw, Rejection, Request, SessionClosed, SessionOpened, TraceId},
    handler::{self, Decision, Seen},
    hot::{Hot, HotError, Put},
    queue::{Command, DeadLetterReason, Delivery, Inbox, Leases, QueueError, Senders, fifo_id},
};

/// A head that changes this often under one turn is somebody else's; the turn is retried later.
const ROUNDS: usize = 16;

/// Messages put by one turn at most: what one receive can bring.
const LONGEST_RUN: usize = crate::queue::BATCH;

/// A delivery and what it says.
#[derive(Debug)]
pub struct Work {
    /// The delivery.
    pub delivery: Delivery,
    /// What it says, or why it says nothing.
    pub event: Result<Event, Rejection>,
    /// The publisher's trace.
    pub trace: Option<TraceId>,
}

impl Work {
    /// Decodes a delivery.
    pub fn from(delivery: Delivery) -> Self {
        let event = event::decode(&raw(&delivery));
        let trace = event::trace_id(&raw(&delivery));
        Self { delivery, event, trace }
    }

    /// What decoding sees of the delivery.
    pub fn raw(&self) -> Raw<'_> {
        raw(&self.delivery)
    }

    fn message(&self) -> Option<(&Event, &Arc<Message>)> {
        match &self.event {
            Ok(event) => match &event.kind {
                Kind::Message(message) => Some((event, message)),
                _ => None,
            },
            Err(_) => None,
        }
    }
}

/// A turn of one delivery has ended.
fn one((): ()) -> usize {
    1
}

fn raw(delivery: &Delivery) -> Raw<'_> {
    Raw {
        body: &delivery.body,
        attributes: &delivery.attributes,
        sent_at: delivery.sent_at,
        sequence: delivery.sequence,
        group_id: &delivery.group_id,
    }
}

/// Why a turn did not end. Whatever it wrote may be written again.
#[derive(Debug, Error)]
pub enum Failure {
    /// The delivery is no longer ours: leave it, and all behind it, to whoever has it now.
    #[error("the lease on a delivery was lost")]
    LeaseLost,
    /// Try again later.
    #[error(transparent)]
    Hot(#[from] HotError),
    /// Try again later.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Try again later.
    #[error(transparent)]
    Queue(QueueError),
    /// The effect is durable; only the delete is missing.
    #[error("what was handled could not be deleted: {cause}")]
    Unacked {
        /// How many of the turn's deliveries that is.
        applied: usize,
        /// Why.
        cause: QueueError,
    },
    /// Try again later.
    #[error("{0}")]
    NotYet(&'static str),
    /// Try again later.
    #[error("the head changed under every one of {ROUNDS} decisions")]
    Contention,
    /// A fault of this program.
    #[error("the turn panicked")]
    Panicked,
    /// It was tried too often already.
    #[error("it was received again and again and never ended")]
    Exhausted,
}

impl Failure {
    /// Whether a store or the queue was unavailable: no delivery is to blame.
    pub fn is_outage(&self) -> bool {
        self.is_outage_of_hot()
            || matches!(
                self,
                Self::Archive(ArchiveError::Unavailable(_))
                    | Self::Queue(QueueError::Unavailable(_))
                    | Self::Unacked { .. }
            )
    }

    /// Whether it was the hot store.
    pub fn is_outage_of_hot(&self) -> bool {
        matches!(self, Self::Hot(HotError::Unavailable(_)))
    }

    /// Whether trying again within the same receipt makes sense.
    pub fn may_pass(&self) -> bool {
        !self.is_lapse() && !matches!(self, Self::Exhausted)
    }

    /// Whether the delivery is no longer ours.
    pub fn is_lapse(&self) -> bool {
        matches!(self, Self::LeaseLost | Self::Unacked { cause: QueueError::LeaseLost, .. })
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::LeaseLost => Self::LeaseLost,
            error => Self::Queue(error),
        }
    }
}

/// Everything a turn needs.
pub struct Pipeline {
    /// The hot store.
    pub hot: Hot,
    /// The archive.
    pub archive: Arc<dyn Archive>,
    /// The queue.
    pub inbox: Arc<Inbox>,
    /// What is held, and until when.
    pub leases: Arc<Leases>,
    /// When conversations close.
    pub policy: Policy,
    /// What happened so far.
    pub counters: Arc<Counters>,
    /// For ages only: nothing is decided by it.
    pub clock: Arc<dyn Clock>,
    /// What requests are answered with.
    pub answers: Arc<Answers>,
    /// Whose webhooks are taken.
    pub portals: Arc<Portals>,
    /// Who may send for which project.
    pub senders: Arc<Senders>,
}

impl Pipeline {
    /// Decodes a delivery, and counts the tokens of its message. What its sender may not send is not taken; but for the timer's
    /// word, which changes nothing that is not due, whoever says it.
    pub fn read(&self, delivery: Delivery) -> Work {
        let mut work = Work::from(delivery);
        if let Ok(event) = &work.event
            && !matches!(event.kind, Kind::Due(_))
            && !self.senders.admit(&work.delivery, &event.thread.project)
        {
            work.event = Err(Rejection::sender_not_allowed());
        }
        if let Ok(Event { kind: Kind::Message(message), .. }) = &mut work.event
            && let Some(message) = Arc::get_mut(message)
        {
            self.answers.count(message);
        }
        work
    }

    /// Settles the first of `works`, and with it as many of the following as share its turn. Returns how many.
    ///
    /// `works` are deliveries of one group, in order, at least one.
    ///
    /// # Errors
    /// Nothing was acked that is not durable; the turn's deliveries are to be received again.
    pub async fn turn(&self, works: &[Work]) -> Result<usize, Failure> {
        let Some(first) = works.first() else { return Ok(0) };
        let settled = match &first.event {
            Ok(event) => match &event.kind {
                Kind::Request(request) => {
                    self.respond(first, event, request, true).await?;
                    1
                }
                Kind::HubSpotRaw(signed) => self.take_webhook(first, event, signed).await.map(one)?,
                Kind::CrmRecordChanged(change) => self.take_change(first, event, change).await.map(one)?,
                _ => self.apply(event, works).await?,
            },
            Err(rejection) => {
                self.reject(first, rejection).await?;
                1
            }
        };
        self.ack(&works[..settled]).await?;
        Ok(settled)
    }

    /// Answers a request that came by the request queue, where nothing keeps it in order: it sees what it sees, and writes
    /// nothing. Anything else that comes that way is rejected.
    ///
    /// # Errors
    /// It was not acked.
    pub async fn respond_alone(&self, work: &Work) -> Result<(), Failure> {
        match &work.event {
            Ok(event) => match &event.kind {
                Kind::Request(request) => self.respond(work, event, request, false).await?,
                _ => self.reject(work, &Rejection::not_a_request()).await?,
            },
            Err(rejection) => self.reject(work, rejection).await?,
        }
        self.ack(std::slice::from_ref(work)).await
    }

    /// Answers a request. Only an answer that nobody may be sent makes a dead letter; what cannot be found is told.
    async fn respond(&self, work: &Work, event: &Event, request: &Request, in_turn: bool) -> Result<(), Failure> {
        self.still_ours(work)?;
        let ours = || self.still_ours(work).is_ok();
        match self.answers.answer(&self.hot, event, request, in_turn.then_some(&ours)).await {
            Ok(()) => Ok(()),
            Err(rejection) => self.reject(work, &rejection).await,
        }
    }

    /// Makes the first event's effect durable, and those of the messages that go with it.
    async fn apply(&self, event: &Event, works: &[Work]) -> Result<usize, Failure> {
        let thread = event.thread.key();
        let policy = self.policy.of(&self.hot.project(&event.thread.project).await?);
        if let Kind::SessionOpened(session) = &event.kind
            && !event.thread.is_project_alone()
        {
            let place = Place { thread: event.thread.clone(), group_id: event.group_id.clone() };
            self.still_ours(&works[0])?;
            self.hot.name_session(&session.session_id, &place, event.sequence, event.received_at).await?;
        }
        let mut known = None;
        for _ in 0..ROUNDS {
            let head = match known.take() {
                Some(head) => Some(head),
                None => self.hot.head(&thread).await?,
            };
            let seen = self.look(&thread, head, event).await?;
            self.still_ours(&works[0])?;
            match handler::decide(&seen, event, &policy) {
                Decision::Nothing(why) => {
                    debug!(event.id = %event.id, why, "nothing to do");
                    return Ok(1);
                }
                Decision::Finish(closing) => {
                    let Some(head) = seen.head else { continue };
                    known = self.finish(&works[0], &thread, &head, *closing).await?;
                }
                Decision::Write(head) => {
                    if self.write_head(&works[0], &thread, &head).await? {
                        match head.conversation {
                            Conversation::Closing(_) => known = Some(*head),
                            Conversation::Open(_) | Conversation::Closed(_) => return Ok(1),
                        }
                    }
                }
                Decision::Append { head, conversation } => {
                    if let Some(head) = &head
                        && !self.write_head(&works[0], &thread, head).await?
                    {
                        continue;
                    }
                    if seen.head.as_ref().is_none_or(|head| head.conversation.record().id != conversation) {
                        self.counters.opened.add(1);
                        debug!(conversation.id = %conversation, "conversation opened");
                    }
                    let Some(head) = head.map(|head| *head).or(seen.head) else { continue };
                    let run = Self::run(&head, &thread, works, &policy);
                    self.append(&works[0], &thread, &head, conversation, &run).await?;
                    self.counters.projects.add(&event.thread.project, run.len());
                    return Ok(run.len());
                }
                Decision::Late(stretch) => {
                    if let Kind::Message(message) = &event.kind {
                        self.append_late(&works[0], &event.thread, seen.head.as_ref(), stretch, message).await?;
                    }
                    return Ok(1);
                }
                Decision::Checkpoint(checkpoint) => {
                    let head = self.checkpoint(&works[0], &thread, *checkpoint).await?;
                    if self.write_head(&works[0], &thread, &head).await? {
                        return Ok(1);
                    }
                }
                Decision::Rate(rated) => {
                    if let Kind::Rating(rating) = &event.kind {
                        self.rate(&works[0], &event.thread, seen.head.as_ref(), rated, rating).await?;
                    }
                    return Ok(1);
                }
                Decision::Amend(stretch, changes) => {
                    return self.amend(&works[0], &event.thread, stretch, &changes).await.map(one);
                }
                Decision::Classify(said) => return self.classify(&works[0], event, &said).await.map(one),
                Decision::SetVariable(variable) => {
                    return Ok(self.hot.set_variable(&thread, &variable).await.map(one)?);
                }
                Decision::SetProject(settings) => return self.set_project(&works[0], event, &settings).await.map(one),
                Decision::Link(conversation) => {
                    if let Kind::CrmLinked(link) = &event.kind {
                        self.archive.link(&event.thread, conversation, link).await?;
                        debug!(conversation.id = %conversation, "linked to a customer record");
                    }
                    return Ok(1);
                }
                Decision::Erase => return self.request_erasure(event).await.map(one),
                Decision::Forward(place) => return self.forward(event, &place).await.map(one),
                Decision::Wait(why) => return Err(Failure::NotYet(why)),
                Decision::Reject(rejection) => return self.reject(&works[0], &rejection).await.map(one),
            }
        }
        Err(Failure::Contention)
    }

    /// Reads what the decision needs beyond the head.
    async fn look(&self, thread: &ThreadKey, head: Option<Head>, event: &Event) -> Result<Seen, Failure> {
        let mut seen = Seen { head, ..Seen::default() };
        match (&event.kind, seen.head.as_ref().map(|head| &head.conversation)) {
            (Kind::Due(due), Some(Conversation::Open(open))) if due.conversation_id == open.record.id => {
                seen.last_received = self.hot.last_received(thread, open.record.id).await?;
            }
            (
                Kind::SessionOpened(SessionOpened { session_id, .. })
                | Kind::SessionClosed(SessionClosed { session_id }),
                _,
            ) if event.thread.is_project_alone() => {
                seen.session = self.hot.session(&event.thread.project, session_id).await?;
            }
            (Kind::Message(message), Some(Conversation::Closed(closed))) => {
                seen.overtaken = self.hot.overtook(thread, closed.record.id, message).await?;
            }
            _ => {}
        }
        Ok(seen)
    }

    /// What a project says is merged with what it said before; an older event than the latest changes nothing.
    async fn set_project(&self, work: &Work, event: &Event, settings: &ProjectSettings) -> Result<(), Failure> {
        let project = &event.thread.project;
        let settings = self.hot.stored_project(project).await?.after(settings);
        self.still_ours(work)?;
        let newer = self.hot.set_project(project, &settings, event.sequence, event.received_at).await?;
        info!(newer, timezone = settings.timezone.map(|zone| zone.name()), "a project's settings were set");
        Ok(())
    }

    /// Sends an event that named no thread into the group of the thread it belongs to.
    async fn forward(&self, event: &Event, place: &Place) -> Result<(), Failure> {
        let Some(body) = event::session::to_body(&place.thread, &event.kind, event.id) else { return Ok(()) };
        // its place in the queue, too: a session that ends twice may say so twice in the same words
        let dedup_id = fifo_id(&format!("forward:{}:{}", event.id, event.sequence.0));
        let command = Command { group_id: place.group_id.clone(), dedup_id, body, attributes: BTreeMap::new() };
        Ok(self.inbox.edge().send(command).await?)
    }

    /// The messages at the front of `works` that the open conversation of `head` takes as it is.
    fn run(head: &Head, thread: &ThreadKey, works: &[Work], policy: &Policy) -> Vec<Arc<Message>> {
        let mut run: Vec<Arc<Message>> =
            works.iter().take(1).filter_map(Work::message).map(|(_, first)| first.clone()).collect();
        if works.len() > 1 && !run.is_empty() {
            let seen = Seen { head: Some(head.clone()), ..Seen::default() };
            let is_plain = |event: &Event| {
                event.thread.key() == *thread
                    && matches!(handler::decide(&seen, event, policy), Decision::Append { head: None, .. })
            };
            let others = works[1..].iter().map_while(Work::message).take(LONGEST_RUN - 1);
            run.extend(others.take_while(|(event, _)| is_plain(event)).map(|(_, message)| message.clone()));
        }
        run
    }

    /// W2: puts messages, then reads the head to see that their conversation still takes them.
    async fn append(
        &self,
        work: &Work,
        thread: &ThreadKey,
        head: &Head,
        conversation: ConversationId,
        run: &[Arc<Message>],
    ) -> Result<(), Failure> {
        self.still_ours(work)?;
        let put = |message: &Arc<Message>| {
            self.hot.put(Put { thread: thread.clone(), conversation, message: message.clone() })
        };
        match run {
            [alone] => put(alone).await?,
            _ => join_all(run.iter().map(put)).await.into_iter().collect::<Result<(), _>>()?,
        }
        self.counters.messages.add(run.len());
        let now = self.hot.head(thread).await?;
        match &now {
            Some(Head { conversation: Conversation::Open(open), .. }) if open.record.id == conversation => Ok(()),
            _ => {
                self.counters.displaced.add(run.len());
                self.settle_displaced(work, thread, head, now, run).await
            }
        }
    }

    /// W3: writes the head if nobody else did since it was read.
    async fn write_head(&self, work: &Work, thread: &ThreadKey, head: &Head) -> Result<bool, Failure> {
        self.still_ours(work)?;
        let written = self.hot.write_head(thread, head).await?;
        if !written {
            self.counters.head_conflicts.add(1);
            return Ok(false);
        }
        if let Conversation::Closing(closing) = &head.conversation {
            self.counters.sealed.add(1);
            debug!(conversation.id = %closing.record.id, reason = closing.close.reason.as_str(), "conversation sealed");
        }
        Ok(true)
    }

    /// Keeps a delivery in the dead-letter queue, then deletes it.
    ///
    /// # Errors
    /// It was not deleted; it may stand in the dead-letter queue already, and is taken there once.
    pub async fn bury(&self, work: &Work, reason: &DeadLetterReason) -> Result<(), Failure> {
        self.keep(work, reason).await?;
        self.ack(std::slice::from_ref(work)).await
    }

    /// Law 4: everything is durable; delete. The group goes on only after every delete is confirmed (W4).
    ///
    /// # Errors
    /// A delete is not confirmed.
    pub async fn ack(&self, works: &[Work]) -> Result<(), Failure> {
        let delete = |work: &Work| self.inbox.delete(work.delivery.receipt.clone());
        let deleted = match works {
            [alone] => vec![delete(alone).await],
            _ => join_all(works.iter().map(delete)).await,
        };
        let now = self.clock.now();
        for (work, deleted) in works.iter().zip(&deleted) {
            if deleted.is_ok() {
                self.leases.drop_lease(&work.delivery.receipt);
                self.counters.settled.add(1);
                self.counters.queue_age.record((now - work.delivery.sent_at).to_std().unwrap_or_default());
            }
        }
        let confirmed: Result<(), QueueError> = deleted.into_iter().collect();
        confirmed.map_err(|cause| Failure::Unacked { applied: works.len(), cause })
    }

    /// A process that slept through its lease commits nothing: asked before every write, for it may have slept at any call.
    fn still_ours(&self, work: &Work) -> Result<(), Failure> {
        if self.leases.holds(&work.delivery.receipt) { Ok(()) } else { Err(Failure::LeaseLost) }
    }
}
