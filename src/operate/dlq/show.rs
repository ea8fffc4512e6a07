//! `dlq show`: everything known of one dead letter.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{
    Site, list,
    peek::{Found, Peek, not_reachable},
};
use crate::operate::{
    letters,
    mask::Mask,
    output::{Output, harmless},
};

/// Which letter, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The id that `dlq list` shows.
    id: String,
    /// Show the group and the body as they are. Reading the body receives from the dead-letter queue, and gives back at once.
    #[arg(long)]
    reveal: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let row = letters::row(&*site.index, &arguments.id).await?;
    let mask = Mask::unless(arguments.reveal);
    let mut found = None;
    // without a row the queue alone may know it
    if arguments.reveal || row.is_none() {
        let mut peek = Peek::begin(site);
        let looked = peek.find(&arguments.id).await;
        match &looked {
            Ok(Some(found)) => peek.end_with(&found.letter).await,
            _ => peek.end().await,
        }
        found = looked?;
    }
    if row.is_none() && found.is_none() {
        return Err(not_reachable(&arguments.id, false));
    }
    let mut shown = row.as_ref().map_or_else(|| json!({ "message_id": arguments.id }), |row| list::view(row, mask));
    if let Some(found) = &found {
        describe(&mut shown, found, mask);
    }
    let unreachable = arguments.reveal && found.is_none() && row.is_some_and(|row| row.settled.is_none());
    let mut output = Output::new();
    if arguments.json {
        output.json(&shown)?;
    } else if let Value::Object(fields) = &shown {
        let width = fields.keys().map(String::len).max().unwrap_or_default();
        for (name, value) in fields {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            output.line(format!("{name:<width$}  {}", harmless(&text)))?;
        }
    }
    output.flush()?;
    if unreachable {
        return Err(not_reachable(&arguments.id, true));
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(shown: &mut Value, found: &Found, mask: Mask) {
    shown["note"] = serde_json::to_value(&found.note).unwrap_or_default();
    shown["before_it_in_its_group"] = found.before.into();
    shown["group_id"] = mask.hidden(found.letter.group_id.clone()).unwrap_or_else(|| "…".into()).into();
    shown["body"] = mask.hidden(found.letter.body.to_string()).unwrap_or_else(|| mask.text(&found.letter.body)).into();
}
