//! `conversation.window`: the platform gave a conversation its time, or a person took it over.

use chrono::{DateTime, SubsecRound as _, Utc};

use crate::domain::Window;

use super::fields::{Fields, ID_LIMIT};
use super::rejection::{Code, Rejection};
use super::shape::{Form, Shape};
use super::{ConversationWindow, Raw, time};

/// The event's name on the wire.
pub(super) const NAME: &str = "conversation.window";

/// Reads a window, wrapped or flat. A ticket or a chat room means that a person took over: at `created_on`, or the
/// window's end or beginning, or when the queue took the event.
///
/// # Errors
/// It ends before it begins, or a field is of another type or over its limit.
pub(super) fn read(data: &mut Fields, raw: &Raw<'_>) -> Result<ConversationWindow, Rejection> {
    let external_id = first(data, ["external_id", "id"], |data, field| data.id(field, ID_LIMIT))?;
    let contact_name = first(data, ["contact_name", "name"], Fields::label)?;
    let start = first(data, ["start", "start_date"], at)?;
    let end = first(data, ["end", "end_date"], at)?;
    if start.zip(end).is_some_and(|(start, end)| end < start) {
        return Err(Rejection::field(Code::OutOfRange, "end", "must not be before start"));
    }
    let ticket = data.id("ticket_uuid", ID_LIMIT)?;
    let has_chats_room = data.flag("has_chats_room")?.unwrap_or(ticket.is_some());
    let created_on = at(data, "created_on")?;
    let taken_over_at = created_on.or(end).or(start).unwrap_or_else(|| raw.sent_at.trunc_subsecs(6));
    Ok(ConversationWindow {
        window: Window { external_id, start, end },
        contact_name,
        taken_over_at: has_chats_room.then_some(taken_over_at),
        ticket,
    })
}

/// What `read` reads.
pub(super) fn shape() -> Shape {
    Shape::default()
        .in_thread()
        .may("external_id", Form::id(ID_LIMIT).says("The platform's id of the conversation."))
        .alias("id", "external_id", Form::id(ID_LIMIT))
        .may("start", Form::exact_time().says("When it began."))
        .alias("start_date", "start", Form::exact_time())
        .may("end", Form::exact_time().says("When it ended, or is to end. Not before its beginning."))
        .alias("end_date", "end", Form::exact_time())
        .may("has_chats_room", Form::flag().says("Whether a person took over; without it, a ticket says so."))
        .may("contact_name", Form::label().says("The contact's name."))
        .alias("name", "contact_name", Form::label())
        .may("ticket_uuid", Form::id(ID_LIMIT).says("The ticket by which a person took over."))
        .may("created_on", Form::exact_time().says("When a person took over."))
}

fn first<T>(
    data: &mut Fields,
    names: [&'static str; 2],
    read: impl Fn(&mut Fields, &'static str) -> Result<Option<T>, Rejection>,
) -> Result<Option<T>, Rejection> {
    let [name, alias] = names.map(|name| read(data, name));
    Ok(name?.or(alias?))
}

/// A time that is given must be one: it moves the end of a conversation.
fn at(data: &mut Fields, field: &'static str) -> Result<Option<DateTime<Utc>>, Rejection> {
    let unreadable =
        || Rejection::field(Code::OutOfRange, field, "must be a time of the years 2000 to 2100, as ISO 8601");
    match data.take(field) {
        Some(value) if value.as_str().is_none_or(|text| !super::fields::is_blank(text)) => {
            time::read(&value).ok_or_else(unreadable).map(Some)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Kind;
    use crate::event::testing::{decode_body, sent_at};

    fn decoded(mut data: Value, flat: bool) -> Result<ConversationWindow, Rejection> {
        for (field, value) in [("project_uuid", "p"), ("contact_urn", "c"), ("channel_uuid", "ch")] {
            data[field] = json!(value);
        }
        let body = if flat { data } else { json!({"event_type": NAME, "data": data}) };
        match decode_body(&body.to_string())?.kind {
            Kind::ConversationWindow(window) => Ok(*window),
            other => panic!("not a window: {other:?}"),
        }
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn a_window_is_read_by_either_of_its_fields_names() {
        let own = json!({"external_id": "w-1", "start": "2026-03-01T00:00:00-03:00", "end": "2026-03-02T00:00:00-03:00",
                         "has_chats_room": false, "contact_name": "Zé"});
        let alias = json!({"id": "w-1", "start_date": "2026-03-01T03:00:00Z", "end_date": "2026-03-02T03:00:00Z",
                           "name": "Zé"});
        let window = decoded(own, false).expect("a window");
        assert_eq!(decoded(alias, false).expect("a window"), window);
        assert_eq!(window.window.external_id.as_deref(), Some("w-1"));
        assert_eq!(window.window.end, Some(utc("2026-03-02T03:00:00Z")));
        assert_eq!((window.taken_over_at, window.contact_name.as_deref()), (None, Some("Zé")));
    }

    #[test]
    fn a_ticket_or_a_chat_room_means_that_a_person_took_over() {
        let flat = decoded(json!({"ticket_uuid": "t-1", "created_on": "2026-03-01T12:31:00+00:00"}), true);
        let flat = flat.expect("a window");
        assert_eq!((flat.taken_over_at, flat.ticket.as_deref()), (Some(utc("2026-03-01T12:31:00Z")), Some("t-1")));
        let room = json!({"has_chats_room": true, "start": "2026-03-01T10:00:00Z", "end": "2026-03-01T11:00:00Z"});
        assert_eq!(decoded(room, false).expect("a window").taken_over_at, Some(utc("2026-03-01T11:00:00Z")));
        let bare = decoded(json!({"has_chats_room": "true"}), false).expect("a window");
        assert_eq!(bare.taken_over_at, Some(sent_at().trunc_subsecs(6)));
        let not_yet = json!({"has_chats_room": false, "ticket_uuid": "t-1"});
        assert_eq!(decoded(not_yet, false).expect("a window").taken_over_at, None);
    }

    #[test]
    fn a_window_that_makes_no_sense_is_rejected() {
        for (data, code, field) in [
            (json!({"start": "2026-03-02T00:00:00Z", "end": "2026-03-01T00:00:00Z"}), Code::OutOfRange, "end"),
            (json!({"end": "tomorrow"}), Code::OutOfRange, "end"),
            (json!({"start_date": "1970-01-01T00:00:00Z"}), Code::OutOfRange, "start_date"),
            (json!({"has_chats_room": "perhaps"}), Code::OutOfRange, "has_chats_room"),
            (json!({"external_id": {}}), Code::WrongType, "external_id"),
        ] {
            let rejection = decoded(data.clone(), false).expect_err("no window");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(field)), "{data}");
        }
    }
}
