//! What the stories need: a schema of their own, an outbox in it, sinks, notices.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use conversationd::{
    domain::{ConversationId, Notice, NoticeKind, Thread},
    outbox::{Attempt, Claimed, Order, Outbox, Registration, Room, Settlement, SinkId},
};
use serde_json::{Map, json};
use sqlx::PgPool;
use uuid::Uuid;

use crate::schema::Schema;

/// Long enough that no lease ends by itself in a story.
pub const LEASE: Duration = Duration::from_secs(600);

/// A schema with an outbox in it.
pub struct House {
    pub outbox: Outbox,
    pub pool: PgPool,
}

/// Tells a story in a schema of its own, which is dropped at the end, however it ends.
pub async fn in_a_house<Told>(story: impl FnOnce(Arc<House>) -> Told)
where
    Told: Future<Output = ()> + Send + 'static,
{
    let schema = Schema::new("outbox", 2).await;
    let (outbox, pool) = (Outbox::over(schema.archive.pool_beside(24)), schema.archive.pool_beside(20));
    let house = Arc::new(House { outbox, pool });
    let close = async {
        house.outbox.close().await;
        house.pool.close().await;
    };
    schema.around(story(house.clone()), close).await;
}

/// A sink that takes everything, in the order of conversations.
pub fn sink(name: &str) -> Registration {
    Registration {
        name: name.into(),
        form: "test",
        kinds: NoticeKind::ALL.to_vec(),
        projects: None,
        order: Order::Conversation,
    }
}

/// The `event`th notice of the `conversation`th conversation of contact `c`.
pub fn notice(conversation: u128, event: u32) -> Notice {
    let thread = Thread {
        project: "p".into(),
        contact: Some("whatsapp:+5511999990000".into()),
        channel: Some("channel".into()),
        conversation: None,
    };
    let content = Map::from_iter([("event".to_owned(), json!(event))]);
    let id = ConversationId(Uuid::from_u128(0xC000 + conversation));
    Notice::of(NoticeKind::Updated, &thread, Some(id), &event.to_string(), noon(), content)
}

pub fn noon() -> DateTime<Utc> {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

/// What a claimed notice is the how-manieth of.
pub fn event(claimed: &Claimed) -> u64 {
    claimed.notice.number("event").expect("its number")
}

impl House {
    /// Registers sinks that take everything.
    pub async fn sinks<const N: usize>(&self, names: [&str; N]) -> [SinkId; N] {
        let ids = self.outbox.register(&names.map(sink)).await.expect("register");
        names.map(|name| ids[name])
    }

    /// Claims up to `lanes` lanes of a sink.
    pub async fn claim(&self, sink: SinkId, lanes: u32) -> Vec<Claimed> {
        self.outbox.claim(&[Room { sink, lanes }], LEASE).await.expect("claim")
    }

    /// Claims the one lane that is due.
    pub async fn claim_one(&self, sink: SinkId) -> Claimed {
        let mut claimed = self.claim(sink, 10).await;
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        claimed.remove(0)
    }

    /// Settles a claim; whether it was held.
    pub async fn settle(&self, claimed: &Claimed, as_: Settlement) -> bool {
        self.outbox.settle(&claimed.claim, as_, &Attempt::default()).await.expect("settle")
    }

    /// The end of every story: no lane counts wrong.
    pub async fn is_sound(&self) {
        assert_eq!(self.outbox.unsound_lanes().await.expect("lanes"), 0);
    }

    /// One number out of the database.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("number")
    }

    /// Runs a script.
    pub async fn script(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.expect("script");
    }
}
