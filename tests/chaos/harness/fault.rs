//! The faults: their names, what each is, and how often it is tried when nobody says.

use clap::ValueEnum;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// kill -9 at a random moment; started again at once
    Kill,
    /// SIGSTOP for longer than a delivery's lease, then SIGCONT
    Stop,
    /// SIGTERM and a new start, one daemon after the other; the exit is judged too
    Roll,
    /// The same, from this build to an older one (--old) and back, both at work together
    Versions,
    /// PostgreSQL stopped without a farewell, and started again
    PostgresStop,
    /// Every connection of the daemons to PostgreSQL ended by its server
    PostgresBackends,
    /// The emulator of SQS and DynamoDB stopped and started; it keeps its queues and tables
    AwsRestart,
    /// One daemon's connections to one server reset, and none let through for a while
    Cut,
    /// One daemon's connections to one server swallow everything, half open
    Swallow,
    /// One server's answers come to one daemon byte by byte
    Drip,
    /// Requests that never arrive
    LostRequests,
    /// Requests that are carried out and whose answers never arrive
    LostAnswers,
    /// Commits whose answers never arrive
    LostCommitAnswers,
    /// Commits that never arrive
    LostCommits,
    /// Calls to SQS and DynamoDB answered with throttling, or with a fault
    Refused,
    /// Batches of which SQS and DynamoDB do nothing, and say so
    NothingDone,
    /// All of the above in turn, by lot
    Storm,
}

impl Fault {
    /// All but those that need something of their own.
    pub const ALL: [Self; 16] = [
        Self::Kill,
        Self::Stop,
        Self::Roll,
        Self::PostgresStop,
        Self::PostgresBackends,
        Self::AwsRestart,
        Self::Cut,
        Self::Swallow,
        Self::Drip,
        Self::LostRequests,
        Self::LostAnswers,
        Self::LostCommitAnswers,
        Self::LostCommits,
        Self::Refused,
        Self::NothingDone,
        Self::Storm,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it is, in a few words.
    pub fn meaning(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Trials of a short run.
    pub fn few(self) -> u32 {
        match self {
            Self::Kill => 40,
            Self::Stop => 12,
            Self::LostRequests | Self::LostAnswers | Self::Refused | Self::NothingDone => 60,
            Self::LostCommitAnswers | Self::LostCommits => 15,
            Self::Storm => 10,
            Self::Roll | Self::Versions => 6,
            Self::PostgresStop | Self::AwsRestart => 2,
            Self::PostgresBackends => 6,
            Self::Cut | Self::Swallow | Self::Drip => 3,
        }
    }

    /// Trials of one round at most: the emulator slows down as its tables grow.
    pub fn in_a_round(self) -> u32 {
        match self {
            Self::Kill => 340,
            Self::Stop => 170,
            Self::LostRequests | Self::LostAnswers | Self::Refused | Self::NothingDone => 300,
            Self::LostCommitAnswers | Self::LostCommits => 150,
            _ => 20,
        }
    }

    /// To whom it happens.
    pub fn reach(self) -> Reach {
        match self {
            Self::Roll | Self::Versions => Reach::InTurn,
            Self::PostgresStop | Self::PostgresBackends | Self::AwsRestart => Reach::All,
            Self::Storm => Reach::Storm,
            Self::Kill | Self::Stop => Reach::EachButOne,
            _ => Reach::Each,
        }
    }
}

/// To whom a fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To each daemon, in its own time.
    Each,
    /// To each but one, so that somebody takes over meanwhile. (A delivery that is in hand when one process after the other
    /// dies is given up: it might be what kills them.)
    EachButOne,
    /// To one daemon after the other.
    InTurn,
    /// To all at once.
    All,
    /// To each daemon something, and to all something besides.
    Storm,
}
