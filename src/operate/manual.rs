//! `conversationd completions`, `conversationd man`: what a shell and a reader need to know of the command line.

use std::{fs, io::Write, path::PathBuf};

use anyhow::Context;
use clap::Command;

use super::output::{say, written};

/// Which shell.
#[derive(Clone, Debug, clap::Args)]
pub struct Completions {
    /// The shell that reads it.
    shell: clap_complete::Shell,
}

/// Where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Man {
    /// The folder to write them into; made if it is not there.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
}

/// Prints the script that completes `command`.
///
/// # Errors
/// It cannot be written.
pub fn completions(arguments: &Completions, command: &mut Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, env!("CARGO_PKG_NAME"), &mut script);
    Ok(written(std::io::stdout().write_all(&script))?)
}

/// Writes a page for `command` and one for each command below it.
///
/// # Errors
/// The folder, or a page, cannot be written.
pub fn man(arguments: &Man, command: Command) -> anyhow::Result<()> {
    let folder = &arguments.out;
    let cannot = || format!("pages cannot be written into {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    clap_mangen::generate_to(command, folder).with_context(cannot)?;
    say(format!("pages in {}", folder.display()))?;
    Ok(())
}
