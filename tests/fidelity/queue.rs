//! Lists of queue operations, done on the model and on the service in step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use conversationd::queue::{BATCH, Command, Delivery, Queue as _, QueueError, Receipt, SqsQueue};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{TestCaseError, TestCaseResult},
};
use uuid::Uuid;

use crate::{
    differences::{MEASURED, Name},
    modelled::Modelled,
    target::{House, VISIBILITY},
};

/// One operation; receipts are picked among all that were ever given out.
#[derive(Clone, Debug)]
pub enum Operation {
    Send { group: u8, dedup: u8 },
    Receive { turn: u64, twice: bool },
    Delete(Vec<u8>),
    GiveBack(Vec<u8>),
    Extend(Vec<u8>),
    LetExpire(Vec<u8>),
}

/// A list of operations.
pub fn any_list() -> impl Strategy<Value = Vec<Operation>> {
    let picks = || vec(0..60_u8, 1..5);
    let operation = prop_oneof![
        9 => (0..3_u8, 0..30_u8).prop_map(|(group, dedup)| Operation::Send { group, dedup }),
        5 => (0..8_u64, prop::bool::weighted(0.2)).prop_map(|(turn, twice)| Operation::Receive { turn, twice }),
        4 => picks().prop_map(Operation::Delete),
        3 => picks().prop_map(Operation::GiveBack),
        1 => picks().prop_map(Operation::Extend),
        1 => picks().prop_map(Operation::LetExpire),
    ];
    vec(operation, 20..30)
}

struct Message {
    group: String,
    body: String,
    deleted: bool,
    hidden: bool,
    /// The receipt that settles it: the last one given out.
    receipt: Option<usize>,
}

struct Receipts {
    message: usize,
    model: Receipt,
    service: Receipt,
}

/// Where a receipt stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Live,
    Expired,
    Superseded,
    Deleted,
}

/// The model and the service, and what both were told.
struct Pair<'a> {
    model: Modelled,
    house: &'a House,
    service: SqsQueue,
    /// Deduplication ids are remembered beyond one list: groups are named anew for each.
    list: &'a str,
    messages: Vec<Message>,
    receipts: Vec<Receipts>,
    sent: BTreeSet<(u8, u8)>,
}

/// Does the list on both, and then drains them.
pub fn compare(model: Modelled, house: &House, list: &str, operations: &[Operation]) -> TestCaseResult {
    let (messages, receipts) = (Vec::new(), Vec::new());
    let mut pair = Pair { model, house, service: house.queue(), list, messages, receipts, sent: BTreeSet::new() };
    for operation in operations {
        pair.run(operation)?;
    }
    pair.drain()
}

fn measured(name: Name) -> bool {
    MEASURED.contains(&name)
}

impl Pair<'_> {
    fn run(&mut self, operation: &Operation) -> TestCaseResult {
        match operation {
            Operation::Send { group, dedup } => self.send(*group, *dedup),
            Operation::Receive { turn, twice } => self.receive(*turn, *twice).map(drop),
            Operation::Delete(picks) => {
                let picked = self.picked(picks);
                self.delete(&picked)
            }
            Operation::GiveBack(picks) => {
                let picked = self.picked(picks);
                self.hide(&picked, Duration::ZERO, false)
            }
            Operation::Extend(picks) => {
                let picked = self.picked(picks);
                self.hide(&picked, VISIBILITY * 2, true)
            }
            Operation::LetExpire(picks) => {
                let picked = self.picked(picks);
                self.hide(&picked, Duration::from_secs(1), false)?;
                self.model.pass(Duration::from_millis(1_100));
                self.house.until_hidden(self.messages.iter().filter(|it| it.hidden).count());
                Ok(())
            }
        }
    }

    fn send(&mut self, group: u8, dedup: u8) -> TestCaseResult {
        let standing = self.messages.iter().filter(|it| !it.deleted).count();
        if standing == BATCH {
            return Ok(());
        }
        let body = format!("message {}", self.messages.len());
        let (name, id) = (format!("{}-{group}", self.list), format!("id-{dedup}"));
        self.model.send(&name, &id, &body);
        let command =
            Command { group_id: name.clone(), dedup_id: id, body: body.clone(), attributes: Default::default() };
        let sent = self.house.wait(self.service.send(command));
        prop_assert_eq!(sent, Ok(()));
        if self.sent.insert((group, dedup)) {
            self.messages.push(Message { group: name, body, deleted: false, hidden: false, receipt: None });
        }
        Ok(())
    }

    /// Receives on both. Returns how many came.
    fn receive(&mut self, turn: u64, twice: bool) -> Result<usize, TestCaseError> {
        if measured(Name::AnyHiddenDeliveryBlocks) {
            self.give_back_behind_visible_heads()?;
        }
        let twice = twice && !measured(Name::AttemptIgnored);
        let attempt = self.model.attempt();
        let expected = self.model.receive_as(attempt, turn);
        let found = self.receive_from_service(expected.len(), twice)?;
        if twice {
            let again = self.model.receive_as(attempt, turn);
            prop_assert_eq!(receipts(&again), receipts(&expected), "the model repeats an attempt");
        }
        prop_assert_eq!(told(&found)?, told(&expected)?, "received");
        for model in expected {
            let service = found.iter().find(|it| it.body == model.body).expect("compared");
            let message = self.messages.iter().position(|it| it.body == *model.body);
            let message = message.ok_or_else(|| TestCaseError::fail("received what was never taken"))?;
            self.messages[message].hidden = true;
            self.messages[message].receipt = Some(self.receipts.len());
            self.receipts.push(Receipts { message, model: model.receipt, service: service.receipt.clone() });
        }
        Ok(told(&found)?.values().map(Vec::len).sum())
    }

    /// AWS may return less than there is: what is still expected is asked for again.
    fn receive_from_service(&self, expected: usize, twice: bool) -> Result<Vec<Delivery>, TestCaseError> {
        let wait = Duration::from_secs(u64::from(expected > 0));
        let receive = |attempt| self.house.wait(self.service.receive(attempt, wait)).map_err(failed);
        let attempt = Uuid::new_v4();
        let mut found = receive(attempt)?;
        if twice && !found.is_empty() {
            let again = receive(attempt)?;
            prop_assert_eq!(receipts(&again), receipts(&found), "the service repeats an attempt");
        }
        for _ in 0..3 {
            if found.len() >= expected {
                break;
            }
            found.extend(receive(Uuid::new_v4())?);
        }
        Ok(found)
    }

    fn give_back_behind_visible_heads(&mut self) -> TestCaseResult {
        let mut heads: BTreeMap<&str, bool> = BTreeMap::new();
        let mut behind = Vec::new();
        for message in self.messages.iter().filter(|it| !it.deleted) {
            let visible = *heads.entry(&message.group).or_insert(!message.hidden);
            behind.extend(message.receipt.filter(|_| visible && message.hidden));
        }
        self.hide(&behind, Duration::ZERO, false)
    }

    fn delete(&mut self, picked: &[usize]) -> TestCaseResult {
        let picked = self.allowed(picked);
        if picked.is_empty() {
            return Ok(());
        }
        let expected = self.model.delete_all(picked.iter().map(|at| self.receipts[*at].model.clone()).collect());
        let batch = picked.iter().map(|at| self.receipts[*at].service.clone()).collect();
        let mut found = self.house.wait(self.service.delete(batch));
        for (at, result) in picked.iter().zip(&mut found) {
            let again = self.standing(*at) == Standing::Deleted;
            if again && measured(Name::SecondDeleteRefused) && *result == Err(QueueError::LeaseLost) {
                *result = Ok(());
            }
        }
        prop_assert_eq!(&found, &expected, "deleted");
        for (at, _) in picked.iter().zip(found).filter(|(_, result)| result.is_ok()) {
            let message = &mut self.messages[self.receipts[*at].message];
            (message.deleted, message.hidden) = (true, false);
        }
        Ok(())
    }

    fn hide(&mut self, picked: &[usize], time: Duration, hidden: bool) -> TestCaseResult {
        let picked = self.allowed(picked);
        if picked.is_empty() {
            return Ok(());
        }
        let batch = picked.iter().map(|at| (self.receipts[*at].model.clone(), time)).collect();
        let expected = self.model.wait(conversationd::queue::Queue::hide(&self.model.queue, batch));
        let batch = picked.iter().map(|at| (self.receipts[*at].service.clone(), time)).collect();
        let found = self.house.wait(self.service.hide(batch));
        prop_assert_eq!(&found, &expected, "hidden");
        for (at, _) in picked.iter().zip(found).filter(|(_, result)| result.is_ok()) {
            self.messages[self.receipts[*at].message].hidden = hidden;
        }
        Ok(())
    }

    /// Everything goes: what is held is deleted, and what then comes, until nothing does.
    fn drain(&mut self) -> TestCaseResult {
        loop {
            let live: Vec<usize> = (0..self.receipts.len()).filter(|at| self.standing(*at) == Standing::Live).collect();
            self.delete(&live)?;
            if self.receive(0, false)? == 0 {
                break;
            }
        }
        let left = self.messages.iter().filter(|it| !it.deleted).count();
        prop_assert_eq!(left, 0, "undelivered");
        Ok(())
    }

    fn standing(&self, at: usize) -> Standing {
        let message = &self.messages[self.receipts[at].message];
        match message.receipt {
            _ if message.deleted => Standing::Deleted,
            Some(last) if last != at => Standing::Superseded,
            _ if message.hidden => Standing::Live,
            _ => Standing::Expired,
        }
    }

    /// The receipts that are meant, one for each message.
    fn picked(&self, picks: &[u8]) -> Vec<usize> {
        if self.receipts.is_empty() {
            return Vec::new();
        }
        let mut messages = BTreeSet::new();
        let picked = picks.iter().map(|pick| usize::from(*pick) % self.receipts.len());
        picked.filter(|at| messages.insert(self.receipts[*at].message)).collect()
    }

    fn allowed(&self, picked: &[usize]) -> Vec<usize> {
        let refused = |at: &&usize| measured(Name::ExpiredReceiptSettles) && self.standing(**at) == Standing::Expired;
        picked.iter().filter(|at| !refused(at)).copied().collect()
    }
}

fn failed(error: QueueError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

fn receipts(deliveries: &[Delivery]) -> Vec<&Receipt> {
    deliveries.iter().map(|delivery| &delivery.receipt).collect()
}

/// What came of each group: bodies and receive counts in order.
type Told<'a> = BTreeMap<&'a str, Vec<(&'a str, u32)>>;

fn told(deliveries: &[Delivery]) -> Result<Told<'_>, TestCaseError> {
    let mut groups: BTreeMap<&str, Vec<&Delivery>> = BTreeMap::new();
    for delivery in deliveries {
        groups.entry(&delivery.group_id).or_default().push(delivery);
    }
    let mut told = BTreeMap::new();
    for (group, run) in groups {
        prop_assert!(run.is_sorted_by(|one, next| one.sequence < next.sequence), "sequences rise within a group");
        told.insert(group, run.iter().map(|it| (&*it.body, it.receive_count)).collect());
    }
    Ok(told)
}
