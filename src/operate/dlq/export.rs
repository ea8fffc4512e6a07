//! `dlq export`: letters into a file, with everything they carry. Deletes nothing.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;

use super::{Site, peek::Peek, wanted::Wanted};
use crate::{
    operate::{letters, output::say},
    queue::{Delivery, Note},
};

/// What to export, and where to.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The file; it must not exist yet. It holds personal data in clear: only you may read it.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    wanted: Wanted,
}

/// A letter in a file.
#[derive(Serialize)]
struct Line<'a> {
    message_id: &'a str,
    group_id: &'a str,
    sequence: String,
    sent_at: chrono::DateTime<chrono::Utc>,
    receive_count: u32,
    attributes: &'a std::collections::BTreeMap<String, String>,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    discarded_because: Option<&'a str>,
}

/// A new file that only its owner may read.
pub(in crate::operate) fn create(path: &Path) -> anyhow::Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.with_context(|| format!("{} cannot be made", path.display()))
}

/// Writes a letter as a line.
pub(super) fn write(file: &mut impl Write, letter: &Delivery, why: Option<&str>) -> anyhow::Result<()> {
    let line = Line {
        message_id: &letter.message_id,
        group_id: &letter.group_id,
        sequence: letter.sequence.0.to_string(),
        sent_at: letter.sent_at,
        receive_count: letter.receive_count,
        attributes: &letter.attributes,
        body: &letter.body,
        discarded_because: why,
    };
    serde_json::to_writer(&mut *file, &line)?;
    Ok(file.write_all(b"\n")?)
}

/// Makes the file and its name survive a power cut.
pub(in crate::operate) fn keep(file: &File, path: &Path) -> anyhow::Result<()> {
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(folder)?.sync_all()?)
}

pub(super) async fn run(arguments: &Arguments, site: &Site) -> anyhow::Result<ExitCode> {
    let wanted = site.resolved(&arguments.wanted).await?;
    let file = create(&arguments.out)?;
    let mut peek = Peek::begin(site);
    let exported = all(&wanted, &arguments.out, &mut peek, &file).await;
    peek.end().await;
    let (seen, exported) = exported?;
    let (waiting, in_flight) = letters::depth(&site.clients.sqs.control, &site.dead.url).await?;
    say(format!("exported={exported} seen={seen} in_queue={}", waiting + in_flight))?;
    if seen < waiting + in_flight {
        eprintln!(
            "conversationd: {} letters could not be reached: only the first ten of a group can be received, and looking ends \
             after half a minute",
            waiting + in_flight - seen
        );
    }
    Ok(ExitCode::SUCCESS)
}

async fn all(wanted: &Wanted, out: &Path, peek: &mut Peek, file: &File) -> anyhow::Result<(u64, u64)> {
    let (mut lines, mut seen, mut exported) = (BufWriter::new(file), 0, 0);
    loop {
        let letters = peek.more().await?;
        if letters.is_empty() {
            break;
        }
        for letter in &letters {
            seen += 1;
            if wanted.takes_letter(letter, &Note::of_letter(letter)) {
                write(&mut lines, letter, None)?;
                exported += 1;
            }
        }
    }
    lines.flush()?;
    drop(lines);
    keep(file, out)?;
    Ok((seen, exported))
}
