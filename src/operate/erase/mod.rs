//! `conversationd erase`: everything of a person, everywhere, with a receipt. A step that failed is taken again by the same
//! command: the request stands until all of it is done.

mod again;
mod person;
mod receipt;

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::{
    conversations::Stores,
    mask::Mask,
    moment::{now, span},
    output::Output,
};
use crate::{
    archive::{Archive, ErasureRequest},
    config::{QueueConfig, ReceiptConfig},
    domain::{EventId, ThreadKey},
};
use person::Person;
use receipt::Signer;

/// Whom to erase.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The person's project.
    #[arg(long, required_unless_present = "pending", conflicts_with = "pending", requires = "contact")]
    project: Option<String>,
    /// The person: their URN, in full.
    #[arg(long, value_name = "URN", requires = "project")]
    contact: Option<String>,
    /// Do what contact.erase events asked for, and erase again what came late of persons who were erased before.
    #[arg(long)]
    pending: bool,
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
    /// `would_erase`, `erased`, `held`, `still_open` or `failed`.
    outcome: &'static str,
    /// Items of the hot store.
    items: u64,
    archive: crate::archive::Traces,
    dead_letters_waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// Where a person may be.
struct Site {
    stores: Stores,
    queue: QueueConfig,
    wait: Duration,
}

/// Does it. Exit code 1 when somebody could not be erased.
///
/// # Errors
/// A setting cannot be used, or a store or the queue does not do its part: what was erased stays erased, and the request
/// stands.
pub async fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let (stores, queue) = (Stores::build(get).await, QueueConfig::read(get));
    let site = Site { stores: stores?, queue: queue?, wait: arguments.wait };
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
    let (archive, hot) = (&site.stores.archive, &site.stores.hot);
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
    let mut found = person.find(hot).await?;
    let letters = person.dead_letters(hot, &found).await?;
    outcome.items = found.count(hot).await?;
    outcome.dead_letters_waiting = letters.iter().filter(|letter| letter.settled.is_none()).count() as u64;
    let Some(signer) = signer.filter(|_| arguments.yes) else { return Ok(outcome) };

    // from here on it is done to its end, whoever takes it up
    let id = EventId(request.id);
    archive.request_erasure(person.project, person.contact, id, request.requested_at).await?;
    if !person.close_open(site, &found).await? {
        return Ok(Outcome { outcome: "still_open", ..outcome });
    }
    found = person.find(hot).await?;
    let mut erased = archive.erase(person.project, person.contact, |_| ()).await?;
    let Some(mut removed) = person.forget(hot, &found).await? else {
        return Ok(Outcome { outcome: "still_open", ..outcome });
    };
    // what a turn appended while we were at it
    let late = archive.erase(person.project, person.contact, |_| ()).await?;
    erased.conversations += late.conversations;
    erased.messages += late.messages;
    for letter in letters.iter().filter(|letter| letter.settled.is_some()) {
        hot.forget_dead_letter(letter).await?;
        removed.dead_letter_rows += 1;
    }
    let (subject, done_at): (_, DateTime<Utc>) = (signer.subject(person.project, person.contact), now());
    let waiting = outcome.dead_letters_waiting;
    let receipt = receipt::receipt(
        request.id,
        person.project,
        &subject,
        request.requested_at,
        done_at,
        (&removed, &erased),
        waiting,
    );
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
        _ => format!("would erase: {whom}"),
    })?;
    let archive = &outcome.archive;
    output.line(format!("  hot store     {} items", outcome.items))?;
    output.line(format!(
        "  archive       {} conversations, {} messages, {} ratings, {} customer links, {} notices",
        archive.conversations, archive.messages, archive.ratings, archive.crm_links, archive.notices
    ))?;
    if outcome.dead_letters_waiting > 0 {
        output.line(format!(
            "  dead letters  {} still wait in the dead-letter queue, for 14 days at most: see `conversationd dlq list --project`",
            outcome.dead_letters_waiting
        ))?;
    }
    match (&outcome.receipt, &outcome.signature) {
        (Some(receipt), Some(signature)) => {
            output.line(format!("  receipt       {receipt}"))?;
            output.line(format!("  signature     {signature}"))
        }
        _ if outcome.outcome == "would_erase" => output.line("nothing was erased; say --yes to erase this"),
        _ => Ok(()),
    }
}
