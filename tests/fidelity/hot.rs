//! Lists of hot store operations, done on the model and on the store in step.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use conversationd::{
    domain::{
        Close, CloseReason, Closed, Closing, Conversation, ConversationId, Details, Direction, Due, DueReason, EventId,
        Head, Message, Open, Record, Sequence, Spot, Thread, ThreadKey,
    },
    hot::{DUE_SHARDS, DueHead, HotError, HotStore, Put},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{TestCaseError, TestCaseResult},
};
use uuid::Uuid;

use crate::{
    beside::{self, Beside, Sides},
    modelled::Modelled,
    target::House,
};

const THREADS: u8 = 3;

/// One operation.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Writes a head `ahead` versions after the stored one: 1 is right.
    Write {
        thread: u8,
        ahead: i8,
        state: State,
        conversation: u8,
        due_minutes: u16,
    },
    Heads,
    Put(Vec<Copy>),
    Read {
        thread: u8,
        conversation: u8,
    },
    Overtook(Copy),
    /// Asks for the shard of a thread.
    Due {
        thread: u8,
        until_minutes: u16,
        limit: usize,
    },
    /// Counts attempts at a delivery, or takes one back.
    Charge {
        delivery: u8,
        attempts: i32,
    },
    Beside(Beside),
}

#[derive(Clone, Copy, Debug)]
pub enum State {
    Open,
    Closing,
    Closed,
}

/// One copy of a message: the number makes its key, the edition its text.
#[derive(Clone, Debug)]
pub struct Copy {
    thread: u8,
    conversation: u8,
    number: u8,
    edition: u8,
    /// Kilobytes of text: an item holds 380, a page 1,024.
    size: usize,
}

fn any_copy() -> impl Strategy<Value = Copy> {
    let size = prop_oneof![60 => Just(0_usize), 3 => Just(150), 1 => Just(500)];
    let named = |(thread, conversation, number, edition, size)| Copy { thread, conversation, number, edition, size };
    (0..THREADS, 0..3_u8, 0..20_u8, 0..3_u8, size).prop_map(named)
}

/// A list of operations.
pub fn any_list() -> impl Strategy<Value = Vec<Operation>> {
    let ahead = prop_oneof![7 => Just(1_i8), 1 => -1..=3_i8];
    let state = prop_oneof![2 => Just(State::Open), 1 => Just(State::Closing), 1 => Just(State::Closed)];
    let write = (0..THREADS, ahead, state, 0..3_u8, 0..300_u16);
    let operation = prop_oneof![
        6 => write.prop_map(|(thread, ahead, state, conversation, due_minutes)| {
            Operation::Write { thread, ahead, state, conversation, due_minutes }
        }),
        1 => Just(Operation::Heads),
        6 => vec(any_copy(), 0..25).prop_map(Operation::Put),
        4 => (0..THREADS, 0..3_u8).prop_map(|(thread, conversation)| Operation::Read { thread, conversation }),
        2 => any_copy().prop_map(Operation::Overtook),
        2 => (0..2_u8, -1..3_i32).prop_map(|(delivery, attempts)| Operation::Charge { delivery, attempts }),
        6 => beside::any_operation().prop_map(Operation::Beside),
        3 => (0..THREADS, 0..400_u16, 1..5_usize)
            .prop_map(|(thread, until_minutes, limit)| Operation::Due { thread, until_minutes, limit }),
    ];
    vec(operation, 25..35)
}

struct Pair<'a> {
    model: Modelled,
    house: &'a House,
    store: Arc<dyn HotStore>,
    /// Names the project: the table has what earlier lists wrote.
    list: &'a str,
}

/// Does the list on both, reads everything, and closes what is open.
pub fn compare(model: Modelled, house: &House, list: &str, operations: &[Operation]) -> TestCaseResult {
    let pair = Pair { model, house, store: house.store(), list };
    operations.iter().try_for_each(|operation| pair.run(operation))?;
    for thread in 0..THREADS {
        (0..3).try_for_each(|conversation| pair.read(thread, conversation))?;
        // the index of the timer holds nothing for the next list
        pair.write(thread, 1, State::Closed, 0, 0)?;
    }
    pair.heads()?;
    pair.beside().end()?;
    (0..DUE_SHARDS).try_for_each(|shard| pair.due(shard, u16::MAX, 100))
}

impl Pair<'_> {
    fn run(&self, operation: &Operation) -> TestCaseResult {
        match operation {
            Operation::Write { thread, ahead, state, conversation, due_minutes } => {
                self.write(*thread, *ahead, *state, *conversation, *due_minutes)
            }
            Operation::Heads => self.heads(),
            Operation::Put(copies) => self.put(copies),
            Operation::Read { thread, conversation } => self.read(*thread, *conversation),
            Operation::Overtook(copy) => self.overtook(copy),
            Operation::Due { thread, until_minutes, limit } => {
                let shard = self.key(*thread).spread() % u64::from(DUE_SHARDS);
                self.due(shard as u8, *until_minutes, *limit)
            }
            Operation::Charge { delivery, attempts } => self.charge(*delivery, *attempts),
            Operation::Beside(operation) => {
                let thread = if let Beside::Walk { thread, .. } = operation { *thread } else { 0 };
                self.beside().run(operation, &self.key(thread))
            }
        }
    }

    fn thread(&self, number: u8) -> Thread {
        let contact = ["whatsapp:+5511#1", "tel:100%23", "ext:José 👋"][usize::from(number)];
        let (contact, channel) = (Some(contact.into()), Some("channel".into()));
        Thread { project: self.list.to_owned(), contact, channel, conversation: None }
    }

    fn beside(&self) -> Sides<'_> {
        Sides { model: &self.model, house: self.house, store: &*self.store, list: self.list }
    }

    fn message(&self, copy: &Copy) -> Message {
        if !self.house.first_edition_stays() {
            return message(copy);
        }
        let size = [0, 0, 0, 150, 0, 500].get(usize::from(copy.number)).copied().unwrap_or_default();
        message(&Copy { edition: 0, size, ..copy.clone() })
    }

    fn key(&self, thread: u8) -> ThreadKey {
        self.thread(thread).key()
    }

    fn write(&self, thread: u8, ahead: i8, state: State, conversation: u8, due_minutes: u16) -> TestCaseResult {
        let key = self.key(thread);
        let stored = self.model.world.state().hot.heads.get(&key).map_or(0, |head| head.version);
        // there is no version 0: a head that is not there yet has none
        let version = stored.saturating_add_signed(ahead.into()).max(1);
        let due_at = time(i64::from(due_minutes) * 60_000 + i64::from(thread));
        let head = Head {
            version,
            thread: self.thread(thread),
            group_id: format!("{}-{thread}", self.list),
            conversation: in_state(state, conversation, due_at),
        };
        let expected = self.model.wait(self.model.hot.write_head(&key, &head)).map_err(failed)?;
        let found = self.house.wait(self.store.write_head(&key, &head)).map_err(failed)?;
        prop_assert_eq!(expected, version == stored + 1, "the model writes the version after the stored one alone");
        prop_assert_eq!(found, expected, "written: version {} over {}", version, stored);
        Ok(())
    }

    fn heads(&self) -> TestCaseResult {
        let mut threads: Vec<ThreadKey> = (0..THREADS).rev().map(|thread| self.key(thread)).collect();
        threads.insert(1, ThreadKey::stored(format!("{}#nobody#there", self.list)));
        let all = |heads: Vec<Result<Option<Head>, HotError>>| heads.into_iter().collect::<Result<Vec<_>, _>>();
        let expected = all(self.model.wait(self.model.hot.heads(threads.clone()))).map_err(failed)?;
        let found = all(self.house.wait(self.store.heads(threads))).map_err(failed)?;
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn put(&self, copies: &[Copy]) -> TestCaseResult {
        let puts: Vec<Put> = copies
            .iter()
            .map(|copy| Put {
                thread: self.key(copy.thread),
                conversation: id(copy.conversation),
                message: Arc::new(self.message(copy)),
            })
            .collect();
        let expected = self.model.wait(self.model.hot.put_messages(puts.clone()));
        let found = self.house.wait(self.store.put_messages(puts));
        prop_assert_eq!(found.len(), expected.len());
        expected.into_iter().chain(found).collect::<Result<(), _>>().map_err(failed)
    }

    fn read(&self, thread: u8, conversation: u8) -> TestCaseResult {
        let (key, id) = (self.key(thread), id(conversation));
        let expected = self.model.wait(all_pages(&self.model.hot, &key, id))?;
        let found = self.house.wait(all_pages(&*self.store, &key, id))?;
        prop_assert_eq!(told(&found), told(&expected), "the messages in order");
        prop_assert!(found == expected, "the messages as they were put");
        let expected = self.model.wait(self.model.hot.last_received(&key, id)).map_err(failed)?;
        let found = self.house.wait(self.store.last_received(&key, id)).map_err(failed)?;
        prop_assert_eq!(found, expected, "last received");
        Ok(())
    }

    fn overtook(&self, copy: &Copy) -> TestCaseResult {
        let (key, id, message) = (self.key(copy.thread), id(copy.conversation), self.message(copy));
        let expected = self.model.wait(self.model.hot.overtook(&key, id, &message)).map_err(failed)?;
        let found = self.house.wait(self.store.overtook(&key, id, &message)).map_err(failed)?;
        prop_assert_eq!(found, expected, "overtook");
        Ok(())
    }

    /// Never below none: the model has no such number, and only what was counted is taken back.
    fn charge(&self, delivery: u8, attempts: i32) -> TestCaseResult {
        let delivery = format!("{}-{delivery}", self.list);
        let counted = self.model.world.state().hot.attempts.get(&delivery).copied().unwrap_or_default();
        let attempts = if counted == 0 { attempts.max(0) } else { attempts };
        let expected = self.model.wait(self.model.hot.charge(&delivery, attempts, far_away())).map_err(failed)?;
        let found = self.house.wait(self.store.charge(&delivery, attempts, far_away())).map_err(failed)?;
        prop_assert_eq!(found, expected, "attempts");
        Ok(())
    }

    /// The index of AWS lags: it is given a second.
    fn due(&self, shard: u8, until_minutes: u16, limit: usize) -> TestCaseResult {
        let until = time(i64::from(until_minutes) * 60_000);
        let expected = self.model.wait(self.model.hot.due(shard, until, limit)).map_err(failed)?;
        let mut found = Vec::new();
        for _ in 0..20 {
            found = self.house.wait(self.store.due(shard, until, limit)).map_err(failed)?;
            if found == expected {
                break;
            }
            self.house.wait(async { tokio::time::sleep(Duration::from_millis(50)).await });
        }
        let named = |due: &[DueHead]| due.iter().map(|it| (it.group_id.clone(), it.due_at)).collect::<Vec<_>>();
        prop_assert_eq!(named(&found), named(&expected), "due in shard {}", shard);
        prop_assert!(found == expected, "due as the head says");
        Ok(())
    }
}

async fn all_pages(
    store: &dyn HotStore,
    thread: &ThreadKey,
    id: ConversationId,
) -> Result<Vec<Message>, TestCaseError> {
    let (mut messages, mut after, mut seen) = (Vec::new(), None, BTreeSet::new());
    loop {
        let page = store.page(thread, id, after).await.map_err(failed)?;
        messages.extend(page.messages);
        let Some(next) = page.next else { return Ok(messages) };
        prop_assert!(seen.insert(next.as_str().to_owned()), "a cursor leads on");
        after = Some(next);
    }
}

fn failed(error: HotError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// A comparison that is short to read when it fails.
fn told(messages: &[Message]) -> Vec<(Sequence, usize, String)> {
    messages.iter().map(|it| (it.sequence, it.text.len(), it.text.chars().take(8).collect())).collect()
}

pub fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).expect("a time") + TimeDelta::milliseconds(millis)
}

/// Nothing is forgotten while a test runs.
pub fn far_away() -> DateTime<Utc> {
    time(0) + TimeDelta::days(3_650)
}

pub fn id(conversation: u8) -> ConversationId {
    ConversationId(Uuid::from_u128(0xC0 + u128::from(conversation)))
}

fn in_state(state: State, conversation: u8, due_at: DateTime<Utc>) -> Conversation {
    let record = Record {
        id: id(conversation),
        opened_at: time(0),
        opened_received_at: time(1),
        contact_name: Some("José \"Zé\" 👋".into()),
        agent_id: None,
        previous: None,
        details: Details::default(),
        recap: None,
    };
    let close = Close::new(time(2), CloseReason::Idle);
    match state {
        State::Open => Conversation::Open(Open {
            record,
            due: Due { at: due_at, reason: DueReason::Look },
            sessions: ["s-1".to_owned()].into(),
            checkpointed_at: None,
            ends: None,
            heard: None,
        }),
        State::Closing => Conversation::Closing(Closing { record, close, due_at }),
        State::Closed => Conversation::Closed(Closed { record, close }),
    }
}

/// Where the message of this number stands.
pub fn spot(number: u8) -> Spot {
    message(&Copy { thread: 0, conversation: 0, number, edition: 0, size: 0 }).spot()
}

/// Messages of one instant, of sequences on both sides of 64 bits and of one sequence stand next to one another.
fn message(copy: &Copy) -> Message {
    let number = i64::from(copy.number);
    let sequence = u128::from(u64::MAX) - 8 + u128::from(copy.number / 2);
    Message {
        event_id: EventId(Uuid::from_u128(0xE000 + u128::from(copy.number))),
        occurred_at: time(0) + TimeDelta::microseconds(number / 5),
        received_at: time(1_000 * number),
        sequence: Sequence(sequence),
        direction: Direction::Incoming,
        text: format!("{} 👋 {}", copy.edition, "é".repeat(copy.size * 512)),
        external_id: Some(format!("m-{number}")),
        contact_name: None,
        content_type: None,
        sender_type: None,
        sender_id: None,
        agent_id: None,
        model_used: None,
        tokens_used: None,
        tokens: None,
        sentiment: None,
        intent: None,
        entities: Vec::new(),
        attachments: Vec::new(),
        metadata: serde_json::Map::new(),
    }
}
