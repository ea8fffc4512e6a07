//! What is decided, one story at a time; every transition as a table: `table.rs`.

mod early;
mod table;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Decision, Rated, Seen, decide};
use crate::{
    domain::{
        Changes, Classification, Close, CloseReason, Conversation, ConversationId, CrmLink, Direction, DueReason, End,
        EventId, Head, Message, Open, Place, Policy, ProjectSettings, Rating, RatingKind, Sequence, Thread, Window,
    },
    event::{self, Event, Kind},
};

const POLICY: Policy = Policy {
    grace: Duration::from_secs(30),
    idle: Duration::from_secs(24 * 3600),
    checkpoint: Duration::from_secs(7 * 24 * 3600),
    told_at: [None; 4],
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
    let (thread, group_id, received_at) = (thread(), "g".to_owned(), at(received));
    let sequence = Sequence(u128::try_from(received).expect("not before the test's day"));
    Event { id, thread, group_id, received_at, sequence, kind }
}

fn says(occurred: i64, received: i64) -> Event {
    event(received, Kind::Message(message(occurred, received).into()))
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

fn rates(answered: i64, received: i64) -> Event {
    let event_id = EventId::derive(&thread().key(), "rating", &answered.to_string());
    let (kind, key, value, score) = (RatingKind::Nps, "weni_nps".to_owned(), "0".to_owned(), Some(0));
    let (answered_at, received_at, sequence) = (at(answered), at(received), Sequence(1));
    let (comment, agent_id) = (None, None);
    let rating = Rating { event_id, kind, key, value, score, comment, agent_id, answered_at, received_at, sequence };
    event(received, Kind::Rating(Box::new(rating)))
}

fn window(received: i64, end: Option<i64>) -> Event {
    let window = Window { external_id: Some("w".into()), start: None, end: end.map(at) };
    let said = event::ConversationWindow { window, contact_name: None, taken_over_at: None, ticket: None };
    event(received, Kind::ConversationWindow(Box::new(said)))
}

fn takes_over(taken_over: i64) -> Event {
    let (window, ticket) = (Window::default(), Some("t".to_owned()));
    let said = event::ConversationWindow { window, contact_name: None, taken_over_at: Some(at(taken_over)), ticket };
    event(50, Kind::ConversationWindow(Box::new(said)))
}

fn updates(received: i64, title: &str) -> Event {
    let sequence = Sequence(u128::try_from(received).expect("not before the test's day"));
    let changes = Changes { title: Some(title.into()), sequence, ..Changes::default() };
    event(received, Kind::ConversationUpdate(Box::new(changes)))
}

fn classified(received: i64) -> Event {
    let conversation = conversation(&opened());
    let said = Classification { conversation, resolution: 0, topic: None, subtopic: None };
    event(received, Kind::ConversationClassified(Box::new(said)))
}

fn links(received: i64) -> Event {
    let (crm, crm_id, prospect) = ("hubspot".to_owned(), "512".to_owned(), serde_json::Map::new());
    let link = CrmLink { crm, crm_id, prospect, sequence: Sequence(1) };
    event(received, Kind::CrmLinked(Box::new(link)))
}

fn sets(received: i64) -> Event {
    let (state_type, key, value) = ("flow".to_owned(), "step".to_owned(), Some(serde_json::json!(1)));
    let set = event::SetVariable { state_type, key, value, ttl: Some(Duration::from_secs(60)), carry_over: false };
    event(received, Kind::SetVariable(Box::new(set)))
}

fn session_known_by_its_id(received: i64) -> Event {
    let nowhere = Thread { contact: None, channel: None, ..thread() };
    Event { thread: nowhere, ..session_closed(received) }
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
        Decision::Rate(Rated::Open) => "rate open".into(),
        Decision::Rate(Rated::Closed(_)) => "rate closed".into(),
        Decision::Rate(Rated::Nothing) => "rate alone".into(),
        Decision::Amend(..) => "amend".into(),
        Decision::Classify(_) => "classify".into(),
        Decision::SetVariable(_) => "set variable".into(),
        Decision::SetProject(_) => "set project".into(),
        Decision::Erase => "erase".into(),
        Decision::Link(_) => "link".into(),
        Decision::Forward(_) => "forward".into(),
        Decision::Wait(_) => "wait".into(),
        Decision::Reject(_) => "reject".into(),
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
    let Decision::Checkpoint(checkpoint) = decide(&busy, &due(week, &opened()), &POLICY) else {
        panic!("no checkpoint")
    };
    let head = checkpoint.done;
    assert!(!checkpoint.early && checkpoint.reached.is_empty());
    assert_eq!(open(&head).checkpointed_at, Some(at(week)));
    let later = Seen { last_received: Some(at(week + 10)), ..seen(head.clone()) };
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

/// A conversation that ends with its day: opened at second 0, which ends at second 100.
fn daily() -> (Head, Policy) {
    let policy = POLICY;
    let head = Head::opened_by(&thread(), "g", None, &message(0, 0), &policy);
    let end = End { at: at(100), reason: CloseReason::DayEnded, resolution: None };
    (head.next(Conversation::Open(open(&head).ending(end))), policy)
}

#[test]
fn what_occurs_past_the_end_first_closes_the_conversation_and_then_opens_the_next() {
    let (head, policy) = daily();
    for (event, expected) in [
        (says(99, 120), "append"),
        (says(100, 120), "seal, DayEnded"),
        (says(150, 99), "append"), // nothing happens after the queue took the word of it: that clock is wrong
        (due(100, &head), "seal, DayEnded"),
    ] {
        assert_eq!(word(&decide(&seen(head.clone()), &event, &policy)), expected, "{:?}", event.kind);
    }
    let Decision::Write(sealed) = decide(&seen(head), &due(250, &daily().0), &policy) else { panic!("not sealed") };
    let Conversation::Closing(closing) = sealed.conversation.clone() else { panic!("not sealed") };
    assert_eq!((closing.close.at, closing.due_at), (at(100), at(250 + 300)), "it ended with its day, found late");
    let closed = sealed.next(Conversation::Closed(closing.archived()));
    assert_eq!(word(&decide(&seen(closed.clone()), &says(99, 260), &policy)), "late");
    assert_eq!(word(&decide(&seen(closed), &says(100, 260), &policy)), "write head, append");
}

#[test]
fn a_conversation_opened_on_one_day_ends_at_its_zones_midnight() {
    let policy = Policy { day_ends_in: Some(chrono_tz::Tz::America__Sao_Paulo), ..POLICY };
    let Decision::Append { head: Some(head), .. } = decide(&Seen::default(), &says(0, 0), &policy) else {
        panic!("not opened")
    };
    let end = open(&head).ends.expect("an end");
    assert_eq!((end.at, end.reason), (policy.day_end(at(0)).expect("a midnight"), CloseReason::DayEnded));
    assert_eq!(open(&head).due.at, end.at.min(at(0) + POLICY.idle));
}

#[test]
fn the_oldest_conversations_close_whatever_is_said() {
    let policy = Policy { max_age: Some(Duration::from_secs(3_600)), ..POLICY };
    let head = Head::opened_by(&thread(), "g", None, &message(0, 0), &policy);
    assert_eq!(open(&head).due.at, at(3_600));
    let busy = Seen { last_received: Some(at(3_599)), ..seen(head.clone()) };
    assert_eq!(word(&decide(&busy, &due(3_600, &head), &policy)), "seal, MaxAge");
}

#[test]
fn a_late_rating_goes_to_the_last_closed_conversation_and_opens_no_ghost() {
    let week = 7 * 24 * 3600;
    for (answered, received, expected) in
        [(60, 60, "rate closed"), (week, week, "rate closed"), (week + 40, week + 40, "rate alone")]
    {
        assert_eq!(word(&decide(&seen(closed()), &rates(answered, received), &POLICY)), expected, "{answered}");
    }
    let Decision::Append { head: Some(next), .. } = decide(&seen(closed()), &says(60, 60), &POLICY) else {
        panic!("not opened")
    };
    assert_eq!(
        word(&decide(&seen(*next.clone()), &rates(50, 70), &POLICY)),
        "rate closed",
        "it speaks of the one before"
    );
    assert_eq!(word(&decide(&seen(*next), &rates(65, 70), &POLICY)), "rate open");
}

#[test]
fn a_window_before_its_messages_opens_the_conversation_they_go_into() {
    let Decision::Write(head) = decide(&Seen::default(), &takes_over(40), &POLICY) else { panic!("not opened") };
    assert_eq!(open(&head).due.at, at(80), "its messages may be right behind it: the grace period");
    assert_eq!(word(&decide(&seen(*head.clone()), &says(39, 60), &POLICY)), "append");
    let Decision::Write(sealed) = decide(&seen(*head.clone()), &due(80, &head), &POLICY) else { panic!("not sealed") };
    let Conversation::Closing(closing) = sealed.conversation else { panic!("not sealed") };
    let close = (closing.close.reason, closing.close.resolution, closing.close.at);
    assert_eq!(close, (CloseReason::HumanTakeover, Some(4), at(40)));
    assert_eq!(word(&decide(&seen(*head), &says(41, 60), &POLICY)), "seal, HumanTakeover");
}

#[test]
fn who_closes_a_conversation_that_a_person_took_over_need_not_say_so() {
    let Decision::Write(head) = decide(&Seen::default(), &takes_over(40), &POLICY) else { panic!("not opened") };
    for (said, kept) in [(None, Some(4)), (Some(0), Some(0))] {
        let mut asked = close(50, None);
        if let Kind::ConversationClose(close) = &mut asked.kind {
            close.resolution = said;
        }
        let Decision::Write(sealed) = decide(&seen(*head.clone()), &asked, &POLICY) else { panic!("not sealed") };
        let Conversation::Closing(closing) = sealed.conversation else { panic!("not sealed") };
        assert_eq!((closing.close.reason, closing.close.resolution), (CloseReason::Requested, kept));
    }
}

#[test]
fn a_takeover_that_closed_the_conversation_changes_nothing_when_it_comes_again() {
    let Decision::Write(sealed) = decide(&seen(opened()), &takes_over(45), &POLICY) else { panic!("not sealed") };
    let Conversation::Closing(closing) = sealed.conversation.clone() else { panic!("not sealed") };
    assert!(closing.record.details.has_chats_room && closing.record.details.ticket.as_deref() == Some("t"));
    assert_eq!(closing.close.resolution, Some(4));
    let closed = sealed.next(Conversation::Closed(closing.archived()));
    assert_eq!(word(&decide(&seen(closed), &takes_over(45), &POLICY)), "nothing");
}

#[test]
fn an_update_that_comes_again_or_too_late_changes_nothing() {
    let Decision::Write(head) = decide(&seen(opened()), &updates(50, "new"), &POLICY) else { panic!("not written") };
    assert_eq!(open(&head).record.details.title.as_deref(), Some("new"));
    for stale in [updates(50, "new"), updates(20, "old")] {
        assert_eq!(word(&decide(&seen(*head.clone()), &stale, &POLICY)), "nothing");
    }
    let big = |n| Changes { sequence: Sequence(n), metadata: metadata(n), ..Changes::default() };
    let mut grown = *head;
    for n in 60..62 {
        let event = event(50, Kind::ConversationUpdate(Box::new(big(n))));
        match decide(&seen(grown.clone()), &event, &POLICY) {
            Decision::Write(head) => grown = *head,
            other => assert_eq!((word(&other), n), ("reject".to_owned(), 61)),
        }
    }
}

/// Most of what an object of details may hold, under a key of its own.
fn metadata(n: u128) -> serde_json::Map<String, serde_json::Value> {
    [(n.to_string(), "x".repeat(40_000).into())].into_iter().collect()
}

#[test]
fn a_variable_belongs_to_the_conversation_in_which_it_was_set() {
    let Decision::SetVariable(variable) = decide(&seen(opened()), &sets(50), &POLICY) else { panic!("not set") };
    assert_eq!((variable.conversation, variable.expires_at), (Some(conversation(&opened())), Some(at(110))));
    let Decision::SetVariable(early) = decide(&Seen::default(), &sets(50), &POLICY) else { panic!("not set") };
    assert_eq!(early.conversation, None);
}

#[test]
fn a_session_known_by_its_id_goes_on_where_it_was_opened() {
    let place = Place { thread: thread(), group_id: "g".into() };
    let known = Seen { session: Some(place), ..Seen::default() };
    assert_eq!(word(&decide(&known, &session_known_by_its_id(50), &POLICY)), "forward");
}

#[test]
fn what_was_queued_before_the_conversation_opened_speaks_of_the_one_before() {
    let Decision::Append { head: Some(next), .. } = decide(&seen(closed()), &says(60, 60), &POLICY) else {
        panic!("not opened")
    };
    for again in [updates(25, "old"), takes_over(25), window(25, Some(90)), says(-100_000, 25)] {
        let expected = if matches!(again.kind, Kind::Message(_)) { "late" } else { "amend" };
        assert_eq!(word(&decide(&seen(*next.clone()), &again, &POLICY)), expected, "{:?}", again.kind);
    }
}

#[test]
fn a_link_queued_before_the_conversation_opened_is_of_the_one_before() {
    let Decision::Append { head: Some(next), .. } = decide(&seen(closed()), &says(60, 60), &POLICY) else {
        panic!("not opened")
    };
    for (received, linked) in [(55, conversation(&opened())), (70, conversation(&next))] {
        assert_eq!(decide(&seen(*next.clone()), &links(received), &POLICY), Decision::Link(linked), "{received}");
    }
}

#[test]
fn an_older_word_of_a_session_neither_begins_the_grace_again_nor_ends_it() {
    let earlier = |event: Event, sequence| Event { sequence: Sequence(sequence), ..event };
    let Decision::Write(ended) = decide(&seen(opened()), &earlier(session_closed(20), 5), &POLICY) else {
        panic!("not written")
    };
    assert_eq!(word(&decide(&seen(*ended.clone()), &earlier(session_opened(10), 4), &POLICY)), "nothing");
    assert_eq!(word(&decide(&seen(*ended.clone()), &earlier(says(12, 12), 4), &POLICY)), "append");
    let resumed = decide(&seen(*ended), &earlier(says(25, 25), 6), &POLICY);
    let Decision::Append { head: Some(resumed), .. } = resumed else { panic!("not resumed") };
    assert_eq!(word(&decide(&seen(*resumed.clone()), &earlier(session_closed(20), 5), &POLICY)), "nothing");
    assert_eq!(word(&decide(&seen(*resumed), &earlier(session_closed(28), 7), &POLICY)), "write open, SessionEnded");
}

#[test]
fn a_message_that_was_said_before_its_conversations_first_still_finds_it_when_that_has_closed() {
    let first = closed();
    let idle = POLICY.idle.as_secs() as i64;
    assert_eq!(word(&decide(&seen(first.clone()), &says(-60, 60), &POLICY)), "late");
    assert_eq!(word(&decide(&seen(first), &says(-idle - 60, 60), &POLICY)), "write head, append", "too long a silence");
}

#[test]
fn what_was_said_on_a_day_that_was_over_before_the_thread_was_known_has_a_conversation_of_that_day() {
    let policy = Policy { day_ends_in: Some(chrono_tz::Tz::UTC), ..POLICY };
    let Decision::Append { head: Some(today), .. } = decide(&Seen::default(), &says(0, 0), &policy) else {
        panic!("not opened")
    };
    let day = 86_400;
    let stretches = [-2 * day, -day, -day + 60].map(|at| match decide(&seen(*today.clone()), &says(at, 60), &policy) {
        Decision::Late(stretch) => stretch,
        other => panic!("{other:?}"),
    });
    assert!(stretches[0].id != stretches[1].id && stretches[1].id == stretches[2].id, "one a day");
    assert_eq!(Some(stretches[1].closed_at), policy.day_end(at(-day)));
    assert_eq!(stretches[1].reason, CloseReason::DayEnded);
}
