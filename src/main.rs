//! The command line: what was asked → settings → logs → the command. A table of contents.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use conversationd::{
    app::{self, App},
    config::{
        self, AskConfig, Config, DatabaseConfig, Faults, HealthConfig, HotConfig, LogConfig, QueueConfig, SETTINGS,
    },
    operate, telemetry,
};

/// Keeps a company's chat conversations: SQS FIFO in, DynamoDB while open, PostgreSQL once closed.
///
/// Everything is set by environment variables; `conversationd run --help` lists them.
#[derive(Parser)]
#[command(version = app::version(), arg_required_else_help = true)]
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
    /// Make the queues and the table that are missing; the queues alone where PostgreSQL is the hot store.
    ///
    /// Reads the same definition as CloudFormation (infra/conversationd.yaml). Changes and removes nothing that stands.
    Provision(operate::provision::Arguments),
    /// Bring the archive's schema up to this release.
    ///
    /// Safe to run again, and by several at once. Needs DATABASE_URL and a role that may create tables.
    Migrate,
    /// Send events from a file into the inbound queue, in order within each thread.
    ///
    /// One event a line, as publishers send them. Lines that no daemon would take are told by number and not sent; the exit
    /// code is then 65. Sending a file again is safe: an event is known by its id. Needs SQS_CONVERSATION_QUEUE_URL only.
    #[command(
        after_help = "Examples:\n  conversationd publish events.jsonl\n  zcat old.jsonl.gz | conversationd publish -"
    )]
    Publish(operate::publish::Arguments),
    /// Check events before they are sent: which would be rejected, deduplicated wrongly, or kept oddly.
    ///
    /// Reads JSON Lines, a JSON array or one event, and asks the daemon's own decoder. Shows the right MessageGroupId, its contact
    /// masked unless --reveal, and MessageDeduplicationId. Values are never shown. Sends nothing, needs no setting. Exit code 1
    /// when any event would be rejected.
    #[command(
        after_help = "Examples:\n  conversationd lint events.jsonl\n  my-publisher --dry-run | conversationd lint - --json"
    )]
    Lint(operate::lint::Arguments),
    /// Print the wire contract: the AsyncAPI document of everything, or the JSON Schema of one event.
    ///
    /// Made from what the decoder itself declares; docs/asyncapi.yaml and docs/schemas are this command's output.
    #[command(
        after_help = "Examples:\n  conversationd schema > asyncapi.yaml\n  conversationd schema message.received\n  \
                            conversationd schema --out docs"
    )]
    Schema(operate::schema::Arguments),
    /// Look at conversations, open and closed, and close them by hand.
    ///
    /// Contacts, names and texts are masked unless --reveal.
    #[command(subcommand)]
    Conversations(operate::conversations::Command),
    /// Ask the daemon a question, as a program would, and show the answer.
    ///
    /// Sends a request into the queue, with a reply queue of its own that is removed again, and waits. The daemons must be told
    /// CONVERSATIOND_REPLY_QUEUES=conversationd-ask-* (or the name given with --reply-queue). What people said is hidden
    /// unless --reveal. Exit code 0 when there is an answer, 1 when there is none, 65 when the daemon would not take the
    /// question.
    #[command(
        after_help = "Examples:\n  conversationd ask get_context --project P --contact whatsapp:+5511… --channel CH --window 8k\n  \
                            conversationd ask list_conversations --project P --status open --json | jq .data\n  \
                            conversationd ask get_stats --project P --group-by day"
    )]
    Ask(operate::ask::Arguments),
    /// Show what a project's closed conversations add up to: resolutions, times, CSAT, NPS, busiest agents, days.
    ///
    /// Reads the archive, or the replica that CONVERSATIOND_READ_REPLICA_URL names; needs no daemon.
    #[command(after_help = "Examples:\n  conversationd stats --project P\n  \
                            conversationd stats --project P --since 90d --agent A --json | jq .stats.csat")]
    Stats(operate::stats::Arguments),
    /// Tell everything that happened to a conversation or a contact, and why, in one timeline.
    ///
    /// Opened, said, sent twice, rated, closed and why, archived and whether that still holds, what came late, what died, holds
    /// and wishes to be erased; with where each message stands. Reads both stores and the index of dead letters, changes
    /// nothing. Texts, comments and reasons are masked unless --reveal.
    #[command(after_help = "Examples:\n  conversationd explain 6f0c63a4-5d53-5c5e-9d0a-0d5b6a1e7c11\n  \
                            conversationd explain whatsapp:+5511… --project P --messages 0\n  \
                            conversationd explain 6f0c63a4-5d53-5c5e-9d0a-0d5b6a1e7c11 --json | jq -r '[.at, .what, .said] | @tsv'")]
    Explain(operate::explain::Arguments),
    /// See and set when a project's conversations close: its time zone, midnight, idle time.
    #[command(subcommand)]
    Projects(operate::projects::Command),
    /// Look at what could not be handled, and send it back.
    ///
    /// Everything that changes something is a dry run unless --yes. Groups and bodies are masked unless --reveal.
    #[command(subcommand)]
    Dlq(operate::dlq::Command),
    /// Look at what outside systems are told: sinks, what waits, what was given up; and the ways on.
    ///
    /// Everything that changes dispatches is a dry run unless --yes. Contents are hidden unless --reveal.
    #[command(subcommand)]
    Outbox(operate::outbox::Command),
    /// Stop consuming, in all replicas.
    ///
    /// They go on living: they receive nothing, begin nothing, charge nobody, and keep what they have in hand. Needs
    /// DYNAMODB_MESSAGE_TABLE only, or DATABASE_URL where that is the hot store.
    #[command(after_help = "Example:\n  conversationd pause --reason 'the archive moves house'")]
    Pause(operate::pause::Arguments),
    /// Consume again, in all replicas.
    Resume,
    /// Show how an outage of DynamoDB is gone through: from where deliveries come, what is held, who is waited for.
    ///
    /// Only where CONVERSATIOND_SPOOL_AFTER_SECONDS is set is anything ever spooled. Needs DATABASE_URL only.
    #[command(after_help = "Examples:\n  conversationd spool\n  conversationd spool --json | jq .stage")]
    Spool(operate::spool::Arguments),
    /// Check that the archive still holds what its rows say: counts, tokens, content hashes, statistics.
    ///
    /// Computes them again from the messages. Changes nothing. Exit code 1 when anything differs.
    #[command(
        after_help = "Examples:\n  conversationd verify --since 7d\n  conversationd verify --project P --sample 1000 --json"
    )]
    Verify(operate::verify::Arguments),
    /// Compare the hot store with the archive: what closed must stand in both, what is due must have been looked at.
    ///
    /// Goes through the whole table; --one-in 100 takes a sample. Changes nothing unless --repair: then messages that the
    /// archive lacks are appended as late arrivals are, each once, and what is overdue is sent to the daemon as the timer
    /// would have. Exit code 1 when something differs and was not repaired. Needs a role that may scan the table.
    #[command(after_help = "Examples:\n  conversationd reconcile --project P --day 2026-03-01\n  \
                            conversationd reconcile --one-in 100 --json\n  conversationd reconcile --repair")]
    Reconcile(operate::reconcile::Arguments),
    /// Keep the archive small: retention.
    #[command(subcommand)]
    Archive(operate::archive::Command),
    /// Write closed conversations into a file or a pipe, whatever their number.
    ///
    /// Reads page by page. A file has its name only once it is whole and safe on disk. Contacts, names and texts are masked
    /// unless --reveal.
    #[command(
        after_help = "Examples:\n  conversationd export --project P --since 30d --gzip --out march.jsonl.gz --reveal\n  \
                            conversationd export --format csv --out - | head"
    )]
    Export(operate::export::Arguments),
    /// Take over the older service's conversations, and compare the two.
    #[command(subcommand)]
    Import(operate::import::Command),
    /// Links between conversations and customer records.
    #[command(subcommand)]
    Crm(operate::crm::Command),
    /// Put legal holds on, and take them off: what they cover is neither erased nor purged.
    #[command(subcommand)]
    Hold(operate::hold::Command),
    /// Erase a person: hot store, archive, ratings, customer links, notices, dead letters; with a signed receipt.
    ///
    /// Says what would be erased; --yes does it. Texts and identifiers go; counts and statistics stay, of nobody. An open
    /// conversation is closed first, by the daemon, in its turn. A legal hold refuses. The receipt names nobody: keep it, and
    /// --verify tells later that it is genuine and of whom. Needs CONVERSATIOND_RECEIPT_KEY, and a role of the operator's own
    /// that may scan the table and delete from it. Exit code 1 when somebody is held, not closed yet, or has letters out of
    /// reach: the request stands, and --pending takes it up.
    #[command(after_help = "Examples:\n  conversationd erase --project P --contact whatsapp:+5511…\n  \
                            conversationd erase --project P --contact whatsapp:+5511… --yes\n  \
                            conversationd erase --project P --contact whatsapp:+5511… --yes --json > receipt.json\n  \
                            conversationd erase --verify receipt.json --project P --contact whatsapp:+5511…\n  \
                            conversationd erase --pending --yes    # daily: what contact.erase events asked for")]
    Erase(operate::erase::Arguments),
    /// Check everything the daemon depends on, and say what to do.
    ///
    /// Settings, queues, table, archive, their permissions, clocks, reply queues, sinks: looks at all of them, and tries what the
    /// role's policy allows in ways that do nothing; changes nothing. Each finding says what is wrong, why it matters and what to
    /// do. Exit code 0 when there is no fault (warnings may be, unless --strict), 1 when there is one, 64 when a setting cannot
    /// be used; the rest is looked at all the same.
    #[command(
        after_help = "Examples:\n  conversationd doctor && conversationd run\n  conversationd doctor --role operator\n  \
                            conversationd doctor --json | jq -r '.findings[] | select(.level != \"ok\") | [.check, .found] | @tsv'"
    )]
    Doctor(operate::doctor::Arguments),
    /// Watch the fleet: queue, rates, latencies, breakers, dead letters, outbox, busiest projects, cost so far.
    ///
    /// A live view for the terminal; keys are explained by `?`. Asks no daemon and needs no port: queues, the table, where each
    /// replica writes how it is every few seconds (CONVERSATIOND_BEAT_SECONDS), and the outbox tell all of it. What cannot be
    /// read says why, and hides nothing else. Changes nothing.
    #[command(after_help = "Examples:\n  conversationd top\n  conversationd top --once --view outbox\n  \
                            conversationd top --json | jq '.queue.known.waiting'")]
    Top(operate::top::Arguments),
    /// Say whether the daemon beside it lives: for probes, without a port.
    ///
    /// Reads CONVERSATIOND_HEALTH_FILE, which the daemon writes every 5 seconds. Prints one line; exit code 0 when the daemon
    /// lives or drains, 1 when it is stuck, silent or gone, 64 when the setting is missing.
    #[command(after_help = "Example, as a Kubernetes liveness probe:\n  exec: { command: [conversationd, health] }")]
    Health(operate::health::Arguments),
    /// Show every setting: what it is set to, or its default. Secrets are hidden.
    #[command(after_help = "Example:\n  conversationd settings | grep -v default")]
    Settings(operate::settings::Arguments),
    /// Print what completes this program's commands in a shell.
    #[command(
        after_help = "Example:\n  conversationd completions bash > /usr/share/bash-completion/completions/conversationd"
    )]
    Completions(operate::manual::Completions),
    /// Write the manual pages, one for each command.
    #[command(after_help = "Example:\n  conversationd man --out /usr/local/share/man/man1 && man conversationd-dlq")]
    Man(operate::manual::Man),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let log = match LogConfig::read(&config::environment) {
        Ok(log) => log,
        Err(_) if matches!(arguments.command, Command::Doctor(_)) => LogConfig::default(), // the doctor tells it
        Err(faults) => return unusable(with_all_others(&arguments.command, faults)),
    };
    let _reports = telemetry::start(&log);
    match command(arguments.command).await {
        Ok(code) => code,
        Err(failure) if operate::nobody_reads(&failure) => ExitCode::SUCCESS,
        Err(failure) => match failure.downcast::<Faults>() {
            Ok(faults) => unusable(faults),
            Err(failure) => {
                eprintln!("conversationd: {failure:#}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn command(command: Command) -> anyhow::Result<ExitCode> {
    let environment = &config::environment;
    match command {
        Command::Run => {
            if let Err(failure) = app::keep_to_itself() {
                tracing::warn!(error = %failure, "other processes of this user may look into this one");
            }
            let config = Config::read(environment)?;
            for variable in config::unknown_settings() {
                tracing::warn!(variable, "no setting is called so: see `conversationd run --help`");
            }
            App::build(&config).await?.run().await?;
        }
        Command::Provision(arguments) => operate::provision::run(&arguments, environment).await?,
        Command::Migrate => operate::migrate::run(&DatabaseConfig::read(environment)?).await?,
        Command::Publish(arguments) => {
            return operate::publish::run(&arguments, &QueueConfig::read(environment)?).await;
        }
        Command::Lint(arguments) => return operate::lint::run(&arguments),
        Command::Schema(arguments) => return operate::schema::run(&arguments),
        Command::Conversations(command) => return operate::conversations::run(&command, environment).await,
        Command::Ask(arguments) => return operate::ask::run(&arguments, &AskConfig::read(environment)?).await,
        Command::Stats(arguments) => {
            return operate::stats::run(&arguments, &DatabaseConfig::read(environment)?).await;
        }
        Command::Explain(arguments) => return operate::explain::run(&arguments, environment).await,
        Command::Projects(command) => return operate::projects::run(&command, environment).await,
        Command::Dlq(command) => return operate::dlq::run(&command, environment).await,
        Command::Outbox(command) => return operate::outbox::run(&command, environment).await,
        Command::Pause(arguments) => return operate::pause::pause(&arguments, &HotConfig::read(environment)?).await,
        Command::Spool(arguments) => return operate::spool::run(&arguments, &DatabaseConfig::read(environment)?).await,
        Command::Resume => return operate::pause::resume(&HotConfig::read(environment)?).await,
        Command::Verify(arguments) => {
            return operate::verify::run(&arguments, &DatabaseConfig::read(environment)?).await;
        }
        Command::Reconcile(arguments) => return operate::reconcile::run(&arguments, environment).await,
        Command::Archive(command) => return operate::archive::run(&command, &DatabaseConfig::read(environment)?).await,
        Command::Export(arguments) => {
            return operate::export::run(&arguments, &DatabaseConfig::read(environment)?).await;
        }
        Command::Import(command) => return operate::import::run(&command, environment).await,
        Command::Crm(command) => return operate::crm::run(&command, environment).await,
        Command::Hold(command) => return operate::hold::run(&command, &DatabaseConfig::read(environment)?).await,
        Command::Erase(arguments) => return operate::erase::run(&arguments, environment).await,
        Command::Doctor(arguments) => return operate::doctor::run(&arguments, environment).await,
        Command::Top(arguments) => return operate::top::run(&arguments, environment).await,
        Command::Health(arguments) => return operate::health::run(&arguments, &HealthConfig::read(environment)?),
        Command::Settings(arguments) => operate::settings::run(&arguments, environment)?,
        Command::Completions(arguments) => operate::manual::completions(&arguments, &mut Arguments::command())?,
        Command::Man(arguments) => operate::manual::man(&arguments, Arguments::command())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The faults of the daemon's other settings too: whoever mends one should see them all.
fn with_all_others(command: &Command, faults: Faults) -> Faults {
    match command {
        Command::Run => Config::read(&config::environment).err().map_or(faults.clone(), |others| faults.and(others)),
        _ => faults,
    }
}

fn unusable(faults: Faults) -> ExitCode {
    eprintln!("conversationd: {faults}\n\n`conversationd run --help` lists every setting.");
    ExitCode::from(operate::UNUSABLE_SETTINGS)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)] // a test may panic

    use std::{fs, path::Path};

    use clap::CommandFactory;

    use super::Arguments;

    /// What stands for a variable, or for the rest of an id: it fits wherever one of them may stand.
    const SOMETHING: &str = "6f0c63a4-5d53-5c5e-9d0a-0d5b6a1e7c11";

    /// Documents whose blocks of shell are read.
    const DOCUMENTS: [&str; 12] = [
        "README.md",
        "infra/README.md",
        "docs/archive.md",
        "docs/capacity.md",
        "docs/context.md",
        "docs/contract.md",
        "docs/install.md",
        "docs/metrics.md",
        "docs/migrating.md",
        "docs/outbound.md",
        "docs/runbook.md",
        "migrations/README.md",
    ];

    /// The lines of its shell blocks, continued ones joined.
    fn shell(document: &str) -> Vec<String> {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(document)).expect(document);
        let (mut lines, mut inside) = (Vec::new(), false);
        for line in text.replace("\\\n", " ").lines().map(str::trim_start) {
            if line.starts_with("```") {
                inside = line == "```sh";
            } else if inside {
                lines.push(line.to_owned());
            }
        }
        lines
    }

    /// Whether a command may begin after `before`: at the beginning or after an operator, with nothing but assignments between.
    fn begins_a_command(before: &str) -> bool {
        let since = before.rsplit(['|', '&', ';', '(']).next().unwrap_or(before);
        since.split_whitespace().all(|word| word.contains('=') && word.starts_with(|c: char| c.is_ascii_uppercase()))
    }

    /// The words of the command that `text` begins with, as a shell would split them: to the first operator or comment.
    fn words(text: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in text.chars() {
            match (c, quote) {
                ('|' | ';' | '&' | ')' | '>' | '<', None) => break,
                ('#', None) if word.is_none() => break,
                (c, None) if c.is_whitespace() => words.extend(word.take()),
                ('\'' | '"', None) => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        let filled = |word: String| if word.contains(['$', '…']) { SOMETHING.to_owned() } else { word };
        words.into_iter().map(filled).collect()
    }

    /// Every command of this program in a line of shell.
    fn commands(line: &str) -> Vec<Vec<String>> {
        let found = line.match_indices("conversationd ").filter(|(at, _)| begins_a_command(&line[..*at]));
        found.map(|(at, _)| words(&line[at..])).collect()
    }

    #[test]
    fn commands_are_found_in_a_line_of_shell() {
        let found = |line: &str| commands(line).into_iter().map(|words| words.join(" ")).collect::<Vec<_>>();
        assert_eq!(
            found("A=1 conversationd doctor && conversationd run # conversationd x"),
            ["conversationd doctor", "conversationd run"]
        );
        assert_eq!(found("x=\"$(conversationd lint - | head)\""), ["conversationd lint -"]);
        assert_eq!(found("aws deploy --stack-name conversationd --template x"), Vec::<String>::new());
        assert_eq!(found("conversationd pause --reason 'a b'"), ["conversationd pause --reason a b"]);
        assert_eq!(found("conversationd dlq show \"$ID\""), [format!("conversationd dlq show {SOMETHING}")]);
    }

    #[test]
    fn every_command_in_the_documents_parses() {
        let (mut seen, mut wrong) = (0, Vec::new());
        for document in DOCUMENTS {
            for line in shell(document) {
                for words in commands(&line) {
                    seen += 1;
                    if let Err(error) = Arguments::command().try_get_matches_from(words) {
                        wrong.push(format!("{document}: {line}\n{error}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(seen > 50, "only {seen} commands were found");
    }

    /// The examples that each command's help shows.
    fn examples(command: &clap::Command, into: &mut Vec<String>) {
        let helps = [command.get_after_help(), command.get_after_long_help()];
        let lines = helps.into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        into.extend(lines.lines().map(str::trim).filter(|line| line.contains("conversationd ")).map(str::to_owned));
        command.get_subcommands().for_each(|command| examples(command, into));
    }

    #[test]
    fn every_example_of_the_help_parses() {
        let mut lines = Vec::new();
        examples(&Arguments::command(), &mut lines);
        let all: Vec<_> = lines.iter().flat_map(|line| commands(line)).collect();
        for words in &all {
            let parsed = Arguments::command().try_get_matches_from(words);
            assert!(parsed.is_ok(), "{words:?}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
        }
        assert!(all.len() > 40, "only {} examples were found", all.len());
    }
}
