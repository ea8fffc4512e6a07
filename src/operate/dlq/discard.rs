//! `dlq discard`: deletes one letter for good. First a copy into a file, then the mark in the index, then the delete.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::{
    Site, export,
    peek::{Peek, not_reachable},
    state_folder,
};
use crate::{
    hot::{Settled, Settlement},
    operate::{letters, moment::now, output::say},
};

/// Which letter, and why.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The id that `dlq list` shows.
    id: String,
    /// Why, in your words; kept in the file.
    #[arg(long)]
    reason: String,
    /// Where the copy goes; it must not exist yet. Default: a file of its own in the state folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(
    arguments: &Arguments,
    site: &Site,
    get: &dyn Fn(&str) -> Option<String>,
) -> anyhow::Result<ExitCode> {
    let row = letters::row(&*site.index, &arguments.id).await?;
    let mut peek = Peek::begin(site);
    let looked = peek.find(&arguments.id).await;
    let found = match looked {
        Ok(Some(found)) => found,
        failed => {
            peek.end().await;
            failed?;
            return Err(not_reachable(&arguments.id, row.is_some()));
        }
    };
    let letter = &found.letter;
    let id = &found.note.original_message_id;
    let out = arguments.out.clone().unwrap_or_else(|| {
        let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        state_folder(get).join(format!("discarded-{name}.jsonl"))
    });
    if !arguments.yes {
        peek.end_with(letter).await;
        say(format!(
            "would delete {id} ({}, {} bytes), with a copy in {}; say --yes to do it",
            found.note.reason.code,
            letter.body.len(),
            out.display()
        ))?;
        return Ok(ExitCode::SUCCESS);
    }
    let kept = || -> anyhow::Result<()> {
        if let Some(folder) = out.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = export::create(&out)?;
        export::write(&mut file, letter, Some(&arguments.reason))?;
        export::keep(&file, &out)
    };
    if let Err(failure) = kept() {
        peek.end_with(letter).await;
        return Err(failure.context("nothing was deleted"));
    }
    let settled = Settled { how: Settlement::Discarded, at: now() };
    if let Err(failure) = site.index.mark_dead_letter(found.note.original_sent_at, id, settled).await {
        peek.end_with(letter).await;
        return Err(failure).context("nothing was deleted: the index cannot be written");
    }
    peek.delete(letter).await?;
    say(format!("deleted {id}; its copy is in {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}
