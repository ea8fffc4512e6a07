//! Registering sinks: the database learns which ones there are, because notices are fanned out where they are written.

use std::collections::BTreeMap;

use super::{Outbox, OutboxError, SinkId, within};
use crate::{domain::NoticeKind, postgres::Session};

const REGISTER: &str = "
    insert into outbox_sink as s (name, form, kinds, projects, order_by)
    values ($1, $2, $3, $4, $5)
    on conflict (name) do update
    set form = excluded.form, kinds = excluded.kinds, projects = excluded.projects, order_by = excluded.order_by,
        state = case when s.state = 'removed' then 'enabled' else s.state end,
        state_reason = case when s.state = 'removed' then null else s.state_reason end,
        state_since = case when s.state = 'removed' then clock_timestamp() else s.state_since end
    returning id";

const REMOVE: &str = "
    update outbox_sink
    set state = 'removed', state_reason = 'no settings name it', state_since = clock_timestamp()
    where name <> all($1) and state <> 'removed'";

/// Whose order a sink needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Of what is told of one conversation.
    Conversation,
    /// Of what is told of one contact: for sinks that keep one record of a person.
    Contact,
}

/// What the database must know of a sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Its name, which stays the same.
    pub name: String,
    /// What kind of outside system it is, for people.
    pub form: &'static str,
    /// What it takes.
    pub kinds: Vec<NoticeKind>,
    /// Projects it hears of; `None` for all.
    pub projects: Option<Vec<String>>,
    /// Whose order it needs.
    pub order: Order,
}

impl Outbox {
    /// Makes `sinks` the sinks there are. One that is not among them gets nothing new, and keeps what waits for it until it
    /// comes back. One that changes its order keeps the lanes of what waits already.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn register(&self, sinks: &[Registration]) -> Result<BTreeMap<String, SinkId>, OutboxError> {
        let mut sinks: Vec<&Registration> = sinks.iter().collect();
        sinks.sort_by(|one, other| one.name.cmp(&other.name)); // replicas starting together wait in one order
        within(async {
            let mut session = Session::begin(&self.pool).await?;
            let mut ids = BTreeMap::new();
            for sink in &sinks {
                let order = match sink.order {
                    Order::Conversation => "conversation",
                    Order::Contact => "contact",
                };
                let id: i32 = sqlx::query_scalar(REGISTER)
                    .bind(&sink.name)
                    .bind(sink.form)
                    .bind(sink.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>())
                    .bind(sink.projects.as_ref())
                    .bind(order)
                    .fetch_one(session.connection())
                    .await?;
                ids.insert(sink.name.clone(), SinkId(id));
            }
            let names: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
            sqlx::query(REMOVE).bind(names).execute(session.connection()).await?;
            session.commit().await?;
            Ok(ids)
        })
        .await
    }
}
