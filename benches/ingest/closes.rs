//! Closes of short and long conversations into a PostgreSQL, and two ways to insert.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use chrono::Utc;
use conversationd::{
    archive::Archive,
    domain::{Head, Message, Policy},
};
use serde_json::{Value, json};
use sqlx::Connection;
use uuid::Uuid;

use crate::{
    house::House,
    kept,
    null::{NullAws, Receive},
    part::Found,
    path::Path,
    plot::{Chart, Row, shown},
    process::{self, RUN},
    spread::Spread,
    usage::Used,
};

/// Messages of the conversations that close.
const LENGTHS: [usize; 3] = [10, 1_000, 100_000];

/// How often each is closed, but for the longest.
const CLOSES: usize = 5;

/// Messages inserted at once, as a close does.
const PAGE: usize = 1_000;

/// Messages of one insertion that is compared.
const INSERTED: usize = 50_000;

const CLOSE: &str = include_str!("../../tests/fixtures/events/conversation_close.json");

/// The receive that asks for the close of a conversation of `messages`.
fn receive(messages: usize) -> Receive {
    let mut event: Value = serde_json::from_str(CLOSE).expect("a fixture is JSON");
    event["data"]["contact_urn"] = json!(kept::contact(messages));
    event["correlation_id"] = json!(Uuid::new_v4());
    let sent_at = Utc::now().timestamp_millis().to_string();
    let delivery = json!({
        "MessageId": Uuid::new_v4(), "ReceiptHandle": Uuid::new_v4(), "Body": event.to_string(),
        "Attributes": {
            "SentTimestamp": sent_at, "ApproximateReceiveCount": "1", "SequenceNumber": "99999999999999999999",
            "MessageGroupId": kept::contact(messages),
        },
    });
    Receive { body: json!({ "Messages": [delivery] }).to_string().into(), asks: Vec::new() }
}

/// Rows a second of both ways, in turn, each in a transaction that is rolled back.
async fn compare(house: &House, rounds: usize) -> anyhow::Result<String> {
    let (mut unnest, mut copy) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        unnest.push(unnest_once(house).await?);
        copy.push(copy_once(house).await?);
    }
    let rate = |mut took: Vec<Duration>| {
        took.sort_unstable();
        INSERTED as f64 / took[took.len() / 2].as_secs_f64() / 1e3
    };
    let mut text =
        format!("{INSERTED} messages inserted by pages of {PAGE}, those that stand left alone, counted after\n");
    for (way, took) in [("unnest, as a close does", unnest), ("copy into a temporary table, then insert", copy)] {
        let _ = writeln!(text, "  {way:<42} {:>6.1} thousand rows a second", rate(took));
    }
    Ok(text)
}

fn pages() -> (Head, conversationd::domain::Thread, Vec<Vec<Message>>) {
    let (thread, messages) = kept::conversation(INSERTED, Utc::now());
    let messages: Vec<Message> = messages.collect();
    let head = Head::opened_by(&thread, "kept", None, &messages[0], &Policy::DEFAULT);
    (head, thread, messages.chunks(PAGE).map(<[Message]>::to_vec).collect())
}

async fn unnest_once(house: &House) -> anyhow::Result<Duration> {
    let (head, thread, pages) = pages();
    let archive = house.archive()?;
    let mut transaction = archive.begin().await?;
    let record = head.conversation.record();
    transaction.lock(&thread, record).await?;
    let begun = Instant::now();
    for page in &pages {
        transaction.insert(record, page, false).await?;
    }
    Ok(begun.elapsed())
}

async fn copy_once(house: &House) -> anyhow::Result<Duration> {
    let (head, thread, pages) = pages();
    let record = head.conversation.record();
    let mut connection = house.connection().await?;
    let mut transaction = connection.begin().await?;
    sqlx::query("insert into conversation (id, project, contact, thread, opened_at) values ($1, $2, $3, $4, $5)")
        .bind(record.id.0)
        .bind(&thread.project)
        .bind(thread.contact.as_deref())
        .bind(thread.key().as_str().to_owned())
        .bind(record.opened_at)
        .execute(&mut *transaction)
        .await?;
    let begun = Instant::now();
    sqlx::query("create temporary table page (like message including defaults) on commit drop")
        .execute(&mut *transaction)
        .await?;
    for page in &pages {
        let rows: String = page.iter().map(|message| row(record.id.0, message)).collect();
        let mut copy = transaction.copy_in_raw(COPY).await?;
        copy.send(rows.into_bytes()).await?;
        copy.finish().await?;
        sqlx::query("insert into message select * from page on conflict (event_id) do nothing returning event_id")
            .fetch_all(&mut *transaction)
            .await?;
        let ids: Vec<Uuid> = page.iter().map(|message| message.event_id.0).collect();
        let standing = "select count(distinct event_id) from message where event_id = any($1)";
        let standing: i64 = sqlx::query_scalar(standing).bind(ids).fetch_one(&mut *transaction).await?;
        anyhow::ensure!(standing == page.len() as i64, "{standing} stand");
        sqlx::query("truncate page").execute(&mut *transaction).await?;
    }
    Ok(begun.elapsed())
}

const COPY: &str = "copy page (conversation_id, event_id, occurred_at, received_at, sequence, direction, text, \
                    external_id, contact_name, content_type, sender_type, sender_id, agent_id, model_used, tokens_used, \
                    sentiment, intent, entities, attachments, metadata) from stdin";

/// A line of PostgreSQL's own text format.
fn row(conversation: Uuid, message: &Message) -> String {
    let json = |empty: bool, value: Value| (!empty).then(|| value.to_string());
    let columns = [
        Some(conversation.to_string()),
        Some(message.event_id.to_string()),
        Some(message.occurred_at.to_rfc3339()),
        Some(message.received_at.to_rfc3339()),
        Some(message.sequence.0.to_string()),
        Some(message.direction.as_str().to_owned()),
        Some(message.text.clone()),
        message.external_id.clone(),
        message.contact_name.clone(),
        message.content_type.clone(),
        message.sender_type.map(|kind| kind.as_str().to_owned()),
        message.sender_id.clone(),
        message.agent_id.clone(),
        message.model_used.clone(),
        message.tokens_used.map(|tokens| tokens.to_string()),
        message.sentiment.clone(),
        message.intent.clone(),
        json(message.entities.is_empty(), json!(message.entities)),
        json(message.attachments.is_empty(), json!(message.attachments)),
        json(message.metadata.is_empty(), json!(message.metadata)),
    ];
    let escaped =
        |text: String| text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r");
    let columns: Vec<String> = columns.into_iter().map(|text| text.map_or("\\N".to_owned(), escaped)).collect();
    columns.join("\t") + "\n"
}

/// Closes of every length into a real archive, and the two ways to insert.
///
/// # Errors
/// A close failed, or the database is away.
pub fn measure(aws: &NullAws) -> anyhow::Result<Found> {
    let runtime = tokio::runtime::Runtime::new()?;
    let Some(house) = runtime.block_on(House::make())? else {
        return Ok(Found { text: "closes: not measured, DATABASE_URL is not set\n".to_owned(), charts: Vec::new() });
    };
    let found = closes(aws, &house).and_then(|mut found| {
        found.text += &format!("\n{}", runtime.block_on(compare(&house, 3))?);
        Ok(found)
    });
    runtime.block_on(house.remove())?;
    found
}

fn closes(aws: &NullAws, house: &House) -> anyhow::Result<Found> {
    let mut text = format!(
        "closes, from the event's receipt to its delete\n  {:>10} {:>20} {:>10}\n",
        "messages", "ms", "peak MB"
    );
    let mut rows = Vec::new();
    for length in LENGTHS {
        let (mut took, mut peaks) = (Vec::new(), Vec::new());
        for _ in 0..if length < 100_000 { CLOSES } else { 1 } {
            process::keep(aws, &[length])?;
            aws.hand_out(vec![receive(length)], Duration::ZERO);
            let database = [("DATABASE_URL", house.url.as_str()), ("CONVERSATIOND_DATABASE_SCHEMA", &house.schema)];
            let output = process::child(aws, &[RUN, Path::Ours.name(), "0", "1"], &database)?;
            peaks.push(serde_json::from_slice::<Used>(&output)?.megabytes());
            took.push(aws.took().as_secs_f64() * 1e3);
        }
        let (took, peak) = (Spread::of(took), Spread::of(peaks).most);
        let _ = writeln!(text, "  {length:>10} {:>20} {peak:>10.0}", took.shown(0));
        rows.push(Row { label: format!("{} messages", shown(length as f64)), series: 0, value: took });
    }
    let chart = Chart {
        name: "closes",
        title: "A close, from the event's receipt to its delete, by the conversation's length",
        unit: "ms; each line of the grid is ten times the one before",
        legend: "dot: median; line: least to most",
        by_tens: true,
        series: &[],
        rows,
    };
    Ok(Found { text, charts: vec![chart] })
}
