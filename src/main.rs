//! The command line: what was asked → settings → logs → the command. A table of contents.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conversationd::{
    app::App,
    config::{self, Config, DatabaseConfig, Faults, LogConfig, SETTINGS},
    operate, telemetry,
};

/// Keeps a company's chat conversations: SQS FIFO in, DynamoDB while open, PostgreSQL once closed.
///
/// Everything is set by environment variables; `conversationd run --help` lists them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM.
    ///
    /// Receives events, keeps conversations, archives what closes. Any number of replicas may run on one queue.
    /// SIGTERM stops polling, lets running work end, gives back the rest and exits with 0.
    #[command(after_long_help = settings())]
    Run,
    /// Make the queues and the table that are missing.
    ///
    /// Reads the same definition as CloudFormation (infra/conversationd.yaml). Changes and removes nothing that stands.
    Provision(operate::provision::Arguments),
    /// Bring the archive's schema up to this release.
    ///
    /// Safe to run again, and by several at once. Needs DATABASE_URL and a role that may create tables.
    Migrate,
}

/// Exit code for settings that cannot be used (EX_USAGE).
const UNUSABLE: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = match LogConfig::read(&config::environment) {
        Ok(log) => log,
        Err(faults) => return unusable(&faults),
    };
    let _reports = telemetry::start(&log);
    match command(arguments.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => match failure.downcast_ref::<Faults>() {
            Some(faults) => unusable(faults),
            None => {
                eprintln!("conversationd: {failure:#}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn command(command: Command) -> anyhow::Result<()> {
    let environment = &config::environment;
    match command {
        Command::Run => App::build(&Config::read(environment)?).await?.run().await,
        Command::Provision(arguments) => operate::provision::run(&arguments).await,
        Command::Migrate => operate::migrate::run(&DatabaseConfig::read(environment)?).await,
    }
}

fn unusable(faults: &Faults) -> ExitCode {
    let all = Config::read(&config::environment).err().into_iter().flat_map(|others| others.0);
    let mut shown = faults.clone();
    shown.0.extend(all.filter(|fault| !faults.0.contains(fault)));
    eprintln!("conversationd: {shown}\n\n`conversationd run --help` lists every setting.");
    ExitCode::from(UNUSABLE)
}

/// Every setting, for `--help`.
fn settings() -> String {
    let mut text = String::from("Settings (environment variables):\n");
    for setting in SETTINGS {
        let unit = if setting.unit.is_empty() { String::new() } else { format!(", {}", setting.unit) };
        text += &format!("  {} [{}{unit}]\n          {}\n", setting.variable, setting.default, setting.meaning);
    }
    text + "\nAWS credentials, region and endpoints are read as every AWS tool reads them \
            (AWS_REGION, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS, AWS_ENDPOINT_URL_DYNAMODB, ...)."
}
