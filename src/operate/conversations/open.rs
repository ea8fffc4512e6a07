//! Open conversations: every one of them stands in the due index, which is read shard by shard.

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;

use crate::{
    domain::{Head, Thread, ThreadKey},
    hot::{DUE_SHARDS, DueHead, HotStore},
    operate::moment::now,
};

/// Entries read of one shard: DynamoDB returns at most 1 MiB of them, which is less.
const PER_SHARD: usize = 20_000;

/// Heads read in one call (DynamoDB's limit).
const HEADS: usize = 100;

/// Later than any due time.
pub(in crate::operate) fn any_time() -> DateTime<Utc> {
    now() + TimeDelta::days(400 * 366)
}

/// What is due by `until`, soonest first, as the index knows it.
pub(in crate::operate) async fn due(hot: &dyn HotStore, until: DateTime<Utc>) -> anyhow::Result<Vec<DueHead>> {
    let mut all = Vec::new();
    for shard in join_all((0..DUE_SHARDS).map(|shard| hot.due(shard, until, PER_SHARD))).await {
        all.extend(shard.context("the due index cannot be read; `conversationd doctor` says more")?);
    }
    all.sort_unstable_by(|one, other| (one.due_at, &one.thread).cmp(&(other.due_at, &other.thread)));
    Ok(all)
}

/// The heads behind `due` that still are as the index says and that `wanted` takes, in order, `limit` at most.
pub(in crate::operate) async fn heads(
    hot: &dyn HotStore,
    due: &[DueHead],
    limit: usize,
    wanted: impl Fn(&Head) -> bool,
) -> anyhow::Result<Vec<Head>> {
    let mut found = Vec::new();
    for entries in due.chunks(HEADS) {
        let threads = entries.iter().map(|entry| entry.thread.clone()).collect();
        for (entry, head) in entries.iter().zip(hot.heads(threads).await) {
            // the index lags behind: what has closed meanwhile is not open
            let head = head?.filter(|head| head.conversation.record().id == entry.conversation);
            let open = head.filter(|head| head.conversation.due().is_some());
            found.extend(open.filter(|head| found.len() < limit && wanted(head)));
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

/// The head of one thread.
pub(in crate::operate) async fn head(hot: &dyn HotStore, thread: ThreadKey) -> anyhow::Result<Option<Head>> {
    match hot.heads(vec![thread]).await.pop() {
        Some(head) => Ok(head?),
        None => Ok(None),
    }
}

/// Whether the thread that `entry` names may be one of `project` and `contact`, as far as its key tells.
pub(in crate::operate) fn may_be(entry: &DueHead, project: Option<&str>, contact: Option<&str>) -> bool {
    let Some(thread) = Thread::named_by(&entry.thread) else { return false };
    project.is_none_or(|project| thread.project == project)
        && match (contact, &thread.contact) {
            (Some(wanted), Some(contact)) => wanted == contact,
            // a thread named by a conversation id tells its contact in its head, if it has one
            _ => true,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConversationId;

    #[test]
    fn a_key_rules_out_other_projects_and_contacts_but_not_what_it_does_not_name() {
        let entry = |contact: Option<&str>, conversation: Option<&str>| DueHead {
            thread: Thread {
                project: "p".into(),
                contact: contact.map(str::to_owned),
                channel: Some("ch".into()),
                conversation: conversation.map(str::to_owned),
            }
            .key(),
            conversation: ConversationId(uuid::Uuid::nil()),
            group_id: "g".into(),
            due_at: DateTime::UNIX_EPOCH,
        };
        for (entry, project, contact, expected) in [
            (entry(Some("tel:1"), None), Some("p"), Some("tel:1"), true),
            (entry(Some("tel:1"), None), Some("q"), None, false),
            (entry(Some("tel:1"), None), None, Some("tel:2"), false),
            (entry(Some("tel:1"), Some("x")), Some("p"), Some("tel:1"), true),
        ] {
            assert_eq!(may_be(&entry, project, contact), expected, "{project:?} {contact:?}");
        }
    }
}
