//! What is known to differ between the model (AWS as it was measured) and emulators: a table, and a probe for each entry.
//!
//! The comparison measures first what differs where it runs and allows for that alone: on AWS it allows for nothing.

use std::{collections::BTreeSet, sync::LazyLock, time::Duration};

use conversationd::queue::{Command, Delivery, Queue as _, QueueError};
use uuid::Uuid;

use crate::target::{House, KIND, Kind};

/// One known difference.
#[derive(Debug)]
pub struct Difference {
    pub name: Name,
    /// The fact of AWS that the model follows.
    pub fact: &'static str,
    /// What the emulator does instead.
    pub emulator: &'static str,
    /// How the comparison allows for it.
    pub allowance: &'static str,
    /// Whether it differs here.
    differs: fn(&Probe) -> bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    AnyHiddenDeliveryBlocks,
    ExpiredReceiptSettles,
    SecondDeleteRefused,
    AttemptIgnored,
    GroupsMixed,
    ShortSequence,
}

/// The table; docs/fidelity.md has the same.
pub const DIFFERENCES: [Difference; 6] = [
    Difference {
        name: Name::AnyHiddenDeliveryBlocks,
        fact: "F2, F3: what stands before the first hidden delivery of its group is receivable",
        emulator: "nothing of a group is receivable while any delivery of it is hidden",
        allowance: "before a receive, what is hidden behind a visible head is given back too",
        differs: |probe| {
            let received = probe.received(&["foo", "bar"]);
            probe.hide(&received[0], 0).expect("given back");
            probe.receive().is_empty()
        },
    },
    Difference {
        name: Name::ExpiredReceiptSettles,
        fact: "F5: after its visibility has ended a receipt settles nothing",
        emulator: "it deletes or hides as long as nobody else has received the message",
        allowance: "no receipt is used between its expiry and the next receive of its message",
        differs: |probe| {
            let received = probe.received(&["foo"]);
            probe.hide(&received[0], 1).expect("hidden");
            probe.house.until_hidden(0);
            probe.delete(&received[0]).is_ok()
        },
    },
    Difference {
        name: Name::SecondDeleteRefused,
        fact: "F6: deleting again succeeds",
        emulator: "the receipt of a deleted message is invalid",
        allowance: "a lost lease counts as success when the message was deleted before",
        differs: |probe| {
            let received = probe.received(&["foo"]);
            probe.delete(&received[0]).expect("deleted");
            probe.delete(&received[0]) == Err(QueueError::LeaseLost)
        },
    },
    Difference {
        name: Name::AttemptIgnored,
        fact: "F8: the same receive attempt again returns the same deliveries",
        emulator: "the attempt id is ignored",
        allowance: "a receive that would be repeated is done once",
        differs: |probe| {
            probe.send(&[("g", "foo")]);
            let attempt = Uuid::new_v4();
            let first = probe.receive_as(attempt);
            let again = probe.receive_as(attempt);
            assert_eq!(first.len(), 1, "what was sent is received");
            again.iter().map(|it| &it.receipt).ne(first.iter().map(|it| &it.receipt))
        },
    },
    Difference {
        name: Name::GroupsMixed,
        fact: "F1: a receive takes the run of one group before it turns to another",
        emulator: "a receive takes messages in the order they were sent, whatever their group",
        allowance: "each group is compared by itself, and no more than one batch stands in the queue",
        differs: |probe| {
            let sent: Vec<String> = (0..4).map(|n| n.to_string()).collect();
            probe.send(&sent.iter().flat_map(|body| [("a", &**body), ("b", &**body)]).collect::<Vec<_>>());
            let mut groups: Vec<String> = probe.receive().into_iter().map(|delivery| delivery.group_id).collect();
            let distinct: BTreeSet<String> = groups.iter().cloned().collect();
            groups.dedup();
            groups.len() > distinct.len()
        },
    },
    Difference {
        name: Name::ShortSequence,
        fact: "F9: sequence numbers are beyond 64 bits",
        emulator: "they count from 1",
        allowance: "sequence numbers are compared by their order alone",
        differs: |probe| probe.received(&["foo"])[0].sequence.0 <= u128::from(u64::MAX),
    },
];

/// What differs where the suite runs.
pub static MEASURED: LazyLock<BTreeSet<Name>> = LazyLock::new(|| {
    let measured: BTreeSet<Name> = DIFFERENCES.iter().filter(|it| it.measured()).map(|it| it.name).collect();
    println!("{:?} differs in {measured:?}", *KIND);
    measured
});

impl Difference {
    fn measured(&self) -> bool {
        (self.differs)(&Probe { house: House::build() })
    }

    /// Fails when the table is not true here: the local stack differs in every entry, AWS in none.
    fn still_differs(&self) {
        let differs = self.measured();
        match *KIND {
            Kind::MiniStack => {
                assert!(differs, "the local stack does as AWS now: take {:?} out of the table", self.name)
            }
            Kind::Aws => assert!(!differs, "AWS itself differs from the model: {}", self.fact),
            Kind::Other => println!("{:?}: {}", self.name, if differs { self.emulator } else { self.fact }),
        }
    }
}

/// A queue to find out with.
struct Probe {
    house: House,
}

impl Probe {
    fn send(&self, messages: &[(&str, &str)]) {
        for (group, body) in messages {
            let command = Command {
                group_id: (*group).into(),
                dedup_id: format!("{group}-{body}"),
                body: (*body).into(),
                attributes: Default::default(),
            };
            self.house.wait(self.house.queue().send(command)).expect("sent");
        }
    }

    fn receive_as(&self, attempt: Uuid) -> Vec<Delivery> {
        self.house.wait(self.house.queue().receive(attempt, Duration::from_secs(1))).expect("received")
    }

    fn receive(&self) -> Vec<Delivery> {
        self.receive_as(Uuid::new_v4())
    }

    /// Sends these into one group and receives them.
    fn received(&self, bodies: &[&str]) -> Vec<Delivery> {
        self.send(&bodies.iter().map(|body| ("g", *body)).collect::<Vec<_>>());
        let received = self.receive();
        assert_eq!(received.len(), bodies.len(), "what was sent is received");
        received
    }

    fn hide(&self, delivery: &Delivery, seconds: u64) -> Result<(), QueueError> {
        let entry = (delivery.receipt.clone(), Duration::from_secs(seconds));
        self.house.wait(self.house.queue().hide(vec![entry])).remove(0)
    }

    fn delete(&self, delivery: &Delivery) -> Result<(), QueueError> {
        self.house.wait(self.house.queue().delete(vec![delivery.receipt.clone()])).remove(0)
    }
}

fn entry(name: Name) -> &'static Difference {
    DIFFERENCES.iter().find(|it| it.name == name).expect("an entry")
}

#[test]
fn the_local_stack_still_holds_a_group_back_for_any_hidden_delivery() {
    entry(Name::AnyHiddenDeliveryBlocks).still_differs();
}

#[test]
fn the_local_stack_still_takes_expired_receipts() {
    entry(Name::ExpiredReceiptSettles).still_differs();
}

#[test]
fn the_local_stack_still_refuses_a_second_delete() {
    entry(Name::SecondDeleteRefused).still_differs();
}

#[test]
fn the_local_stack_still_ignores_attempt_ids() {
    entry(Name::AttemptIgnored).still_differs();
}

#[test]
fn the_local_stack_still_mixes_groups_in_a_receive() {
    entry(Name::GroupsMixed).still_differs();
}

#[test]
fn the_local_stack_still_counts_sequences_from_one() {
    entry(Name::ShortSequence).still_differs();
}

#[test]
fn the_documentation_has_every_difference() {
    let documentation = include_str!("../../docs/fidelity.md");
    for difference in &DIFFERENCES {
        for words in [difference.fact, difference.emulator, difference.allowance] {
            assert!(documentation.contains(words), "docs/fidelity.md does not say: {words}");
        }
    }
}
