//! `session.opened`, `session.closed`: the platform began or ended serving the contact.

use serde_json::Map;

use crate::domain::{EventId, Thread};

use super::fields::{Fields, ID_LIMIT, required};
use super::rejection::Rejection;
use super::shape::{Form, Shape};
use super::{Kind, SessionClosed, SessionOpened, thread};

/// The name of a beginning on the wire.
pub(super) const OPENED: &str = "session.opened";

/// The name of an end on the wire.
pub(super) const CLOSED: &str = "session.closed";

/// Writes the body of a session event that arrived without its thread, for the thread that it belongs to.
pub fn to_body(thread: &Thread, session: &Kind, correlation_id: EventId) -> Option<String> {
    let (name, session_id, agent_id) = match session {
        Kind::SessionOpened(opened) => (OPENED, &opened.session_id, opened.agent_id.as_deref()),
        Kind::SessionClosed(closed) => (CLOSED, &closed.session_id, None),
        _ => return None,
    };
    let mut fields = Map::from_iter([
        ("session_id".to_owned(), session_id.as_str().into()),
        ("correlation_id".to_owned(), correlation_id.to_string().into()),
    ]);
    agent_id.map(|agent| fields.insert("agent_id".to_owned(), agent.into()));
    Some(thread::body(name, thread, fields))
}

/// Reads `session.opened`.
///
/// # Errors
/// No `session_id`, or a field of another type or over its limit.
pub(super) fn read_opened(data: &mut Fields) -> Result<SessionOpened, Rejection> {
    Ok(SessionOpened { session_id: session_id(data)?, agent_id: data.id("agent_id", ID_LIMIT)? })
}

/// Reads `session.closed`.
///
/// # Errors
/// No `session_id`, or one of another type or over its limit.
pub(super) fn read_closed(data: &mut Fields) -> Result<SessionClosed, Rejection> {
    Ok(SessionClosed { session_id: session_id(data)? })
}

/// What `read_opened` reads.
pub(super) fn opened_shape() -> Shape {
    closed_shape().may("agent_id", Form::id(ID_LIMIT).says("The agent that serves it."))
}

/// What `read_closed` reads.
pub(super) fn closed_shape() -> Shape {
    let session = Form::id(ID_LIMIT).says("The platform's id of the session.");
    Shape::default().in_thread_or_project().must("session_id", session)
}

fn session_id(data: &mut Fields) -> Result<String, Rejection> {
    required(data.id("session_id", ID_LIMIT)?, "session_id")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::event::Code;

    fn fields(data: Value) -> Fields {
        Fields::of(data.as_object().cloned().unwrap_or_default())
    }

    #[test]
    fn a_session_is_read_with_its_agent() {
        let opened = read_opened(&mut fields(json!({"session_id": "s-1", "agent_id": 7}))).expect("opened");
        assert_eq!(opened, SessionOpened { session_id: "s-1".into(), agent_id: Some("7".into()) });
        let opened = read_opened(&mut fields(json!({"session_id": "s-1"}))).expect("opened");
        assert_eq!(opened, SessionOpened { session_id: "s-1".into(), agent_id: None });
        let closed = read_closed(&mut fields(json!({"session_id": "s-1", "agent_id": null}))).expect("closed");
        assert_eq!(closed, SessionClosed { session_id: "s-1".into() });
    }

    #[test]
    fn a_session_without_a_sound_id_is_rejected() {
        for (data, code) in [
            (json!({}), Code::MissingField),
            (json!({"session_id": ""}), Code::MissingField),
            (json!({"id": "s-1", "session_uuid": "s-1"}), Code::MissingField),
            (json!({"session_id": ["s-1"]}), Code::WrongType),
            (json!({"session_id": "s".repeat(513)}), Code::TooLong),
        ] {
            let rejection = read_closed(&mut fields(data.clone())).expect_err("no id");
            assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some("session_id")));
            assert_eq!(read_opened(&mut fields(data)).expect_err("no id"), rejection);
        }
    }
}
