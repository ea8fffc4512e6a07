//! `conversation.window`: it gives the conversation its end; one by which a person took over ends it there and then.
//!
//! It may come before the messages it follows: then it opens a conversation for them, which costs nothing if none come.

use super::{Decision, HAS_CHAT_ROOM, Seen, amended, before, details::changed, going_on, is_older, sealed};
use crate::{
    domain::{Changes, Close, CloseReason, Conversation, Details, End, Head, Open, Opening, Policy, Window},
    event::{ConversationWindow, Event, Rejection},
};

pub(super) fn handle(
    seen: &Seen,
    open: Option<(&Head, &Open)>,
    event: &Event,
    said: &ConversationWindow,
    policy: &Policy,
) -> Decision {
    let changes = changes(event, said);
    let end = end(said);
    // it speaks of the conversation that was going on when the window began, or when the person came
    let at = said.window.start.or(said.taken_over_at).unwrap_or(event.received_at).min(event.received_at);
    let said_already = match seen.head.as_ref().map(|head| &head.conversation) {
        Some(Conversation::Closed(closed)) => closed.record.details.changed_by >= Some(event.sequence),
        // as the latest word, or as the one that opened it
        Some(Conversation::Open(open)) => {
            let latest = open.record.details.changed_by;
            latest == Some(event.sequence)
                || latest > Some(event.sequence) && event.received_at == open.record.opened_received_at
        }
        Some(Conversation::Closing(_)) | None => false,
    };
    if said_already {
        return Decision::Nothing("the conversation says so already");
    }
    if is_older(seen, event) {
        return amended(seen, event, at, &changes);
    }
    match (open, before(seen)) {
        (open, Some(closed))
            if closed.opened_at <= at
                && at <= closed.closed_at
                && open.is_none_or(|(_, open)| at < open.record.opened_at) =>
        {
            Decision::Amend(closed, Box::new(changes))
        }
        (Some((head, open)), _) => match changed(&open.record, &changes) {
            Ok(record) => on_open(head, &Open { record, ..open.clone() }, end, event, said, policy),
            Err(rejection) => Decision::Reject(rejection),
        },
        (None, _) => match Details::default().after(&changes) {
            Ok(details) => {
                let opening = Opening {
                    thread: &event.thread,
                    group_id: &event.group_id,
                    event_id: event.id,
                    opened_at: at,
                    received_at: event.received_at,
                    policy,
                };
                let end = end.or(policy.day_end(at).map(End::of_day));
                Decision::Write(Box::new(Head::opened_by_window(&opening, seen.head.as_ref(), details, end)))
            }
            Err(too_much) => Decision::Reject(Rejection::grown(too_much)),
        },
    }
}

fn on_open(
    head: &Head,
    open: &Open,
    end: Option<End>,
    event: &Event,
    said: &ConversationWindow,
    policy: &Policy,
) -> Decision {
    match (said.taken_over_at, end) {
        (Some(at), Some(end)) => {
            let at = at.max(open.record.opened_at).min(event.received_at);
            sealed(head, open, Close { at, ..end.close() }, event, policy)
        }
        (_, end) => {
            let open = end.map_or(open.clone(), |end| open.clone().ending(end));
            if head.conversation == Conversation::Open(open.clone()) {
                return Decision::Nothing("the conversation says so already");
            }
            Decision::Write(going_on(head, open))
        }
    }
}

fn end(said: &ConversationWindow) -> Option<End> {
    let taken_over = |at| End { at, reason: CloseReason::HumanTakeover, resolution: Some(HAS_CHAT_ROOM) };
    let ended = |at| End { at, reason: CloseReason::WindowEnded, resolution: None };
    said.taken_over_at.map(taken_over).or(said.window.end.map(ended))
}

fn changes(event: &Event, said: &ConversationWindow) -> Changes {
    Changes {
        window: (said.window != Window::default()).then(|| said.window.clone()),
        contact_name: said.contact_name.clone(),
        ticket: said.ticket.clone(),
        has_chats_room: said.taken_over_at.is_some(),
        resolution: said.taken_over_at.map(|_| HAS_CHAT_ROOM),
        sequence: event.sequence,
        ..Changes::default()
    }
}
