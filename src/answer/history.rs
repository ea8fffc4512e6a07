//! A conversation's messages wherever they stand: the hot store's, and before them those that only the archive still has.

use chrono::TimeDelta;

use super::{Asking, outcome::Unanswered};
use crate::{
    domain::{Conversation, ConversationId, Head, Message, Spot, ThreadKey},
    hot::{Walk, Way},
};

/// Messages in the order they were walked, and whether there may be more.
pub(super) struct Leg {
    pub(super) messages: Vec<Message>,
    pub(super) more: bool,
}

/// Where a conversation's messages stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Hot,
    /// Its first ones in the archive, perhaps there alone.
    ArchiveThenHot,
    Archive,
}

/// A conversation to be read.
pub(super) struct History<'a> {
    asking: &'a Asking<'a>,
    key: ThreadKey,
    id: ConversationId,
    stands: Where,
    /// Walking back has left the hot store behind; walking forward has come to it.
    crossed: bool,
    /// Whether the archive was read.
    pub(super) archive_read: bool,
}

impl<'a> History<'a> {
    /// Of the conversation a head is about.
    pub(super) fn of_head(asking: &'a Asking<'a>, head: &Head) -> Self {
        let record = head.conversation.record();
        let stands = match &head.conversation {
            Conversation::Closed(_) => Where::Archive,
            Conversation::Open(open) if open.checkpointed_at.is_some() => {
                let ttl = TimeDelta::from_std(asking.answers.limits.hot_ttl).unwrap_or(TimeDelta::MAX);
                let gone = record.opened_received_at.checked_add_signed(ttl).is_some_and(|gone| gone <= asking.now);
                if gone { Where::ArchiveThenHot } else { Where::Hot }
            }
            Conversation::Open(_) | Conversation::Closing(_) => Where::Hot,
        };
        Self { asking, key: head.thread.key(), id: record.id, stands, crossed: false, archive_read: false }
    }

    /// Of a conversation of this thread that stands in the archive.
    pub(super) fn archived(asking: &'a Asking<'a>, key: ThreadKey, id: ConversationId) -> Self {
        Self { asking, key, id, stands: Where::Archive, crossed: false, archive_read: false }
    }

    /// Reads the hot store alone: a closed conversation's messages stay there for a while.
    pub(super) fn without_archive(&mut self) {
        self.stands = Where::Hot;
    }

    /// Messages before a place, newest first.
    pub(super) async fn back(&mut self, before: Option<Spot>, most: usize) -> Result<Leg, Unanswered> {
        if self.stands == Where::Hot || (self.stands == Where::ArchiveThenHot && !self.crossed) {
            let mut leg = self.hot(before, Way::Back, most).await?;
            if self.stands == Where::Hot || leg.more {
                return Ok(leg);
            }
            self.crossed = true;
            if !leg.messages.is_empty() {
                leg.more = true;
                return Ok(leg);
            }
        }
        self.archive(before, true, most).await
    }

    /// Messages after a place, oldest first.
    pub(super) async fn forward(&mut self, after: Option<Spot>, most: usize) -> Result<Leg, Unanswered> {
        if self.stands == Where::Archive || (self.stands == Where::ArchiveThenHot && !self.crossed) {
            let mut leg = self.archive(after, false, most).await?;
            if self.stands == Where::Archive || leg.more {
                return Ok(leg);
            }
            self.crossed = true;
            if !leg.messages.is_empty() {
                leg.more = true;
                return Ok(leg);
            }
        }
        self.hot(after, Way::Forward, most).await
    }

    async fn hot(&self, from: Option<Spot>, way: Way, most: usize) -> Result<Leg, Unanswered> {
        let walk = Walk { thread: self.key.clone(), conversation: self.id, from, way, most };
        let walked = self.asking.hot.walk(&walk).await?;
        Ok(Leg { messages: walked.messages, more: walked.more })
    }

    async fn archive(&mut self, from: Option<Spot>, back: bool, most: usize) -> Result<Leg, Unanswered> {
        self.archive_read = true;
        let project = self.asking.project();
        let messages = self.asking.answers.archive.transcript(project, self.id, from, back, most).await?;
        Ok(Leg { more: messages.len() == most, messages })
    }
}
