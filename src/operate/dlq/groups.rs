//! `dlq group`: groups that are parked, and heads that hold a group up.

use std::{collections::BTreeMap, process::ExitCode};

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use serde::Serialize;
use tokio::time::sleep;

use super::{Site, group};
use crate::{
    hot::{Control, Controls, HEARD_WITHIN, Parked, Skip},
    operate::{
        bar::Bar,
        letters,
        mask::Mask,
        moment::{now, shown},
        output::{Output, counted, say},
        pause::told,
        rows::aligned,
    },
};

/// What to do with groups.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the parked groups: what comes in them becomes dead letters, in order.
    #[command(after_help = "Example:\n  conversationd dlq group parked --json")]
    Parked(List),
    /// Let a parked group go on; then send its letters back with `dlq redrive --group`.
    ///
    /// What comes before its letters are back is handled before them; messages stand in a transcript by the time they were
    /// written all the same.
    #[command(after_help = "Example:\n  conversationd dlq group unpark 8c1f… --yes")]
    Unpark(Change),
    /// Give up the message that holds a group up: at its next failure it becomes a dead letter, whatever its attempts.
    ///
    /// It must fail once more, and must have been sent before now; what comes behind it goes on in order. The wish holds for
    /// an hour and for one message. The message can be up for its next try in a few minutes, 22 at the latest.
    #[command(after_help = "Example, with the sqs.message_id of a line \"turn failed\" in the log:\n  \
                            conversationd dlq group skip-head 8c1f… --yes")]
    SkipHead(Change),
}

/// How to list.
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Show groups as they are: they may name a contact.
    #[arg(long)]
    reveal: bool,
}

/// Which group.
#[derive(Clone, Debug, clap::Args)]
pub struct Change {
    /// The group in full, or the id of the message that failed.
    #[arg(value_name = "GROUP|ID")]
    group: String,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// A parked group, for machines.
#[derive(Serialize)]
struct View<'a> {
    message_id: &'a str,
    since: DateTime<Utc>,
    event_type: &'a str,
    reason: &'a str,
    letters: u64,
    group_id: String,
}

/// What was or would be done, for machines.
#[derive(Serialize)]
struct Done<'a> {
    done: bool,
    message_id: Option<&'a str>,
    letters: u64,
}

pub(super) async fn run(command: &Command, site: &Site) -> anyhow::Result<ExitCode> {
    let controls = told(&*site.index).await?;
    match command {
        Command::Parked(arguments) => list(arguments, site, &controls).await,
        Command::Unpark(arguments) => unpark(arguments, site, &controls).await,
        Command::SkipHead(arguments) => skip_head(arguments, site, &controls).await,
    }
}

/// The parked group that `name` names: by itself, or by the message that parked it.
pub(super) fn parked<'a>(controls: &'a Controls, name: &str) -> Option<(&'a String, &'a Parked)> {
    controls.parked.iter().find(|(group, parked)| *group == name || parked.message_id == name)
}

/// How many letters of each parked group wait.
async fn letters(site: &Site, controls: &Controls) -> anyhow::Result<BTreeMap<String, (u64, Option<String>)>> {
    let of_parked = |row: &crate::hot::DeadLetter| row.settled.is_none() && controls.parked.contains_key(&row.group_id);
    let mut letters: BTreeMap<String, (u64, Option<String>)> = BTreeMap::new();
    for row in letters::rows(&*site.index, None, usize::MAX, of_parked).await? {
        let (count, project) = letters.entry(row.group_id).or_default();
        *count += 1;
        *project = project.take().or(row.project);
    }
    Ok(letters)
}

async fn list(arguments: &List, site: &Site, controls: &Controls) -> anyhow::Result<ExitCode> {
    let letters = letters(site, controls).await?;
    let mask = Mask::unless(arguments.reveal);
    let mut views: Vec<View<'_>> = Vec::new();
    for (name, parked) in &controls.parked {
        let (count, project) = letters.get(name).cloned().unwrap_or_default();
        views.push(View {
            message_id: &parked.message_id,
            since: parked.at,
            event_type: &parked.event_type,
            reason: &parked.reason,
            letters: count,
            group_id: group(mask, name, project.as_deref()),
        });
    }
    views.sort_by_key(|view| view.since);
    let mut output = Output::new();
    if arguments.json {
        views.iter().try_for_each(|view| output.json(view))?;
    } else if views.is_empty() {
        output.line("no group is parked")?;
    } else {
        let line = |view: &View<'_>| {
            [
                view.message_id.to_owned(),
                shown(view.since),
                view.event_type.to_owned(),
                view.letters.to_string(),
                view.group_id.clone(),
                view.reason.to_owned(),
            ]
        };
        let lines: Vec<_> = views.iter().map(line).collect();
        let header = ["ID", "SINCE (UTC)", "TYPE", "LETTERS", "GROUP", "WHY"];
        aligned(header, &lines).iter().try_for_each(|line| output.line(line))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

async fn unpark(arguments: &Change, site: &Site, controls: &Controls) -> anyhow::Result<ExitCode> {
    let Some((name, parked)) = parked(controls, &arguments.group) else {
        bail!("no parked group is called so; `conversationd dlq group parked` lists them");
    };
    let waiting = letters(site, controls).await?.get(name).map_or(0, |(count, _)| *count);
    if arguments.yes {
        let lifted = site.index.control(&Control::Unpark(name.clone()), now()).await;
        lifted.context("the group is still parked")?;
        // a letter sent back before every replica knows would die again
        let _bar = Bar::begin("unparked; until every replica has heard of it", None);
        sleep(HEARD_WITHIN).await;
    }
    if arguments.json {
        let mut output = Output::new();
        output.json(&Done { done: arguments.yes, message_id: Some(&parked.message_id), letters: waiting })?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    let id = &parked.message_id;
    let then = match waiting {
        0 => "no letter of it is in the index".to_owned(),
        many => format!("{} to send back: conversationd dlq redrive --group {id}", counted(many, "letter")),
    };
    say(match arguments.yes {
        true => format!("unparked the group of {id}, and every replica has heard of it. {then}"),
        false => {
            format!("would unpark the group of {id}, parked since {} UTC; say --yes to do it. {then}", shown(parked.at))
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn skip_head(arguments: &Change, site: &Site, controls: &Controls) -> anyhow::Result<ExitCode> {
    if parked(controls, &arguments.group).is_some() {
        bail!("that group is parked: no head holds it up. `conversationd dlq group unpark` lets it go on");
    }
    let at = now();
    if arguments.yes {
        let wish = Control::Skip(arguments.group.clone(), Skip { at });
        site.index.control(&wish, at).await.context("nothing is given up")?;
    }
    if arguments.json {
        let mut output = Output::new();
        output.json(&Done { done: arguments.yes, message_id: None, letters: 0 })?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    say(match arguments.yes {
        true => {
            "the message that holds this group up becomes a dead letter at its next failure, within 22 minutes if it fails; \
             `conversationd dlq list --code skipped` shows it then"
        }
        false => {
            "would give up the message that holds this group up, at its next failure; it stays a dead letter, to be sent back \
             later. Say --yes to do it"
        }
    })?;
    Ok(ExitCode::SUCCESS)
}
