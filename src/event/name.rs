//! Names of events and of requests, with their aliases.

use crate::domain::Direction;

use super::rejection::{Code, Rejection};

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
    CrmLinked,
    CrmContactUpdated,
    HubSpotRaw,
    CrmRecordChanged,
    Due,
    Request(Asked),
}

/// Events and their names.
pub(super) const NAMES: [(&str, Name); 24] = [
    ("message.received", Name::MessageReceived),
    ("message.sent", Name::MessageSent),
    ("conversation.save_message", Name::SaveMessage),
    ("session.opened", Name::SessionOpened),
    ("session_opened", Name::SessionOpened),
    ("conversation.session_opened", Name::SessionOpened),
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
    ("crm.linked", Name::CrmLinked),
    ("crm.contact_updated", Name::CrmContactUpdated),
    ("crm.hubspot_raw", Name::HubSpotRaw),
    ("crm.record_changed", Name::CrmRecordChanged),
    ("due", Name::Due),
];

impl Name {
    /// Who speaks in an event of this name, unless the event says otherwise.
    pub(super) fn expects(self) -> Option<Direction> {
        match self {
            Self::MessageReceived => Some(Direction::Incoming),
            Self::MessageSent => Some(Direction::Outgoing),
            _ => None,
        }
    }

    /// The event called `name`, by its own name or an alias.
    ///
    /// # Errors
    /// The contract has no such name.
    pub(super) fn parse(name: &str) -> Result<Self, Rejection> {
        if let Some(asked) = Asked::named(name) {
            return Ok(Self::Request(asked));
        }
        if let Some((_, known)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*known);
        }
        Err(Rejection::field(Code::UnknownEventType, "event_type", "is not a name of the contract"))
    }
}

/// What a request is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Context,
    Conversation,
    Conversations,
    Stats,
    State,
    CrmLink,
    CrmLinks,
}

/// Requests and their names; the first is the one it is answered under.
pub(super) const REQUESTS: [(&str, Asked); 8] = [
    ("get_context", Asked::Context),
    ("conversation.get_context", Asked::Context),
    ("get_conversation", Asked::Conversation),
    ("list_conversations", Asked::Conversations),
    ("get_stats", Asked::Stats),
    ("get_state", Asked::State),
    ("get_crm_link", Asked::CrmLink),
    ("list_crm_links", Asked::CrmLinks),
];

impl Asked {
    pub(super) fn named(name: &str) -> Option<Self> {
        REQUESTS.iter().find(|(known, _)| *known == name).map(|(_, asked)| *asked)
    }

    pub(super) fn name(self) -> &'static str {
        REQUESTS.iter().find(|(_, asked)| *asked == self).map_or("", |(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_stands_for_two_events() {
        for (place, (name, event)) in NAMES.iter().enumerate() {
            assert_eq!(Name::parse(name), Ok(*event), "{name}");
            assert!(NAMES[..place].iter().all(|(other, _)| other != name), "{name} stands there twice");
            assert!(Asked::named(name).is_none(), "{name} is a request's");
        }
    }

    #[test]
    fn any_other_name_is_unknown() {
        for name in ["", "message", "Message.Received", " message.sent", "get_", "survey.other"] {
            assert_eq!(Name::parse(name).expect_err(name).code, Code::UnknownEventType, "{name}");
        }
    }
}
