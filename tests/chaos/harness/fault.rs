//! The faults: their names, what each is, and how often it is tried when nobody says.

use clap::ValueEnum;

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Fault {
    /// kill -9 at a random moment; started again at once
    Kill,
    /// SIGSTOP for longer than a delivery's lease, then SIGCONT
    Stop,
    /// SIGTERM and a new start, each daemon again and again; the exits are judged too
    Roll,
    /// The same, from this build to an older one (--old) and back, both at work together
    Versions,
    /// Killed, started again with too little memory, killed or aborted, and started again
    Memory,
    /// SIGTERM, a start with a log on a full disk, SIGTERM and a new start; the exits are judged too
    Disk,
    /// The clock of each daemon's machine jumps by up to ten minutes, ahead and back (with libfaketime)
    Skew,
    /// PostgreSQL stopped without a farewell, and started again
    PostgresStop,
    /// The same, for half a minute to two
    PostgresAway,
    /// PostgreSQL stopped and started without what it had acknowledged lately; `conversationd reconcile --repair` at the end
    Forgets,
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
    /// No daemon reaches DynamoDB for up to a minute, and the spool is on; then one does that does not reach PostgreSQL, or all do
    Spool,
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
    /// Every call of one daemon to SQS, or to DynamoDB, answered with throttling or a fault, for a while
    Throttled,
    /// Batches of which SQS and DynamoDB do nothing, and say so
    NothingDone,
    /// An outside system answers with 503, 429 and 500, or takes notices and never says so, or hangs, or is dead
    Sinks,
    /// Most of the above in turn, by lot
    Storm,
}

impl Fault {
    /// All but those that need something of their own.
    pub const ALL: [Self; 23] = [
        Self::Kill,
        Self::Stop,
        Self::Roll,
        Self::Memory,
        Self::Disk,
        Self::PostgresStop,
        Self::PostgresAway,
        Self::Forgets,
        Self::PostgresBackends,
        Self::AwsRestart,
        Self::Cut,
        Self::Swallow,
        Self::Drip,
        Self::Spool,
        Self::LostRequests,
        Self::LostAnswers,
        Self::LostCommitAnswers,
        Self::LostCommits,
        Self::Refused,
        Self::Throttled,
        Self::NothingDone,
        Self::Sinks,
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
            Self::Stop | Self::Forgets => 12,
            Self::LostRequests | Self::LostAnswers | Self::Refused | Self::NothingDone | Self::Sinks => 60,
            Self::LostCommitAnswers | Self::LostCommits => 15,
            Self::Roll | Self::Versions | Self::Skew => 30,
            Self::Memory | Self::Disk | Self::Throttled | Self::PostgresBackends => 20,
            Self::PostgresStop | Self::AwsRestart | Self::Storm => 20,
            Self::PostgresAway => 2,
            Self::Spool => 8,
            Self::Cut | Self::Swallow | Self::Drip => 20,
        }
    }

    /// Trials of one round at most: the emulator slows down as its tables grow.
    pub fn in_a_round(self) -> u32 {
        match self {
            Self::Kill => 340,
            Self::Stop => 170,
            Self::LostRequests | Self::LostAnswers | Self::Refused | Self::NothingDone | Self::Sinks => 300,
            Self::LostCommitAnswers | Self::LostCommits | Self::Roll | Self::Versions | Self::Skew => 150,
            Self::PostgresAway => 4,
            Self::Spool => 20,
            _ => 60,
        }
    }

    /// Whether it stops a store of the local stack.
    pub fn stops_a_store(self) -> bool {
        matches!(self, Self::PostgresStop | Self::PostgresAway | Self::Forgets | Self::AwsRestart)
    }

    /// Whether a storm may draw it: not what takes minutes, what is mended by hand, or what needs something of its own.
    pub fn in_a_storm(self) -> bool {
        !matches!(self, Self::Storm | Self::PostgresAway | Self::Forgets | Self::Spool | Self::Skew | Self::Versions)
    }

    /// What is counted of it besides, and whether that is the most of any trial or the sum of all.
    pub fn counts(self) -> Option<(&'static str, Counts)> {
        Some(match self {
            Self::Throttled => ("calls a second of one daemon at most", Counts::TheMost),
            Self::Memory => ("ended by themselves", Counts::TheSum),
            Self::Spool => ("deliveries in the spool at the end of an outage, of all together", Counts::TheSum),
            Self::Forgets => ("archived messages forgotten in between", Counts::TheSum),
            _ => return None,
        })
    }

    /// To whom it happens.
    pub fn reach(self) -> Reach {
        match self {
            Self::PostgresStop | Self::PostgresAway | Self::Forgets | Self::PostgresBackends | Self::AwsRestart => {
                Reach::All
            }
            Self::Sinks => Reach::Outside,
            Self::Spool => Reach::Roads,
            Self::Storm => Reach::Storm,
            Self::Kill | Self::Stop | Self::Memory => Reach::EachButOne,
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
    /// To all at once, and to other rounds too.
    All,
    /// To none of them: to whom they tell.
    Outside,
    /// To the roads of all together.
    Roads,
    /// To each daemon something, and to all something besides.
    Storm,
}

/// How numbers of trials make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    TheMost,
    TheSum,
}
