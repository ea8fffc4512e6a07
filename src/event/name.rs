//! Names of events, with their aliases.

use super::rejection::{Code, Rejection};
use super::request::Asked;

/// What an event is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    MessageReceived,
    MessageSent,
    /// Either of the two: the message says which.
    SaveMessage,
    SessionOpened,
    SessionClosed,
    ConversationClose,
    Due,
    Request(Asked),
}

/// Names of the contract that this version does not handle.
const UNSUPPORTED: [&str; 10] = [
    "contact.erase",
    "conversation.update",
    "conversation.window",
    "crm.contact_updated",
    "crm.linked",
    "project.updated",
    "state.delete",
    "state.set",
    "survey.csat",
    "survey.nps",
];

impl Name {
    /// The event called `name`, by its own name or an alias.
    ///
    /// # Errors
    /// The contract has no such name, or this version does not handle it.
    pub(super) fn parse(name: &str) -> Result<Self, Rejection> {
        if let Some(asked) = Asked::named(name) {
            return Ok(Self::Request(asked));
        }
        match name {
            "message.received" => Ok(Self::MessageReceived),
            "message.sent" => Ok(Self::MessageSent),
            "conversation.save_message" => Ok(Self::SaveMessage),
            "session.opened" | "session_opened" | "conversation.session_opened" => Ok(Self::SessionOpened),
            "session.closed" | "session_closed" | "conversation.session_closed" => Ok(Self::SessionClosed),
            "conversation.close" => Ok(Self::ConversationClose),
            "due" => Ok(Self::Due),
            name if UNSUPPORTED.contains(&name) => Err(unsupported("event_type")),
            _ => Err(Rejection::field(Code::UnknownEventType, "event_type", "is not a name of the contract")),
        }
    }
}

/// What `field` asks for is in the contract, but not in this version.
pub(super) fn unsupported(field: &'static str) -> Rejection {
    Rejection::field(Code::UnsupportedEventType, field, "is not handled by this version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_contract_is_handled_or_said_to_be_unsupported() {
        for name in UNSUPPORTED {
            assert_eq!(Name::parse(name).expect_err(name).code, Code::UnsupportedEventType, "{name}");
        }
        for (name, parsed) in [
            ("message.received", Name::MessageReceived),
            ("message.sent", Name::MessageSent),
            ("conversation.save_message", Name::SaveMessage),
            ("session.opened", Name::SessionOpened),
            ("session_opened", Name::SessionOpened),
            ("session.closed", Name::SessionClosed),
            ("session_closed", Name::SessionClosed),
            ("conversation.session_closed", Name::SessionClosed),
            ("conversation.close", Name::ConversationClose),
            ("due", Name::Due),
        ] {
            assert_eq!(Name::parse(name), Ok(parsed), "{name}");
        }
    }

    #[test]
    fn any_other_name_is_unknown() {
        for name in ["", "message", "Message.Received", " message.sent", "get_", "survey.other"] {
            assert_eq!(Name::parse(name).expect_err(name).code, Code::UnknownEventType, "{name}");
        }
    }
}
