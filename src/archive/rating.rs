//! Ratings: each stands once, and the row of its conversation shows the latest score of each kind.

use sqlx::PgConnection;
use std::time::Duration;

use super::ArchiveError;
use super::columns::to_the_microsecond;
use super::session::within;
use crate::domain::{ConversationId, Rating, Thread};

const INSERT: &str = "
    insert into rating (
        event_id, conversation_id, project, thread, contact, kind, key, value, score, comment, agent_id,
        answered_at, received_at, sequence, arrived_after_close
    )
    values (
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::numeric,
        coalesce((select closed_at is not null from conversation where id = $2), false)
    )
    on conflict (event_id) do nothing";

const SCORES: &str = "
    update conversation
    set csat = latest_score(id, 'csat'), nps = latest_score(id, 'nps'), updated_at = now()
    where id = $1 and (csat, nps) is distinct from (latest_score(id, 'csat'), latest_score(id, 'nps'))";

/// Stores a rating with its conversation, or with none, unless it stands already. Returns whether it is new.
pub(super) async fn insert(
    patience: Duration,
    connection: &mut PgConnection,
    thread: &Thread,
    conversation: Option<ConversationId>,
    rating: &Rating,
) -> Result<bool, ArchiveError> {
    let insert = sqlx::query(INSERT)
        .bind(rating.event_id.0)
        .bind(conversation.map(|id| id.0))
        .bind(&thread.project)
        .bind(thread.key().as_str().to_owned())
        .bind(thread.contact.as_deref())
        .bind(rating.kind.as_str())
        .bind(&rating.key)
        .bind(&rating.value)
        .bind(rating.score.map(i16::from))
        .bind(rating.comment.as_deref())
        .bind(rating.agent_id.as_deref())
        .bind(to_the_microsecond(rating.answered_at))
        .bind(to_the_microsecond(rating.received_at))
        .bind(rating.sequence.0.to_string());
    Ok(within(patience, insert.execute(connection)).await?.rows_affected() > 0)
}

/// The conversation's row shows the scores that were given last.
pub(super) async fn show_latest(
    patience: Duration,
    connection: &mut PgConnection,
    conversation: ConversationId,
) -> Result<(), ArchiveError> {
    within(patience, sqlx::query(SCORES).bind(conversation.0).execute(connection)).await?;
    Ok(())
}
