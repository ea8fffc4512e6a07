//! A person in the hot store: what there is of them, closing what is open, and taking it out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep};

use super::{Site, receipt::HotTraces};
use crate::{
    domain::{Conversation, Head, Thread, ThreadKey},
    event::{ConversationClose, conversation_close},
    hot::{ItemKey, Sought, Swept, WholeStore},
    operate::{
        bar::Bar,
        conversations::{Stores, open},
        moment::now,
    },
    queue::{Command, Queue, SqsQueue, fifo_id},
};

/// Deletes on their way at once.
const PARALLEL: usize = 16;

/// How often the daemon's progress is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Who.
pub(super) struct Person<'a> {
    pub project: &'a str,
    pub contact: &'a str,
}

/// What the hot store has of them.
#[derive(Default)]
pub(super) struct Found {
    pub threads: BTreeMap<ThreadKey, Option<Head>>,
    sessions: Vec<ItemKey>,
}

impl Found {
    /// Its items.
    pub(super) async fn count(&self, hot: &dyn WholeStore) -> anyhow::Result<u64> {
        let mut count = self.sessions.len() as u64;
        for thread in self.threads.keys() {
            count += hot.keys_of(thread).await?.len() as u64;
        }
        Ok(count)
    }
}

impl Person<'_> {
    pub(super) fn is(&self, thread: &Thread) -> bool {
        thread.project == self.project && thread.contact.as_deref() == Some(self.contact)
    }

    /// Reads the heads of what was found as they are now, and those of the threads that the archive has come to know.
    ///
    /// A thread begun since the table was looked through is not among them: what it has of before is found by the digest.
    pub(super) async fn look_again(&self, stores: &Stores, found: &mut Found) -> anyhow::Result<()> {
        let archived = stores.archive.threads_of(self.project, self.contact).await?;
        let keys = found.threads.keys().cloned().chain(archived.iter().map(Thread::key));
        for key in keys.collect::<BTreeSet<_>>() {
            let head = open::head(&*stores.hot, key.clone()).await?;
            found.threads.insert(key, head);
        }
        Ok(())
    }

    /// Looks through the whole table, and at the threads that the archive knows.
    pub(super) async fn find(&self, stores: &Stores) -> anyhow::Result<Found> {
        let hot = &*stores.hot;
        let (mut found, mut after, mut looked_at) = (Found::default(), None, 0);
        self.look_again(stores, &mut found).await?;
        let bar = Bar::begin("looking through the hot store", None);
        loop {
            let page = hot.sweep(&Sought::Person(self.project, self.contact), after).await;
            let page = page.context("the table cannot be scanned; the role needs dynamodb:Scan")?;
            looked_at += page.looked_at;
            bar.at(looked_at, format!("{looked_at} items"));
            for swept in page.found {
                match swept {
                    Swept::Head(head) if self.is(&head.thread) => {
                        found.threads.insert(head.thread.key(), Some(*head));
                    }
                    Swept::Item(key) | Swept::Variable(_, key, _)
                        if Thread::named_by(&key).is_some_and(|thread| self.is(&thread)) =>
                    {
                        found.threads.entry(key).or_insert(None);
                    }
                    Swept::Session(key, place) if self.is(&place.thread) => found.sessions.push(key),
                    _ => {}
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    /// Has the daemon close what is open, in its turn. Returns whether all is closed.
    pub(super) async fn close_open(&self, site: &Site, found: &Found) -> anyhow::Result<bool> {
        let open = |head: &&Head| !matches!(head.conversation, Conversation::Closed(_));
        let heads: Vec<&Head> = found.threads.values().flatten().filter(open).collect();
        if heads.is_empty() {
            return Ok(true);
        }
        let sender = SqsQueue::new(site.clients.sqs.clone(), site.queue.url.clone(), String::new(), Duration::ZERO);
        for head in &heads {
            let id = head.conversation.record().id;
            let close = ConversationClose {
                resolution: None,
                reason: None,
                topic: None,
                subtopic: None,
                conversation_id: Some(id),
            };
            let command = Command {
                group_id: head.group_id.clone(),
                dedup_id: fifo_id(&format!("close:{id}:{}", now().timestamp_micros())),
                body: conversation_close::to_body(&head.thread, &close),
                attributes: BTreeMap::new(),
            };
            sender.send(command).await.context("an open conversation cannot be closed")?;
        }
        let bar = Bar::begin("waiting for the daemon to close what is open", None);
        let began = Instant::now();
        for head in heads {
            loop {
                let stands = open::head(&*site.stores.hot, head.thread.key()).await?;
                if stands.is_none_or(|head| matches!(head.conversation, Conversation::Closed(_))) {
                    break;
                }
                if began.elapsed() > site.wait {
                    return Ok(false);
                }
                bar.at(began.elapsed().as_secs(), format!("{} s", began.elapsed().as_secs()));
                sleep(LOOK).await;
            }
        }
        Ok(true)
    }

    /// Takes out all of it. `None`: a conversation was opened meanwhile, and nothing of its thread was taken.
    pub(super) async fn forget(&self, hot: &dyn WholeStore, found: &Found) -> anyhow::Result<Option<HotTraces>> {
        let mut removed = HotTraces::default();
        for (thread, head) in &found.threads {
            // keys first, then the head: what is listed under a head that is still the one we found belongs to what it closed
            let keys = hot.keys_of(thread).await?;
            let stands = open::head(hot, thread.clone()).await?;
            if stands.as_ref().map(|head| head.version) != head.as_ref().map(|head| head.version) {
                return Ok(None);
            }
            if stands.as_ref().is_some_and(|head| !matches!(head.conversation, Conversation::Closed(_))) {
                return Ok(None);
            }
            let items: Vec<&ItemKey> = keys.iter().filter(|key| !key.is_head()).collect();
            forget_all(hot, &items).await?;
            removed.items += items.len() as u64;
            if let Some(head) = stands {
                removed.items += u64::from(hot.forget_head(&head).await?);
            }
            removed.threads += 1;
        }
        forget_all(hot, &found.sessions.iter().collect::<Vec<_>>()).await?;
        removed.items += found.sessions.len() as u64;
        Ok(Some(removed))
    }
}

pub(super) async fn forget_all(hot: &dyn WholeStore, keys: &[&ItemKey]) -> anyhow::Result<()> {
    let forgotten = stream::iter(keys.iter().map(|key| hot.forget(key))).buffer_unordered(PARALLEL);
    let all: Result<Vec<()>, _> = forgotten.try_collect().await;
    all.map(|_| ()).context("an item cannot be deleted; the role needs dynamodb:DeleteItem")
}
