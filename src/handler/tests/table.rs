//! Every transition, as a table: what is stored × what happens → what is decided.

use std::collections::BTreeSet;

use super::*;
use crate::{
    domain::{RecordChange, What},
    event::{Question, Request, SignedBody, request::GetState},
};

/// A conversation that a window opened at second 0, and nobody spoke in yet.
fn awaited() -> Head {
    match decide(&Seen::default(), &window(0, None), &POLICY) {
        Decision::Write(head) => *head,
        other => panic!("not opened: {other:?}"),
    }
}

/// The one after [`closed`], opened at second 60.
fn next() -> Head {
    match decide(&seen(closed()), &says(60, 60), &POLICY) {
        Decision::Append { head: Some(head), .. } => *head,
        other => panic!("not opened: {other:?}"),
    }
}

fn deletes(received: i64) -> Event {
    let mut event = sets(received);
    if let Kind::SetVariable(set) = &mut event.kind {
        set.value = None;
    }
    event
}

fn project_says(received: i64) -> Event {
    event(received, Kind::ProjectUpdated(ProjectSettings::default()))
}

fn asks(received: i64) -> Event {
    let question = Question::State(GetState::default());
    let request = Request { reply_to: "answers".into(), correlation_id: None, deadline: None, question };
    event(received, Kind::Request(Box::new(request)))
}

fn webhook(received: i64) -> Event {
    let signed = SignedBody {
        method: "POST".into(),
        body: "[]".into(),
        signature: None,
        older_signature: None,
        timestamp: None,
    };
    event(received, Kind::HubSpotRaw(Box::new(signed)))
}

fn record_changed(received: i64) -> Event {
    let (crm, account, crm_id) = ("hubspot".to_owned(), "1".to_owned(), "512".to_owned());
    let change = RecordChange { crm, account, crm_id, what: What::Deleted, occurred_at: at(received) };
    event(received, Kind::CrmRecordChanged(Box::new(change)))
}

/// A number for each kind of event: one that is not in the tables fails them, one without a number does not compile.
fn number(kind: &Kind) -> usize {
    match kind {
        Kind::Message(_) => 0,
        Kind::SessionOpened(_) => 1,
        Kind::SessionClosed(_) => 2,
        Kind::Rating(_) => 3,
        Kind::ConversationClose(_) => 4,
        Kind::ConversationWindow(_) => 5,
        Kind::ConversationUpdate(_) => 6,
        Kind::SetVariable(_) => 7,
        Kind::ProjectUpdated(_) => 8,
        Kind::ContactErase => 9,
        Kind::Due(_) => 10,
        Kind::Request(_) => 11,
        Kind::ConversationClassified(_) => 13,
        Kind::CrmLinked(_) => 12,
        Kind::HubSpotRaw(_) => 14,
        Kind::CrmRecordChanged(_) => 15,
    }
}

const KINDS: usize = 16;

/// Every kind of event is in the table, and meets every head as it says.
fn holds<const N: usize>(heads: [Option<Head>; N], table: Vec<(Event, [&str; N])>) {
    let kinds: BTreeSet<usize> = table.iter().map(|(event, _)| number(&event.kind)).collect();
    assert_eq!(kinds, (0..KINDS).collect());
    for (event, expected) in table {
        let words = heads.each_ref().map(|head| {
            let seen = Seen { head: head.clone(), ..Seen::default() };
            word(&decide(&seen, &event, &POLICY))
        });
        assert_eq!(words, expected, "{:?} received at {}", event.kind, event.received_at);
    }
}

#[test]
fn every_state_meets_every_event() {
    let heads = [None, Some(awaited()), Some(opened()), Some(in_grace()), Some(closing()), Some(closed())];
    let (day, named) = (24 * 3600, Some(conversation(&opened())));
    #[rustfmt::skip]
    let table = vec![
        //                              none                  awaited                open                        in grace                    closing   closed
        (says(50, 50),                 ["write head, append", "append",              "append",                   "write head, append",       "finish", "write head, append"]),
        (says(5, 50),                  ["write head, append", "append",              "append",                   "write head, append",       "finish", "late"]),
        (session_opened(50),           ["nothing",            "write open, Look",    "write open, Look",         "write open, Look",         "finish", "nothing"]),
        (session_closed(50),           ["nothing",            "write open, SessionEnded", "write open, SessionEnded", "nothing",             "finish", "nothing"]),
        (close(50, None),              ["nothing",            "seal, Requested",     "seal, Requested",          "seal, Requested",          "finish", "nothing"]),
        (close(50, named),             ["nothing",            "nothing",             "seal, Operator",           "seal, Operator",           "finish", "nothing"]),
        (due(50, &opened()),           ["nothing",            "nothing",             "nothing",                  "seal, SessionEnded",       "finish", "nothing"]),
        (due(day, &opened()),          ["nothing",            "nothing",             "seal, Idle",               "seal, SessionEnded",       "finish", "nothing"]),
        (due(day, &awaited()),         ["nothing",            "seal, Idle",          "nothing",                  "nothing",                  "finish", "nothing"]),
        (rates(50, 50),                ["rate alone",         "rate open",           "rate open",                "rate open",                "finish", "rate closed"]),
        (window(50, Some(90)),         ["write open, Look",   "write open, Look",    "write open, Look",         "write open, SessionEnded", "finish", "write open, Look"]),
        (window(50, None),             ["write open, Look",   "write open, Look",    "write open, Look",         "write open, SessionEnded", "finish", "write open, Look"]),
        (takes_over(50),               ["write open, Look",   "seal, HumanTakeover", "seal, HumanTakeover",      "seal, HumanTakeover",      "finish", "write open, Look"]),
        (takes_over(40),               ["write open, Look",   "seal, HumanTakeover", "seal, HumanTakeover",      "seal, HumanTakeover",      "finish", "amend"]),
        (updates(50, "a"),             ["nothing",            "write open, Look",    "write open, Look",         "write open, SessionEnded", "finish", "amend"]),
        (classified(50),               ["classify",           "classify",            "classify",                 "classify",                 "finish", "classify"]),
        (sets(50),                     ["set variable",       "set variable",        "set variable",             "set variable",             "finish", "set variable"]),
        (deletes(50),                  ["set variable",       "set variable",        "set variable",             "set variable",             "finish", "set variable"]),
        (links(50),                    ["nothing",            "link",                "link",                     "link",                     "finish", "link"]),
        (event(50, Kind::ContactErase), ["erase"; 6]),
        (project_says(50),             ["set project"; 6]),
        (session_known_by_its_id(50),  ["wait"; 6]),
        (asks(50),                     ["nothing"; 6]),
        (webhook(50),                  ["nothing"; 6]),
        (record_changed(50),           ["nothing"; 6]),
    ];
    holds(heads, table);
}

#[test]
fn the_next_conversation_meets_what_was_queued_before_it_opened_and_after() {
    let named = |head: &Head| Some(conversation(head));
    #[rustfmt::skip]
    let table = vec![
        (says(5, 55),                  ["late"]),
        (says(5, 70),                  ["late"]),
        (says(50, 70),                 ["append"]),
        (says(70, 70),                 ["append"]),
        (session_opened(55),           ["nothing"]),
        (session_opened(70),           ["write open, Look"]),
        (session_closed(55),           ["nothing"]),
        (session_closed(70),           ["write open, SessionEnded"]),
        (close(55, None),              ["nothing"]),
        (close(70, None),              ["seal, Requested"]),
        (close(70, named(&opened())),  ["nothing"]),
        (close(70, named(&next())),    ["seal, Operator"]),
        (due(24 * 3600 + 60, &opened()), ["nothing"]),
        (due(24 * 3600 + 60, &next()), ["seal, Idle"]),
        (rates(50, 55),                ["rate closed"]),
        (rates(50, 70),                ["rate closed"]),
        (rates(65, 70),                ["rate open"]),
        (links(55),                   ["link"]),
        (links(70),                   ["link"]),
        (window(30, Some(90)),         ["amend"]),
        (window(70, Some(90)),         ["write open, Look"]),
        (takes_over(35),               ["amend"]),
        (updates(55, "a"),             ["amend"]),
        (updates(70, "a"),             ["write open, Look"]),
        (classified(55),               ["classify"]),
        (sets(55),                     ["set variable"]),
        (deletes(70),                  ["set variable"]),
        (event(70, Kind::ContactErase), ["erase"]),
        (project_says(70),             ["set project"]),
        (session_known_by_its_id(70),  ["wait"]),
        (asks(70),                     ["nothing"]),
        (webhook(70),                  ["nothing"]),
        (record_changed(70),           ["nothing"]),
    ];
    holds([Some(next())], table);
}
