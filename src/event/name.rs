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
    ConversationUpdate,
    ConversationWindow,
    ConversationClassified,
    SurveyCsat,
    SurveyNps,
    StateSet,
    StateDelete,
    ProjectUpdated,
    ContactErase,
    Due,
    Request(Asked),
}

/// Names of the contract that this version does not handle.
const UNSUPPORTED: [&str; 2] = ["crm.contact_updated", "crm.linked"];

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
            "conversation.update" => Ok(Self::ConversationUpdate),
            "conversation.window" => Ok(Self::ConversationWindow),
            "conversation.classified" => Ok(Self::ConversationClassified),
            "survey.csat" => Ok(Self::SurveyCsat),
            "survey.nps" => Ok(Self::SurveyNps),
            "state.set" => Ok(Self::StateSet),
            "state.delete" => Ok(Self::StateDelete),
            "project.updated" => Ok(Self::ProjectUpdated),
            "contact.erase" => Ok(Self::ContactErase),
            "due" => Ok(Self::Due),
            name if UNSUPPORTED.contains(&name) => {
                Err(Rejection::field(Code::UnsupportedEventType, "event_type", "is not handled by this version"))
            }
            _ => Err(Rejection::field(Code::UnknownEventType, "event_type", "is not a name of the contract")),
        }
    }
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
            ("conversation.update", Name::ConversationUpdate),
            ("conversation.window", Name::ConversationWindow),
            ("conversation.classified", Name::ConversationClassified),
            ("survey.csat", Name::SurveyCsat),
            ("survey.nps", Name::SurveyNps),
            ("state.set", Name::StateSet),
            ("state.delete", Name::StateDelete),
            ("project.updated", Name::ProjectUpdated),
            ("contact.erase", Name::ContactErase),
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
