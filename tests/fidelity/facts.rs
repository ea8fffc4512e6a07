//! The measured facts of SQS FIFO (F1 to F9 and F13), each as a test of the model alone.

use std::time::Duration;

use conversationd::queue::{Command, Delivery, Queue as _, QueueError};

use crate::modelled::Modelled;

const VISIBILITY: Duration = Duration::from_secs(30);
const PAST_IT: Duration = Duration::from_secs(31);

fn queue() -> Modelled {
    Modelled::new(VISIBILITY, 100)
}

/// A queue whose group holds foo, bar and baz, all received.
fn three_in_flight() -> (Modelled, Vec<Delivery>) {
    let mut queue = queue();
    queue.send_all("g", &["foo", "bar", "baz"]);
    let received = queue.receive();
    assert_eq!(received.len(), 3);
    (queue, received)
}

#[test]
fn f1_a_receive_takes_the_run_of_one_group_before_it_turns_to_another() {
    for turn in 0..40 {
        let mut queue = queue();
        for n in 0..4 {
            for group in ["a", "b", "c", "d"] {
                queue.send_all(group, &[&format!("{group}{n}")]);
            }
        }
        let attempt = queue.attempt();
        let received = queue.receive_as(attempt, turn);
        assert_eq!(received.len(), 10, "at most ten");
        let groups: Vec<&str> = received.iter().map(|delivery| delivery.group_id.as_str()).collect();
        let mut runs = groups.clone();
        runs.dedup();
        assert_eq!(runs.len(), 3, "two whole groups and half of a third: {groups:?}");
        for group in runs {
            let run: Vec<_> = received.iter().filter(|delivery| delivery.group_id == group).collect();
            let in_order = run.iter().enumerate().all(|(n, delivery)| *delivery.body == *format!("{group}{n}"));
            assert!(in_order, "{group}");
        }
    }
}

#[test]
fn f2_what_stands_before_the_first_hidden_delivery_is_receivable() {
    for (kept, receivable) in [(0, vec![]), (1, vec!["foo"]), (2, vec!["foo", "bar"])] {
        let (mut queue, received) = three_in_flight();
        queue.hide(&received[kept], VISIBILITY * 3).expect("extended");
        queue.pass(PAST_IT);
        assert_eq!(queue.bodies(), receivable, "delivery {kept} is kept hidden");
    }
}

#[test]
fn f3_a_head_given_back_comes_again_at_once_and_alone() {
    let (mut queue, received) = three_in_flight();
    queue.hide(&received[0], Duration::ZERO).expect("given back");
    assert_eq!(queue.bodies(), ["foo"]);
    assert!(queue.bodies().is_empty());
}

#[test]
fn f4_what_is_new_waits_until_all_that_was_received_is_settled() {
    let (mut queue, received) = three_in_flight();
    queue.send_all("g", &["new"]);
    for delivery in &received {
        assert!(queue.bodies().is_empty());
        queue.delete(delivery).expect("deleted");
    }
    assert_eq!(queue.bodies(), ["new"]);
}

#[test]
fn f5_an_expired_receipt_settles_nothing() {
    let (mut queue, received) = three_in_flight();
    queue.pass(PAST_IT);
    for delivery in &received {
        assert_eq!(queue.delete(delivery), Err(QueueError::LeaseLost));
        assert_eq!(queue.hide(delivery, VISIBILITY), Err(QueueError::LeaseLost));
    }
    let again = queue.receive();
    assert_eq!(again.len(), 3, "nothing was deleted or hidden");
    assert_eq!(queue.delete(&received[0]), Err(QueueError::LeaseLost), "nor after somebody else received it");
    assert_eq!(queue.delete(&again[0]), Ok(()));
}

#[test]
fn f6_deleting_again_succeeds() {
    let (queue, received) = three_in_flight();
    for _ in 0..3 {
        assert_eq!(queue.delete(&received[0]), Ok(()));
    }
    queue.pass(PAST_IT);
    assert_eq!(queue.delete(&received[0]), Ok(()), "however late");
    let batch = received.iter().map(|delivery| delivery.receipt.clone()).collect();
    let results = queue.delete_all(batch);
    assert_eq!(results, [Ok(()), Err(QueueError::LeaseLost), Err(QueueError::LeaseLost)], "each for itself");
}

#[test]
fn f7_every_receive_is_charged_to_the_whole_batch_and_giving_back_refunds_nothing() {
    let mut queue = Modelled::new(VISIBILITY, 3);
    queue.send_all("g", &["poison", "bystander"]);
    for time in 1..=3 {
        let received = queue.receive();
        let counts: Vec<u32> = received.iter().map(|delivery| delivery.receive_count).collect();
        assert_eq!(counts, [time, time]);
        for delivery in received.iter().rev() {
            queue.hide(delivery, Duration::ZERO).expect("given back");
        }
    }
    queue.send_all("g", &["next"]);
    assert_eq!(queue.bodies(), ["next"], "the others went, and hold nothing back");
    let state = queue.world.state();
    let dead: Vec<_> = state.sqs.dead.iter().map(|dead| (&*dead.group, &*dead.body)).collect();
    assert_eq!(dead, [("g", "poison"), ("g", "bystander")], "the bystander was never tried, and is dead all the same");
}

#[test]
fn f8_the_same_attempt_again_returns_the_same_deliveries_and_hides_them_anew() {
    let mut queue = queue();
    queue.send_all("g", &["foo", "bar"]);
    let attempt = queue.attempt();
    let first = queue.receive_as(attempt, 0);
    queue.pass(VISIBILITY / 2);
    let again = queue.receive_as(attempt, 7);
    let told = |deliveries: &[Delivery]| -> Vec<_> {
        deliveries.iter().map(|it| (it.body.clone(), it.receipt.clone(), it.receive_count)).collect()
    };
    assert_eq!(told(&again), told(&first), "the same receipts, and nobody is charged");
    queue.pass(VISIBILITY * 2 / 3);
    assert_eq!(queue.delete(&first[0]), Ok(()), "the lease counts from the second time");
    assert!(queue.receive_as(attempt, 0).is_empty(), "what was settled meanwhile is not received again");
}

#[test]
fn f9_sequence_numbers_are_beyond_64_bits_and_rise_within_a_group() {
    let mut queue = queue();
    for n in 0..5 {
        queue.send_all("a", &[&format!("a{n}")]);
        queue.send_all("b", &[&format!("b{n}")]);
    }
    let received = queue.receive();
    assert_eq!(received.len(), 10);
    assert!(received.iter().all(|delivery| delivery.sequence.0 > u128::from(u64::MAX)));
    for group in ["a", "b"] {
        let sequences: Vec<_> = received.iter().filter(|it| it.group_id == group).map(|it| it.sequence).collect();
        assert!(sequences.is_sorted_by(|one, next| one < next), "{sequences:?}");
    }
}

#[test]
fn f13_a_deduplication_id_is_remembered_for_five_minutes_deleted_or_not() {
    let mut queue = queue();
    queue.send("g", "id", "first");
    queue.send("g", "id", "in the queue");
    let received = queue.receive();
    assert_eq!(received.len(), 1);
    queue.delete(&received[0]).expect("deleted");
    queue.send("g", "id", "after its deletion");
    assert!(queue.bodies().is_empty());
    queue.send("h", "id", "in another group");
    assert_eq!(queue.bodies(), ["in another group"]);
    queue.pass(Duration::from_secs(300));
    queue.send("g", "id", "five minutes later");
    assert!(queue.bodies().contains(&"five minutes later".to_owned()));
}

#[test]
fn a_long_poll_returns_what_is_sent_while_it_waits() {
    let mut queue = queue();
    let attempt = queue.attempt();
    let received = queue.wait(async {
        let poll = queue.queue.receive(attempt, Duration::from_secs(20));
        let sent = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let command = Command {
                group_id: "g".into(),
                dedup_id: "id".into(),
                body: "meanwhile".into(),
                attributes: Default::default(),
            };
            queue.queue.send(command).await.expect("sent");
        };
        tokio::join!(poll, sent).0.expect("received")
    });
    assert_eq!(received.len(), 1, "it waited for nothing");
}
