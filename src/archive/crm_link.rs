//! Links to customer records, as events write them.

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::types::Json;

use super::ArchiveError;
use super::session::within;
use crate::domain::{ConversationId, CrmLink, Thread};

/// A newer word replaces an older one; what it does not say of the person stays.
const LINK: &str = "
    insert into crm_link as l (conversation_id, project, thread, contact, crm, crm_id, prospect, changed_by)
    values ($1, $2, $3, $4, $5, $6, $7, $8::numeric)
    on conflict (conversation_id) do update
    set crm = excluded.crm, crm_id = excluded.crm_id, prospect = coalesce(excluded.prospect, l.prospect),
        contact = coalesce(excluded.contact, l.contact), state = 'active', changed_by = excluded.changed_by, updated_at = now()
    where l.changed_by < excluded.changed_by";

/// Writes the link of a conversation, unless a later event wrote one.
pub(super) async fn write(
    patience: Duration,
    connection: &mut PgConnection,
    thread: &Thread,
    conversation: ConversationId,
    link: &CrmLink,
) -> Result<(), ArchiveError> {
    let query = sqlx::query(LINK)
        .bind(conversation.0)
        .bind(&thread.project)
        .bind(thread.key().as_str().to_owned())
        .bind(thread.contact.as_deref())
        .bind(&link.crm)
        .bind(&link.crm_id)
        .bind((!link.prospect.is_empty()).then_some(Json(&link.prospect)))
        .bind(link.sequence.0.to_string());
    within(patience, query.execute(connection)).await?;
    Ok(())
}
