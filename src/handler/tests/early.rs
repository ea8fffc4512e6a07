//! Copies that are taken early, because others want to be told of open conversations.

use std::time::Duration;

use chrono::TimeDelta;

use super::{POLICY, at, due, message, open, seen, thread, word};
use crate::{
    domain::{Head, Policy},
    handler::{Checkpoint, Decision, Seen, decide},
};

const HOUR: i64 = 3_600;

const TOLD: Policy =
    Policy { told_at: [Some(Duration::ZERO), Some(Duration::from_secs(14_400)), None, None], ..POLICY };

fn opened() -> Head {
    Head::opened_by(&thread(), "g", None, &message(0, 0), &TOLD)
}

/// What a command that comes at `second` copies.
fn copied(head: &Head, second: i64) -> Checkpoint {
    let busy = Seen { last_received: Some(at(second - 1)), ..seen(head.clone()) };
    match decide(&busy, &due(second, head), &TOLD) {
        Decision::Checkpoint(checkpoint) => *checkpoint,
        other => panic!("no checkpoint: {other:?}"),
    }
}

#[test]
fn a_conversation_is_copied_when_it_opens_and_at_each_age_that_others_want_to_hear_of() {
    let head = opened();
    assert_eq!(open(&head).due.at, at(0));
    let first = copied(&head, 5);
    assert!(first.early && first.reached.is_empty());
    assert_eq!(open(&first.done).due.at, at(4 * HOUR));

    let second = copied(&first.done, 4 * HOUR);
    assert!(second.early);
    assert_eq!(second.reached, [Duration::from_secs(14_400)]);
    let last = copied(&second.done, 4 * HOUR + 7 * 24 * HOUR);
    assert!(!last.early && last.reached.is_empty(), "every week, as without them");
}

#[test]
fn an_age_is_told_of_though_the_first_copy_came_after_it() {
    let late = copied(&opened(), 5 * HOUR);
    assert_eq!(late.reached, [Duration::from_secs(14_400)]);
    let quiet = Seen { last_received: Some(at(5 * HOUR)), ..seen(late.done.clone()) };
    assert_eq!(word(&decide(&quiet, &due(6 * HOUR, &late.done), &TOLD)), "nothing", "it is not due before it is idle");
}

#[test]
fn a_copy_that_cannot_be_taken_is_put_off_and_taken_then() {
    let put_off = copied(&opened(), 5).put_off;
    assert_eq!(open(&put_off).due.at, at(5) + TimeDelta::seconds(300));
    assert_eq!(open(&put_off).checkpointed_at, None);
    let again = copied(&put_off, 305);
    assert!(again.early);
}
