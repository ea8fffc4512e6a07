//! What the stories need: a schema of their own, conversations, messages, and one way to archive them.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::archive::{
    Archive, ArchiveError, ContentHash, ConversationRow, MessageRow, Options, PostgresArchive, Summary,
};
use conversationd::domain::{
    Changes, Close, CloseReason, ConversationId, Details, Direction, EventId, Message, Rating, RatingKind, Record,
    Sequence, Thread, Tokens,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::schema::Schema;

/// A schema with the archive in it.
pub struct House {
    pub archive: PostgresArchive,
    pub url: String,
    pub options: Options,
}

/// Tells a story in a schema of its own, which is dropped at the end, however it ends.
pub async fn in_a_house<Told>(story: impl FnOnce(Arc<House>) -> Told)
where
    Told: Future<Output = ()> + Send + 'static,
{
    let schema = Schema::new("archive", 4).await;
    let (archive, url, options) = (schema.archive.clone(), schema.url.clone(), schema.options.clone());
    schema.around(story(Arc::new(House { archive, url, options })), async {}).await;
}

impl House {
    /// An archive on the same schema with other options.
    pub fn with(&self, change: impl FnOnce(&mut Options)) -> PostgresArchive {
        let mut options = self.options.clone();
        change(&mut options);
        PostgresArchive::new(&self.url, &options).expect("options")
    }

    /// A connection beside the archive's own.
    pub async fn connection(&self) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.expect("connect");
        let schema = self.options.schema.as_deref().expect("schema");
        let sql = format!("set search_path to {schema}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("search_path");
        connection
    }

    /// Runs a script beside the archive.
    pub async fn script(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&mut self.connection().await).await.expect("script");
    }

    /// One number out of the database.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.connection().await).await.expect("number")
    }

    /// Archives `messages` in pages of 1,000.
    pub async fn write(
        &self,
        record: &Record,
        messages: &[Message],
        late: bool,
        close: Option<&Close>,
    ) -> Result<Summary, ArchiveError> {
        let mut transaction = self.archive.begin().await?;
        transaction.lock(&thread(), record).await?;
        for page in messages.chunks(1_000) {
            transaction.insert(record, page, late).await?;
        }
        transaction.finish(record, close).await
    }

    /// Rates a conversation, whether it is open or closed. Returns whether the rating was new.
    pub async fn rate(&self, record: &Record, rating: &Rating) -> Result<bool, ArchiveError> {
        let mut transaction = self.archive.begin().await?;
        transaction.lock(&thread(), record).await?;
        let new = transaction.rate(&thread(), record, rating).await?;
        transaction.finish(record, None).await?;
        Ok(new)
    }

    /// Changes what the archive says of a conversation.
    pub async fn amend(&self, record: &Record, changes: &Changes) -> Result<(), ArchiveError> {
        let mut transaction = self.archive.begin().await?;
        transaction.lock(&thread(), record).await?;
        transaction.amend(record, changes).await?;
        transaction.finish(record, None).await?;
        Ok(())
    }

    /// A conversation's row.
    pub async fn row(&self, record: &Record) -> ConversationRow {
        self.archive.conversation(record.id).await.expect("read").expect("row")
    }

    /// The whole transcript, read in pages.
    pub async fn transcript(&self, record: &Record, page: u32) -> Vec<MessageRow> {
        let mut rows: Vec<MessageRow> = Vec::new();
        loop {
            let after = rows.last().map(MessageRow::cursor);
            let more = self.archive.messages(record.id, after, page).await.expect("messages");
            if more.is_empty() {
                return rows;
            }
            rows.extend(more);
        }
    }
}

pub fn at(rfc3339: &str) -> DateTime<Utc> {
    rfc3339.parse().expect("time")
}

pub fn noon() -> DateTime<Utc> {
    at("2025-03-01T12:00:00Z")
}

pub fn thread() -> Thread {
    Thread {
        project: "project".into(),
        contact: Some("whatsapp:+5511999990000".into()),
        channel: Some("channel".into()),
        conversation: None,
    }
}

/// The `number`th conversation.
pub fn record(number: u128) -> Record {
    Record {
        id: ConversationId(Uuid::from_u128(0xC000 + number)),
        opened_at: noon(),
        opened_received_at: noon(),
        contact_name: None,
        agent_id: None,
        previous: None,
        details: Details::default(),
        recap: None,
    }
}

/// The `number`th message: a second after the one before it.
pub fn message(number: u32) -> Message {
    let occurred_at = noon() + TimeDelta::seconds(number.into());
    Message {
        event_id: EventId(Uuid::from_u128(0xE000 + u128::from(number))),
        occurred_at,
        received_at: occurred_at + TimeDelta::milliseconds(120),
        sequence: Sequence(18_882_245_240_547_823_616_000 + u128::from(number)),
        direction: if number.is_multiple_of(2) { Direction::Incoming } else { Direction::Outgoing },
        text: format!("message {number}"),
        external_id: Some(format!("wamid.{number}")),
        contact_name: None,
        content_type: None,
        sender_type: None,
        sender_id: None,
        agent_id: None,
        model_used: None,
        tokens_used: Some(number),
        tokens: Some(Tokens { tokenizer: "o200k_base".into(), count: 10 * number }),
        sentiment: None,
        intent: None,
        entities: Vec::new(),
        attachments: Vec::new(),
        metadata: serde_json::Map::new(),
    }
}

pub fn messages(numbers: std::ops::Range<u32>) -> Vec<Message> {
    numbers.map(message).collect()
}

pub fn close() -> Close {
    let at = noon() + Duration::from_secs(86_400);
    Close { resolution: Some(0), detail: Some("nobody spoke".into()), ..Close::new(at, CloseReason::Idle) }
}

/// The `number`th rating: a minute after the one before it.
pub fn rating(number: u32, kind: RatingKind, score: u8) -> Rating {
    let answered_at = noon() + TimeDelta::minutes(number.into());
    Rating {
        event_id: EventId(Uuid::from_u128(0xA000 + u128::from(number))),
        kind,
        key: format!("weni_{}", kind.as_str()),
        value: score.to_string(),
        score: Some(score).filter(|_| kind != RatingKind::Custom),
        comment: Some("obrigada".into()),
        agent_id: Some("agent-7".into()),
        answered_at,
        received_at: answered_at + TimeDelta::milliseconds(80),
        sequence: Sequence(18_882_245_240_547_823_616_500 + u128::from(number)),
    }
}

/// The content hash as this side computes it.
pub fn hash<'a>(messages: impl IntoIterator<Item = &'a Message>) -> Option<[u8; 32]> {
    let mut hash = ContentHash::default();
    messages.into_iter().for_each(|message| hash.push(message));
    hash.finish()
}
