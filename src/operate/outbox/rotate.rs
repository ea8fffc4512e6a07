//! `outbox rotate-secret`: a new key for a webhook, the old one signing beside it for a day. No restart: keys are read at
//! every use.

use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, os::unix::fs::PermissionsExt, path::Path, process::ExitCode};

use anyhow::{Context, anyhow, bail};

use crate::{
    config::{SecretRef, SinksConfig, Target},
    operate::{
        moment::{now, written},
        output::say,
    },
    sink::Keys,
};

/// Which webhook.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Its name.
    sink: String,
    /// Print the whole secret, and write nothing: for secrets that are kept elsewhere.
    #[arg(long)]
    print: bool,
}

pub(super) fn run(arguments: &Arguments, get: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<ExitCode> {
    let config = SinksConfig::read(get)?.context("CONVERSATIOND_SINKS_FILE is not set")?;
    let named = config.sinks.iter().find(|sink| sink.name == arguments.sink);
    let Some(Target::Webhook { secret, .. }) = named.map(|sink| &sink.target) else {
        bail!("the sinks file has no webhook of this name");
    };
    let text = secret.read().context("the secret is not where it should be")?;
    let keys = Keys::parse(text.reveal()).map_err(|wrong| anyhow!(wrong))?;
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|_| anyhow!("the system gives no random bytes"))?;
    let rotated = keys.rotated(random, now());
    match secret {
        _ if arguments.print => say(rotated.text.trim_end())?,
        SecretRef::File(path) => {
            replace(path, &rotated.text).context("the secret's file cannot be written; --print prints it instead")?;
            say(format!(
                "{}\n(the new key, for the receiver; the old one signs on until {})",
                rotated.new,
                written(rotated.until)
            ))?;
        }
        SecretRef::Env(_) => bail!("the secret is in the environment: --print prints what to set it to"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the file there whole or not at all, readable as the old one was.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o777;
    let mut name = path.file_name().context("a file")?.to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let _ = fs::remove_file(&new); // left over from a run that was interrupted
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode & 0o700).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}
