//! What an event is called when we speak of it: one name, whatever alias its publisher used.

use super::Kind;
use crate::domain::Direction;

impl Kind {
    /// The names of all events.
    pub const NAMES: [&'static str; 6] =
        ["message.received", "message.sent", "session.opened", "session.closed", "conversation.close", "due"];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message(message) => match message.direction {
                Direction::Incoming => "message.received",
                Direction::Outgoing | Direction::System => "message.sent",
            },
            Self::SessionOpened(_) => "session.opened",
            Self::SessionClosed(_) => "session.closed",
            Self::ConversationClose(_) => "conversation.close",
            Self::Due(_) => "due",
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
            (include_str!("../../tests/fixtures/events/due.json"), "due"),
        ] {
            assert_eq!(decode_body(body).expect("an event").kind.name(), name);
            assert!(Kind::NAMES.contains(&name));
        }
    }
}
