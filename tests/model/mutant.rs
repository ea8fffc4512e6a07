//! Known-bad variants: one rule of the discipline broken each, at the edges, so that the daemon's code has no switches.
//!
//! A search that does not catch each of them proves nothing.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, Utc};
use conversationd::{
    domain::{Conversation, ConversationId, Head, Message, ThreadKey},
    hot::{
        Control, Controls, Cursor, DeadLetter, DeadLetters, DueHead, HotError, HotStore, Page, Put, Row, Settled, Walk,
        Walked,
    },
};

use super::hot::ModelHot;

/// A broken rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutant {
    /// None: the design as shipped.
    #[default]
    Shipped,
    /// W1: every put has a key of its own, so a repeat is another row, and the archive takes every row.
    RandomKeys,
    /// The event id is not unique over the archive.
    EventIdNotUnique,
    /// W2: the read after the put is answered as if the conversation were still open.
    NoVerify,
    /// W3: heads are written whatever their version.
    NoHeadVersion,
    /// W4: a failed message does not hold its group back.
    NoGroupLock,
    /// W5: a sealed conversation looks closed, so a message opens the next one over it.
    NoHelp,
    /// W6: the seal is not written before the messages are read.
    NoSeal,
    /// W7: the archive takes a row again and again.
    PlainInsert,
    /// W8: the head is closed whatever its version.
    NoClosedVersion,
    /// Consistent reads are not.
    StaleReads,
    /// A page is taken for the whole conversation.
    OnePage,
    /// What arrives after the close is dropped.
    NoLateAppend,
    /// Deliveries are deleted when they are received.
    AckFirst,
    /// A rejected delivery is deleted and not kept.
    RejectForgets,
    /// The head is closed before the archive has committed.
    CloseFirst,
    /// A rating is not written with the conversation that has it.
    RatingForgotten,
    /// A dead letter has no row in the index.
    NoRow,
    /// Answers are read from what stood five seconds ago.
    StaleAnswers,
    /// The archive finds a conversation whatever the project.
    AnyProject,
    /// A reply that could not be sent is sent again.
    RepliesAgain,
    /// The fleet spools without waiting for those who still take from the queue.
    SpoolAlone,
    /// A replica that cannot be heard goes on for hours.
    SpoolLease,
    /// Deliveries are spooled whatever the fleet has gone on to.
    SpoolLate,
    /// A group goes by two names: its deliveries are handled side by side.
    SplitGroups,
    /// What is given back stays hidden.
    NoRelease,
    /// A process believes in its leases for hours.
    LongLeases,
}

/// Every broken rule that what stands in the stores at the end can tell of; the last ones are for the consumer's laws.
pub const MUTANTS: [Mutant; 23] = [
    Mutant::RatingForgotten,
    Mutant::RandomKeys,
    Mutant::EventIdNotUnique,
    Mutant::NoVerify,
    Mutant::NoHeadVersion,
    Mutant::NoGroupLock,
    Mutant::NoHelp,
    Mutant::NoSeal,
    Mutant::PlainInsert,
    Mutant::NoClosedVersion,
    Mutant::StaleReads,
    Mutant::OnePage,
    Mutant::NoLateAppend,
    Mutant::AckFirst,
    Mutant::RejectForgets,
    Mutant::CloseFirst,
    Mutant::NoRow,
    Mutant::StaleAnswers,
    Mutant::AnyProject,
    Mutant::RepliesAgain,
    Mutant::SpoolAlone,
    Mutant::SpoolLease,
    Mutant::SpoolLate,
];

/// A hot store that breaks a rule which is about what is read or written when.
pub struct Broken {
    pub hot: ModelHot,
    /// The head last written or read, by thread.
    pub last: Mutex<BTreeMap<ThreadKey, Head>>,
}

impl Broken {
    fn mutant(&self) -> Mutant {
        self.hot.0.world.state().mutant
    }

    fn last(&self) -> MutexGuard<'_, BTreeMap<ThreadKey, Head>> {
        self.last.lock().expect("not poisoned")
    }
}

/// The same head as if its conversation had been archived already.
fn as_if_closed(head: Head) -> Head {
    match head.conversation.clone() {
        Conversation::Closing(closing) => Head { conversation: Conversation::Closed(closing.archived()), ..head },
        Conversation::Open(_) | Conversation::Closed(_) => head,
    }
}

#[async_trait]
impl HotStore for Broken {
    async fn heads(&self, threads: Vec<ThreadKey>) -> Vec<Result<Option<Head>, HotError>> {
        let mutant = self.mutant();
        let put: Vec<Option<Head>> = threads.iter().map(|thread| self.last().remove(thread)).collect();
        let read = self.hot.heads(threads).await;
        read.into_iter()
            .zip(put)
            .map(|(read, put)| match (mutant, read?, put) {
                (Mutant::NoVerify, _, Some(before)) => Ok(Some(before)),
                (Mutant::NoHelp, Some(head), _) => Ok(Some(as_if_closed(head))),
                (_, read, _) => Ok(read),
            })
            .collect()
    }

    async fn write_head(&self, thread: &ThreadKey, head: &Head) -> Result<bool, HotError> {
        self.hot.write_head(thread, head).await
    }

    async fn put_messages(&self, puts: Vec<Put>) -> Vec<Result<(), HotError>> {
        if self.mutant() == Mutant::NoVerify {
            for put in &puts {
                // the next read of this thread is the verification: let it see the conversation open
                let open = self.hot.0.world.state().hot.opened.get(&put.conversation).cloned();
                if let Some(open) = open {
                    self.last().insert(put.thread.clone(), open);
                }
            }
        }
        self.hot.put_messages(puts).await
    }

    async fn page(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        after: Option<Cursor>,
    ) -> Result<Page, HotError> {
        self.hot.page(thread, conversation, after).await
    }

    async fn walk(&self, walk: &Walk) -> Result<Walked, HotError> {
        self.hot.walk(walk).await
    }

    async fn last_received(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
    ) -> Result<Option<DateTime<Utc>>, HotError> {
        self.hot.last_received(thread, conversation).await
    }

    async fn overtook(
        &self,
        thread: &ThreadKey,
        conversation: ConversationId,
        message: &Message,
    ) -> Result<bool, HotError> {
        self.hot.overtook(thread, conversation, message).await
    }

    async fn due(&self, shard: u8, until: DateTime<Utc>, limit: usize) -> Result<Vec<DueHead>, HotError> {
        self.hot.due(shard, until, limit).await
    }

    async fn charge(&self, message_id: &str, attempts: i32, until: DateTime<Utc>) -> Result<u32, HotError> {
        self.hot.charge(message_id, attempts, until).await
    }

    async fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), HotError> {
        self.hot.write_dead_letter(letter).await
    }

    async fn dead_letters(&self, day: NaiveDate, after: Option<Cursor>) -> Result<DeadLetters, HotError> {
        self.hot.dead_letters(day, after).await
    }

    async fn mark_dead_letter(&self, at: DateTime<Utc>, id: &str, settled: Settled) -> Result<bool, HotError> {
        self.hot.mark_dead_letter(at, id, settled).await
    }

    async fn write_row(&self, row: &Row) -> Result<bool, HotError> {
        self.hot.write_row(row).await
    }

    async fn rows(&self, partition: &str, prefix: &str) -> Result<Vec<Row>, HotError> {
        self.hot.rows(partition, prefix).await
    }

    async fn controls(&self) -> Result<Controls, HotError> {
        self.hot.controls().await
    }

    async fn control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        self.hot.control(control, at).await
    }
}
