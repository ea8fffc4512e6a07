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
    /// What else searches for it, and what does not.
    pub besides: &'static str,
}

const KEPT: &str = "kept";

const fn row(
    fault: &'static str,
    processes: &'static [Fault],
    simulated: &'static [&'static str],
    besides: &'static str,
) -> Row {
    Row { fault, holds: KEPT, processes, simulated, besides }
}

const CRASH: &str = "every call singly, and in pairs: `PAIRS=1 cargo test --test crash` (not run here)";

/// All rows.
pub const ROWS: &[Row] = &[
    row("kill -9 at any remote call", &[], &["a replica was killed"], CRASH),
    row("kill -9 of the real process", &[Fault::Kill], &[], ""),
    Row {
        holds: "kept, and exit code 0 within 25 s",
        ..row(
            "SIGTERM in the middle of work, rolling restarts",
            &[Fault::Roll],
            &["a replica was stopped gracefully"],
            "",
        )
    },
    row(
        "a delivery that comes again",
        &[Fault::Stop, Fault::LostAnswers],
        &["a put was repeated"],
        "`cargo test --test protocol` (not run here)",
    ),
    row(
        "a process frozen past its leases, that goes on later",
        &[Fault::Stop],
        &["a caller slept through its lease"],
        "",
    ),
    row(
        "a frozen close, and its group unlocked by a dead letter",
        &[],
        &["a closer waited for another", "a dead letter was redriven"],
        "hand-made schedules: `cargo test --test counterexamples` (not run here)",
    ),
    row(
        "two queues for one contact",
        &[],
        &[],
        "the model without a lock: `cargo test --test protocol` (not run here)",
    ),
    row("part of a batch lapses", &[Fault::NothingDone], &["one entry of a batch failed alone"], ""),
    row(
        "the answer to a delete is lost, or it is refused",
        &[Fault::LostAnswers, Fault::NothingDone],
        &["an answer was lost"],
        "",
    ),
    row(
        "DynamoDB and SQS throttle, fail, do part of a batch",
        &[Fault::Refused, Fault::NothingDone],
        &["one entry of a batch failed alone"],
        "calls a second while throttled: not measured",
    ),
    row(
        "a write that lands after its caller gave up",
        &[Fault::Swallow],
        &["a call landed after its caller gave up"],
        "",
    ),
    Row {
        holds: "the search notices it",
        ..row(
            "a read that is not consistent",
            &[],
            &[],
            "a known-bad variant: `cargo test --test simulation every` (not run here)",
        )
    },
    row("PostgreSQL stops and starts", &[Fault::PostgresStop], &[], "for seconds here; longer outages: not covered"),
    row(
        "a commit whose answer is lost, or that never arrives",
        &[Fault::LostCommitAnswers, Fault::LostCommits],
        &["a transaction had ended before its commit"],
        "",
    ),
    row(
        "a failover that forgets an acknowledged commit",
        &[],
        &[],
        "not covered; `conversationd reconcile --repair` is what mends it",
    ),
    row(
        "PostgreSQL ends its connections",
        &[Fault::PostgresBackends],
        &[],
        "serialization failures and deadlocks: `cargo test --test archive` (not run here)",
    ),
    row(
        "connections cut, half open, dripping: SQS, DynamoDB, PostgreSQL",
        &[Fault::Cut, Fault::Swallow, Fault::Drip, Fault::LostRequests],
        &["an answer was lost"],
        "to sinks: not covered",
    ),
    row(
        "clocks ahead, behind, jumping",
        &[],
        &[],
        "each replica of the simulation has a clock of its own, which is not counted; of real processes: not covered",
    ),
    row("bodies that nobody can decode", &[], &[], "`cargo test --test fuzz` (not run here)"),
    row("a row the archive refuses", &[], &[], "`cargo test --test archive` (not run here)"),
    row("dead letters sent back", &[], &["a dead letter was redriven"], ""),
    row("a publisher that sends again", &[], &["a publisher sent a message again"], ""),
    row(
        "messages that come late, conversations opened again",
        &[],
        &["a message was appended late", "an archived conversation was amended"],
        "",
    ),
    row("closes that race", &[], &["a closer waited for another", "a head write lost the race"], ""),
    row("outside systems that fail, throttle, are slow or dead", &[], &[], "`cargo test --test outbox` (not run here)"),
    row(
        "the relay killed between sending and marking",
        &[Fault::Kill],
        &[],
        "`cargo test --test outbox` (not run here)",
    ),
    row("two versions at work together", &[Fault::Versions], &[], ""),
    row("SQS and DynamoDB stop and start", &[Fault::AwsRestart], &[], ""),
    row(
        "a backlog of a million; one contact that never stops",
        &[],
        &[],
        "not covered; 100,000 messages: `make bench`",
    ),
    row("no memory, no disk", &[], &[], "not covered"),
    row("an outage longer than messages live in DynamoDB", &[], &[], "not covered"),
    row("several of these at once", &[Fault::Storm], &[], ""),
    Row {
        holds: "each is noticed",
        ..row(
            "a search that is blind: known-bad variants",
            &[],
            &[],
            "`cargo test --test simulation every` (not run here)",
        )
    },
    Row {
        holds: "no personal data outside the stores",
        ..row("what logs and metrics say", &[], &[], "`cargo test --test metrics` (not run here)")
    },
];
