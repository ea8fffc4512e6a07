//! What came late of persons who were erased: events that had waited among the dead letters, or that a publisher sent again.
//!
//! Copies of what the archive had change nothing there, for event ids stay. Anything else opens a conversation like any
//! other, is rated, or sets a variable, and is found here, by the keyed digest of whose it is. What they said after they
//! asked stays: they came back. What is open waits for the next time: its thread is the daemon's.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{person::forget_all, receipt::Signer};
use crate::{
    archive::{ArchiveError, ErasureDone},
    domain::{Conversation, Head, Thread, ThreadKey},
    hot::{ItemKey, Sought, Swept},
    operate::{
        bar::Bar,
        conversations::{Stores, open},
        moment::now,
    },
};

/// How long after an erasure something from before may still come.
const WATCHED: TimeDelta = TimeDelta::days(60);

/// Persons read at once.
const PAGE: u32 = 1_000;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Again {
    /// Persons who were erased and of whom something stands again.
    persons: u64,
    /// Conversations that were all of the time before.
    conversations: u64,
    /// Messages of the time before.
    messages: u64,
    /// Ratings of the time before.
    ratings: u64,
    /// Links to customer records.
    crm_links: u64,
    /// Items of the hot store.
    items: u64,
    /// Conversations that are open still: what is of the time before in them goes once they have closed.
    open: u64,
    /// Whether anybody could look: it takes the receipt key.
    looked: bool,
}

impl Again {
    pub(super) fn line(&self, requests: usize, yes: bool) -> String {
        let Self { persons, conversations, messages, ratings, crm_links, items, open, looked } = self;
        match (looked, yes) {
            (false, _) => {
                format!("requests={requests}; without CONVERSATIOND_RECEIPT_KEY nobody can tell what came late")
            }
            (true, _) if *persons == 0 => {
                format!("requests={requests} come_back=0: nothing came late of anybody who was erased")
            }
            (true, false) => {
                format!(
                    "requests={requests} come_back={persons}; nothing was erased; say --yes to erase what is of before"
                )
            }
            (true, true) => format!(
                "requests={requests} come_back={persons}; erased of before: conversations={conversations} \
                 messages={messages} ratings={ratings} customer_links={crm_links} items={items}; open={open}"
            ),
        }
    }
}

/// A person who was erased.
#[derive(Default)]
struct Back {
    asked_at: DateTime<Utc>,
    threads: BTreeMap<ThreadKey, Option<Head>>,
    variables: Vec<(ItemKey, DateTime<Utc>)>,
    sessions: Vec<ItemKey>,
}

/// Those who were erased, by project.
struct Erased<'a> {
    signer: &'a Signer,
    projects: BTreeMap<String, Vec<ErasureDone>>,
}

impl Erased<'_> {
    /// When this person last asked to be erased.
    fn asked_at(&self, project: &str, contact: &str) -> Option<DateTime<Utc>> {
        let erasures = self.projects.get(project)?;
        let subject = self.signer.subject(project, contact);
        erasures.iter().filter(|erasure| erasure.subject == subject).map(|erasure| erasure.requested_at).max()
    }
}

/// Erases what came late.
pub(super) async fn run(stores: &Stores, signer: Option<&Signer>, yes: bool) -> anyhow::Result<Again> {
    let Some(signer) = signer else { return Ok(Again::default()) };
    let mut again = Again { looked: true, ..Again::default() };
    let mut erased = Erased { signer, projects: BTreeMap::new() };
    for erasure in stores.archive.erasures_done(now() - WATCHED).await.context("erasures cannot be read")? {
        erased.projects.entry(erasure.project.clone()).or_default().push(erasure);
    }
    if erased.projects.is_empty() {
        return Ok(again);
    }
    let mut back: BTreeMap<(String, String), Back> = BTreeMap::new();
    in_archive(stores, &erased, &mut back).await?;
    in_hot_store(stores, &erased, &mut back).await?;
    again.persons = back.len() as u64;
    if yes {
        for ((project, contact), back) in &back {
            one(stores, project, contact, back, &mut again).await?;
        }
    }
    Ok(again)
}

async fn in_archive(
    stores: &Stores,
    erased: &Erased<'_>,
    back: &mut BTreeMap<(String, String), Back>,
) -> anyhow::Result<()> {
    for (project, erasures) in &erased.projects {
        let since = erasures.iter().map(|erasure| erasure.done_at).min().unwrap_or_default();
        let mut after: Option<String> = None;
        loop {
            let persons = stores.archive.persons(project, since, after.as_deref(), PAGE).await?;
            for contact in &persons {
                if let Some(asked_at) = erased.asked_at(project, contact) {
                    back.entry((project.clone(), contact.clone())).or_default().asked_at = asked_at;
                }
            }
            after = persons.last().cloned();
            if persons.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(())
}

async fn in_hot_store(
    stores: &Stores,
    erased: &Erased<'_>,
    back: &mut BTreeMap<(String, String), Back>,
) -> anyhow::Result<()> {
    let (mut after, mut looked_at) = (None, 0);
    let bar = Bar::begin("looking through the hot store", None);
    loop {
        let page = stores.hot.sweep(&Sought::Everybody, after).await;
        let page = page.context("the table cannot be scanned; the role needs dynamodb:Scan")?;
        looked_at += page.looked_at;
        bar.at(looked_at, format!("{looked_at} items"));
        for swept in page.found {
            let thread = match &swept {
                Swept::Head(head) => Some(head.thread.clone()),
                Swept::Session(_, place) => Some(place.thread.clone()),
                Swept::Variable(_, key, _) | Swept::Item(key) => Thread::named_by(key),
            };
            let Some((project, contact)) = thread.and_then(|thread| Some((thread.project, thread.contact?))) else {
                continue;
            };
            let Some(asked_at) = erased.asked_at(&project, &contact) else { continue };
            let back = back.entry((project, contact)).or_default();
            back.asked_at = asked_at;
            match swept {
                Swept::Head(head) => {
                    back.threads.insert(head.thread.key(), Some(*head));
                }
                Swept::Session(key, _) => back.sessions.push(key),
                Swept::Variable(key, _, set_at) => back.variables.push((key, set_at)),
                Swept::Item(key) => {
                    back.threads.entry(key).or_insert(None);
                }
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn one(stores: &Stores, project: &str, contact: &str, back: &Back, again: &mut Again) -> anyhow::Result<()> {
    let erased = match stores.archive.erase_again(project, contact, back.asked_at).await {
        Err(ArchiveError::Refused(_)) => return Ok(()), // held since
        erased => erased?,
    };
    again.conversations += erased.conversations;
    again.messages += erased.messages;
    again.ratings += erased.ratings;
    again.crm_links += erased.crm_links;
    let mut lives = BTreeSet::new();
    for (key, head) in &back.threads {
        if thread(stores, key, head.as_ref(), back.asked_at, again).await? {
            lives.insert(key.clone());
        }
    }
    // a variable says when it was queued, not what of: where nothing else is of now, it is not either
    let gone = |(key, set_at): &&(ItemKey, DateTime<Utc>)| *set_at <= back.asked_at || !lives.contains(&key.thread());
    let mut rest: Vec<&ItemKey> = back.variables.iter().filter(gone).map(|(key, _)| key).collect();
    if lives.is_empty() {
        rest.extend(&back.sessions);
        // a link says nothing of when it was asked for: where no conversation is of now, it is not either
        again.crm_links += stores.archive.erase_lone_links(project, contact).await?;
    }
    forget_all(&*stores.hot, &rest).await?;
    again.items += rest.len() as u64;
    Ok(())
}

/// Takes out what was said before, and the head if nothing was said after. Returns whether the person is there still.
async fn thread(
    stores: &Stores,
    key: &ThreadKey,
    head: Option<&Head>,
    asked_at: DateTime<Utc>,
    again: &mut Again,
) -> anyhow::Result<bool> {
    let keys = stores.hot.keys_of(key).await?;
    let stands = open::head(&*stores.hot, key.clone()).await?;
    if stands.as_ref().map(|head| head.version) != head.map(|head| head.version) {
        again.open += 1; // somebody spoke meanwhile
        return Ok(true);
    }
    let goes_on = stands.as_ref().filter(|head| !matches!(head.conversation, Conversation::Closed(_)));
    let goes_on = goes_on.map(|head| head.conversation.record().id.0);
    again.open += u64::from(goes_on.is_some());
    let closed = keys.iter().filter(|item| item.conversation().is_some() && item.conversation() != goes_on);
    let (before, after): (Vec<&ItemKey>, Vec<&ItemKey>) =
        closed.partition(|item| item.said_at().is_some_and(|at| at <= asked_at));
    let conversations: BTreeSet<_> = after.iter().filter_map(|item| item.conversation()).collect();
    forget_all(&*stores.hot, &before).await?;
    again.items += before.len() as u64;
    let Some(head) = stands else { return Ok(!conversations.is_empty()) };
    let record = head.conversation.record();
    if goes_on.is_some() || conversations.contains(&record.id.0) || record.opened_at > asked_at {
        return Ok(true);
    }
    again.items += u64::from(stores.hot.forget_head(&head).await?);
    Ok(!conversations.is_empty())
}
