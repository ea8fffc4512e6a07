//! `list_conversations`: a project's conversations, page by page.
//!
//! Closed ones come from the archive, newest opening first. Open ones stand in the hot store only, which has no list of a
//! project's: the first page shows those that the timer's index names, as far as a bounded look goes.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Asking,
    conversation::{of_row, view_of_head},
    cursor,
    outcome::{Outcome, Room, Unanswered},
};
use crate::{
    archive::Listing,
    domain::{Conversation, Head, Thread},
    event::request::ListConversations,
    hot::DUE_SHARDS,
};

/// Conversations of a page unless the asker says otherwise.
const PAGE: u32 = 50;

/// Conversations of a page at most.
const LONGEST_PAGE: u32 = 500;

/// Entries of one shard of the timer's index that are looked at for open conversations.
const LOOKED_AT: usize = 500;

impl Asking<'_> {
    pub(super) async fn conversations(&self, wanted: &ListConversations) -> Result<Outcome, Unanswered> {
        let closed = match wanted.status.as_deref() {
            None => None,
            Some("open") => Some(false),
            Some("closed") => Some(true),
            Some(_) => return Err(Unanswered::Refused("the status must be open or closed")),
        };
        let of = ["list_conversations", self.project()];
        let after: Option<(DateTime<Utc>, Uuid)> =
            wanted.cursor.as_deref().map(|text| cursor::read(&of, text)).transpose()?;
        let most = wanted.limit.unwrap_or(PAGE).clamp(1, LONGEST_PAGE);
        let mut content = json!({});
        let mut views = Vec::new();
        if closed != Some(true) && after.is_none() {
            let (open, whole) = self.open(wanted, most as usize).await?;
            views.extend(open.iter().map(view_of_head));
            content["open_incomplete"] = (!whole).into();
        }
        let mut place = after;
        let mut more = false;
        let mut room = Room::in_reply(self.answers.limits.bytes, &content);
        if views.iter().any(|view| !room.take(view)) {
            return Err(Unanswered::Refused("the page is larger than a reply may be; ask with a smaller limit"));
        }
        if closed != Some(false) {
            let listing = Listing {
                project: self.project().to_owned(),
                closed: Some(true),
                contact: wanted.contact_urn.clone(),
                agent: wanted.agent_id.clone(),
                tag: wanted.tag.clone(),
                from: wanted.from,
                to: wanted.to,
                after,
                most: most + 1,
            };
            let rows = self.answers.archive.listed(&listing).await?;
            more = rows.len() > most as usize;
            for row in rows.iter().take(most as usize) {
                let view = of_row(row);
                if !room.take(&view) {
                    more = true;
                    content["truncated"] = true.into();
                    break;
                }
                views.push(view);
                place = Some((row.opened_at, row.id));
            }
        }
        content["returned"] = views.len().into();
        content["conversations"] = Value::Array(views);
        content["next_cursor"] = place.filter(|_| more).map(|place| cursor::written(&of, &place)).into();
        Ok(Outcome::ok(content))
    }

    /// Open conversations as asked for, the newest first, and whether all were looked at.
    async fn open(&self, wanted: &ListConversations, most: usize) -> Result<(Vec<Head>, bool), Unanswered> {
        let (mut threads, mut whole) = (Vec::new(), true);
        for shard in 0..DUE_SHARDS {
            let due = self.hot.due(shard, DateTime::<Utc>::MAX_UTC, LOOKED_AT).await?;
            whole &= due.len() < LOOKED_AT;
            threads.extend(due.into_iter().map(|entry| entry.thread).filter(|key| {
                Thread::named_by(key).is_some_and(|thread| {
                    thread.project == self.project()
                        && wanted.contact_urn.as_ref().is_none_or(|contact| {
                            thread.contact.as_ref() == Some(contact) || thread.conversation.is_some()
                        })
                })
            }));
        }
        whole &= threads.len() <= LOOKED_AT;
        threads.truncate(LOOKED_AT);
        let mut heads = Vec::new();
        for threads in threads.chunks(100) {
            for head in self.hot.heads(threads.to_vec()).await {
                heads.extend(head?);
            }
        }
        heads.retain(|head| !matches!(head.conversation, Conversation::Closed(_)) && fits(head, wanted));
        heads.sort_by_key(|head| std::cmp::Reverse(head.conversation.record().opened_at));
        whole &= heads.len() <= most;
        heads.truncate(most);
        Ok((heads, whole))
    }
}

fn fits(head: &Head, wanted: &ListConversations) -> bool {
    let record = head.conversation.record();
    wanted.contact_urn.as_ref().is_none_or(|contact| head.thread.contact.as_ref() == Some(contact))
        && wanted.agent_id.as_ref().is_none_or(|agent| record.agent_id.as_ref() == Some(agent))
        && wanted.tag.as_ref().is_none_or(|tag| record.details.tags.contains(tag))
        && wanted.from.is_none_or(|from| record.opened_at >= from)
        && wanted.to.is_none_or(|to| record.opened_at < to)
}
