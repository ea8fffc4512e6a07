//! `dlq edit`: a letter with another body, sent back.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, bail};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    BAD_INPUT, Site,
    peek::{Found, Peek, not_reachable},
    wanted::raw,
};
use crate::{
    event,
    hot::{Settled, Settlement},
    operate::{
        letters,
        mask::Mask,
        moment::now,
        output::{Output, harmless},
    },
    queue::{Command, Delivery, fifo_id},
};

/// Which letter, and how to change it.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The id that `dlq list` shows.
    id: String,
    /// A JSON merge patch (RFC 7396) of the body: fields to set, null to remove.
    #[arg(long, value_name = "FILE")]
    patch: PathBuf,
    /// Do it, instead of only saying what would be done.
    #[arg(long)]
    yes: bool,
    /// Show values as they are.
    #[arg(long)]
    reveal: bool,
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let named = || format!("{} is not a JSON file", arguments.patch.display());
    let patch: Value =
        serde_json::from_str(&std::fs::read_to_string(&arguments.patch).with_context(named)?).with_context(named)?;
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
    let before: Value = match serde_json::from_str(&found.letter.body) {
        Ok(before) => before,
        Err(_) => {
            peek.end_with(&found.letter).await;
            bail!("the body is not JSON: it cannot be patched; discard it, and publish it anew if it is to be kept");
        }
    };
    let mut after = before.clone();
    merge(&mut after, &patch);
    let edited = Delivery { body: Arc::from(after.to_string()), ..found.letter.clone() };
    let mut changes = Vec::new();
    differences("", &before, &after, Mask::unless(arguments.reveal), &mut changes);
    let mut output = Output::new();
    changes.iter().try_for_each(|line| output.line(harmless(line)))?;
    if let Err(rejection) = event::decode(&raw(&edited)) {
        peek.end_with(&found.letter).await;
        output.flush()?;
        eprintln!("conversationd: the daemon would not take this either: {rejection}");
        return Ok(ExitCode::from(BAD_INPUT));
    }
    if changes.is_empty() || !arguments.yes {
        peek.end_with(&found.letter).await;
        output.line(if changes.is_empty() {
            "the patch changes nothing"
        } else {
            "nothing was sent; say --yes to send this"
        })?;
        output.flush()?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Err(failure) = site.queue().send(command(&found, &edited)).await {
        peek.end_with(&found.letter).await;
        return Err(failure).context("nothing was sent");
    }
    let (id, settled) = (&found.note.original_message_id, Settled { how: Settlement::Edited, at: now() });
    if let Err(failure) = site.index.mark_dead_letter(found.note.original_sent_at, id, settled).await {
        eprintln!("conversationd: the row in the index is not marked: {failure}");
    }
    peek.delete(&found.letter).await?;
    output.line(format!("sent {id} back into its group"))?;
    if found.before > 0 {
        output
            .line(format!("{} letters before it in its group are still dead: it has overtaken them", found.before))?;
    }
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// What sends the edited letter. Its deduplication id names the body: the same edit twice is taken once, another is another.
fn command(found: &Found, edited: &Delivery) -> Command {
    let mut note = found.note.clone();
    note.original_body_sha256.get_or_insert_with(|| hash(&found.letter.body));
    let command = note.command(edited, "edit");
    Command { dedup_id: fifo_id(&format!("{}#e{}", command.dedup_id, &hash(&edited.body)[..16])), ..command }
}

fn hash(body: &str) -> String {
    Sha256::digest(body.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 7396.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else {
            merge(target.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// One line for every value that goes, and every one that comes.
fn differences(path: &str, before: &Value, after: &Value, mask: Mask, lines: &mut Vec<String>) {
    if before == after {
        return;
    }
    if let (Value::Object(one), Value::Object(other)) = (before, after) {
        let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for name in names {
            let of = |object: &serde_json::Map<String, Value>| object.get(name).cloned().unwrap_or_default();
            differences(&format!("{path}/{name}"), &of(one), &of(other), mask, lines);
        }
        return;
    }
    for (sign, value) in [('-', before), ('+', after)] {
        if !value.is_null() {
            let text = value.to_string();
            lines.push(format!("{sign} {path}: {}", mask.hidden(text.clone()).unwrap_or_else(|| mask.text(&text))));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_sets_removes_and_descends() {
        // the examples of RFC 7396
        for (mut target, patch, expected) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            merge(&mut target, &patch);
            assert_eq!(target, expected);
        }
    }

    #[test]
    fn what_changes_is_told_masked() {
        let mut lines = Vec::new();
        differences("", &json!({"a": 1, "b": {"c": "x"}}), &json!({"a": 1, "b": {"d": 2}}), Mask::Off, &mut lines);
        assert_eq!(lines, ["- /b/c: \"x\"", "+ /b/d: 2"]);
        lines.clear();
        differences("", &json!({"a": "secret"}), &json!({"a": "other"}), Mask::On, &mut lines);
        assert_eq!(lines, ["- /a: [8 characters]", "+ /a: [7 characters]"]);
    }
}
