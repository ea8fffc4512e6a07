//! Finding one conversation by its id, wherever it stands.

use crate::{
    archive::ConversationRow,
    domain::{ConversationId, Head, Thread},
    hot::HotStore,
};

use super::{Stores, Whereabouts, open};

/// Where a conversation stands.
#[derive(Debug)]
pub(in crate::operate) enum Found {
    /// Closed, in the archive.
    Archived(Box<ConversationRow>),
    /// In the hot store; and, when its messages were copied once already, in the archive.
    Hot(Box<Head>, Option<Box<ConversationRow>>),
}

/// Finds it: in the archive, else in its thread, which the caller, the archive or the due index names.
pub(in crate::operate) async fn find(
    stores: &Stores,
    id: ConversationId,
    whereabouts: &Whereabouts,
) -> anyhow::Result<Option<Found>> {
    let (row, unread) = match stores.archive.conversation(id).await {
        Ok(row) => (row.map(Box::new), None),
        Err(failure) => {
            eprintln!("conversationd: {failure}; looking in the hot store only");
            (None, Some(failure))
        }
    };
    let row = match row {
        Some(row) if row.closed_at.is_some() => return Ok(Some(Found::Archived(row))),
        row => row,
    };
    if let Some(head) = in_hot_store(&*stores.hot, id, row.as_deref(), whereabouts).await? {
        return Ok(Some(Found::Hot(Box::new(head), row)));
    }
    match (row, unread) {
        (Some(row), _) => Ok(Some(Found::Archived(row))),
        (None, Some(failure)) => Err(failure.into()),
        (None, None) => Ok(None),
    }
}

async fn in_hot_store(
    hot: &dyn HotStore,
    id: ConversationId,
    row: Option<&ConversationRow>,
    whereabouts: &Whereabouts,
) -> anyhow::Result<Option<Head>> {
    let named = whereabouts.thread().or_else(|| row.map(ConversationRow::thread));
    let thread = match named {
        Some(thread) => Some(thread.key()),
        None => {
            let due = open::due(hot, open::any_time()).await?;
            due.into_iter().find(|entry| entry.conversation == id).map(|entry| entry.thread)
        }
    };
    let Some(thread) = thread else { return Ok(None) };
    Ok(open::head(hot, thread).await?.filter(|head| head.conversation.record().id == id))
}

impl Whereabouts {
    fn thread(&self) -> Option<Thread> {
        Some(Thread {
            project: self.project.clone()?,
            contact: Some(self.contact.clone()?),
            channel: Some(self.channel.clone()?),
            conversation: None,
        })
    }
}

/// What to say when there is no such conversation.
pub(in crate::operate) fn not_found(id: ConversationId) -> anyhow::Error {
    anyhow::anyhow!(
        "conversation {id} is neither in the archive nor among the open ones\n  \
         `conversationd conversations list` shows what there is. A conversation that closed without any message is kept \
         nowhere.\n  If very many are open, name its thread: --project P --contact URN --channel CH"
    )
}
