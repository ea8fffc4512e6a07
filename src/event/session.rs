//! `session.opened`, `session.closed`: the platform began or ended serving the contact.

use super::fields::{Fields, ID_LIMIT, required};
use super::rejection::Rejection;
use super::{SessionClosed, SessionOpened};

/// The name of a beginning on the wire.
pub(super) const OPENED: &str = "session.opened";

/// The name of an end on the wire.
pub(super) const CLOSED: &str = "session.closed";

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
