//! `erase --verify`: whether a receipt is genuine, and of whom.

use std::{io::Read, process::ExitCode};

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::{Arguments, Output, receipt::Signer};
use crate::archive::PostgresArchive;

/// Longest receipt that is read, in bytes.
const LONGEST: u64 = 1_048_576;

/// What is found of a receipt.
#[derive(Debug, Serialize)]
struct Checked {
    erasure: Option<String>,
    /// Whether it was signed with the receipt key, as it is.
    genuine: bool,
    /// Whether the archive keeps the same receipt; `None` when it has none of that id.
    stored: Option<bool>,
    /// Whether it is of the person asked for; `None` when nobody was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    of_this_person: Option<bool>,
}

/// Checks a receipt: an id, a file, or `-`.
pub(super) async fn run(
    arguments: &Arguments,
    which: &str,
    archive: &PostgresArchive,
    signer: &Signer,
) -> anyhow::Result<ExitCode> {
    let given = match which.parse::<Uuid>() {
        Ok(id) => match archive.receipt(id).await.context("receipts cannot be read")? {
            Some(stored) => stored,
            None => bail!("there is no receipt {id} in the archive"),
        },
        Err(_) => read(which)?,
    };
    let (receipt, signature) = given;
    let id = receipt["erasure"].as_str().and_then(|id| id.parse::<Uuid>().ok());
    let stored = match id {
        Some(id) => archive.receipt(id).await.context("receipts cannot be read")?,
        None => None,
    };
    let subject = arguments.project.as_deref().zip(arguments.contact.as_deref());
    let checked = Checked {
        erasure: id.map(|id| id.to_string()),
        genuine: signer.signed(&receipt, &signature),
        stored: stored.map(|stored| stored.0 == receipt && stored.1.eq_ignore_ascii_case(&signature)),
        of_this_person: subject.map(|(project, contact)| receipt["subject"] == signer.subject(project, contact)),
    };
    print(arguments, &receipt, &checked)?;
    let good = checked.genuine && checked.stored != Some(false) && checked.of_this_person != Some(false);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `erase --json` printed, or `{"receipt": …, "signature": …}`.
fn read(which: &str) -> anyhow::Result<(Value, String)> {
    let mut text = String::new();
    match which {
        "-" => std::io::stdin().take(LONGEST).read_to_string(&mut text),
        path => std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text)),
    }
    .context("the receipt cannot be read")?;
    let mut given: Value = serde_json::from_str(&text).context("the receipt is not one JSON object")?;
    match (given["receipt"].take(), given["signature"].take()) {
        (receipt @ Value::Object(_), Value::String(signature)) => Ok((receipt, signature)),
        _ => bail!("it must be {{\"receipt\": {{…}}, \"signature\": \"…\"}}, as `erase --json` prints it"),
    }
}

fn print(arguments: &Arguments, receipt: &Value, checked: &Checked) -> std::io::Result<()> {
    let mut output = Output::new();
    if arguments.json {
        output.json(checked)?;
        return output.flush();
    }
    output.line(if checked.genuine {
        "genuine: signed with this receipt key, and not changed since"
    } else {
        "NOT GENUINE: changed since it was signed, or signed with another key"
    })?;
    output.line(match checked.stored {
        Some(true) => "the archive keeps the same",
        Some(false) => "THE ARCHIVE KEEPS ANOTHER of this id",
        None => "the archive has none of this id",
    })?;
    match checked.of_this_person {
        Some(true) => output.line("it is of this person")?,
        Some(false) => output.line("it is NOT of this person")?,
        None => {}
    }
    if checked.genuine {
        output.line(receipt.to_string())?;
    }
    output.flush()
}
