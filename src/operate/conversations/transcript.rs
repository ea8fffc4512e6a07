//! A conversation's messages in order, a page at a time, out of one store or both.
//!
//! An open conversation that was copied into the archive once has its messages in either store or both: the two are merged,
//! and a message that its publisher sent twice is shown once.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};

use crate::{
    archive::{self, PostgresArchive},
    domain::{ConversationId, EventId, Message, Sequence, ThreadKey},
    hot::{self, HotStore},
};

/// Messages read from the archive at once.
const PAGE: u32 = 500;

/// A message, and whether it was appended after the close.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub message: Message,
    pub late: bool,
}

/// The messages still to come.
pub(super) struct Transcript<'a> {
    conversation: ConversationId,
    archive: Option<Source<InArchive<'a>>>,
    hot: Option<Source<InHot<'a>>>,
    /// Ids only: sixteen bytes a message.
    seen: HashSet<EventId>,
}

/// A place in the archive, and one in the hot store.
type InArchive<'a> = (&'a PostgresArchive, Option<archive::Cursor>);
type InHot<'a> = (&'a dyn HotStore, ThreadKey, Option<hot::Cursor>);

/// A page, and where the next begins.
struct Source<T> {
    page: VecDeque<Said>,
    next: T,
    more: bool,
}

impl<T> Source<T> {
    fn from(next: T) -> Self {
        Self { page: VecDeque::new(), next, more: true }
    }

    fn place(&self) -> Option<(DateTime<Utc>, Sequence, EventId)> {
        self.page.front().map(|said| (said.message.occurred_at, said.message.sequence, said.message.event_id))
    }
}

impl<'a> Transcript<'a> {
    pub(super) fn of(conversation: ConversationId) -> Self {
        Self { conversation, archive: None, hot: None, seen: HashSet::new() }
    }

    pub(super) fn and_archive(mut self, archive: &'a PostgresArchive) -> Self {
        self.archive = Some(Source::from((archive, None)));
        self
    }

    pub(super) fn and_hot(mut self, hot: &'a dyn HotStore, thread: ThreadKey) -> Self {
        self.hot = Some(Source::from((hot, thread, None)));
        self
    }

    /// The next message; `None` after the last.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Said>> {
        loop {
            self.fill_from_archive().await?;
            self.fill_from_hot().await?;
            let archived = self.archive.as_ref().and_then(Source::place);
            let kept = self.hot.as_ref().and_then(Source::place);
            let archive_first = archived.is_some_and(|archived| kept.is_none_or(|kept| archived <= kept));
            let page = match (&mut self.archive, &mut self.hot) {
                (Some(archive), _) if archive_first => &mut archive.page,
                (_, Some(hot)) => &mut hot.page,
                _ => return Ok(None),
            };
            match page.pop_front() {
                None => return Ok(None),
                Some(said) if self.seen.insert(said.message.event_id) => return Ok(Some(said)),
                Some(_) => {}
            }
        }
    }

    async fn fill_from_archive(&mut self) -> anyhow::Result<()> {
        let Some(source) = &mut self.archive else { return Ok(()) };
        if source.page.is_empty() && source.more {
            let (archive, after) = source.next;
            let rows = archive.messages(self.conversation, after, PAGE).await?;
            source.more = rows.len() == PAGE as usize;
            source.next = (archive, rows.last().map(archive::MessageRow::cursor));
            source.page =
                rows.into_iter().map(|row| Said { message: row.message, late: row.arrived_after_close }).collect();
        }
        Ok(())
    }

    async fn fill_from_hot(&mut self) -> anyhow::Result<()> {
        let Some(source) = &mut self.hot else { return Ok(()) };
        while source.page.is_empty() && source.more {
            let (hot, thread, after) = &mut source.next;
            let page = hot.page(thread, self.conversation, after.take()).await?;
            source.more = page.next.is_some();
            *after = page.next;
            source.page = page.messages.into_iter().map(|message| Said { message, late: false }).collect();
        }
        Ok(())
    }
}
