//! The ways to empty a queue, each in a process of its own.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use conversationd::{
    app::{App, Clients, Endpoints},
    config::{self, Config, LogConfig},
    consumer::Stop,
    counters::Counters,
    telemetry,
};
use tokio_util::sync::CancellationToken;

use crate::{
    floor, kept, plain,
    usage::{Used, used},
};

/// Loops at once of the paths that are not ours: as many as our polls by default.
const LOOPS: usize = 8;

/// How long a poll of theirs waits, as ours.
const WAIT: Duration = Duration::from_secs(10);

/// A way to empty a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Receive ten, delete ten: the least that any consumer does.
    Floor,
    /// What people usually write.
    Plain,
    /// This daemon.
    Ours,
}

impl Path {
    /// All of them, in the table's order.
    pub const ALL: [Self; 3] = [Self::Floor, Self::Plain, Self::Ours];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Plain => "plain",
            Self::Ours => "ours",
        }
    }

    /// The path of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|path| path.name() == name)
    }

    /// Empties the queue of `messages`; says what that used, but for the first `warm`.
    ///
    /// # Errors
    /// A setting is missing, or a call failed.
    pub async fn run(self, warm: u64, messages: u64) -> anyhow::Result<Used> {
        match self {
            Self::Ours => ours(warm, messages).await,
            Self::Floor | Self::Plain => {
                let counters = Arc::new(Counters::default());
                let clients = Clients::build(&Endpoints::default(), WAIT, &counters).await;
                for _ in 0..LOOPS {
                    let (clients, counters) = (clients.clone(), counters.clone());
                    let (queue, table) = (setting("SQS_CONVERSATION_QUEUE_URL")?, setting("DYNAMODB_MESSAGE_TABLE")?);
                    tokio::spawn(async move {
                        let ended = match self {
                            Self::Floor => floor::run(&clients, &queue, &counters).await,
                            Self::Plain | Self::Ours => plain::run(&clients, &queue, &table, &counters).await,
                        };
                        // its messages are missing from now on: the run must not wait for them
                        if let Err(failure) = ended {
                            eprintln!("{failure:#}");
                            std::process::exit(1);
                        }
                    });
                }
                Ok(used(&counters, warm, messages).await)
            }
        }
    }
}

/// The daemon as its binary puts it together, with the settings' defaults: consumer, timer, tokens, logs.
async fn ours(warm: u64, messages: u64) -> anyhow::Result<Used> {
    let _reports = telemetry::start(&LogConfig::default());
    let config = Config::read(&config::environment)?;
    let app = App::build(&config).await?;
    let daemon = async {
        tokio::join!(app.consumer.run(Stop::default()), app.timer.run(config.timer, CancellationToken::new()))
    };
    tokio::select! {
        _ = daemon => anyhow::bail!("the daemon ended by itself"),
        used = used(&app.counters, warm, messages) => Ok(used),
    }
}

/// Writes conversations of these lengths into the table.
///
/// # Errors
/// A setting is missing, or a call failed.
pub async fn keep(lengths: &[usize]) -> anyhow::Result<()> {
    let clients = Clients::build(&Endpoints::default(), WAIT, &Arc::default()).await;
    kept::write(clients.dynamodb, setting("DYNAMODB_MESSAGE_TABLE")?, lengths).await
}

fn setting(variable: &str) -> anyhow::Result<String> {
    config::environment(variable).with_context(|| format!("{variable} is missing"))
}
