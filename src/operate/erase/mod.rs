//! `conversationd erase`: everything of a person, everywhere, with a receipt. A step that failed is taken again by the same
//! command: the request stands until all of it is done.

mod again;
mod check;
mod letters;
mod person;
mod receipt;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{
    clients,
    conversations::{Stores, both},
    dlq::peek::Peek,
    mask::Mask,
    moment::{now, span},
    output::Output,
};
use crate::{
    app::{self, Clients},
    archive::{Archive, ErasureRequest},
    config::{DatabaseConfig, QueueConfig, ReceiptConfig},
    domain::{EventId, ThreadKey},
};
use letters::Theirs;
use person::Person;
use receipt::Signer;

/// Whom to erase.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The person's project.
    #[arg(long, required_unless_present_any = ["pending", "verify"], conflicts_with = "pending", requires = "contact")]
    project: Option<String>,
    /// The person: their URN, in full.
    #[arg(long, value_name = "URN", requires = "project")]
    contact: Option<String>,
    /// Do what contact.erase events asked for, and erase again what came late of persons who were erased before.
    #[arg(long)]
    pending: bool,
    /// Check a receipt instead: what `erase --json` printed, in a file or from standard input; or the id of an erasure. With
    /// --project and --contact, also whether it is of that person. Exit code 1 when it is not what it should be.
    #[arg(long, value_name = "FILE|-|ID", conflicts_with_all = ["pending", "yes"])]
    verify: Option<String>,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// How long to wait for the daemon to close a conversation that is open.
    #[arg(long, value_name = "SPAN", default_value = "60s", value_parser = span)]
    wait: Duration,
    /// JSON Lines instead of text.
    #[arg(long)]
    json: bool,
    /// Show contacts as they are.
    #[arg(long)]
    reveal: bool,
}

/// What became of one person's erasure.
#[derive(Debug, Serialize)]
struct Outcome {
    project: String,
    contact: String,
    /// `would_erase`, `erased`, `held`, `still_open` or `letters_wait`.
    outcome: &'static str,
    /// Items of the hot store.
    items: u64,
    archive: crate::archive::Traces,
    /// Letters of theirs in the dead-letter queue; after an erasure, those that could not be reached.
    dead_letters_waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// Where a person may be.
struct Site {
    stores: Stores,
    clients: Clients,
    queue: QueueConfig,
    letters: QueueConfig,
    wait: Duration,
}

impl Site {
    async fn build(wait: Duration, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let (queue, letters) = both(QueueConfig::read(get), QueueConfig::read_dead_letter(get))?;
        let clients = clients(queue.region.clone(), None).await;
        Ok(Self { stores: Stores::build(get).await?, clients, queue, letters, wait })
    }
}

/// Does it. Exit code 1 when somebody could not be erased.
///
/// # Errors
/// A setting cannot be used, or a store or a queue does not do its part: what was erased stays erased, and the request
/// stands.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    if let Some(which) = &arguments.verify {
        let (database, key) = both(DatabaseConfig::read(get), ReceiptConfig::read(get))?;
        return check::run(arguments, which, &app::archive(&database)?, &Signer::new(&key)?).await;
    }
    let site = Site::build(arguments.wait, get).await?;
    let signer = match arguments.yes {
        true => Some(Signer::new(&ReceiptConfig::read(get)?)?),
        false => ReceiptConfig::read(get).ok().map(|config| Signer::new(&config)).transpose()?,
    };
    let requests = match (&arguments.project, &arguments.contact) {
        (Some(project), Some(contact)) => vec![asked_now(project, contact)],
        _ => site.stores.archive.erasures_pending().await.context("requests cannot be read")?,
    };
    let (mut output, mut all_done) = (Output::new(), true);
    for request in &requests {
        let outcome = one(arguments, &site, signer.as_ref(), request).await?;
        all_done &= matches!(outcome.outcome, "erased" | "would_erase");
        print(arguments, &mut output, &outcome)?;
        output.flush()?; // a receipt is not held back by what comes after it
    }
    if arguments.pending {
        let again = again::run(&site.stores, signer.as_ref(), arguments.yes).await?;
        if arguments.json {
            output.json(&again)?;
        } else {
            output.line(again.line(requests.len(), arguments.yes))?;
        }
    }
    output.flush()?;
    Ok(if all_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A request of an operator's own.
fn asked_now(project: &str, contact: &str) -> ErasureRequest {
    let requested_at = now();
    let key = ThreadKey::stored([project, contact].join("\0"));
    let id = EventId::derive(&key, "erase", &requested_at.timestamp_micros().to_string()).0;
    ErasureRequest { id, project: project.to_owned(), contact: contact.to_owned(), requested_at }
}

async fn one(
    arguments: &Arguments,
    site: &Site,
    signer: Option<&Signer>,
    request: &ErasureRequest,
) -> anyhow::Result<Outcome> {
    let person = Person { project: &request.project, contact: &request.contact };
    let (archive, hot) = (&site.stores.archive, &*site.stores.hot);
    let mut outcome = Outcome {
        project: request.project.clone(),
        contact: Mask::unless(arguments.reveal).contact(&request.contact),
        outcome: "would_erase",
        items: 0,
        archive: archive.traces(person.project, person.contact).await.context("the archive cannot be read")?,
        dead_letters_waiting: 0,
        receipt: None,
        signature: None,
    };
    let holds = archive.holds(Some(person.project)).await.context("holds cannot be read")?;
    if holds.iter().any(|hold| hold.contact.as_deref().is_none_or(|contact| contact == person.contact)) {
        return Ok(Outcome { outcome: "held", ..outcome });
    }
    let mut found = person.find(&site.stores).await?;
    let theirs = Theirs::of(&person, &found);
    outcome.items = found.count(hot).await?;
    outcome.dead_letters_waiting = letters::waiting(hot, &theirs).await?;
    let Some(signer) = signer.filter(|_| arguments.yes) else { return Ok(outcome) };

    // from here on it is done to its end, whoever takes it up
    let id = EventId(request.id);
    archive.request_erasure(person.project, person.contact, id, request.requested_at).await?;
    if !person.close_open(site, &found).await? {
        return Ok(Outcome { outcome: "still_open", ..outcome });
    }
    // before the stores: a letter that is sent back while we are at it must not come after them
    let cleared = letters::clear(hot, Peek::into(&site.clients, &site.letters), &theirs).await?;
    person.look_again(&site.stores, &mut found).await?;
    let mut erased = archive.erase(person.project, person.contact, |_| ()).await?;
    let Some(mut removed) = person.forget(hot, &found).await? else {
        return Ok(Outcome { outcome: "still_open", ..outcome });
    };
    // what a turn appended while we were at it
    erased.add(archive.erase(person.project, person.contact, |_| ()).await?);
    (removed.dead_letters, removed.dead_letter_rows) = (cleared.letters, cleared.rows);
    outcome.dead_letters_waiting = cleared.waiting;
    if cleared.waiting > 0 {
        return Ok(Outcome { outcome: "letters_wait", items: removed.items, archive: erased, ..outcome });
    }
    let (subject, done_at): (_, DateTime<Utc>) = (signer.subject(person.project, person.contact), now());
    let receipt =
        receipt::receipt(request.id, person.project, &subject, request.requested_at, done_at, (&removed, &erased));
    let signature = signer.sign(&receipt);
    archive.erasure_was_done(request.id, done_at, &subject, &receipt, &signature).await?;
    Ok(Outcome {
        outcome: "erased",
        items: removed.items,
        archive: erased,
        receipt: Some(receipt),
        signature: Some(signature),
        ..outcome
    })
}

fn print(arguments: &Arguments, output: &mut Output, outcome: &Outcome) -> std::io::Result<()> {
    if arguments.json {
        return output.json(outcome);
    }
    let whom = format!("{} of project {}", outcome.contact, outcome.project);
    output.line(match outcome.outcome {
        "erased" => format!("erased: {whom}"),
        "held" => format!("not erased: {whom}: a legal hold covers them; `conversationd hold list` shows it"),
        "still_open" => format!(
            "not erased yet: {whom}: the daemon has not closed their conversation; the request stands, and \
             `conversationd erase --pending --yes` takes it up"
        ),
        "letters_wait" => format!(
            "not erased yet: {whom}: letters of theirs in the dead-letter queue cannot be reached now; the request stands, \
             and `conversationd erase --pending --yes` takes it up"
        ),
        _ => format!("would erase: {whom}"),
    })?;
    if outcome.outcome == "held" {
        return Ok(());
    }
    let archive = &outcome.archive;
    output.line(format!("  hot store     {} items", outcome.items))?;
    output.line(format!(
        "  archive       {} conversations, {} messages, {} ratings, {} customer links, {} notices",
        archive.conversations, archive.messages, archive.ratings, archive.crm_links, archive.notices
    ))?;
    let removed = outcome.receipt.as_ref().map(|receipt| &receipt["hot_store"]["dead_letters"]);
    output.line(match removed {
        Some(count) => format!("  dead letters  {count} letters"),
        None => format!("  dead letters  {} letters that wait", outcome.dead_letters_waiting),
    })?;
    match (&outcome.receipt, &outcome.signature) {
        (Some(receipt), Some(signature)) => {
            output.line(format!("  receipt       {receipt}"))?;
            output.line(format!("  signature     {signature}"))
        }
        _ if outcome.outcome == "would_erase" => output.line("nothing was erased; say --yes to erase this"),
        _ => Ok(()),
    }
}
