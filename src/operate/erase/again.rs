//! What came late of persons who were erased: events that had waited among the dead letters, or that a publisher sent again.
//!
//! Copies of what the archive had change nothing there, for event ids stay. Anything else opens a conversation like any
//! other, and is found here, by the keyed digest of whose it is. What they said after they asked stays: they came back.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{person::Person, receipt::Signer};
use crate::{archive::ErasureDone, operate::conversations::Stores, operate::moment::now};

/// How long after an erasure something from before may still come.
const WATCHED: TimeDelta = TimeDelta::days(60);

/// Persons read at once.
const PAGE: u32 = 1_000;

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Again {
    /// Persons who were erased and of whom something came since.
    persons: u64,
    /// Conversations that were all of the time before.
    conversations: u64,
    /// Messages of the time before.
    messages: u64,
    /// Items of the hot store.
    items: u64,
    /// Whether anybody could look: it takes the receipt key.
    looked: bool,
}

impl Again {
    pub(super) fn line(&self, requests: usize, yes: bool) -> String {
        let Self { persons, conversations, messages, items, looked } = self;
        match (looked, yes) {
            (false, _) => {
                format!("requests={requests}; without CONVERSATIOND_RECEIPT_KEY nobody can tell what came late")
            }
            (true, false) => {
                format!("requests={requests} came_late_of={persons}; nothing was erased; say --yes to erase")
            }
            (true, true) => format!(
                "requests={requests} came_late_of={persons} conversations={conversations} messages={messages} items={items}"
            ),
        }
    }
}

/// Erases what came late.
pub(super) async fn run(stores: &Stores, signer: Option<&Signer>, yes: bool) -> anyhow::Result<Again> {
    let Some(signer) = signer else { return Ok(Again::default()) };
    let mut again = Again { looked: true, ..Again::default() };
    let done = stores.archive.erasures_done(now() - WATCHED).await.context("erasures cannot be read")?;
    let mut projects: BTreeMap<String, Vec<ErasureDone>> = BTreeMap::new();
    for erasure in done {
        projects.entry(erasure.project.clone()).or_default().push(erasure);
    }
    for (project, erasures) in &projects {
        let since = erasures.iter().map(|erasure| erasure.done_at).min().unwrap_or_default();
        let mut after: Option<String> = None;
        loop {
            let persons = stores.archive.persons(project, since, after.as_deref(), PAGE).await?;
            for contact in &persons {
                if let Some(asked_at) = asked_at(erasures, &signer.subject(project, contact)) {
                    again.persons += 1;
                    if yes {
                        one(stores, project, contact, asked_at, &mut again).await?;
                    }
                }
            }
            after = persons.last().cloned();
            if persons.len() < PAGE as usize {
                break;
            }
        }
    }
    Ok(again)
}

/// When the person of `subject` last asked to be erased.
fn asked_at(erasures: &[ErasureDone], subject: &str) -> Option<DateTime<Utc>> {
    erasures.iter().filter(|erasure| erasure.subject == subject).map(|erasure| erasure.requested_at).max()
}

async fn one(
    stores: &Stores,
    project: &str,
    contact: &str,
    asked_at: DateTime<Utc>,
    again: &mut Again,
) -> anyhow::Result<()> {
    let person = Person { project, contact };
    let erased = match stores.archive.erase_again(project, contact, asked_at).await {
        Err(crate::archive::ArchiveError::Refused(_)) => return Ok(()), // held since
        erased => erased?,
    };
    again.conversations += erased.conversations;
    again.messages += erased.messages;
    if erased.messages > 0 {
        // what is closed stands in the archive; what is open waits for the next time
        let found = person.find(&stores.hot).await?;
        again.items += person.forget(&stores.hot, &found).await?.map_or(0, |removed| removed.items);
    }
    Ok(())
}
