//! What publishers say about a conversation ↔ columns of its row.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};

use super::ArchiveError;
use super::columns::to_the_microsecond;
use super::session::within;
use crate::domain::{Changes, ConversationId, Details, Sequence, Window};

const READ: &str = "
    select title, tags, participants, metadata, customer_info, window_external_id, window_start, window_end, ticket,
           has_chats_room, details_changed_by::text as changed_by
    from conversation
    where id = $1";

const WRITE: &str = "
    update conversation
    set title = $2, tags = $3, participants = $4, metadata = $5, customer_info = $6, window_external_id = $7,
        window_start = $8, window_end = $9, ticket = $10, has_chats_room = $11, details_changed_by = $12::numeric,
        resolution = coalesce($13, resolution), agent_id = coalesce($14, agent_id),
        contact_name = coalesce($15, contact_name), updated_at = now()
    where id = $1";

#[derive(FromRow)]
struct Columns {
    title: Option<String>,
    tags: Option<Vec<String>>,
    participants: Option<Json<Vec<Value>>>,
    metadata: Option<Json<Map<String, Value>>>,
    customer_info: Option<Json<Map<String, Value>>>,
    window_external_id: Option<String>,
    window_start: Option<DateTime<Utc>>,
    window_end: Option<DateTime<Utc>>,
    ticket: Option<String>,
    has_chats_room: bool,
    changed_by: Option<String>,
}

impl Columns {
    fn details(self) -> Details {
        let window = Window { external_id: self.window_external_id, start: self.window_start, end: self.window_end };
        Details {
            title: self.title,
            tags: self.tags.unwrap_or_default(),
            participants: self.participants.map(|json| json.0).unwrap_or_default(),
            metadata: self.metadata.map(|json| json.0).unwrap_or_default(),
            customer_info: self.customer_info.map(|json| json.0).unwrap_or_default(),
            window: Some(window).filter(|window| *window != Window::default()),
            ticket: self.ticket,
            has_chats_room: self.has_chats_room,
            changed_by: self.changed_by.and_then(|digits| digits.parse().ok()).map(Sequence),
        }
    }
}

/// What the row, which the caller has locked, says; nothing when there is no row.
pub(super) async fn read(
    patience: Duration,
    connection: &mut PgConnection,
    conversation: ConversationId,
) -> Result<Details, ArchiveError> {
    let query = sqlx::query_as(READ).bind(conversation.0);
    let columns: Option<Columns> = within(patience, query.fetch_optional(connection)).await?;
    Ok(columns.map(Columns::details).unwrap_or_default())
}

/// The row says `details` from now on, and of what else `changes` can change, what they say.
pub(super) async fn write(
    patience: Duration,
    connection: &mut PgConnection,
    conversation: ConversationId,
    details: &Details,
    changes: Option<&Changes>,
) -> Result<(), ArchiveError> {
    let window = details.window.clone().unwrap_or_default();
    let query = sqlx::query(WRITE)
        .bind(conversation.0)
        .bind(details.title.as_deref())
        .bind((!details.tags.is_empty()).then_some(&details.tags))
        .bind((!details.participants.is_empty()).then_some(Json(&details.participants)))
        .bind((!details.metadata.is_empty()).then_some(Json(&details.metadata)))
        .bind((!details.customer_info.is_empty()).then_some(Json(&details.customer_info)))
        .bind(window.external_id)
        .bind(window.start.map(to_the_microsecond))
        .bind(window.end.map(to_the_microsecond))
        .bind(details.ticket.as_deref())
        .bind(details.has_chats_room)
        .bind(details.changed_by.map(|sequence| sequence.0.to_string()))
        .bind(changes.and_then(|changes| changes.resolution).map(i16::from))
        .bind(changes.and_then(|changes| changes.agent_id.as_deref()))
        .bind(changes.and_then(|changes| changes.contact_name.as_deref()));
    within(patience, query.execute(connection)).await?;
    Ok(())
}
