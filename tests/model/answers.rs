//! What answers need of the world: reply queues that keep what they get, and an archive that can be read.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use conversationd::{
    answer::{Answers, Limits, Permits, Summariser},
    archive::{ArchiveError, ArchiveReader, ConversationRow, Figures, LinkRow, Links, Listing, Period},
    clock::Clock,
    context::{Models, Tokenizer},
    counters::Counters,
    domain::{ConversationId, Message, Record, Spot, Thread},
    queue::{QueueError, Reply, ReplyList, ReplyQueues},
};

use super::{
    archive::ArchiveState,
    mutant::Mutant,
    world::{Link, State, Unanswered},
};

/// The reply queues of the model.
pub const LIST: &str = "answers.fifo, bots, ask-*";

/// The inbound queue's address.
pub const INBOUND: &str = "https://sqs.model/1/inbound.fifo";

/// What the model's daemons answer with. Words are counted: no table has to be loaded.
pub fn answers(link: &Link, counters: &Arc<Counters>, clock: &Arc<dyn Clock>) -> Arc<Answers> {
    Arc::new(Answers {
        replies: Arc::new(ModelReplies(link.clone())),
        list: ReplyList::parse(LIST, INBOUND).expect("a list"),
        archive: Arc::new(ModelReader(link.clone())),
        replica: None,
        models: Models::default(),
        tokenizer: Tokenizer::Words,
        summariser: Summariser::Extract,
        limits: Limits {
            patience: Duration::from_secs(10),
            bytes: 262_144,
            hot_ttl: Duration::from_secs(30 * 24 * 3600),
        },
        permits: Permits::new(8),
        counters: counters.clone(),
        clock: clock.clone(),
    })
}

struct ModelReplies(Link);

impl ModelReplies {
    async fn once(&self, reply: Reply) -> Result<(), Unanswered> {
        if self.0.alive.load(Ordering::Relaxed) {
            *self.0.world.state().reply_attempts.entry(reply.dedup_id.clone()).or_default() += 1;
        }
        self.0.io("reply", true, move |state: &mut State, _| state.replies.push(reply)).await
    }
}

#[async_trait]
impl ReplyQueues for ModelReplies {
    async fn reply(&self, reply: Reply) -> Result<(), QueueError> {
        let again = self.0.world.state().mutant == Mutant::RepliesAgain;
        let mut sent = self.once(reply.clone()).await;
        if again && sent.is_err() {
            sent = self.once(reply).await;
        }
        sent.map_err(|_| QueueError::Unavailable("no answer".into()))
    }
}

struct ModelReader(Link);

fn unavailable(_: Unanswered) -> ArchiveError {
    ArchiveError::Unavailable("no answer".into())
}

/// What is archived of a conversation, if it is the project's.
fn row(archive: &ArchiveState, project: &str, id: ConversationId) -> Option<ConversationRow> {
    let closed_at = *archive.conversations.get(&id)?;
    let (thread, record): &(Thread, Record) = archive.known.get(&id).filter(|(thread, _)| thread.project == project)?;
    Some(ConversationRow {
        id: id.0,
        project: thread.project.clone(),
        contact: thread.contact.clone(),
        channel: thread.channel.clone(),
        external_id: thread.conversation.clone(),
        agent_id: record.agent_id.clone(),
        contact_name: record.contact_name.clone(),
        opened_at: record.opened_at,
        closed_at,
        close_reason: None,
        close_detail: None,
        resolution: None,
        topic: None,
        subtopic: None,
        title: None,
        tags: None,
        participants: None,
        metadata: None,
        customer_info: None,
        window_external_id: None,
        window_start: None,
        window_end: None,
        ticket: None,
        has_chats_room: false,
        csat: None,
        nps: None,
        variables: archive.variables.get(&id).map(|kept| serde_json::to_value(kept).expect("JSON")),
        erased_at: None,
        message_count: archive.messages.iter().filter(|(of, _)| *of == id).count() as i64,
        token_count: 0,
        content_hash: None,
        previous_id: None,
        created_at: record.opened_at,
        updated_at: record.opened_at,
    })
}

#[async_trait]
impl ArchiveReader for ModelReader {
    async fn find(&self, project: &str, id: ConversationId) -> Result<Option<ConversationRow>, ArchiveError> {
        let project = project.to_owned();
        let found = self.0.io("find", false, move |state: &mut State, _| {
            let own = state.archive.known.get(&id).map(|(thread, _)| thread.project.clone());
            let project = own.filter(|_| state.mutant == Mutant::AnyProject).unwrap_or(project);
            row(&state.archive, &project, id)
        });
        found.await.map_err(unavailable)
    }

    async fn transcript(
        &self,
        project: &str,
        id: ConversationId,
        from: Option<Spot>,
        back: bool,
        most: usize,
    ) -> Result<Vec<Message>, ArchiveError> {
        let project = project.to_owned();
        let read = self.0.io("transcript", false, move |state: &mut State, _| {
            if row(&state.archive, &project, id).is_none() {
                return Vec::new();
            }
            let of = state.archive.messages.iter().filter(|(of, _)| *of == id);
            let mut messages: Vec<Message> =
                of.filter_map(|(_, event)| state.archive.said.get(event)).cloned().collect();
            messages.sort_by_key(Message::spot);
            if back {
                messages.reverse();
            }
            let beyond = |message: &Message| match from {
                None => true,
                Some(from) if back => message.spot() < from,
                Some(from) => message.spot() > from,
            };
            messages.retain(beyond);
            messages.truncate(most);
            messages
        });
        read.await.map_err(unavailable)
    }

    async fn listed(&self, listing: &Listing) -> Result<Vec<ConversationRow>, ArchiveError> {
        let listing = listing.clone();
        let listed = self.0.io("listed", false, move |state: &mut State, _| {
            let ids = state.archive.conversations.keys();
            let mut rows: Vec<ConversationRow> =
                ids.filter_map(|id| row(&state.archive, &listing.project, *id)).collect();
            rows.retain(|row| {
                listing.closed.is_none_or(|closed| row.closed_at.is_some() == closed)
                    && listing.contact.as_ref().is_none_or(|contact| row.contact.as_ref() == Some(contact))
                    && listing.after.is_none_or(|after| (row.opened_at, row.id) < after)
            });
            rows.sort_by_key(|row| std::cmp::Reverse((row.opened_at, row.id)));
            rows.truncate(listing.most as usize);
            rows
        });
        listed.await.map_err(unavailable)
    }

    // figures and links are the database's own work: stories on the stack ask for them

    async fn figures(&self, _: &Period) -> Result<Figures, ArchiveError> {
        Err(ArchiveError::Unavailable("not in the model".into()))
    }

    async fn link(&self, _: &str, _: ConversationId) -> Result<Option<LinkRow>, ArchiveError> {
        Err(ArchiveError::Unavailable("not in the model".into()))
    }

    async fn links(&self, _: &Links) -> Result<(Vec<LinkRow>, i64), ArchiveError> {
        Err(ArchiveError::Unavailable("not in the model".into()))
    }
}
