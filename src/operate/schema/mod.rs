//! `conversationd schema`: the contract as documents, made from the shapes that the decoder's readers declare.

mod asyncapi;
mod yaml;

use std::{collections::BTreeMap, fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use serde_json::{Map, Value};

use super::output::say;
use crate::{
    answer::reply_schema,
    event::contract::{as_document, described},
};

/// The file of the AsyncAPI document.
const ASYNCAPI: &str = "asyncapi.yaml";

/// What the schema of replies is called.
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
    let reply = (format!("schemas/{REPLY}.json"), schema(as_document(REPLY, reply())));
    schemas.chain([reply, (ASYNCAPI.to_owned(), yaml::written(&asyncapi::document()))]).collect()
}

/// The schema of every reply.
fn reply() -> Map<String, Value> {
    let names: Vec<&str> = described().iter().filter(|event| event.is_request).map(|event| event.name).collect();
    reply_schema(&names)
}

/// Prints, or writes.
///
/// # Errors
/// There is no such name, or a file cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if arguments.list {
        let names: Vec<&str> = described().iter().map(|event| event.name).chain([REPLY]).collect();
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
