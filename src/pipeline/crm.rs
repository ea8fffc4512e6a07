//! What CRMs tell: verified, split into one event for each record, and sent on to whom it may concern. Every send names the same
//! thing the same way, so a crash before the ack sends nothing twice that counts.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::{Map, Value};
use tracing::debug;

use super::{Failure, Pipeline, Work};
use crate::{
    archive::{Heard, Reach},
    crm,
    domain::{Conversation, RecordChange, Thread, What},
    event::{self, Event, Rejection, SignedBody},
    queue::{Command, Note, fifo_id},
};

/// Sends on their way at once.
const AT_ONCE: usize = 10;

impl Pipeline {
    /// Takes a webhook: what it tells goes on, in the group of each record.
    pub(super) async fn take_webhook(&self, work: &Work, event: &Event, signed: &SignedBody) -> Result<(), Failure> {
        // one that was redriven is as old as when a queue first took it
        let note = Note::read(&work.delivery);
        let sent_at = note.and_then(|note| note.first_sent_at).unwrap_or(event.received_at);
        match self.portals.open(signed, sent_at) {
            Ok(told) => {
                self.counters.crm_ignored.add(told.ignored);
                self.counters.crm_echoes.add(told.echoes);
                let commands: Vec<Command> = told.changes.iter().map(crm::command).collect();
                self.send_all(work, commands).await
            }
            Err(why) => self.reject(work, &Rejection::not_verified(why.to_string())).await,
        }
    }

    /// Takes what happened to one record: into the archive, then to the open conversations of the person.
    pub(super) async fn take_change(&self, work: &Work, event: &Event, change: &RecordChange) -> Result<(), Failure> {
        let projects = self.portals.projects(&change.crm, &change.account);
        let reach = Reach { projects, event: event.id, received_at: event.received_at };
        self.still_ours(work)?;
        let threads = match self.archive.record_changed(change, reach).await? {
            Heard::Stands(threads) => threads,
            Heard::Older => {
                self.counters.crm_ignored.add(1);
                return Ok(());
            }
            Heard::Echo => {
                self.counters.crm_echoes.add(1);
                return Ok(());
            }
        };
        self.counters.crm_changes.add(1);
        debug!(event.id = %event.id, change = change.what.as_str(), threads = threads.len(), "a CRM's record changed");
        if let What::Property { name, value } = &change.what {
            let mut commands = Vec::new();
            for thread in &threads {
                let properties = Map::from_iter([(name.clone(), value.clone().map_or(Value::Null, Value::String))]);
                commands.extend(self.for_thread(event, change, thread, properties).await?);
            }
            self.send_all(work, commands).await?;
        }
        Ok(())
    }

    /// What an open conversation of the thread is told; where none is open, nobody is.
    async fn for_thread(
        &self,
        event: &Event,
        change: &RecordChange,
        thread: &Thread,
        properties: Map<String, Value>,
    ) -> Result<Option<Command>, Failure> {
        let Some(head) = self.hot.head(&thread.key()).await? else { return Ok(None) };
        if !matches!(head.conversation, Conversation::Open(_)) {
            return Ok(None);
        }
        let id = event.id.to_string();
        let body = event::crm::to_body(&head.thread, &change.crm, &change.crm_id, properties, &id);
        let dedup_id = fifo_id(&format!("forward:{id}:{}", thread.key().as_str()));
        Ok(Some(Command { group_id: head.group_id, dedup_id, body, attributes: BTreeMap::new() }))
    }

    /// In order within each group: SQS keeps what it was sent in turn, so a group is sent to in turn.
    async fn send_all(&self, work: &Work, commands: Vec<Command>) -> Result<(), Failure> {
        let mut groups: BTreeMap<String, Vec<Command>> = BTreeMap::new();
        for command in commands {
            groups.entry(command.group_id.clone()).or_default().push(command);
        }
        let groups: Vec<Vec<Command>> = groups.into_values().collect();
        for some in groups.chunks(AT_ONCE) {
            self.still_ours(work)?;
            let sends = some.iter().map(async |commands| {
                for command in commands {
                    self.inbox.edge().send(command.clone()).await?;
                }
                Ok::<(), Failure>(())
            });
            try_join_all(sends).await?;
        }
        Ok(())
    }
}
