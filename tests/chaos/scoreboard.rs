//! The table of faults: what can go wrong, and what searches for it. One row a fault, covered or not.

use crate::harness::fault::Fault;

/// A row.
pub struct Row {
    pub fault: &'static str,
    /// What must hold.
    pub holds: &'static str,
    /// Faults of real processes that are this row's.
    pub processes: &'static [Fault],
    /// What the simulation counts of it; empty when the simulation does not do it.
    pub simulated: &'static [&'static str],
    /// Tests that are about it.
    pub tests: &'static [Test],
    /// What is not done about it.
    pub besides: &'static str,
}

/// Some tests of one binary.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// What they are, where their name does not say it.
    pub what: &'static str,
    pub binary: &'static str,
    /// Only those whose names contain this.
    pub only: Option<&'static str>,
    /// What their environment says.
    pub with: Option<(&'static str, &'static str)>,
}

impl Test {
    const fn all(what: &'static str, binary: &'static str) -> Self {
        Self { what, binary, only: None, with: None }
    }

    /// The command that runs them.
    pub fn command(&self) -> String {
        let with = self.with.map(|(name, value)| format!("{name}={value} ")).unwrap_or_default();
        let only = self.only.map(|only| format!(" {only}")).unwrap_or_default();
        format!("{with}cargo test --test {}{only}", self.binary)
    }
}

const KEPT: &str = "kept";

const fn row(
    fault: &'static str,
    processes: &'static [Fault],
    simulated: &'static [&'static str],
    tests: &'static [Test],
) -> Row {
    Row { fault, holds: KEPT, processes, simulated, tests, besides: "" }
}

const CRASH: Test =
    Test { what: "every call singly, and in pairs", with: Some(("PAIRS", "1")), ..Test::all("", "crash") };
const PROTOCOL: Test = Test::all("the model", "protocol");
const COUNTEREXAMPLES: Test = Test::all("hand-made schedules", "counterexamples");
const KNOWN_BAD: Test = Test { only: Some("every"), ..Test::all("known-bad variants", "simulation") };
const ARCHIVE: Test = Test::all("", "archive");
const OUTBOX: Test = Test::all("", "outbox");

/// All rows.
pub const ROWS: &[Row] = &[
    row("kill -9 at any remote call", &[], &["a replica was killed"], &[CRASH]),
    row("kill -9 of the real process", &[Fault::Kill], &[], &[]),
    Row {
        holds: "kept, and exit code 0 within 25 s",
        ..row("SIGTERM in the middle of work, restarts", &[Fault::Roll], &["a replica was stopped gracefully"], &[])
    },
    row("a delivery that comes again", &[Fault::Stop, Fault::LostAnswers], &["a put was repeated"], &[PROTOCOL]),
    row(
        "a process frozen past its leases, that goes on later",
        &[Fault::Stop],
        &["a caller slept through its lease"],
        &[],
    ),
    row(
        "a frozen close, and its group unlocked by a dead letter",
        &[],
        &["a closer waited for another", "a dead letter was redriven"],
        &[COUNTEREXAMPLES],
    ),
    row("two queues for one contact", &[], &[], &[Test { what: "the model without a lock", ..PROTOCOL }]),
    row("part of a batch lapses", &[Fault::NothingDone], &["one entry of a batch failed alone"], &[]),
    row(
        "the answer to a delete is lost, or it is refused",
        &[Fault::LostAnswers, Fault::NothingDone],
        &["an answer was lost"],
        &[],
    ),
    Row {
        holds: "kept, and at most 100 calls a second of one daemon",
        ..row(
            "DynamoDB and SQS throttle, fail, do part of a batch",
            &[Fault::Refused, Fault::Throttled, Fault::NothingDone],
            &["one entry of a batch failed alone"],
            &[],
        )
    },
    row(
        "a write that lands after its caller gave up",
        &[Fault::Swallow],
        &["a call landed after its caller gave up"],
        &[],
    ),
    Row {
        holds: "the search notices it",
        ..row("a read that is not consistent", &[], &[], &[Test { what: "a known-bad variant", ..KNOWN_BAD }])
    },
    row("PostgreSQL stops and starts", &[Fault::PostgresStop, Fault::PostgresAway], &[], &[]),
    row(
        "a commit whose answer is lost, or that never arrives",
        &[Fault::LostCommitAnswers, Fault::LostCommits],
        &["a transaction had ended before its commit"],
        &[],
    ),
    Row {
        holds: "kept, once it was mended: `conversationd reconcile --repair`",
        ..row("a failover that forgets an acknowledged commit", &[Fault::Forgets], &[], &[])
    },
    row(
        "PostgreSQL ends its connections",
        &[Fault::PostgresBackends],
        &[],
        &[Test { what: "serialization failures and deadlocks", ..ARCHIVE }],
    ),
    row(
        "connections cut, half open, dripping: SQS, DynamoDB, PostgreSQL, outside systems",
        &[Fault::Cut, Fault::Swallow, Fault::Drip, Fault::LostRequests, Fault::Sinks],
        &["an answer was lost"],
        &[],
    ),
    Row {
        besides: "each replica of the simulation has a clock of its own, which is not counted",
        ..row("clocks ahead, behind, jumping", &[Fault::Skew], &[], &[])
    },
    row("bodies that nobody can decode", &[], &[], &[Test::all("", "fuzz")]),
    row("a row the archive refuses", &[], &[], &[ARCHIVE]),
    row("dead letters sent back", &[], &["a dead letter was redriven"], &[Test::all("", "dlq")]),
    row("a publisher that sends again", &[], &["a publisher sent a message again"], &[]),
    row(
        "messages that come late, conversations opened again",
        &[],
        &["a message was appended late", "an archived conversation was amended"],
        &[],
    ),
    row("closes that race", &[], &["a closer waited for another", "a head write lost the race"], &[]),
    Row {
        holds: "each close told at least once under one key, a contact's in order",
        ..row("outside systems that fail, throttle, are slow or dead", &[Fault::Sinks], &[], &[OUTBOX])
    },
    Row {
        holds: "the same",
        ..row("the relay killed between sending and marking", &[Fault::Kill, Fault::Memory], &[], &[OUTBOX])
    },
    row("two versions at work together", &[Fault::Versions], &[], &[]),
    row("SQS and DynamoDB stop and start", &[Fault::AwsRestart], &[], &[]),
    row(
        "a long outage of DynamoDB, with the spool on",
        &[Fault::Spool],
        &["deliveries were spooled", "the fleet left its spool empty"],
        &[Test { what: "known-bad variants", ..KNOWN_BAD }],
    ),
    Row {
        besides: "not covered; 100,000 messages: `make bench`",
        ..row("a backlog of a million; one contact that never stops", &[], &[], &[])
    },
    Row {
        besides: "a full disk of PostgreSQL: not covered",
        ..row("no memory, no disk for the daemon", &[Fault::Memory, Fault::Disk], &[], &[])
    },
    Row { besides: "not covered", ..row("an outage longer than messages live in DynamoDB", &[], &[], &[]) },
    row("several of these at once", &[Fault::Storm], &[], &[]),
    Row { holds: "each is noticed", ..row("a search that is blind", &[], &[], &[KNOWN_BAD]) },
    Row {
        holds: "no personal data outside the stores",
        ..row("what logs and metrics say", &[], &[], &[Test::all("", "metrics"), Test::all("", "security")])
    },
];
