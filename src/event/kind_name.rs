//! What an event is called when we speak of it: one name, whatever alias its publisher used.

use super::Kind;
use crate::domain::{Direction, RatingKind};

impl Kind {
    /// The names of all events that change something; requests have names of their own.
    pub const NAMES: [&'static str; 18] = [
        "message.received",
        "message.sent",
        "session.opened",
        "session.closed",
        "survey.csat",
        "survey.nps",
        "survey.custom",
        "conversation.close",
        "conversation.window",
        "conversation.update",
        "conversation.classified",
        "state.set",
        "project.updated",
        "contact.erase",
        "crm.linked",
        "crm.hubspot_raw",
        "crm.record_changed",
        "due",
    ];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message(message) => match message.direction {
                Direction::Incoming => "message.received",
                Direction::Outgoing | Direction::System => "message.sent",
            },
            Self::SessionOpened(_) => "session.opened",
            Self::SessionClosed(_) => "session.closed",
            Self::Rating(rating) => match rating.kind {
                RatingKind::Csat => "survey.csat",
                RatingKind::Nps => "survey.nps",
                RatingKind::Custom => "survey.custom",
            },
            Self::ConversationClose(_) => "conversation.close",
            Self::ConversationWindow(_) => "conversation.window",
            Self::ConversationUpdate(_) => "conversation.update",
            Self::ConversationClassified(_) => "conversation.classified",
            Self::SetVariable(_) => "state.set",
            Self::ProjectUpdated(_) => "project.updated",
            Self::ContactErase => "contact.erase",
            Self::CrmLinked(_) => "crm.linked",
            Self::HubSpotRaw(_) => "crm.hubspot_raw",
            Self::CrmRecordChanged(_) => "crm.record_changed",
            Self::Due(_) => "due",
            Self::Request(request) => request.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::decode_body;
    use super::*;

    #[test]
    fn every_event_is_called_by_a_name_of_the_list() {
        for (body, name) in [
            (include_str!("../../tests/fixtures/events/message_received.json"), "message.received"),
            (include_str!("../../tests/fixtures/events/message_sent.json"), "message.sent"),
            (include_str!("../../tests/fixtures/events/session_opened.json"), "session.opened"),
            (include_str!("../../tests/fixtures/events/session_closed.json"), "session.closed"),
            (include_str!("../../tests/fixtures/events/conversation_close.json"), "conversation.close"),
            (include_str!("../../tests/fixtures/events/score.json"), "survey.csat"),
            (include_str!("../../tests/fixtures/events/window_flat.json"), "conversation.window"),
            (include_str!("../../tests/fixtures/events/due.json"), "due"),
        ] {
            assert_eq!(decode_body(body).expect("an event").kind.name(), name);
            assert!(Kind::NAMES.contains(&name));
        }
    }
}
