//! The processes of a bench: this program once more, told to do one thing, on the AWS that costs nothing.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use anyhow::ensure;

use crate::{
    backlog::{self, Shape},
    null::NullAws,
    path::Path,
    report::Ran,
    usage::Used,
};

/// What a process that runs one path is told first; then the path, the messages before the measurement, and all of them.
pub const RUN: &str = "--run";

/// What a process that writes conversations into the table is told first; then their lengths.
pub const KEEP: &str = "--keep";

/// What a process that counts tokens is told first; then the table's name.
pub const COUNT: &str = "--count";

/// Runs one path over a full queue, and sees that it did what it was there for.
pub fn run(aws: &NullAws, path: Path, shape: Shape, warm_up: usize, messages: usize) -> anyhow::Result<Ran> {
    aws.fill(backlog::receives(messages, shape, chrono::Utc::now()));
    let output = child(aws, &[RUN, path.name(), &warm_up.to_string(), &messages.to_string()], &[])?;
    let used: Used = serde_json::from_slice(&output)?;
    let bill = aws.bill();
    let (done, expected) = (
        (bill.deleted as usize, bill.put as usize),
        match path {
            Path::Floor => (messages, 0),
            Path::Plain | Path::Ours => (messages, messages),
        },
    );
    ensure!(done == expected, "{}: deleted and put {done:?}, not {expected:?}", path.name());
    Ok(Ran { path, messages, used, bill })
}

/// Writes conversations of these lengths into an empty table, which keeps them.
pub fn keep(aws: &NullAws, lengths: &[usize]) -> anyhow::Result<()> {
    aws.keep();
    let lengths: Vec<String> = lengths.iter().map(usize::to_string).collect();
    let arguments: Vec<&str> = std::iter::once(KEEP).chain(lengths.iter().map(String::as_str)).collect();
    child(aws, &arguments, &[]).map(|_| ())
}

/// This program once more; returns what it printed.
pub fn child(aws: &NullAws, arguments: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<Vec<u8>> {
    let mut command = command(aws, std::env::current_exe()?);
    let output = command.args(arguments).envs(settings.iter().copied()).stdout(Stdio::piped()).output()?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

/// A program that finds the AWS that costs nothing, and nothing else.
pub fn command(aws: &NullAws, program: impl AsRef<OsStr>) -> Command {
    let url = |queue: &str| format!("http://{}/000000000000/{queue}.fifo", aws.address);
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_ENDPOINT_URL", format!("http://{}", aws.address))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "null")
        .env("AWS_SECRET_ACCESS_KEY", "null")
        .env("SQS_CONVERSATION_QUEUE_URL", url("null"))
        .env("SQS_CONVERSATION_DLQ_URL", url("null-dlq"))
        .env("DYNAMODB_MESSAGE_TABLE", "null")
        // taking a message in needs no archive, and there is none
        .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    command
}
