//! What the archive holds, read with SQL of its own: the program's reading code is not what proves its writing.

use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use crate::events::Thread;

/// A conversation with its messages in order. Two readings are equal when nothing at all was written in between.
#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub id: Uuid,
    pub project: String,
    pub contact: Option<String>,
    pub external_id: Option<String>,
    pub contact_name: Option<String>,
    pub agent_id: Option<String>,
    pub opened_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    pub close_reason: Option<String>,
    pub close_detail: Option<String>,
    pub resolution: Option<i16>,
    pub previous_id: Option<Uuid>,
    pub updated_at: DateTime<Utc>,
    pub messages: Vec<Message>,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub text: String,
    pub external_id: Option<String>,
    pub direction: String,
    pub occurred_at: DateTime<Utc>,
    pub received_at: DateTime<Utc>,
    pub late: bool,
    pub created_at: DateTime<Utc>,
}

impl Conversation {
    pub fn texts(&self) -> Vec<&str> {
        self.messages.iter().map(|message| message.text.as_str()).collect()
    }

    pub fn is_of(&self, thread: &Thread) -> bool {
        self.project == thread.project && self.contact.as_deref() == Some(&thread.contact)
    }
}

/// Every conversation, in the order they were opened.
pub async fn read(pool: &PgPool) -> sqlx::Result<Vec<Conversation>> {
    let rows = sqlx::query("select * from conversation order by opened_at, created_at").fetch_all(pool).await?;
    let mut conversations = rows.iter().map(conversation).collect::<sqlx::Result<Vec<_>>>()?;
    let rows = sqlx::query("select * from message order by occurred_at, sequence, event_id").fetch_all(pool).await?;
    for row in rows {
        let id: Uuid = row.try_get("conversation_id")?;
        if let Some(conversation) = conversations.iter_mut().find(|conversation| conversation.id == id) {
            conversation.messages.push(message(&row)?);
        }
    }
    Ok(conversations)
}

/// How many conversations are closed, and how many messages stand.
pub async fn counts(pool: &PgPool) -> sqlx::Result<(usize, usize)> {
    let counts =
        "select (select count(*) from conversation where closed_at is not null), (select count(*) from message)";
    let (closed, messages): (i64, i64) = sqlx::query_as(counts).fetch_one(pool).await?;
    Ok((usize::try_from(closed).unwrap_or_default(), usize::try_from(messages).unwrap_or_default()))
}

/// Conversations whose row says another count, token sum or hash than its messages give, or that have no messages.
pub async fn unsound(pool: &PgPool) -> sqlx::Result<Vec<Uuid>> {
    let unsound = "
        select c.id from conversation c, conversation_content(c.id) as is_now
        where is_now.message_count = 0
           or (c.message_count, c.token_count, c.content_hash)
              is distinct from (is_now.message_count, is_now.token_count, is_now.content_hash)";
    sqlx::query_scalar(unsound).fetch_all(pool).await
}

fn conversation(row: &PgRow) -> sqlx::Result<Conversation> {
    Ok(Conversation {
        id: row.try_get("id")?,
        project: row.try_get("project")?,
        contact: row.try_get("contact")?,
        external_id: row.try_get("external_id")?,
        contact_name: row.try_get("contact_name")?,
        agent_id: row.try_get("agent_id")?,
        opened_at: row.try_get("opened_at")?,
        closed_at: row.try_get("closed_at")?,
        close_reason: row.try_get("close_reason")?,
        close_detail: row.try_get("close_detail")?,
        resolution: row.try_get("resolution")?,
        previous_id: row.try_get("previous_id")?,
        updated_at: row.try_get("updated_at")?,
        messages: Vec::new(),
    })
}

fn message(row: &PgRow) -> sqlx::Result<Message> {
    Ok(Message {
        text: row.try_get("text")?,
        external_id: row.try_get("external_id")?,
        direction: row.try_get("direction")?,
        occurred_at: row.try_get("occurred_at")?,
        received_at: row.try_get("received_at")?,
        late: row.try_get("arrived_after_close")?,
        created_at: row.try_get("created_at")?,
    })
}
