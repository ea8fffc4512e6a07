//! Every transition, as a table: what is stored × what happens → what is decided.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Decision, Seen, decide};
use crate::{
    domain::{
        Close, CloseReason, Conversation, ConversationId, Direction, DueReason, EventId, Head, Message, Open, Policy,
        Sequence, Thread,
    },
    event::{self, Event, Kind},
};

const POLICY: Policy = Policy {
    grace: Duration::from_secs(30),
    idle: Duration::from_secs(24 * 3600),
    checkpoint: Duration::from_secs(7 * 24 * 3600),
    unfinished: Duration::from_secs(300),
    ..Policy::DEFAULT
};

/// Seconds into the test's day.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_240_800 + seconds, 0).expect("in range")
}

fn thread() -> Thread {
    Thread { project: "p".into(), contact: Some("c".into()), channel: Some("w".into()), conversation: None }
}

fn message(occurred: i64, received: i64) -> Message {
    let event_id = EventId::derive(&thread().key(), "message.received", &format!("{occurred}/{received}"));
    Message {
        event_id,
        occurred_at: at(occurred),
        received_at: at(received),
        sequence: Sequence(1),
        direction: Direction::Incoming,
        text: "oi".into(),
        external_id: None,
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
        entities: vec![],
        attachments: vec![],
        metadata: serde_json::Map::new(),
    }
}

fn event(received: i64, kind: Kind) -> Event {
    let id = EventId::derive(&thread().key(), "test", &received.to_string());
    Event { id, thread: thread(), group_id: "g".into(), received_at: at(received), kind }
}

fn says(occurred: i64, received: i64) -> Event {
    event(received, Kind::Message(Box::new(message(occurred, received))))
}

fn session_opened(received: i64) -> Event {
    event(received, Kind::SessionOpened(event::SessionOpened { session_id: "s".into(), agent_id: None }))
}

fn session_closed(received: i64) -> Event {
    event(received, Kind::SessionClosed(event::SessionClosed { session_id: "s".into() }))
}

fn close(received: i64, conversation_id: Option<ConversationId>) -> Event {
    let close =
        event::ConversationClose { resolution: Some(0), reason: None, topic: None, subtopic: None, conversation_id };
    event(received, Kind::ConversationClose(close))
}

fn due(received: i64, head: &Head) -> Event {
    let conversation_id = head.conversation.record().id;
    let due_at = head.conversation.due().unwrap_or_default();
    event(received, Kind::Due(event::Due { conversation_id, due_at }))
}

/// A conversation opened at second 0.
fn opened() -> Head {
    Head::opened_by(&thread(), "g", None, &message(0, 0), &POLICY)
}

fn open(head: &Head) -> Open {
    match &head.conversation {
        Conversation::Open(open) => open.clone(),
        other => panic!("not open: {other:?}"),
    }
}

/// The same with its session ended at second 10.
fn in_grace() -> Head {
    let head = opened();
    head.next(Conversation::Open(open(&head).session_closed("s", at(10), &POLICY)))
}

/// The same, sealed at second 40.
fn closing() -> Head {
    let close = Close::new(at(40), CloseReason::SessionEnded);
    let head = in_grace();
    head.next(Conversation::Closing(open(&head).close(close, at(40), &POLICY)))
}

/// The same, archived.
fn closed() -> Head {
    let head = closing();
    match &head.conversation {
        Conversation::Closing(closing) => head.next(Conversation::Closed(closing.clone().archived())),
        other => panic!("not closing: {other:?}"),
    }
}

fn seen(head: Head) -> Seen {
    Seen { head: Some(head), ..Seen::default() }
}

fn conversation(head: &Head) -> ConversationId {
    head.conversation.record().id
}

/// One word for a decision.
fn word(decision: &Decision) -> String {
    match decision {
        Decision::Nothing(_) => "nothing".into(),
        Decision::Finish(_) => "finish".into(),
        Decision::Write(head) => match &head.conversation {
            Conversation::Open(open) => format!("write open, {:?}", open.due.reason),
            Conversation::Closing(closing) => format!("seal, {:?}", closing.close.reason),
            Conversation::Closed(_) => "write closed".into(),
        },
        Decision::Append { head: None, .. } => "append".into(),
        Decision::Append { head: Some(_), .. } => "write head, append".into(),
        Decision::Late(_) => "late".into(),
        Decision::Checkpoint(_) => "checkpoint".into(),
    }
}

#[test]
fn every_state_meets_every_event() {
    let heads = [None, Some(opened()), Some(in_grace()), Some(closing()), Some(closed())];
    #[rustfmt::skip]
    let table: [(Event, [&str; 5]); 6] = [
        //                             none                  open                        in grace               closing   closed
        (says(50, 50),                ["write head, append", "append",                   "write head, append",  "finish", "write head, append"]),
        (session_opened(50),          ["nothing",            "write open, Look",         "write open, Look",    "finish", "nothing"]),
        (session_closed(50),          ["nothing",            "write open, SessionEnded", "nothing",             "finish", "nothing"]),
        (close(50, None),             ["nothing",            "seal, Requested",          "seal, Requested",     "finish", "nothing"]),
        (due(50, &opened()),          ["nothing",            "nothing",                  "seal, SessionEnded",  "finish", "nothing"]),
        (due(24 * 3600, &opened()),   ["nothing",            "seal, Idle",               "seal, SessionEnded",  "finish", "nothing"]),
    ];
    for (event, expected) in table {
        for (head, expected) in heads.iter().zip(expected) {
            let seen = Seen { head: head.clone(), ..Seen::default() };
            assert_eq!(word(&decide(&seen, &event, &POLICY)), expected, "{:?} on {head:?}", event.kind);
        }
    }
}

#[test]
fn the_same_event_on_the_same_head_decides_the_same() {
    for event in [says(50, 50), close(50, None), session_closed(50)] {
        assert_eq!(decide(&seen(opened()), &event, &POLICY), decide(&seen(opened()), &event, &POLICY));
    }
}

#[test]
fn a_message_within_the_grace_resumes_the_conversation() {
    let Decision::Append { head: Some(head), conversation: id } = decide(&seen(in_grace()), &says(20, 20), &POLICY)
    else {
        panic!("not appended");
    };
    assert_eq!(id, conversation(&opened()));
    assert_eq!(open(&head).due.reason, DueReason::Look);
    assert_eq!(word(&decide(&seen(*head.clone()), &due(40, &in_grace()), &POLICY)), "nothing");
}

#[test]
fn a_message_from_inside_a_closed_conversation_goes_to_that_one() {
    let Decision::Late(stretch) = decide(&seen(closed()), &says(5, 60), &POLICY) else { panic!("not late") };
    assert_eq!(stretch.id, conversation(&opened()));
    let Decision::Append { head: Some(next), .. } = decide(&seen(closed()), &says(60, 60), &POLICY) else {
        panic!("not opened")
    };
    assert_eq!(word(&decide(&seen(*next), &says(5, 70), &POLICY)), "late", "also once the next one is open");
}

#[test]
fn a_message_that_already_stands_in_the_previous_conversation_does_not_open_a_ghost() {
    let seen = Seen { head: Some(closed()), overtaken: true, ..Seen::default() };
    assert_eq!(word(&decide(&seen, &says(99, 99), &POLICY)), "late");
}

#[test]
fn a_close_queued_before_the_conversation_opened_closes_nothing() {
    let Decision::Append { head: Some(next), .. } = decide(&seen(closed()), &says(60, 60), &POLICY) else {
        panic!("not opened")
    };
    for stale in [close(55, None), session_closed(55), due(55, &next)] {
        assert_eq!(word(&decide(&seen(*next.clone()), &stale, &POLICY)), "nothing", "{:?}", stale.kind);
    }
}

#[test]
fn an_operator_closes_the_conversation_that_is_named_and_no_other() {
    let named = close(50, Some(conversation(&opened())));
    assert_eq!(word(&decide(&seen(opened()), &named, &POLICY)), "seal, Operator");
    let other = ConversationId(uuid::Uuid::from_u128(7));
    assert_eq!(word(&decide(&seen(opened()), &close(50, Some(other)), &POLICY)), "nothing");
}

#[test]
fn a_due_conversation_with_later_messages_is_looked_at_again_when_it_could_be_idle() {
    let day = 24 * 3600;
    let busy = Seen { last_received: Some(at(day - 60)), ..seen(opened()) };
    let Decision::Write(head) = decide(&busy, &due(day, &opened()), &POLICY) else { panic!("not re-armed") };
    assert_eq!(open(&head).due.at, at(day - 60) + TimeDelta::days(1));
}

#[test]
fn a_conversation_that_never_ends_is_checkpointed_once_per_period() {
    let week = 7 * 24 * 3600;
    let busy = Seen { last_received: Some(at(week - 60)), ..seen(opened()) };
    let Decision::Checkpoint(head) = decide(&busy, &due(week, &opened()), &POLICY) else { panic!("no checkpoint") };
    assert_eq!(open(&head).checkpointed_at, Some(at(week)));
    let later = Seen { last_received: Some(at(week + 10)), ..seen(*head.clone()) };
    assert_eq!(word(&decide(&later, &due(week + 24 * 3600 - 60, &head), &POLICY)), "write open, Look");
}

#[test]
fn two_sessions_on_one_conversation_end_it_with_the_last() {
    let mut head = opened();
    for session in ["s", "t"] {
        head = head.next(Conversation::Open(open(&head).session_opened(session.into(), None)));
    }
    let Decision::Write(one_left) = decide(&seen(head), &session_closed(50), &POLICY) else { panic!("not written") };
    assert_eq!(open(&one_left).due.reason, DueReason::Look);
}
