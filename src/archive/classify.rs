//! How a conversation ended, said after the close by whoever read it: it fills in what is missing, and replaces nothing.

use std::time::Duration;

use sqlx::PgConnection;

use super::ArchiveError;
use super::session::within;
use crate::domain::{Classification, Thread};

/// The row, which the caller has locked. An erased one has forgotten its thread, so that nothing is said of it any more.
const WRITE: &str = "
    update conversation
    set resolution = $3, topic = coalesce(topic, $4),
        subtopic = case when topic is null then $5 else subtopic end, updated_at = now()
    where id = $1 and thread = $2 and closed_at is not null and not has_chats_room
        and coalesce(resolution, 3) = 3
        and (resolution is distinct from $3 or (topic is null and $4 is not null))";

/// Returns whether the row changed.
pub(super) async fn write(
    patience: Duration,
    connection: &mut PgConnection,
    thread: &Thread,
    said: &Classification,
) -> Result<bool, ArchiveError> {
    let query = sqlx::query(WRITE)
        .bind(said.conversation.0)
        .bind(thread.key().as_str().to_owned())
        .bind(i16::from(said.resolution))
        .bind(said.topic.as_deref())
        .bind(said.subtopic.as_deref());
    Ok(within(patience, query.execute(connection)).await?.rows_affected() > 0)
}
