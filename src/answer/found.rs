//! Which conversation a question is about, and where it stands.

use uuid::Uuid;

use super::{Asking, history::History, outcome::Unanswered};
use crate::{
    archive::ConversationRow,
    domain::{Conversation, ConversationId, Head, Recap, Thread},
};

/// A conversation of the asker's project.
pub(super) enum Found {
    /// As its thread's head has it.
    Head(Box<Head>),
    /// As the archive has it.
    Row(Box<ConversationRow>),
}

impl Found {
    pub(super) fn id(&self) -> ConversationId {
        match self {
            Self::Head(head) => head.conversation.record().id,
            Self::Row(row) => ConversationId(row.id),
        }
    }

    pub(super) fn status(&self) -> &'static str {
        match self {
            Self::Head(head) => status_of(&head.conversation),
            Self::Row(row) => status_of_row(row),
        }
    }

    /// The summary so far, which goes when the thread's next conversation opens.
    pub(super) fn recap(&self) -> Option<&Recap> {
        match self {
            Self::Head(head) => head.conversation.record().recap.as_ref(),
            Self::Row(_) => None,
        }
    }

    pub(super) fn history<'a>(&self, asking: &'a Asking<'a>) -> History<'a> {
        match self {
            Self::Head(head) => History::of_head(asking, head),
            Self::Row(row) => History::archived(asking, row.thread().key(), self.id()),
        }
    }
}

impl Asking<'_> {
    /// The conversation of the thread that the question names; by a conversation's own id, what [`Self::archived`] finds.
    pub(super) async fn current(&self) -> Result<Found, Unanswered> {
        let thread = &self.event.thread;
        if let Some(head) = self.hot.head(&thread.key()).await? {
            return Ok(Found::Head(head.into()));
        }
        let id = thread.conversation.as_deref().and_then(|id| Uuid::try_parse(id).ok()).map(ConversationId);
        let id = id.ok_or(Unanswered::NotFound)?;
        if thread.contact.is_some() && thread.channel.is_some() {
            let by_contact = Thread { conversation: None, ..thread.clone() };
            if let Some(head) = self.head_of(&by_contact, id).await? {
                return Ok(Found::Head(head.into()));
            }
        }
        self.archived(id).await
    }

    /// The conversation that `id` names.
    ///
    /// In this order: the thread that contact and channel name; the thread that the id names, when a publisher chose it;
    /// [`Self::archived`].
    pub(super) async fn named(&self, id: &str) -> Result<Found, Unanswered> {
        let uuid = Uuid::try_parse(id).ok().map(ConversationId);
        let by_thread = self.event.thread.conversation.is_some();
        let head = self.hot.head(&self.event.thread.key()).await?;
        let head = head.filter(|head| by_thread || Some(head.conversation.record().id) == uuid);
        let uuid = match head {
            Some(head) if !matches!(head.conversation, Conversation::Closed(_)) => return Ok(Found::Head(head.into())),
            Some(head) => Some(head.conversation.record().id),
            None => uuid,
        };
        self.archived(uuid.ok_or(Unanswered::NotFound)?).await
    }

    /// The conversation of this id in the archive, which also names the thread of one that is open and checkpointed.
    async fn archived(&self, id: ConversationId) -> Result<Found, Unanswered> {
        let row = self.answers.archive.find(self.project(), id).await?.ok_or(Unanswered::NotFound)?;
        if row.closed_at.is_none()
            && let Some(head) = self.head_of(&row.thread(), id).await?
        {
            return Ok(Found::Head(head.into()));
        }
        Ok(Found::Row(row.into()))
    }

    /// A thread's head, if this is the conversation it is about.
    async fn head_of(&self, thread: &Thread, id: ConversationId) -> Result<Option<Head>, Unanswered> {
        let head = self.hot.head(&thread.key()).await?;
        Ok(head.filter(|head| head.conversation.record().id == id))
    }

    /// Whether the group's turn is that of the head's thread: then every earlier event of it was seen, and nobody else writes.
    pub(super) fn is_turn_of(&self, head: &Head) -> bool {
        self.turn.is_some() && head.group_id == self.event.group_id
    }
}

pub(super) fn status_of(conversation: &Conversation) -> &'static str {
    match conversation {
        Conversation::Open(_) => "open",
        Conversation::Closing(_) => "closing",
        Conversation::Closed(_) => "closed",
    }
}

pub(super) fn status_of_row(row: &ConversationRow) -> &'static str {
    if row.closed_at.is_some() { "closed" } else { "open" }
}
