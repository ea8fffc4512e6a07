//! Claims of the relay from an outbox with little in it, with very much, and with very much behind a head that waits.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use anyhow::ensure;
use conversationd::{
    domain::NoticeKind,
    outbox::{Attempt, CLAIM_STATEMENTS, Order, Outbox, Registration, Room, Settlement, SinkId},
};
use futures_util::future::try_join_all;
use serde_json::Value;
use sqlx::Connection;
use uuid::Uuid;

use crate::{
    house::House,
    part::Found,
    plot::{Chart, Row},
    spread::Spread,
};

/// Rounds; in each, every backlog is claimed from, in turn.
const ROUNDS: usize = 5;

/// Lanes a claim takes, and claims of a round. What they take is settled as delivered before the next.
const LANES: u32 = 32;
const CLAIMS: usize = 25;

/// As many connections as the daemon's outbox has.
const CONNECTIONS: u32 = 4;

const LEASE: Duration = Duration::from_secs(600);

/// A backlog: lanes that are due with so many dispatches each, and so many in one lane whose head waits.
struct Backlog {
    name: &'static str,
    lanes: i32,
    each: i32,
    blocked: i32,
}

const BACKLOGS: [Backlog; 4] = [
    Backlog { name: "1,000 in 1,000 lanes", lanes: 1_000, each: 1, blocked: 0 },
    Backlog { name: "200,000 in 200,000 lanes", lanes: 200_000, each: 1, blocked: 0 },
    Backlog { name: "200,000 in 5,000 lanes", lanes: 5_000, each: 40, blocked: 0 },
    Backlog { name: "195,000 behind one that waits", lanes: 5_000, each: 1, blocked: 195_000 },
];

/// $1: the sink, $2: lanes, $3: dispatches of each, $4: of the lane that waits. Notices first, then the lanes they go to.
const FILL: [&str; 3] = [
    "insert into outbox_notice (id, kind, conversation_lane, contact_lane, occurred_at, content)
     select md5('notice' || n)::uuid, 'conversation.updated', md5('lane' || n % $1)::uuid, md5('lane' || n % $1)::uuid, now(),
            json_build_object('event', n, 'text', repeat('x', 300))
     from generate_series(0, $1 * $2 + $3 - 1) n",
    "insert into outbox_lane (sink_id, lane, last_seq, pending, due_at)
     select $4, md5('lane' || n)::uuid, $2, $2, clock_timestamp() - interval '1 hour' + n * interval '1 ms'
     from generate_series(0, $1 - 1) n
     union all select $4, md5('waits')::uuid, $3, $3, clock_timestamp() + interval '1 hour' where $3 > 0",
    "insert into outbox_dispatch (sink_id, lane, seq, notice_id)
     select $4, md5('lane' || n % $1)::uuid, 1 + n / $1, md5('notice' || n)::uuid from generate_series(0, $1 * $2 - 1) n
     union all
     select $4, md5('waits')::uuid, 1 + n, md5('notice' || $1 * $2 + n)::uuid from generate_series(0, $3 - 1) n",
];

/// One outbox in a schema of its own.
struct Filled {
    house: House,
    outbox: Outbox,
    sink: SinkId,
    /// Rows a second, by round.
    claim: Vec<f64>,
    whole: Vec<f64>,
    /// Pages of a claim, before the first round and after the last.
    pages: Vec<u64>,
}

/// Claims from every backlog.
///
/// # Errors
/// The database is away, or a claim took less than there is.
pub fn measure() -> anyhow::Result<Found> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let mut filled = Vec::new();
        let measured = rounds(&mut filled).await;
        for one in &filled {
            one.outbox.clone().close().await;
            one.house.remove().await?;
        }
        measured?;
        Ok(report(&filled))
    })
}

async fn rounds(filled: &mut Vec<Filled>) -> anyhow::Result<()> {
    for backlog in &BACKLOGS {
        let Some(one) = Filled::with(backlog).await? else { return Ok(()) };
        filled.push(one);
    }
    for _ in 0..ROUNDS {
        for (one, backlog) in filled.iter_mut().zip(&BACKLOGS) {
            // the one that a few rounds would empty
            if backlog.lanes <= 1_000 {
                one.fill(backlog).await?;
            }
            one.round().await?;
        }
    }
    for one in filled {
        let pages = one.pages().await?;
        one.pages.push(pages);
    }
    Ok(())
}

impl Filled {
    async fn with(backlog: &Backlog) -> anyhow::Result<Option<Self>> {
        let Some(house) = House::make().await? else { return Ok(None) };
        let outbox = Outbox::over(house.archive()?.pool_beside(CONNECTIONS));
        let registration = Registration {
            name: "bench".into(),
            form: "bench",
            kinds: NoticeKind::ALL.to_vec(),
            projects: None,
            order: Order::Conversation,
        };
        let sink = outbox.register(&[registration]).await?["bench"];
        let mut one = Self { house, outbox, sink, claim: Vec::new(), whole: Vec::new(), pages: Vec::new() };
        one.fill(backlog).await?;
        let pages = one.pages().await?;
        one.pages.push(pages);
        Ok(Some(one))
    }

    /// Empties it and fills it anew.
    async fn fill(&self, backlog: &Backlog) -> anyhow::Result<()> {
        let mut connection = self.house.connection().await?;
        sqlx::raw_sql("truncate outbox_notice, outbox_lane, outbox_dispatch, outbox_attempt")
            .execute(&mut connection)
            .await?;
        for (place, fill) in FILL.into_iter().enumerate() {
            let fill = sqlx::query(fill).bind(backlog.lanes).bind(backlog.each).bind(backlog.blocked);
            if place == 0 { fill } else { fill.bind(self.sink.0) }.execute(&mut connection).await?;
        }
        sqlx::raw_sql("vacuum analyze outbox_notice, outbox_lane, outbox_dispatch").execute(&mut connection).await?;
        Ok(())
    }

    /// Pages that the server looks at for a claim, whether it has them in memory or not; nothing is claimed.
    async fn pages(&self) -> anyhow::Result<u64> {
        let (take, heads) = CLAIM_STATEMENTS;
        let mut connection = self.house.connection().await?;
        let mut transaction = connection.begin().await?;
        let explained = |sql: &str| sqlx::AssertSqlSafe(format!("explain (analyze, buffers, format json) {sql}"));
        let lanes = vec![i32::try_from(LANES)?];
        let take = sqlx::query_scalar(explained(take)).bind(vec![self.sink.0]).bind(lanes);
        let take: Value = take.bind(LEASE.as_secs_f64()).bind(false).fetch_one(&mut *transaction).await?;
        let taken = sqlx::query_scalar("select lane from outbox_lane where leased_until is not null");
        let taken: Vec<Uuid> = taken.fetch_all(&mut *transaction).await?;
        let heads = sqlx::query_scalar(explained(heads)).bind(vec![self.sink.0; taken.len()]).bind(taken);
        let heads: Value = heads.fetch_one(&mut *transaction).await?;
        transaction.rollback().await?;
        let pages = |plan: &Value, name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
        let names = ["Shared Hit Blocks", "Shared Read Blocks"];
        Ok(names.into_iter().map(|name| pages(&take, name) + pages(&heads, name)).sum())
    }

    /// Rows a second: claimed, by the median claim; and claimed and settled.
    async fn round(&mut self) -> anyhow::Result<()> {
        let (mut claims, begun) = (Vec::with_capacity(CLAIMS), Instant::now());
        for _ in 0..CLAIMS {
            let room = Room { sink: self.sink, lanes: LANES };
            let claim = Instant::now();
            let claimed = self.outbox.claim(&[room], LEASE).await?;
            claims.push(claim.elapsed().as_secs_f64());
            ensure!(claimed.len() == LANES as usize, "a claim took {} of {LANES}", claimed.len());
            let attempt = Attempt::default();
            let settle = claimed.iter().map(|it| self.outbox.settle(&it.claim, Settlement::Delivered, &attempt));
            let held = try_join_all(settle).await?;
            ensure!(held.into_iter().all(|held| held), "a claim was lost");
        }
        self.claim.push(f64::from(LANES) / Spread::of(claims).median);
        self.whole.push(f64::from(LANES) * CLAIMS as f64 / begun.elapsed().as_secs_f64());
        Ok(())
    }
}

fn report(filled: &[Filled]) -> Found {
    let Some(first) = filled.first() else {
        return Found { text: "claims: not measured, DATABASE_URL is not set\n".to_owned(), charts: Vec::new() };
    };
    let mut text = format!(
        "claims of {LANES} lanes, {CLAIMS} a round, {ROUNDS} rounds: rows a second; pages of a claim, before and after\n  \
         {:<30} {:>24} {:>18} {:>24} {:>18} {:>12}\n",
        "waiting", "claimed", "times the first", "claimed and settled", "times the first", "pages"
    );
    let mut rows = Vec::new();
    for (one, backlog) in filled.iter().zip(&BACKLOGS) {
        let spread = |of: &[f64]| Spread::of(of.iter().copied());
        let _ = writeln!(
            text,
            "  {:<30} {:>24} {:>18} {:>24} {:>18} {:>12}",
            backlog.name,
            spread(&one.claim).shown(0),
            Spread::ratio(&one.claim, &first.claim).shown(2),
            spread(&one.whole).shown(0),
            Spread::ratio(&one.whole, &first.whole).shown(2),
            one.pages.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        );
        rows.push(Row { label: backlog.name.to_owned(), series: 0, value: spread(&one.claim) });
    }
    let chart = Chart {
        name: "relay",
        title: "Claims of the relay, by what waits in the outbox",
        unit: "rows claimed a second",
        legend: "bar: median of the rounds; line: least to most",
        by_tens: false,
        series: &[],
        rows,
    };
    Found { text, charts: vec![chart] }
}
