//! `conversationd explain`: everything that happened to a conversation or a contact, and why, in one order.
//!
//! Each source of facts is a file with a function that tells them to the `Timeline`.

mod beside;
mod conversation;
mod messages;
mod timeline;
mod told;
mod why;

use std::process::ExitCode;

use anyhow::{Context, bail};
use uuid::Uuid;

use super::{
    conversations::{Stores, open},
    mask::Mask,
    moment::now,
};
use crate::{
    archive::{ConversationRow, Filter},
    domain::{ConversationId, Head, Thread},
};
use conversation::Life;
use timeline::Timeline;

/// What to explain, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// A conversation's id; or, with --project, a contact's URN in full.
    #[arg(value_name = "CONVERSATION|CONTACT")]
    what: String,
    /// The contact's project.
    #[arg(long)]
    project: Option<String>,
    /// Of a contact: so many archived conversations at most, the latest.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    /// Messages told of each conversation at most: the first and the last of them.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    messages: u32,
    /// JSON Lines: one object for each thing that happened.
    #[arg(long)]
    json: bool,
    /// Show texts, comments and reasons as they are.
    #[arg(long)]
    reveal: bool,
}

/// Tells it. Exit code 1 when there is nothing to tell.
///
/// # Errors
/// A setting cannot be used, or a store cannot be read.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let stores = Stores::build(get).await?;
    let mut timeline = Timeline::default();
    match (&arguments.project, arguments.what.parse::<Uuid>()) {
        (None, Ok(id)) => one(arguments, &stores, id, &mut timeline).await?,
        (Some(project), _) => person(arguments, &stores, project, &mut timeline).await?,
        (None, Err(_)) => bail!(
            "that is no conversation's id; a contact is named with its project: \
             `conversationd explain URN --project P`"
        ),
    }
    if timeline.is_empty() {
        bail!(
            "nothing is known of it\n  `conversationd conversations list` shows what there is. What never was a \
             conversation may wait among the dead letters: `conversationd dlq list`"
        );
    }
    timeline::print(&timeline.in_order(), now(), arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

/// One conversation, and what died in its thread.
async fn one(arguments: &Arguments, stores: &Stores, id: Uuid, timeline: &mut Timeline) -> anyhow::Result<()> {
    let row = stores.archive.conversation(ConversationId(id)).await.context("the archive cannot be read")?;
    // an erased row has forgotten its thread
    let named = row.as_ref().filter(|row| row.erased_at.is_none()).map(ConversationRow::thread);
    let key = match &named {
        Some(thread) => Some(thread.key()),
        None => {
            let due = open::due(&*stores.hot, open::any_time()).await?;
            due.into_iter().find(|entry| entry.conversation.0 == id).map(|entry| entry.thread)
        }
    };
    let head = match key {
        Some(key) => open::head(&*stores.hot, key).await?,
        None => None,
    };
    let Some(thread) = named.or_else(|| head.as_ref().map(|head| head.thread.clone())) else {
        return match &row {
            Some(row) => life(arguments, stores, (row.id, None, None, Some(row)), timeline).await,
            None => Ok(()),
        };
    };
    let of_it = head.as_ref().filter(|head| head.conversation.record().id.0 == id);
    life(arguments, stores, (id, Some(&thread), of_it, row.as_ref()), timeline).await?;
    beside::dead_letters(timeline, stores, &[(thread, head)], None).await
}

/// Everything of a contact.
async fn person(arguments: &Arguments, stores: &Stores, project: &str, timeline: &mut Timeline) -> anyhow::Result<()> {
    let contact = arguments.what.as_str();
    let filter = Filter {
        project: Some(project.to_owned()),
        contact: Some(contact.to_owned()),
        limit: arguments.limit,
        ..Filter::default()
    };
    let rows = stores.archive.list(&filter).await.context("the archive cannot be read")?;
    let mut threads: Vec<Thread> = rows.iter().map(ConversationRow::thread).collect();
    let mut due = open::due(&*stores.hot, open::any_time()).await?;
    due.retain(|entry| open::may_be(entry, Some(project), Some(contact)));
    let open = open::heads(&*stores.hot, &due, usize::MAX, |head| {
        head.thread.project == project && head.thread.contact.as_deref() == Some(contact)
    });
    threads.extend(open.await?.into_iter().map(|head| head.thread));
    threads.sort_by_key(Thread::key);
    threads.dedup_by_key(|thread| thread.key());
    let mut heads: Vec<(Thread, Option<Head>)> = Vec::new();
    for thread in threads {
        let head = open::head(&*stores.hot, thread.key()).await?;
        heads.push((thread, head));
    }
    for row in &rows {
        let thread = row.thread();
        let key = thread.key();
        let mut all = heads.iter().filter_map(|(_, head)| head.as_ref());
        let head = all.find(|head| head.thread.key() == key && head.conversation.record().id.0 == row.id);
        life(arguments, stores, (row.id, Some(&thread), head, Some(row)), timeline).await?;
    }
    for (thread, head) in &heads {
        let Some(head) = head else { continue };
        let id = head.conversation.record().id.0;
        if rows.iter().all(|row| row.id != id) {
            life(arguments, stores, (id, Some(thread), Some(head), None), timeline).await?;
        }
    }
    beside::dead_letters(timeline, stores, &heads, Some((project, contact))).await?;
    beside::of_person(timeline, stores, project, contact, Mask::unless(arguments.reveal)).await
}

type Where<'a> = (Uuid, Option<&'a Thread>, Option<&'a Head>, Option<&'a ConversationRow>);

async fn life(
    arguments: &Arguments,
    stores: &Stores,
    (id, thread, head, row): Where<'_>,
    timeline: &mut Timeline,
) -> anyhow::Result<()> {
    let life = Life { id, thread, head, row };
    life.tell(timeline, stores, Mask::unless(arguments.reveal), arguments.messages as usize).await?;
    told::outward(timeline, stores, id).await
}
