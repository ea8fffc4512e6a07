//! Heads, the timer's index over them, and attempts at deliveries.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{PostgresStore, error::read, in_micros, in_millis};
use crate::{
    domain::{Conversation, ConversationId, Head, ThreadKey},
    hot::{DueHead, HotError, item::shard},
};

const READ: &str = "select thread, body from hot_head where thread = any ($1)";

const FIRST: &str = "
    insert into hot_head (thread, version, conversation_id, group_id, due_shard, due_at, expires_at, body)
    values ($1, $2, $3, $4, $5, $6, $7, $8)
    on conflict (thread) do nothing";

/// W3, W8: over the version that was read, and no other.
const NEXT: &str = "
    update hot_head
    set version = $2, conversation_id = $3, group_id = $4, due_shard = $5, due_at = $6, expires_at = $7, body = $8
    where thread = $1 and version = $2 - 1";

const DUE: &str = "
    select thread, conversation_id, group_id, due_at
    from hot_head
    where due_shard = $1 and due_at <= $2 and due_at is not null
    order by due_at, thread
    limit $3";

const CHARGE: &str = "
    insert into hot_attempt (message_id, attempts, expires_at) values ($1, $2, $3)
    on conflict (message_id) do update
    set attempts = hot_attempt.attempts + excluded.attempts, expires_at = excluded.expires_at
    returning attempts";

impl PostgresStore {
    pub(super) async fn read_heads(&self, threads: &[ThreadKey]) -> Vec<Result<Option<Head>, HotError>> {
        let keys: Vec<&str> = threads.iter().map(ThreadKey::as_str).collect();
        let rows = match self.rows_of(sqlx::query(READ).bind(keys)).await {
            Ok(rows) => rows,
            Err(failure) => return vec![Err(failure); threads.len()],
        };
        let mut found: HashMap<String, Result<Head, HotError>> = HashMap::with_capacity(rows.len());
        for row in &rows {
            if let Ok(thread) = read(Some(row), "thread") {
                let head = read::<&str>(Some(row), "body").and_then(to_head);
                found.insert(thread, head);
            }
        }
        threads.iter().map(|thread| found.get(thread.as_str()).cloned().transpose()).collect()
    }

    pub(super) async fn put_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        let body = serde_json::to_string(head).map_err(|_| HotError::Unreadable("head"))?;
        let version = i64::try_from(head.version).map_err(|_| HotError::Refused("a version beyond 63 bits".into()))?;
        let due_at = head.conversation.due().map(in_millis);
        // a closed head expires with the messages it closed over; another never does
        let expires_at = match &head.conversation {
            Conversation::Closed(closed) => Some(in_micros(self.expires(closed.close.at))),
            _ => None,
        };
        let statement = sqlx::query(if version == 1 { FIRST } else { NEXT })
            .bind(thread.as_str())
            .bind(version)
            .bind(head.conversation.record().id.0)
            .bind(head.group_id.as_str())
            .bind(due_at.map(|_| i16::from(shard(thread))))
            .bind(due_at)
            .bind(expires_at)
            .bind(body);
        Ok(self.changed_by(statement).await? == 1)
    }

    pub(super) async fn come_up(
        &self,
        shard: u8,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Result<Vec<DueHead>, HotError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = sqlx::query(DUE).bind(i16::from(shard)).bind(in_micros(until)).bind(limit);
        let rows = self.rows_of(statement).await?;
        let due = rows.iter().map(Some).map(|row| {
            Ok(DueHead {
                thread: ThreadKey::stored(read(row, "thread")?),
                conversation: ConversationId(read(row, "conversation_id")?),
                group_id: read(row, "group_id")?,
                due_at: read(row, "due_at")?,
            })
        });
        due.collect()
    }

    pub(super) async fn count_attempts(
        &self,
        message_id: &str,
        attempts: i32,
        until: DateTime<Utc>,
    ) -> Result<u32, HotError> {
        let statement = sqlx::query(CHARGE).bind(message_id).bind(attempts).bind(in_micros(until));
        let counted: i32 = read(self.rows_of(statement).await?.first(), "attempts")?;
        u32::try_from(counted).map_err(|_| HotError::Unreadable("attempts"))
    }
}

pub(super) fn to_head(body: &str) -> Result<Head, HotError> {
    serde_json::from_str(body).map_err(|_| HotError::Unreadable("head"))
}
