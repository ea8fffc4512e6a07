//! What others were told of a conversation, and what came of each attempt.

use anyhow::Context;
use serde_json::json;
use uuid::Uuid;

use super::timeline::{Entry, Timeline};
use crate::{
    operate::{conversations::Stores, moment::shown},
    outbox::{DispatchRow, Filter},
};

/// Dispatches of one conversation, told at most.
const MOST: u32 = 200;

/// Tells them. The outbox forgets what is settled after a week, and attempts after two.
pub(super) async fn outward(timeline: &mut Timeline, stores: &Stores, conversation: Uuid) -> anyhow::Result<()> {
    let filter = Filter { conversation: Some(conversation), limit: MOST, ..Filter::default() };
    let rows = stores.outbox.list(&filter).await.context("the outbox cannot be read")?;
    let mut notices: Vec<Uuid> = rows.iter().map(|row| row.notice_id).collect();
    notices.sort_unstable();
    notices.dedup();
    for notice in notices {
        for attempt in stores.outbox.attempts(notice).await.context("the outbox cannot be read")? {
            let Some(row) = rows.iter().find(|row| row.notice_id == notice && row.sink == attempt.sink) else {
                continue;
            };
            let mut said = format!("{} to {}: {}", row.kind, row.sink, attempt.outcome);
            if let Some(status) = attempt.status {
                said += &format!(", answered {status}");
            }
            if let Some(reason) = &attempt.reason {
                said += &format!(", {reason}");
            }
            timeline.tell(Entry {
                at: attempt.at,
                conversation: Some(conversation),
                what: "attempt",
                stands: "outbox",
                said: format!("{said}; took {} ms", attempt.took_ms),
                facts: json!({
                    "notice": notice,
                    "sink": row.sink,
                    "kind": row.kind,
                    "outcome": attempt.outcome,
                    "status": attempt.status,
                    "reason": attempt.reason,
                    "took_ms": attempt.took_ms,
                }),
            });
        }
    }
    for row in &rows {
        timeline.tell(Entry {
            at: row.created_at,
            conversation: Some(conversation),
            what: "told",
            stands: "outbox",
            said: format!("{} for {}: {}", row.kind, row.sink, stands(row)),
            facts: json!({
                "notice": row.notice_id,
                "sink": row.sink,
                "kind": row.kind,
                "state": row.state,
                "attempts": row.attempts,
                "sequence": row.seq,
            }),
        });
    }
    Ok(())
}

/// Where a dispatch stands.
fn stands(row: &DispatchRow) -> String {
    let at = row.done_at.map(|at| format!(" {}", shown(at))).unwrap_or_default();
    let why = row.last_reason.as_deref().map(|why| format!(", {why}")).unwrap_or_default();
    match (row.state.as_str(), row.attempts) {
        ("delivered", attempts) => format!("delivered{at} at attempt {attempts}{why}"),
        ("dead", attempts) => {
            format!("GIVEN UP{at} after {attempts} attempts{why}: `conversationd outbox show {}`", row.notice_id)
        }
        ("skipped", _) => format!("skipped{at}{why}"),
        _ if row.parked => format!("its lane waits for an operator{why}: `conversationd outbox list`"),
        (_, 0) => "waits for its first attempt".to_owned(),
        (_, attempts) => {
            let next = row.due_at.map(|at| format!(", next {}", shown(at))).unwrap_or_default();
            format!("waits after {attempts} attempts{next}{why}")
        }
    }
}
