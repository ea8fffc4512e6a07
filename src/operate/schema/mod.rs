//! `conversationd schema`: the contract as documents, made from the shapes that the decoder's readers declare.

mod asyncapi;
mod yaml;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde_json::{Map, Value};

use super::output::say;
use crate::{
    answer::{reply_schema, schema_of_reply},
    event::contract::{as_document, described},
};

/// The file of the AsyncAPI document.
const ASYNCAPI: &str = "asyncapi.yaml";

/// What the schema of replies is called, and what those of each request's end with.
const REPLY: &str = "reply";

/// What to print.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Print the JSON Schema of this one, such as message.received; without it, the AsyncAPI document of everything.
    #[arg(conflicts_with_all = ["list", "out"])]
    name: Option<String>,
    /// Print the names that have a schema.
    #[arg(long, conflicts_with = "out")]
    list: bool,
    /// Write all of them into this folder: asyncapi.yaml, and schemas/NAME.json for each.
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Every document, by its path below the folder that they are kept in.
pub fn documents() -> BTreeMap<String, String> {
    let schema = |document| format!("{:#}\n", Value::Object(document));
    let schemas =
        described().into_iter().map(|event| (format!("schemas/{}.json", event.name), schema(event.document())));
    let replies = replies().into_iter().map(|(name, reply)| {
        let document = schema(as_document(&name, reply));
        (format!("schemas/{name}.json"), document)
    });
    schemas.chain(replies).chain([(ASYNCAPI.to_owned(), yaml::written(&asyncapi::document()))]).collect()
}

/// The schema of what all replies have in common, and that of each request's.
fn replies() -> Vec<(String, Map<String, Value>)> {
    let names: Vec<&str> = described().iter().filter(|event| event.is_request).map(|event| event.name).collect();
    let each = names.iter().filter_map(|name| Some((format!("{name}.{REPLY}"), schema_of_reply(name)?)));
    [(REPLY.to_owned(), reply_schema(&names))].into_iter().chain(each).collect()
}

/// Prints, or writes.
///
/// # Errors
/// There is no such name, or a file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        let events = described().into_iter().map(|event| event.name.to_owned());
        let names: Vec<String> = events.chain(replies().into_iter().map(|(name, _)| name)).collect();
        say(names.join("\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let documents = documents();
    if let Some(folder) = &arguments.out {
        for (path, text) in &documents {
            let path = folder.join(path);
            let cannot = || format!("{} cannot be written", path.display());
            fs::create_dir_all(path.parent().unwrap_or(folder)).with_context(cannot)?;
            fs::write(&path, text).with_context(cannot)?;
        }
        say(format!("{} documents in {}", documents.len(), folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = arguments.name.as_ref().map_or_else(|| ASYNCAPI.to_owned(), |name| format!("schemas/{name}.json"));
    let text = documents.get(&path).context("there is no schema of that name; --list prints those that have one")?;
    say(text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}
